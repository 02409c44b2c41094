"""What happens to pictures without anybody meaning harm: eight corruptions at five strengths, all by Pillow."""

from __future__ import annotations

import io
import zlib
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw, ImageEnhance, ImageFilter, ImageFont

STRENGTHS = (1, 2, 3, 4, 5)
WORDS = "sample text on a picture"


@dataclass(frozen=True)
class Corruption:
    """One kind.

    Attributes:
        apply: (RGB picture, parameter, seed) -> RGB picture.
        parameters: of the strengths 1 to 5.
        says: what the parameter is.
    """

    apply: Callable[[Image.Image, float, int], Image.Image]
    parameters: tuple[float, float, float, float, float]
    says: str


def corrupted(picture: Image.Image, kind: str, strength: int, name: str = "") -> Image.Image:
    """Return an RGB picture corrupted; the same for the same name.

    Args:
        picture: RGB.
        kind: one of :data:`CORRUPTIONS`.
        strength: 1 to 5; 0 leaves it as it is.
        name: of the picture, from which its noise is drawn.
    """
    if strength == 0:
        return picture
    corruption = CORRUPTIONS[kind]
    return corruption.apply(picture, corruption.parameters[strength - 1], zlib.crc32(name.encode()))


def _jpeg(picture: Image.Image, quality: float, seed: int) -> Image.Image:
    content = io.BytesIO()
    picture.save(content, format="JPEG", quality=round(quality))
    return Image.open(content).convert("RGB")


def _blur(picture: Image.Image, share: float, seed: int) -> Image.Image:
    return picture.filter(ImageFilter.GaussianBlur(share * min(picture.size)))


def _noise(picture: Image.Image, sigma: float, seed: int) -> Image.Image:
    pixels = np.asarray(picture, dtype=np.float64)
    noisy = pixels + 255 * sigma * np.random.default_rng(seed).standard_normal(pixels.shape)
    return Image.fromarray(noisy.round().clip(0, 255).astype(np.uint8))


def _resize(picture: Image.Image, share: float, seed: int) -> Image.Image:
    width, height = (max(1, round(share * side)) for side in picture.size)
    return picture.resize((width, height), Image.Resampling.BICUBIC).resize(picture.size, Image.Resampling.BICUBIC)


def _crop(picture: Image.Image, share: float, seed: int) -> Image.Image:
    width, height = (max(1, round(share * side)) for side in picture.size)
    left, top = (picture.width - width) // 2, (picture.height - height) // 2
    kept = picture.crop((left, top, left + width, top + height))  # resizing a box would look beyond its edges
    return kept.resize(picture.size, Image.Resampling.BICUBIC)


def _rotation(picture: Image.Image, degrees: float, seed: int) -> Image.Image:
    edge = picture.resize((1, 1), Image.Resampling.BOX).getpixel((0, 0))
    return picture.rotate(degrees, Image.Resampling.BICUBIC, fillcolor=edge)


def _brightness(picture: Image.Image, factor: float, seed: int) -> Image.Image:
    return ImageEnhance.Brightness(picture).enhance(factor)


def _text(picture: Image.Image, share: float, seed: int) -> Image.Image:
    """Write in a band of that share of the height, as large as it allows, white with a black outline."""
    copy, (width, height) = picture.copy(), picture.size
    size = max(4.0, share * height)
    pen, font = ImageDraw.Draw(copy), ImageFont.load_default(size)
    outline = max(1, round(size / 12))
    pen.text((0.02 * width, height - 1.15 * size), WORDS, "white", font, stroke_width=outline, stroke_fill="black")
    return copy


CORRUPTIONS: dict[str, Corruption] = {
    "jpeg": Corruption(_jpeg, (80, 60, 40, 25, 10), "quality"),
    "blur": Corruption(_blur, (0.005, 0.01, 0.02, 0.035, 0.05), "radius of a Gaussian, share of the shorter side"),
    "noise": Corruption(_noise, (0.02, 0.05, 0.1, 0.15, 0.25), "sigma of a Gaussian, share of the pixel range"),
    "resize": Corruption(_resize, (0.75, 0.5, 0.35, 0.25, 0.15), "share of the side, and back"),
    "crop": Corruption(_crop, (0.95, 0.9, 0.8, 0.7, 0.6), "share of each side that is kept, in the middle"),
    "rotation": Corruption(_rotation, (2, 5, 10, 20, 45), "degrees, corners in the mean colour"),
    "brightness": Corruption(_brightness, (0.8, 0.65, 0.5, 0.35, 0.2), "factor, darker"),
    "text": Corruption(_text, (0.06, 0.1, 0.15, 0.22, 0.3), "height of the letters, share of the picture's"),
}
"""Kind -> corruption."""
