"""Small pictures of every format, and the ways in which files get damaged; used by ``test_picture_fuzz.py``."""

from __future__ import annotations

import io
import random
import struct
from collections.abc import Callable

import numpy as np
from PIL import Image


def every_format() -> dict[str, bytes]:
    """Return name -> file, of at most some hundred pixels each."""
    rng = np.random.default_rng(0)
    rgb = Image.fromarray(rng.integers(0, 256, (9, 14, 3), np.uint8))
    grey, clear = rgb.convert("L"), rgb.convert("RGBA")
    deep = Image.fromarray(rng.integers(0, 65536, (9, 14), np.uint16))
    real = Image.fromarray(rng.random((9, 14), np.float32))
    whole = Image.fromarray(rng.integers(-500, 70000, (9, 14), np.int32))
    exif = Image.Exif()
    exif[0x0112], exif[0x0132] = 6, "2020:01:02 03:04:05"
    exif.get_ifd(0x8769)[0x9003] = "2019:05:31 18:30:00"
    palette = rgb.quantize(16)
    kinds: dict[str, tuple[Image.Image, str, dict]] = {
        "jpeg": (rgb, "JPEG", {"exif": exif}),
        "jpeg progressive": (rgb, "JPEG", {"progressive": True, "exif": exif}),
        "jpeg grey": (grey, "JPEG", {}),
        "jpeg cmyk": (rgb.convert("CMYK"), "JPEG", {}),
        "mpo": (rgb, "MPO", {"save_all": True, "append_images": [rgb]}),
        "png": (rgb, "PNG", {"exif": exif}),
        "png palette": (palette, "PNG", {"transparency": 3}),
        "png clear": (clear, "PNG", {}),
        "png deep": (deep, "PNG", {}),
        "png bits": (grey.convert("1"), "PNG", {}),
        "webp": (rgb, "WEBP", {"exif": exif}),
        "webp clear": (clear, "WEBP", {"lossless": True}),
        "webp moving": (rgb, "WEBP", {"save_all": True, "append_images": [rgb.rotate(90)]}),
        "gif": (palette, "GIF", {"save_all": True, "append_images": [palette.rotate(180)]}),
        "bmp": (rgb, "BMP", {}),
        "bmp palette": (palette, "BMP", {}),
        "dib": (rgb, "DIB", {}),
        "tiff": (rgb, "TIFF", {"tiffinfo": {0x0112: 6}}),
        "tiff lzw": (rgb, "TIFF", {"compression": "tiff_lzw"}),
        "tiff jpeg": (rgb, "TIFF", {"compression": "jpeg"}),
        "tiff fax": (grey.convert("1"), "TIFF", {"compression": "group4"}),
        "tiff deep": (deep, "TIFF", {"compression": "tiff_adobe_deflate"}),
        "tiff float": (real, "TIFF", {}),
        "tiff whole numbers": (whole, "TIFF", {}),
        "avif": (rgb, "AVIF", {"exif": exif, "speed": 10}),
        "jpeg 2000": (rgb, "JPEG2000", {}),
        "jpeg 2000 stream": (grey, "JPEG2000", {"no_jp2": True}),
        "ppm": (rgb, "PPM", {}),
        "pgm deep": (deep.convert("I"), "PPM", {}),
        "pfm": (real, "PPM", {}),
        "ico": (clear, "ICO", {"sizes": [(9, 9), (14, 14)]}),
        "ico bmp": (clear, "ICO", {"bitmap_format": "bmp", "sizes": [(9, 9)]}),
    }
    files = {name: _saved(picture, form, options) for name, (picture, form, options) in kinds.items()}
    return files | {"ppm words": b"P3 2 2 255 " + b"1 2 3 " * 4, "bits in words": b"P1\n# c\n3 2\n1 0 1 0 1 0\n"}


def damaged(data: bytes, draw: random.Random, others: list[bytes]) -> bytes:
    """Return a file with one to three kinds of damage."""
    for _ in range(draw.randint(1, 3)):
        data = draw.choice(_DAMAGE)(data, draw)
    return data if draw.random() < 0.95 else data[: len(data) // 2] + draw.choice(others)[-len(data) // 2 :]


def jpeg_with_exif(picture: Image.Image, block: bytes) -> bytes:
    """Return a JPEG that carries a block as its EXIF data."""
    data = _saved(picture, "JPEG", {"quality": 95})
    return data[:2] + b"\xff\xe1" + struct.pack(">H", len(block) + 8) + b"Exif\0\0" + block + data[2:]


def odd_exif(draw: random.Random, orientation: int) -> bytes:
    """Return a block of TIFF directories with a true orientation among odd tags: every type, size and offset."""
    order = draw.choice("<>")
    tags = [(0x0112, struct.pack(order + "HHIHH", 0x0112, 3, 1, orientation, 0))]
    for tag in draw.sample([*range(0x100, 0x140), 0x8298, 0x8769, 0x8825, 0x9286, 0x927C, 0xA005, 0xC4A5], 4):
        if tag != 0x0112:
            count = draw.choice([0, 1, 2, 4, 5, 200, 70_000, 2**31, 2**32 - 1])
            value = draw.choice([0, 6, 8, 26, 62, 70, 2**16, 2**31, 2**32 - 1])
            tags.append((tag, struct.pack(order + "HHII", tag, draw.randint(0, 20), count, value)))
    tags.sort()
    head = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(order + "IH", 8, len(tags))
    return head + b"".join(entry for _, entry in tags) + draw.randbytes(draw.choice([0, 3, 220]))


def _saved(picture: Image.Image, form: str, options: dict) -> bytes:
    file = io.BytesIO()
    picture.save(file, form, **options)
    return file.getvalue()


def _flip(data: bytes, draw: random.Random) -> bytes:
    changed = bytearray(data)
    for _ in range(draw.randint(1, 6) if data else 0):
        changed[draw.randrange(len(data))] ^= 1 << draw.randrange(8)
    return bytes(changed)


def _overwrite(data: bytes, draw: random.Random) -> bytes:
    place = draw.randrange(len(data) + 1)
    return data[:place] + draw.randbytes(draw.choice([1, 2, 4, 16])) + data[place + 4 :]


def _extreme(data: bytes, draw: random.Random) -> bytes:
    """Put a number that programs fear somewhere, mostly into the head."""
    place = draw.randrange(min(len(data), draw.choice([32, 64, len(data) or 1])) + 1)
    number = draw.choice([0, 1, 0x7F, 0xFF, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0xFFFFFFFF, 30_000, 2**28])
    kind = draw.choice(["B", "<H", ">H", "<I", ">I"])
    size = struct.calcsize(kind)
    return data[:place] + struct.pack(kind, number & ((1 << 8 * size) - 1)) + data[place + size :]


def _shorten(data: bytes, draw: random.Random) -> bytes:
    return data[: draw.randrange(len(data) + 1)]


def _lose(data: bytes, draw: random.Random) -> bytes:
    place = draw.randrange(len(data) + 1)
    return data[:place] + data[place + draw.randint(1, 40) :]


def _repeat(data: bytes, draw: random.Random) -> bytes:
    place = draw.randrange(len(data) + 1)
    return data[:place] + data[max(0, place - 40) : place] * draw.randint(1, 3) + data[place:]


_DAMAGE: list[Callable[[bytes, random.Random], bytes]] = [_flip, _flip, _overwrite, _extreme, _shorten, _lose, _repeat]
