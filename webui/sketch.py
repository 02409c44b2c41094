"""From a drawing to a picture that looks like the ones in the collection."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageFilter, ImageOps

from deephash.errors import UnreadablePicture
from deephash.pictures import open_picture

MAX_DRAWING_BYTES = 2 << 20
MARGIN = 0.06  # of the longer side, on each side of the strokes
CANVAS, MOST_WIDENINGS, SLACK = 64, 5, 0.8
INK = 24  # grey levels away from the paper that count as a stroke


@dataclass(frozen=True)
class Paper:
    """What drawings have to look like.

    Attributes:
        dark: strokes are light on a dark ground, as in most collections of handwritten digits.
        side: side in pixels of the collection's pictures where all are tiny, else None.
        crop: whether strokes fill the picture, so that drawings are cropped to them.
        ink: mean share of ink in the collection's pictures, 0..1; thinner drawings are thickened towards it.
    """

    dark: bool = False
    side: int | None = None
    crop: bool = False
    ink: float = 0.0


def read_drawing(data_url: str) -> Image.Image:
    """Return the drawing that the page sent as ``data:image/png;base64,...``: dark strokes on white.

    Raises:
        UnreadablePicture: not such a URL, too large, or an empty sheet.
    """
    head, _, body = data_url.partition(",")
    if head != "data:image/png;base64" or len(body) > MAX_DRAWING_BYTES:
        raise UnreadablePicture("the drawing did not arrive as a small PNG picture; draw it again")
    try:
        drawing = open_picture(base64.b64decode(body, validate=True), max_pixels=2048 * 2048)
    except binascii.Error:
        raise UnreadablePicture("the drawing arrived damaged; draw it again") from None
    if _strokes(drawing) is None:
        raise UnreadablePicture("the sheet is empty; draw something on it first")
    return drawing


def fit_to_paper(drawing: Image.Image, paper: Paper) -> Image.Image:
    """Crop, invert and shrink a drawing (dark on white) so that it resembles the collection's pictures."""
    grey = ImageOps.grayscale(drawing)
    box = _strokes(drawing)
    if paper.crop and box is not None:
        grey = _thickened(_square(grey.crop(box)), paper.ink)
    if paper.dark:
        grey = ImageOps.invert(grey)
    if paper.side is not None:
        grey = grey.resize((paper.side, paper.side), Image.Resampling.BOX)
        grey = ImageOps.autocontrast(grey)
    return grey.convert("RGB")


def guess_paper(pictures: Iterable[Image.Image]) -> Paper:
    """Look at a few pictures of a collection: tiny? light on dark? do the strokes touch the borders?"""
    samples = list(pictures)
    if not samples:
        return Paper()
    grey = [np.asarray(ImageOps.grayscale(picture)) for picture in samples]
    sides = {side for picture in samples for side in picture.size}
    tiny = len(sides) == 1 and max(sides) <= 64
    # The mean of a drawing is near its ground, because strokes cover little of it.
    dark = tiny and float(np.mean([picture.mean() for picture in grey])) < 128
    ink = float(np.mean([picture.mean() for picture in grey])) / 255
    return Paper(dark, sides.pop() if tiny else None, tiny, (ink if dark else 1 - ink) if tiny else 0.0)


def _strokes(drawing: Image.Image) -> tuple[int, int, int, int] | None:
    """Return the bounding box of what differs from white paper."""
    return ImageOps.invert(ImageOps.grayscale(drawing)).point(lambda value: 255 if value > INK else 0).getbbox()


def _thickened(sheet: Image.Image, ink: float) -> Image.Image:
    """Widen dark strokes until they cover about ``ink`` of the sheet; a one covers less than an eight: hence SLACK."""
    sheet = sheet.resize((CANVAS, CANVAS), Image.Resampling.BILINEAR)
    for _ in range(MOST_WIDENINGS):
        if 1 - np.asarray(sheet).mean() / 255 >= SLACK * ink:
            break
        sheet = sheet.filter(ImageFilter.MinFilter(3))
    return sheet


def _square(strokes: Image.Image) -> Image.Image:
    width, height = strokes.size
    side = max(1, round(max(width, height) * (1 + 2 * MARGIN)))
    sheet = Image.new("L", (side, side), 255)
    sheet.paste(strokes, ((side - width) // 2, (side - height) // 2))
    return sheet
