"""16-bit, integer and float pictures: what is black and white in them, and that none becomes black in silence."""

from __future__ import annotations

import io
import struct
import zlib
from typing import Any

import numpy as np
import pytest
from PIL import Image

from deephash.errors import UnreadablePicture
from deephash.pictures import open_picture, read_picture
from deephash.pictures.value_range import find_range

GREY = np.tile(np.arange(0, 256, 4, np.uint8), (40, 1))  # 0 .. 252
GREY[:8] = 255
UNIT = (GREY / 255).astype(np.float32)


def tiff(values: np.ndarray, **options: Any) -> bytes:
    file = io.BytesIO()
    Image.fromarray(values).save(file, "TIFF", **options)
    return file.getvalue()


def png16(values: np.ndarray, opaque: int | None = None) -> bytes:
    """Return a PNG of 16-bit colours [H, W, 3], which Pillow cannot write; with an opacity if one is given."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return len(body).to_bytes(4, "big") + kind + body + zlib.crc32(kind + body).to_bytes(4, "big")

    height, width, _ = values.shape
    if opaque is not None:
        values = np.dstack([values, np.full((height, width), opaque)])
    lines = b"".join(b"\0" + line.astype(">u2").tobytes() for line in values)
    head = width.to_bytes(4, "big") + height.to_bytes(4, "big") + bytes([16, 6 if opaque is not None else 2, 0, 0, 0])
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(lines)) + chunk(b"IEND", b"")


def big_endian_tiff(values: np.ndarray) -> bytes:
    """Return a TIFF in the order of bytes that Pillow does not write, of one channel or of three."""
    height, width, channels = (*values.shape, 1)[:3]
    data = values.astype(values.dtype.newbyteorder(">")).tobytes()
    bits, kind = 8 * values.dtype.itemsize, {"u": 1, "i": 2, "f": 3}[values.dtype.kind]
    behind = 8 + 2 + 12 * 10 + 4
    tags = [
        (256, 4, 1, width), (257, 4, 1, height), (258, 3, channels, bits if channels == 1 else behind), (259, 3, 1, 1),
        (262, 3, 1, 1 if channels == 1 else 2), (273, 4, 1, behind + 6), (277, 3, 1, channels), (278, 4, 1, height),
        (279, 4, 1, len(data)), (339, 3, 1, kind),
    ]  # fmt: skip
    head = b"MM\0*" + struct.pack(">IH", 8, len(tags))
    for tag, size, count, value in tags:
        short = size == 3 and count == 1
        head += struct.pack(">HHI" + ("HH" if short else "I"), tag, size, count, *((value, 0) if short else (value,)))
    return head + bytes(4) + struct.pack(">3H", bits, bits, bits) + data


def with_one(values: np.ndarray, one: float) -> np.ndarray:
    changed = values.copy()
    changed[-1, -1] = one
    return changed


@pytest.mark.parametrize(
    ("values", "scaled"),
    [
        (UNIT, None),
        (with_one(UNIT, np.nan), None),
        (with_one(UNIT, np.inf), None),
        (with_one(UNIT, -np.inf), None),
        (with_one(UNIT, np.float32(1.0001)), None),
        (with_one(UNIT, 1e30), None),
        (UNIT * 2 - 1, "values -1 to 1"),
        (with_one(UNIT * 2 - 1, np.nan), "values -1 to 1"),
        (UNIT * 255, "values 0 to 255"),
        (UNIT * 4095, "values 0 to 4095"),
        (UNIT * 65535, "values 0 to 65535"),
        (UNIT * 3, "values 0 to 3"),
        (UNIT * 1e6, "values 0 to 1e+06"),
        (UNIT * 0.01, "values 0 to 0.01"),
        (UNIT * 0.01 - 0.02, "values -0.02 to -0.01"),
        (UNIT * 900 - 300, "values -300 to 600"),
        (GREY.astype(np.int32), "values 0 to 255"),
        (with_one(GREY.astype(np.int32), 2**31 - 1), "values 0 to 255"),
        (GREY.astype(np.int32) * 257, "values 0 to 65535"),
        (GREY.astype(np.int32) * 1000 - 40_000, "values -40000 to 215000"),
        (GREY.astype(np.uint16), "values 0 to 255"),
        (GREY.astype(np.uint16) * 4, "values 0 to 1023"),
        (GREY.astype(np.uint16) * 16, "values 0 to 4095"),
        (with_one(GREY.astype(np.uint16) * 16, 65535), "values 0 to 4095"),
        (GREY.astype(np.uint16) * 257, None),
    ],
)
def test_the_range_is_found_and_said(values: np.ndarray, scaled: str | None) -> None:
    picture, facts = read_picture(tiff(values))
    seen = np.asarray(picture)[:, :, 0].astype(int)
    assert np.abs(seen - GREY).ravel()[:-1].max() <= 2
    assert (facts.scaled or "").startswith(scaled or "") == bool(scaled or not facts.scaled)
    assert (facts.scaled is None) == (scaled is None)
    again, facts = read_picture(values)
    assert (np.asarray(again) == np.asarray(picture)).all(), "an array is read like a file"
    assert (facts.scaled is None) == (scaled is None)


def test_a_dark_picture_that_uses_an_eighth_of_16_bits_stays_dark() -> None:
    night = (GREY.astype(np.uint16) * 257) // 5
    seen = np.asarray(open_picture(tiff(night)))[:, :, 0].astype(int)
    assert np.abs(seen - GREY / 5).max() <= 1
    stars = np.full((200, 200), 40_000, np.uint16)
    stars[:190] = 200
    assert np.asarray(open_picture(stars)).max() == pytest.approx(40_000 / 65_535 * 255, abs=1)


def test_what_the_file_says_of_its_white_is_believed() -> None:
    told = tiff(GREY.astype(np.uint16) * 64, tiffinfo={281: 16_320})  # 14 bits, which nothing else tells
    assert np.abs(np.asarray(open_picture(told))[:, :, 0].astype(int) - GREY).max() <= 1
    wrong = tiff(GREY.astype(np.uint16) * 257, tiffinfo={281: 4095})
    assert np.abs(np.asarray(open_picture(wrong))[:, :, 0].astype(int) - GREY).max() <= 1
    default = tiff(GREY.astype(np.uint16) * 16, tiffinfo={281: 65_535})
    assert np.abs(np.asarray(open_picture(default))[:, :, 0].astype(int) - GREY).max() <= 2


def test_zero_may_be_white_and_values_may_be_missing() -> None:
    inverted = bytearray(tiff(GREY.astype(np.uint16) * 257))
    place = inverted.find(b"\x06\x01\x03\x00\x01\x00\x00\x00\x01") + 8  # the tag PhotometricInterpretation
    inverted[place] = 0
    assert np.abs(255 - np.asarray(open_picture(bytes(inverted)))[:, :, 0].astype(int) - GREY).max() <= 1
    heights = UNIT * 900 + 100
    heights[:, :30] = -9999
    seen = np.asarray(open_picture(tiff(heights, tiffinfo={42113: "-9999"})))[:, :, 0]
    assert seen[:, :30].max() == 0
    assert len(np.unique(seen[:, 30:])) > 20


@pytest.mark.parametrize("opaque", [None, 65_535, 4095])
def test_twelve_bits_in_colours_of_16(opaque: int | None) -> None:
    colours = np.dstack([GREY, GREY[:, ::-1], 255 - GREY])
    picture, facts = read_picture(png16(colours.astype(np.uint16) * 16, opaque))
    assert np.abs(np.asarray(picture).astype(int) - colours).max() <= 2
    assert facts.scaled == "values 0 to 4095 were taken as black to white"
    picture, facts = read_picture(png16(colours.astype(np.uint16) * 257, opaque and 65_535))
    assert (np.asarray(picture) == colours).all()
    assert facts.scaled is None


@pytest.mark.parametrize(
    "values",
    [
        GREY.astype(np.uint16) * 257,
        GREY.astype(np.uint16) * 16,
        GREY.astype(np.int32),
        UNIT,
        np.dstack([GREY] * 3).astype(np.uint16) * 16,
        np.dstack([GREY] * 3).astype(np.uint16) * 257,
    ],
)
def test_the_order_of_bytes_does_not_matter(values: np.ndarray) -> None:
    seen = np.asarray(open_picture(big_endian_tiff(values)), int)
    assert np.abs(seen - GREY[:, :, None]).max() <= 2


def test_dark_16_bit_grey_with_opacity_is_named_and_not_black() -> None:
    both = np.dstack([GREY.astype(np.uint16) * 16, np.full(GREY.shape, 65_535)])
    data = png16(np.dstack([both, both[:, :, :1]]))  # three channels, to be called two of another width
    head = data.index(b"IHDR") + 4
    body = b"".join(b"\0" + line.astype(">u2").tobytes() for line in both)

    def chunk(kind: bytes, body: bytes) -> bytes:
        return len(body).to_bytes(4, "big") + kind + body + zlib.crc32(kind + body).to_bytes(4, "big")

    plain = chunk(b"IHDR", data[head : head + 8] + bytes([16, 4, 0, 0, 0])) + chunk(b"IDAT", zlib.compress(body))
    with pytest.raises(UnreadablePicture, match="use less than an eighth of their range"):
        open_picture(data[:8] + plain + chunk(b"IEND", b""))


def test_arrays_of_many_channels() -> None:
    colours = np.dstack([UNIT, UNIT[:, ::-1], 1 - UNIT])
    eight = np.rint(colours * 255).astype(int)
    for array in (colours, colours * 2 - 1, (colours * 4095).astype(np.uint16), colours.astype(np.float64)):
        assert np.abs(np.asarray(open_picture(array)).astype(int) - eight).max() <= 1
    clear = np.dstack([colours, np.zeros_like(UNIT)])
    assert np.asarray(open_picture(clear)).min() == 255, "transparency is laid on white"
    assert np.abs(np.asarray(open_picture(np.dstack([colours, np.ones_like(UNIT)]))).astype(int) - eight).max() <= 1
    assert np.asarray(open_picture(GREY > 100))[:, :, 0].tolist() == np.where(GREY > 100, 255, 0).tolist()
    with pytest.raises(UnreadablePicture, match="picture array"):
        open_picture(np.array([["a", "b"]]))


def test_black_stays_black_and_nothing_finite_is_a_sentence() -> None:
    for kind in (np.float32, np.int32, np.uint16):
        picture, facts = read_picture(tiff(np.zeros((9, 9), kind)))
        assert np.asarray(picture).max() == 0
        assert facts.scaled is None
    with pytest.raises(UnreadablePicture, match="no value in it is a finite number"):
        open_picture(tiff(np.full((9, 9), np.nan, np.float32)))
    with pytest.raises(UnreadablePicture, match="no value in it is a finite number"):
        open_picture(np.full((9, 9), np.inf, np.float32))


def test_no_range_that_a_picture_spans_makes_it_black() -> None:
    rng = np.random.default_rng(0)
    for _ in range(300):
        low = float(rng.choice([0, 0, -1, 1])) * 10 ** rng.uniform(-3, 6)
        span = 10 ** rng.uniform(-4, 9)
        values = low + span * rng.random((20, 20))
        kind = rng.choice([np.float32, np.float64, np.int64])
        array = values.astype(kind)
        if len(np.unique(array)) < 50 or low > 0:
            continue
        found = find_range(array)
        seen = found.apply(array)
        assert seen.max() - seen.min() >= 25, (found, low, span, kind)
