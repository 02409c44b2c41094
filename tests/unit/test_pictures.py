"""Every kind of picture file, and everything that only pretends to be one."""

from __future__ import annotations

import contextlib
import io
import os
import struct
import zlib
from datetime import datetime
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from deephash.errors import UnreadablePicture
from deephash.pictures import MAX_PIXELS, open_picture, read_picture, scan_folder
from tests.paths import shared_data

RED, WHITE = (255, 0, 0), (255, 255, 255)


def saved(picture: Image.Image, form: str, **options: object) -> bytes:
    out = io.BytesIO()
    picture.save(out, form, **options)
    return out.getvalue()


def close(pixel: tuple[int, ...], wanted: tuple[int, ...], by: int = 8) -> bool:
    return all(abs(a - b) <= by for a, b in zip(pixel, wanted, strict=True))


@pytest.mark.parametrize("form", ["PNG", "JPEG", "BMP", "TIFF", "WEBP", "GIF", "PPM"])
def test_common_formats_give_rgb(form: str) -> None:
    picture = open_picture(saved(Image.new("RGB", (6, 4), RED), form))
    assert picture.mode == "RGB"
    assert picture.size == (6, 4)
    assert close(picture.getpixel((2, 2)), RED)


@pytest.mark.parametrize(
    ("picture", "form", "wanted"),
    [
        (Image.new("L", (3, 3), 100), "PNG", (100, 100, 100)),
        (Image.new("1", (3, 3), 1), "PNG", WHITE),
        (Image.new("RGB", (3, 3), RED).convert("P"), "PNG", RED),
        (Image.new("CMYK", (3, 3), (0, 255, 255, 0)), "JPEG", RED),
        (Image.new("RGBA", (3, 3), (0, 0, 0, 0)), "PNG", WHITE),
        (Image.new("RGBA", (3, 3), (255, 0, 0, 255)), "PNG", RED),
        (Image.new("LA", (3, 3), (0, 0)), "PNG", WHITE),
        (Image.fromarray(np.full((3, 3), 32896, np.uint16)), "PNG", (128, 128, 128)),
        (Image.fromarray(np.full((3, 3), 65535, np.uint16)), "TIFF", WHITE),
        (Image.fromarray(np.full((3, 3), 0.5, np.float32)), "TIFF", (127, 127, 127)),
        (Image.fromarray(np.full((3, 3), 100.0, np.float32)), "TIFF", (100, 100, 100)),
        (Image.fromarray(np.full((3, 3), 200_000, np.int32)), "TIFF", WHITE),
    ],
)
def test_unusual_pixels_are_converted(picture: Image.Image, form: str, wanted: tuple[int, ...]) -> None:
    assert close(open_picture(saved(picture, form)).getpixel((1, 1)), wanted)


def test_palette_with_transparency_is_laid_on_white() -> None:
    picture = Image.new("P", (2, 2), 0)
    picture.putpalette([0, 0, 0, 255, 0, 0])
    assert open_picture(saved(picture, "PNG", transparency=0)).getpixel((0, 0)) == WHITE


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_rotation_is_applied(orientation: int) -> None:
    upright = np.zeros((8, 16, 3), np.uint8)
    upright[:4, :8] = 255  # top left is white
    undo = {2: 0, 3: 3, 4: 1, 5: 5, 6: 2, 7: 6, 8: 4}  # PIL transposes that the camera "did"
    stored = Image.fromarray(upright)
    if orientation in undo:
        stored = stored.transpose(Image.Transpose(undo[orientation]))
    exif = Image.Exif()
    exif[0x0112] = orientation
    picture, facts = read_picture(saved(stored, "PNG", exif=exif))
    assert (facts.width, facts.height) == picture.size == (16, 8)
    assert (np.asarray(picture) == upright).all()


def test_facts_hold_the_full_size_and_the_date(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif.get_ifd(0x8769)[0x9003] = "2019:05:31 18:30:00"
    file = tmp_path / "a.jpg"
    Image.new("RGB", (640, 480)).save(file, exif=exif)
    picture, facts = read_picture(file, reduced_to=100)
    assert facts.taken == datetime(2019, 5, 31, 18, 30)
    assert (facts.width, facts.height) == (640, 480)
    assert picture.size == (160, 120)


@pytest.mark.parametrize("text", ["0000:00:00 00:00:00", "yesterday", ""])
def test_a_senseless_date_is_no_date(text: str) -> None:
    exif = Image.Exif()
    exif.get_ifd(0x8769)[0x9003] = text
    assert read_picture(saved(Image.new("RGB", (4, 4)), "JPEG", exif=exif))[1].taken is None


def test_reduction_never_goes_below_what_is_asked() -> None:
    data = saved(Image.new("RGB", (1000, 600)), "JPEG")
    for side in (75, 76, 150, 151, 300, 599, 600, 2000):
        assert min(open_picture(data, reduced_to=side).size) >= min(side, 600)


def test_an_animation_gives_its_first_frame() -> None:
    frames = [Image.new("RGB", (4, 4), colour) for colour in (RED, WHITE)]
    data = saved(frames[0], "GIF", save_all=True, append_images=frames[1:])
    assert close(open_picture(data).getpixel((0, 0)), RED)


def test_arrays_and_pictures_are_sources_too() -> None:
    grey = np.full((2, 3), 70, np.uint8)
    for array in (
        grey,
        grey[:, :, None],
        np.stack([grey] * 3, 2),
        grey.astype(np.uint16) * 257,
        grey / np.float32(255),
    ):
        assert open_picture(array).getpixel((0, 0)) == (70, 70, 70)
    assert open_picture(Image.new("RGB", (2, 2), RED)).getpixel((0, 0)) == RED
    assert open_picture(np.zeros((2, 2, 4), np.uint8)).getpixel((0, 0)) == WHITE


@pytest.mark.parametrize(
    "array",
    [np.zeros((2, 2), np.complex64), np.zeros((2, 2, 5), np.uint8), np.zeros(4, np.uint8), np.zeros((0, 4), np.uint8)],
)
def test_other_arrays_are_refused(array: np.ndarray) -> None:
    with pytest.raises(UnreadablePicture, match="picture array"):
        open_picture(array)


def bomb() -> bytes:
    """Return a valid PNG of 30,000 x 30,000 pixels in 200 bytes of header and nothing."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", 30_000, 30_000, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"0" * 100)) + chunk(b"IEND", b"")
    )


JPEG = saved(Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)), "JPEG")


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "empty file"),
        (b"hello, world", "not a picture"),
        (JPEG[: len(JPEG) // 2], "truncated"),
        (JPEG[:20], "not a picture|damaged"),
        (saved(Image.new("RGB", (50, 50)), "PNG")[:60], "damaged|truncated"),
        (bomb(), "pixels"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "not a picture"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "not a picture"),
    ],
)
def test_bad_files_say_why(tmp_path: Path, data: bytes, reason: str) -> None:
    file = tmp_path / "x.jpg"
    file.write_bytes(data)
    for source in (file, str(file), data):
        with pytest.raises(UnreadablePicture, match=reason):
            open_picture(source)


def test_the_pixel_limit_can_be_moved() -> None:
    data = saved(Image.new("RGB", (100, 100)), "PNG")
    with pytest.raises(UnreadablePicture, match="100 x 100 pixels are more than the limit of 9,999"):
        open_picture(data, max_pixels=9_999)
    assert open_picture(data, max_pixels=10_000).size == (100, 100)
    assert MAX_PIXELS > 108_000_000  # the largest common phone pictures pass


def test_random_bytes_never_give_anything_but_our_error() -> None:
    rng = np.random.default_rng(0)
    files = [saved(Image.new("RGB", (30, 30), RED), form) for form in ("PNG", "JPEG", "GIF", "TIFF", "WEBP", "BMP")]
    for _ in range(40):
        for data in files:
            damaged = bytearray(data)
            for place in rng.integers(0, len(data), 4):
                damaged[place] = rng.integers(0, 256)
            with contextlib.suppress(UnreadablePicture):
                assert open_picture(bytes(damaged)).mode == "RGB"


@pytest.mark.posix
def test_what_is_no_file_is_refused_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.jpg")
    with pytest.raises(UnreadablePicture, match="not a regular file"):
        open_picture(tmp_path / "pipe.jpg")
    with pytest.raises(UnreadablePicture, match="No such file"):
        open_picture(tmp_path / "absent.jpg")
    with pytest.raises(UnreadablePicture, match="not a regular file"):
        open_picture(tmp_path)


def test_scan_folder_finds_pictures_by_name_in_a_fixed_order(tmp_path: Path) -> None:
    for name in ("b.JPG", "a.png", "notes.txt", ".hidden.png", "sub/c.webp", ".git/d.png", "x.dh/e.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    found = [path.relative_to(tmp_path).as_posix() for path in scan_folder(tmp_path)]
    assert found == ["a.png", "b.JPG", "sub/c.webp"]
    with pytest.raises(UnreadablePicture, match="not a folder"):
        list(scan_folder(tmp_path / "nowhere"))


def test_reduced_decoding_stays_close_to_the_full_picture() -> None:
    for file in sorted(scan_folder(shared_data("demo_photos")))[:10]:
        full = open_picture(file).resize((64, 64), Image.Resampling.BICUBIC)
        reduced = open_picture(file, reduced_to=100).resize((64, 64), Image.Resampling.BICUBIC)
        error = np.asarray(full, np.float64) - np.asarray(reduced, np.float64)
        assert 10 * np.log10(255**2 / max((error**2).mean(), 1e-9)) > 28


def exif_of(kind: int, count: int, value: bytes, order: str = "<") -> bytes:
    """Return an EXIF block that holds the orientation alone, as a value of any TIFF type."""
    head = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(order + "IH", 8, 1)
    return head + struct.pack(order + "HHI", 0x0112, kind, count) + value.ljust(4, b"\0") + bytes(4)


@pytest.mark.parametrize(
    ("kind", "count", "value", "turns"),
    [
        (3, 1, b"\x06\0", True),  # as it should be
        (4, 1, b"\x06\0\0\0", True),  # a longer number
        (1, 1, b"\x06", True),  # a byte
        (7, 1, b"\x06", True),  # undefined
        (3, 2, b"\x06\0\x06\0", True),  # two of them
        (2, 2, b"6\0", True),  # as text
        (3, 1, b"\0\0", False),
        (3, 1, b"\x09\0", False),
        (2, 2, b"x\0", False),
        (5, 1, b"\xff\xff\xff\xff", False),  # a fraction somewhere else
        (12, 1, b"\xff\xff\xff\xff", False),
        (99, 1, b"\x06\0", False),
        (3, 0, b"\x06\0", False),
        (3, 2**31, b"\x06\0", False),
    ],
)
@pytest.mark.filterwarnings("ignore")
def test_orientations_of_odd_types(kind: int, count: int, value: bytes, turns: bool) -> None:
    for form in ("JPEG", "PNG", "WEBP"):
        data = saved(Image.new("RGB", (16, 8), RED), form, exif=b"Exif\0\0" + exif_of(kind, count, value))
        picture, facts = read_picture(data)
        assert picture.size == (facts.width, facts.height) == ((8, 16) if turns else (16, 8))


def test_orientation_in_the_other_order_of_bytes() -> None:
    block = exif_of(3, 1, b"\0\x06", ">")
    assert open_picture(saved(Image.new("RGB", (16, 8)), "JPEG", exif=b"Exif\0\0" + block)).size == (8, 16)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("form", ["TIFF", "AVIF", "WEBP", "JPEG"])
def test_each_format_is_turned_once(form: str, orientation: int) -> None:
    shown = np.zeros((16, 32, 3), np.uint8)
    shown[:8, :16] = 255
    undo = {2: 0, 3: 3, 4: 1, 5: 5, 6: 2, 7: 6, 8: 4}
    stored = Image.fromarray(shown)
    stored = stored.transpose(Image.Transpose(undo[orientation])) if orientation in undo else stored
    exif = Image.Exif()
    exif[0x0112], exif[0x0132] = orientation, "2020:01:02 03:04:05"
    options = {"tiffinfo": {0x0112: orientation}} if form == "TIFF" else {"exif": exif, "quality": 95}
    picture, facts = read_picture(saved(stored, form, **options))
    assert picture.size == (facts.width, facts.height) == (32, 16)
    assert np.abs(np.asarray(picture, int) - shown).mean() < 12
    assert facts.taken == (None if form == "TIFF" else datetime(2020, 1, 2, 3, 4, 5))


@pytest.mark.filterwarnings("ignore")
def test_an_avif_whose_exif_cannot_be_written_back_is_taken() -> None:
    from random import Random

    from tests.property.picture_fuzz import odd_exif

    draw, taken = Random(2), 0
    for _ in range(100):
        block = odd_exif(draw, 6)
        order = "<" if block.startswith(b"II") else ">"
        true, other = (struct.pack(order + "HHIHH", tag, 3, 1, 6, 0) for tag in (0x0112, 0x0EEE))
        data = saved(Image.new("RGB", (9, 6), RED), "AVIF", exif=b"Exif\0\0" + block.replace(true, other))
        picture, _ = read_picture(data.replace(other, true))  # Pillow moves the orientation into the container
        assert picture.size == (9, 6), "the container says that nothing is to be turned"
        taken += true in data.replace(other, true)
    assert taken == 100


def test_a_picture_of_ones_own_stays_as_it_is() -> None:
    mine = Image.new("RGB", (4, 4), RED)
    opened = open_picture(mine)
    opened.putpixel((0, 0), WHITE)
    assert mine.getpixel((0, 0)) == RED
    lazy = Image.open(io.BytesIO(JPEG[: len(JPEG) // 2]))
    with pytest.raises(UnreadablePicture, match="this picture: damaged"):
        open_picture(lazy)
