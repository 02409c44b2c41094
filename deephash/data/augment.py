"""What happens to training pictures, before preprocessing, where the backbone learns."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from PIL import Image
from torchvision.transforms import v2

from deephash.errors import UsageError, did_you_mean

Augmentation = Callable[[Image.Image], Image.Image]


def augmentation(kind: str) -> Augmentation:
    """Return ``none``, ``flip`` (left-right, half of the time), ``jitter``, or ``crop`` (random resized crop, flip).

    ``jitter`` flips and then varies brightness and contrast by up to 5 %, as the authors of OrthoHash do on CIFAR-10.
    Random numbers come from torch's global generator, which Lightning seeds, also in worker processes.
    """
    known: dict[str, Augmentation] = {
        "none": unchanged,
        "flip": random_flip,
        "jitter": v2.Compose([random_flip, v2.ColorJitter(brightness=0.05, contrast=0.05)]),
        "crop": random_crop,
    }
    if kind not in known:
        raise UsageError(f"unknown augmentation {kind!r}" + did_you_mean(kind, list(known)))
    return known[kind]


def unchanged(picture: Image.Image) -> Image.Image:
    """Return the picture."""
    return picture


def random_flip(picture: Image.Image) -> Image.Image:
    """Mirror left and right, half of the time."""
    return picture.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if torch.rand(()) < 0.5 else picture


def random_crop(picture: Image.Image, smallest: float = 0.2) -> Image.Image:
    """Cut out a part of ``smallest`` to 1 of the area, aspect ratio 3/4 to 4/3, and flip; the square is cut later."""
    width, height = picture.size
    for _ in range(10):
        area = width * height * float(torch.empty(()).uniform_(smallest, 1.0))
        ratio = math.exp(float(torch.empty(()).uniform_(math.log(3 / 4), math.log(4 / 3))))
        wide, high = round(math.sqrt(area * ratio)), round(math.sqrt(area / ratio))
        if 0 < wide <= width and 0 < high <= height:
            left = int(torch.randint(0, width - wide + 1, ()))
            top = int(torch.randint(0, height - high + 1, ()))
            return random_flip(picture.crop((left, top, left + wide, top + high)))
    return random_flip(picture)
