"""From decoded pixels of any kind, or an array, to 8-bit RGB; large pictures are converted and reduced band by band."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from deephash.errors import UnreadablePicture
from deephash.pictures.value_range import ValueRange, find_range

_BAND_PIXELS = 1 << 20
_SAMPLE_PIXELS = 1 << 22  # values of larger pictures are sampled to find their range
_BITS, _PHOTOMETRIC, _NO_DATA, _MAXIMA = 258, 262, 42113, (281, 341)
_WHITE_IS_ZERO = 0

Convert: TypeAlias = Callable[[Image.Image, int], Image.Image]  # of one band, and the row where it begins


@dataclass(frozen=True)
class ValueFacts:
    """What a file says about its 16-bit, integer or float values; ``inverted``: 0 is white.

    See :func:`deephash.pictures.value_range.find_range` for the rest.
    """

    told_white: float | None = None
    missing: float | None = None
    inverted: bool = False


def has_values(picture: Image.Image) -> bool:
    """Say whether a pixel is one integer of more than 8 bits, or one float."""
    return picture.mode in ("I", "F") or picture.mode.startswith("I;16")


def value_facts(picture: Any) -> ValueFacts:
    """Return what the file of an opened picture says about its values."""
    if picture.format == "PPM" and picture.mode == "I":
        return ValueFacts(told_white=65535)  # Pillow has brought the file's own maximum to it
    tags = getattr(picture, "tag_v2", None)
    if tags is None or not has_values(picture):
        return ValueFacts()
    bits = _number(tags.get(_BITS)) or 16
    natural = (2.0**bits - 1, 2.0 ** (bits - 1) - 1)
    told = next((white for tag in _MAXIMA if (white := _number(tags.get(tag))) and white > 0), None)
    if told in natural and bits != 12:  # the tag's default tells nothing
        told = None
    told = told or (4095.0 if bits == 12 else None)
    return ValueFacts(told, _number(tags.get(_NO_DATA)), tags.get(_PHOTOMETRIC) == _WHITE_IS_ZERO)


def rgb_bytes(picture: Image.Image, factor: int, is_turned: bool) -> int:
    """Return the memory that :func:`to_rgb` takes beside the decoded picture, and turning it afterwards."""
    whole = picture.width * picture.height
    result = 4 * -(-picture.width // factor) * -(-picture.height // factor)
    band = min(whole, max(_BAND_PIXELS, picture.width * factor))
    work = 40 * band + 24 * min(_SAMPLE_PIXELS, whole) if has_values(picture) else 16 * band
    return result * (int(not _is_ready(picture, factor)) + int(is_turned)) + work


def to_rgb(
    picture: Image.Image, *, factor: int = 1, facts: ValueFacts | None = None, low: Image.Image | None = None
) -> tuple[Image.Image, ValueRange | None]:
    """Return 8-bit RGB, each side divided by ``factor``, and the range of values where one had to be decided.

    Args:
        picture: decoded; of any mode.
        factor: of reduction, by the mean of factor x factor pixels.
        facts: what the file says about values.
        low: the lower bytes of 16-bit colours whose upper bytes are ``picture``; the colours are scaled by their range.
    """
    if low is None and _is_ready(picture, factor):
        return picture, None
    convert: Convert = _plain_rgb
    values: ValueRange | None = None
    if low is not None:
        convert, values = _deep_colours(picture, low)
    elif has_values(picture):
        convert, values = _grey_values(picture, facts or ValueFacts())
    size = (-(-picture.width // factor), -(-picture.height // factor))
    result = Image.new("RGB", size)
    for top, bottom in _bands(picture, factor):
        band = convert(picture.crop((0, top, picture.width, bottom)), top)
        result.paste(band.reduce(factor) if factor > 1 else band, (0, top // factor))
    return result, values


def from_array(array: NDArray[Any]) -> tuple[Image.Image, ValueRange | None]:
    """Return an array [H, W] or [H, W, 1, 3 or 4] of any numbers as RGB; see :func:`find_range` for the scale.

    Raises:
        UnreadablePicture: another shape, no pixels, or no numbers.
    """
    if array.dtype.kind not in "buif" or array.ndim not in (2, 3) or not array.size:
        raise UnreadablePicture(
            "a picture array holds numbers, in the shape [H, W] or [H, W, 3 or 4], not "
            f"{array.dtype} {list(array.shape)}"
        )
    if array.ndim == 3 and array.shape[2] not in (1, 3, 4):
        raise UnreadablePicture(f"a picture array has 1, 3 or 4 channels last, not shape {list(array.shape)}")
    array = array[:, :, 0] if array.ndim == 3 and array.shape[2] == 1 else array
    values = None
    if array.dtype.kind == "b":
        array = array.astype(np.uint8) * np.uint8(255)
    elif array.dtype != np.uint8:
        array, values = _scaled(array)
    return to_rgb(Image.fromarray(np.ascontiguousarray(array)))[0], values


def spoken(values: ValueRange | None) -> str | None:
    """Return what is said of a range; nothing where the file's own kind says it."""
    return None if values is None or values.is_plain else str(values)


def _is_ready(picture: Image.Image, factor: int) -> bool:
    return picture.mode == "RGB" and factor == 1 and "transparency" not in picture.info


def _bands(picture: Image.Image, factor: int) -> Iterator[tuple[int, int]]:
    rows = max(1, _BAND_PIXELS // picture.width // factor) * factor
    for top in range(0, picture.height, rows):
        yield top, min(top + rows, picture.height)


def _plain_rgb(picture: Image.Image, _top: int = 0) -> Image.Image:
    if picture.mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in picture.info:
        layer = picture.convert("RGBA")
        picture = Image.new("RGB", layer.size, (255, 255, 255))
        picture.paste(layer, mask=layer.getchannel("A"))
    return picture.convert("RGB")


def _grey_values(picture: Image.Image, facts: ValueFacts) -> tuple[Convert, ValueRange]:
    values = find_range(_sample(picture), told_white=facts.told_white, missing=facts.missing)

    def convert(band: Image.Image, _: int) -> Image.Image:
        grey = values.apply(np.asarray(band))
        return Image.fromarray(255 - grey if facts.inverted else grey).convert("RGB")

    return convert, values


def _deep_colours(picture: Image.Image, low: Image.Image) -> tuple[Convert, ValueRange]:
    def joined(upper: Image.Image, top: int) -> NDArray[np.uint16]:
        below = np.asarray(low.crop((0, top, low.width, top + upper.height)), np.uint16)
        return np.asarray((np.asarray(upper, np.uint16) << 8) | below, np.uint16)

    bands = [
        joined(picture.crop((0, top, picture.width, bottom)), top)[:: _stride(picture)]
        for top, bottom in _bands(picture, 1)
    ]
    sample = np.concatenate(bands)
    values = find_range(sample[:, :, :3])
    alpha = find_range(sample[:, :, 3]) if sample.shape[2] == 4 else None

    def convert(band: Image.Image, top: int) -> Image.Image:
        deep = joined(band, top)
        eight = values.apply(deep[:, :, :3])
        if alpha is not None:
            eight = np.dstack([eight, alpha.apply(deep[:, :, 3])])
        return _plain_rgb(Image.fromarray(eight))

    return convert, values


def _sample(picture: Image.Image) -> NDArray[Any]:
    step = _stride(picture)
    rows = [np.asarray(picture.crop((0, top, picture.width, bottom)))[::step] for top, bottom in _bands(picture, 1)]
    return np.concatenate(rows)


def _stride(picture: Image.Image) -> int:
    return max(1, picture.width * picture.height // _SAMPLE_PIXELS)


def _scaled(array: NDArray[Any]) -> tuple[NDArray[np.uint8], ValueRange]:
    """Scale colours by one range and opacity by its own."""
    colours = array[:, :, :3] if array.ndim == 3 else array
    values = find_range(colours)
    eight = values.apply(colours)
    if array.ndim == 3 and array.shape[2] == 4:
        eight = np.dstack([eight, find_range(array[:, :, 3]).apply(array[:, :, 3])])
    return eight, values


def _number(value: Any) -> float | None:
    if isinstance(value, tuple | list):
        value = value[0] if value else None
    try:
        return float(str(value).strip("\0 ")) if value is not None else None
    except ValueError:
        return None
