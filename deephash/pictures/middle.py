"""Resize the shorter side of a picture and cut the middle, at a cost that does not grow with its length."""

from __future__ import annotations

from math import ceil, floor

from PIL import Image

from deephash.pictures.decoding import THIN

_SUPPORT = {  # of the filters, in pixels of the coarser grid
    Image.Resampling.NEAREST: 1,
    Image.Resampling.BOX: 1,
    Image.Resampling.BILINEAR: 1,
    Image.Resampling.HAMMING: 1,
    Image.Resampling.BICUBIC: 2,
    Image.Resampling.LANCZOS: 3,
}


def is_thin(picture: Image.Image) -> bool:
    """Say whether one side is more than 16 times the other."""
    return max(picture.size) > THIN * min(picture.size)


def middle_part(picture: Image.Image) -> Image.Image:
    """Return a thin picture cut to 16 times its shorter side, around its middle."""
    sides = [min(side, THIN * min(picture.size)) for side in picture.size]
    left, top = ((whole - side) // 2 for whole, side in zip(picture.size, sides))
    return picture.crop((left, top, left + sides[0], top + sides[1]))


def resized_middle(
    picture: Image.Image, size: int, shorter: int, resample: Image.Resampling, *, as_torchvision: bool = False
) -> Image.Image:
    """Return the middle ``size`` x ``size`` of the picture whose shorter side was resized to ``shorter`` pixels.

    With ``as_torchvision`` the longer side and the place of the cut are rounded as torchvision rounds them: the one
    down, the other to the nearest whole pixel, halves to even ones. Else the one to the nearest, the other down.

    A thin picture would be resized to ``shorter`` x a length without bound (a line of 60,000 x 1 pixels to 12 GB); of
    it only the part is resized that the middle is made of. The pixels are the same but for rounding.
    """
    if as_torchvision:
        width, height = (shorter * side // min(picture.size) for side in picture.size)
        left, top = round((width - size) / 2), round((height - size) / 2)
    else:
        scale = shorter / min(picture.size)
        width, height = (max(shorter, round(side * scale)) for side in picture.size)
        left, top = (width - size) // 2, (height - size) // 2
    if is_thin(picture):
        return _of_region(picture, size, (left, top), (picture.width / width, picture.height / height), resample)
    if (width, height) != picture.size:
        picture = picture.resize((width, height), resample)
    return picture.crop((left, top, left + size, top + size))


def _of_region(
    picture: Image.Image, size: int, place: tuple[int, int], step: tuple[float, float], resample: Image.Resampling
) -> Image.Image:
    """Resize only what the target pixels from ``place`` on are made of; ``step`` is source pixels a target pixel."""
    box, region = [0.0] * 4, [0] * 4
    for axis, length in enumerate(picture.size):
        begin, end = place[axis] * step[axis], (place[axis] + size) * step[axis]
        margin = ceil(_SUPPORT[resample] * max(1.0, step[axis])) + 1
        first, last = max(0, floor(begin) - margin), min(length, ceil(end) + margin)
        region[axis], region[axis + 2] = first, last
        box[axis], box[axis + 2] = max(0.0, begin - first), min(end - first, last - first)
    part = picture.crop((region[0], region[1], region[2], region[3]))
    return part.resize((size, size), resample, box=(box[0], box[1], box[2], box[3]))
