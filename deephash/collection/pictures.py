"""Open any picture file as 8-bit RGB, or say in one sentence why it cannot be opened; find pictures in a folder."""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from io import BytesIO
from pathlib import Path
from struct import error as StructError
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from deephash.collection.decode_budget import BUDGET, LARGE, MIB, decode_limit, decoding_bytes, stored_bytes
from deephash.collection.exif import (
    SIDEWAYS,
    date_taken,
    exif_of_avif,
    orientation_of,
    readable_exif,
    turned,
    without_exif,
)
from deephash.collection.names import printable
from deephash.collection.rgb import from_array, rgb_bytes, spoken, to_rgb, value_facts
from deephash.collection.value_range import OUTLIERS
from deephash.errors import UnreadablePicture, UsageError

PictureSource: TypeAlias = str | Path | bytes | Image.Image | NDArray[Any]

MAX_PIXELS = 1 << 28  # 16,384 x 16,384; the bytes that decoding takes are the narrower limit
_FORMATS = ("JPEG", "MPO", "PNG", "WEBP", "GIF", "BMP", "DIB", "TIFF", "AVIF", "JPEG2000", "PPM", "ICO")
_NOT_THIS_FORMAT = (SyntaxError, IndexError, TypeError, KeyError, EOFError, StructError)


@dataclass(frozen=True)
class PictureFacts:
    """What a picture file says about itself.

    Attributes:
        width: pixels, as seen (after EXIF rotation), at full size.
        height: likewise.
        taken: EXIF date and time of the exposure, without a time zone because cameras store none.
        scaled: which values were taken as black and white, where the file leaves that open; None for plain pictures.
    """

    width: int
    height: int
    taken: datetime | None = None
    scaled: str | None = None


def open_picture(source: PictureSource, *, max_pixels: int = MAX_PIXELS, reduced_to: int | None = None) -> Image.Image:
    """Return ``source`` as an 8-bit RGB PIL picture, upright.

    EXIF rotation is applied; CMYK, palette, grey, 16-bit, integer and float pictures are converted (see
    :func:`deephash.collection.value_range.find_range`); transparency is laid on white; an animation gives its first
    frame. Decoding takes at most 512 MiB at any time, over all threads together, or what the environment variable
    ``DEEPHASH_DECODE_MIB`` says; a picture that would take more is refused before its pixels are decoded.

    Args:
        source: a path, the bytes of a file, a PIL picture, or an array [H, W] or [H, W, 1, 3 or 4] of numbers.
        max_pixels: larger pictures are refused before their pixels are decoded (decompression bombs).
        reduced_to: a JPEG is decoded at the smallest of 1/1, 1/2, 1/4, 1/8 whose shorter side is at least this many
            pixels: several times faster for a network that looks at a few hundred pixels. Pictures of other formats
            are reduced likewise, by a whole number, where they take more than 64 MiB.

    Raises:
        UnreadablePicture: with the reason.
    """
    return read_picture(source, max_pixels=max_pixels, reduced_to=reduced_to)[0]


def read_picture(
    source: PictureSource, *, max_pixels: int = MAX_PIXELS, reduced_to: int | None = None
) -> tuple[Image.Image, PictureFacts]:
    """Do what :func:`open_picture` does, and return the facts beside the picture."""
    name = "these bytes" if isinstance(source, bytes) else "this picture"
    name = printable(source) if isinstance(source, str | Path) else name
    try:
        if isinstance(source, np.ndarray):
            picture, values = from_array(source)
            return picture, PictureFacts(picture.width, picture.height, scaled=spoken(values))
        if isinstance(source, Image.Image):
            return _convert(source, max_pixels, reduced_to, b"")
        data = source if isinstance(source, bytes) else read_file(source)
        if not data:
            raise UnreadablePicture("empty file (0 bytes)")
        with _opened(data) as opened:
            return _convert(opened, max_pixels, reduced_to, data)
    except UnreadablePicture as error:
        raise UnreadablePicture(f"{name}: {error}") from None
    except UsageError:
        raise
    except Exception as error:  # decoders of damaged files raise nearly anything
        raise UnreadablePicture(f"{name}: {_reason(error)}") from None


def read_file(path: str | Path) -> bytes:
    """Return the content of a regular file; a pipe, a device or a socket is never opened, and so never waited for.

    Raises:
        UnreadablePicture: it is something else, or larger than decoding may take; the sentence does not name the path.
        OSError: it cannot be read.
    """
    limit = decode_limit()
    if not stat.S_ISREG(os.stat(path).st_mode):
        raise UnreadablePicture("not a regular file")
    flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
    with open(os.open(path, flags), "rb") as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):  # replaced since
            raise UnreadablePicture("not a regular file")
        data = file.read(limit + 1)
    if len(data) > limit:
        raise UnreadablePicture(f"the file is larger than the {limit // MIB:,} MiB that decoding may take")
    return data


def scan_folder(folder: str | Path) -> Iterator[Path]:
    """Yield the picture files below ``folder``, judged by their names, in a fixed order; hidden ones are left out.

    Raises:
        UnreadablePicture: the folder does not exist.
    """
    root = Path(folder)
    if not root.is_dir():
        raise UnreadablePicture(f"{root} is not a folder; give the folder that holds the pictures")
    for directory, folders, files in os.walk(root):
        folders[:] = sorted(name for name in folders if not name.startswith(".") and not name.endswith(".dh"))
        yield from (Path(directory, name) for name in sorted(files) if looks_like_picture(name))


def looks_like_picture(name: str) -> bool:
    """Say whether a file name ends like one of the formats that :func:`open_picture` reads."""
    return not name.startswith(".") and os.path.splitext(name)[1].lower() in _suffixes()


@cache
def _formats() -> list[str]:
    Image.init()
    return [name for name in _FORMATS if name in Image.OPEN]  # AVIF and WebP depend on how Pillow was built


@cache
def _suffixes() -> frozenset[str]:
    names = {*_formats(), "MPO"}  # which the reader of JPEG opens
    return frozenset(suffix for suffix, name in Image.registered_extensions().items() if name in names)


def _opened(data: bytes) -> Any:
    """Do what ``Image.open`` does without its limit of pixels, which knows neither draft mode nor bytes a pixel."""
    for name in _formats():
        factory, accept = Image.OPEN[name]
        if accept is not None and accept(data[:16]) is not True:
            continue
        try:
            return factory(BytesIO(without_exif(data) if name == "AVIF" else data), "")
        except _NOT_THIS_FORMAT:
            continue
    raise UnidentifiedImageError


def _convert(picture: Any, max_pixels: int, reduced_to: int | None, data: bytes) -> tuple[Image.Image, PictureFacts]:
    """Decode within the budget; ``data`` is empty where the picture is the caller's own."""
    size = picture.size
    if size[0] * size[1] > max_pixels:
        raise UnreadablePicture(
            f"{size[0]} x {size[1]} pixels are more than the limit of {max_pixels:,}; shrink it, or raise max_pixels"
        )
    is_avif = picture.format == "AVIF" and bool(data)
    taken = date_taken(exif_of_avif(data) if is_avif else readable_exif(picture))
    orientation = orientation_of(picture)
    if reduced_to is not None and data:
        _reduce_while_decoding(picture, reduced_to, data)
    factor = max(1, min(picture.size) // reduced_to) if reduced_to and stored_bytes(picture) > LARGE else 1
    swapped, needed = _swapped_tiles(picture), rgb_bytes(picture, factor, orientation > 1)
    if getattr(picture, "tile", None):
        needed += decoding_bytes(picture, data, size) + len(data)
    needed += stored_bytes(picture) if swapped or stored_bytes(picture) <= LARGE else 0
    with BUDGET.hold(needed, f"{size[0]} x {size[1]} pixels"):
        facts = value_facts(picture)
        picture.load()
        if picture.format == "TIFF":  # which Pillow has turned while decoding, where it understood the tag
            orientation = orientation_of(picture)
        elif orientation in SIDEWAYS:
            size = size[::-1]
        low = _lower_bytes(data, swapped) if swapped and _is_dark(picture) else None
        rgb, values = to_rgb(picture, factor=factor, facts=facts, low=low)
        rgb = turned(rgb, orientation)
        if rgb is picture and not (data and stored_bytes(picture) > LARGE):
            rgb = picture.copy()
    return rgb, PictureFacts(size[0], size[1], taken, spoken(values))


def _reduce_while_decoding(picture: Any, side: int, data: bytes) -> None:
    """Let the decoder leave out detail, where it can, so that the shorter side keeps at least ``side`` pixels."""
    picture.draft("RGB", (side, side))  # acts on JPEG only
    if picture.format == "JPEG2000" and stored_bytes(picture) > LARGE:
        start = data.find(b"\xff\x52", max(0, data.find(b"\xff\x4f\xff\x51")))  # the marker of coding style
        levels = data[start + 9] if 0 <= start < len(data) - 9 else 0
        picture.reduce = max(0, min(levels, (min(picture.size) // max(side, 1)).bit_length() - 1))


def _swapped_tiles(picture: Any) -> list[Any] | None:
    """Return the tiles of a picture of 16-bit colours read in the wrong byte order; None for other pictures.

    Pillow keeps the upper byte of a colour only. Read in the other order it gives the lower byte.
    """
    tiles = []
    for tile in getattr(picture, "tile", []):
        raw, *rest = (tile[3],) if isinstance(tile[3], str) else tile[3] or ("",)
        if not isinstance(raw, str) or picture.mode not in ("RGB", "RGBA") or raw[-4:-1] != ";16":
            return None
        native = "L" if sys.byteorder == "little" else "B"
        other = "B" if raw[-1].replace("N", native) == "L" else "L"
        tiles.append(tile._replace(args=raw[:-1] + other if isinstance(tile[3], str) else (raw[:-1] + other, *rest)))
    return tiles or None


def _is_dark(picture: Image.Image) -> bool:
    """Say whether 16-bit colours keep to an eighth of their range, but for outliers."""
    spare = max(1, picture.width * picture.height // OUTLIERS)
    counts = picture.histogram()
    return all(sum(counts[256 * band + 32 : 256 * band + 256]) <= spare for band in range(3))


def _lower_bytes(data: bytes, tiles: list[Any]) -> Image.Image:
    opened = _opened(data)
    opened.tile = tiles
    picture: Image.Image = opened
    try:
        picture.load()
    except ValueError:
        raise UnreadablePicture(
            "16-bit colours that use less than an eighth of their range, in an order of bytes that only the upper half "
            "can be read of; save it with 8 bits"
        ) from None
    return picture


def _reason(error: Exception) -> str:
    if isinstance(error, UnidentifiedImageError):
        return "not a picture in a known format"
    if isinstance(error, MemoryError):
        return "there is not enough memory to decode it"
    if isinstance(error, OSError) and error.strerror and error.filename:
        return error.strerror
    if isinstance(error, (Image.DecompressionBombError, Image.DecompressionBombWarning)):
        return f"too many pixels (decompression bomb?): {error}"
    return f"damaged or unsupported picture: {' '.join(str(error).split()) or type(error).__name__}"
