"""From an opened picture to 8-bit RGB, upright, within the budget of bytes."""

from __future__ import annotations

import sys
from datetime import datetime
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from io import BytesIO
from struct import error as StructError
from typing import Any, NamedTuple

from PIL import Image, UnidentifiedImageError

from deephash.errors import UnreadablePicture
from deephash.pictures.decode_budget import BUDGET, LARGE, decoding_bytes, icon_bytes, stored_bytes
from deephash.pictures.exif import (
    SIDEWAYS,
    date_taken,
    exif_of_avif,
    orientation_of,
    readable_exif,
    turned,
    without_exif,
)
from deephash.pictures.rgb import rgb_bytes, spoken, to_rgb, value_facts
from deephash.pictures.value_range import OUTLIERS

_FORMATS = ("JPEG", "MPO", "PNG", "WEBP", "GIF", "BMP", "DIB", "TIFF", "AVIF", "JPEG2000", "PPM", "ICO")
_READERS = ("Jpeg", "Mpo", "Png", "WebP", "Gif", "Bmp", "Tiff", "Avif", "Jpeg2K", "Ppm", "Ico")  # Pillow's plugins
_NOT_THIS_FORMAT = (SyntaxError, IndexError, TypeError, KeyError, EOFError, StructError)
THIN = 16  # how many times its shorter side a picture may be long before only its middle counts
_MOST_REDUCTION = 32  # a thousandth of the pixels; more would only make the bands of rows higher


class Decoded(NamedTuple):
    """A picture, its full size as seen, when it was taken, and how its values were scaled."""

    rgb: Image.Image
    size: tuple[int, int]
    taken: datetime | None
    scaled: str | None


@cache
def formats() -> list[str]:
    """Return the formats that are read, by Pillow's names."""
    for name in _READERS:  # Image.init() loads three dozen more, which nothing here reads, at every start
        if find_spec(f"PIL.{name}ImagePlugin"):  # AVIF came late
            import_module(f"PIL.{name}ImagePlugin")
    return [name for name in _FORMATS if name in Image.OPEN]  # AVIF and WebP depend on how Pillow was built


def open_lazily(data: bytes) -> Any:
    """Do what ``Image.open`` does without its limit of pixels, which knows neither draft mode nor bytes a pixel."""
    for name in formats():
        factory, accept = Image.OPEN[name]
        try:
            if accept is not None and accept(data[:16]) is not True:
                continue
            needed = icon_bytes(data) if name == "ICO" else 0  # Pillow decodes icons while it opens them
            with BUDGET.hold(needed, "the pictures of this icon"):
                return factory(BytesIO(without_exif(data) if name == "AVIF" else data), "")
        except _NOT_THIS_FORMAT:
            continue
    raise UnidentifiedImageError


def decode(picture: Any, max_pixels: int, reduced_to: int | None, data: bytes) -> Decoded:
    """Decode within the budget; ``data`` is empty where the picture is the caller's own.

    Raises:
        UnreadablePicture: it takes more than the budget, or has more than ``max_pixels`` pixels.
        Exception: whatever decoders of damaged files raise.
    """
    size = picture.size
    if size[0] * size[1] > max_pixels:
        raise UnreadablePicture(
            f"{size[0]} x {size[1]} pixels are more than the limit of {max_pixels:,}; shrink it, or raise max_pixels"
        )
    if reduced_to is not None and data:
        _reduce_while_decoding(picture, reduced_to, data)
    factor = 1
    if reduced_to and stored_bytes(picture) > LARGE:
        factor = min(max(1, min(picture.size) // reduced_to), _MOST_REDUCTION)
    with BUDGET.hold(_needed_bytes(picture, data, size, factor), f"{size[0]} x {size[1]} pixels"):
        swapped, facts = _swapped_tiles(picture), value_facts(picture)
        if picture.format == "TIFF":
            readable_exif(picture)  # takes out broken blocks, which Pillow would read while it decodes
        picture.load()
        exif = exif_of_avif(data) if data and picture.format == "AVIF" else readable_exif(picture)
        orientation = orientation_of(picture)  # of a TIFF, which Pillow turns while decoding, what it left over
        low = _lower_bytes(data, swapped) if data and swapped and _is_dark(picture) else None
        seen = picture if low or not reduced_to else _without_far_ends(picture)
        rgb, values = to_rgb(seen, factor=factor, facts=facts, low=low)
        rgb = turned(rgb, orientation)
        if rgb is picture and not (data and stored_bytes(picture) > LARGE):
            rgb = picture.copy()
    size = size[::-1] if orientation in SIDEWAYS and picture.format != "TIFF" else size
    return Decoded(rgb, size, date_taken(exif), spoken(values))


def _needed_bytes(picture: Any, data: bytes, full_size: tuple[int, int], factor: int) -> int:
    """Return an upper estimate of what decoding and converting take."""
    if picture.format == "PNG":  # asking it for EXIF would decode it
        may_turn = any(mark in data for mark in (b"eXIf", b"Raw profile type exif", b"tiff:Orientation"))
    else:
        may_turn = orientation_of(picture) > 1
    needed = rgb_bytes(picture, factor, may_turn)
    if data or getattr(picture, "tile", None):
        needed += decoding_bytes(picture, data, full_size) + len(data)
    is_doubled = stored_bytes(picture) <= LARGE or _swapped_tiles(picture)
    return needed + (stored_bytes(picture) if is_doubled else 0)


def _without_far_ends(picture: Image.Image) -> Image.Image:
    """Cut a thin and large picture to 16 times its shorter side: reduction by the shorter side cannot make it small."""
    short = min(picture.size)
    if stored_bytes(picture) <= LARGE or max(picture.size) <= THIN * short:
        return picture
    width, height = (min(side, THIN * short) for side in picture.size)
    left, top = (picture.width - width) // 2, (picture.height - height) // 2
    return picture.crop((left, top, left + width, top + height))


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
    opened = open_lazily(data)
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
