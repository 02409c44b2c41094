"""A line of pixels costs what its middle costs, and gives the pixels that resizing the whole would give."""

from __future__ import annotations

import resource
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from deephash.backbones import Backbone
from deephash.encoding.transform import PictureTransform
from deephash.pictures import open_picture
from deephash.pictures.middle import THIN, is_thin, resized_middle

FILTERS = [getattr(Image.Resampling, name) for name in ("BILINEAR", "BICUBIC", "LANCZOS")]


def whole(picture: Image.Image, size: int, shorter: int, resample: Image.Resampling) -> Image.Image:
    """Resize everything, then cut: what 0.1.0 did."""
    scale = shorter / min(picture.size)
    width, height = (max(shorter, round(side * scale)) for side in picture.size)
    if (width, height) != picture.size:
        picture = picture.resize((width, height), resample)
    left, top = (width - size) // 2, (height - size) // 2
    return picture.crop((left, top, left + size, top + size))


def noise(width: int, height: int, seed: int) -> Image.Image:
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8))


@pytest.mark.parametrize("resample", FILTERS)
def test_the_middle_of_thin_pictures_is_the_same(resample: Image.Resampling) -> None:
    draw = np.random.default_rng(0)
    for seed in range(60):
        short = int(draw.integers(1, 40))
        long = int(short * draw.uniform(THIN + 0.1, 60)) + 1
        picture = noise(*((short, long) if seed % 2 else (long, short)), seed)
        size = int(draw.integers(4, 64))
        shorter = size + int(draw.integers(0, 9))
        assert is_thin(picture)
        mine, wanted = (f(picture, size, shorter, resample) for f in (resized_middle, whole))
        assert mine.size == (size, size)
        assert np.abs(np.asarray(mine, int) - np.asarray(wanted, int)).max() <= 2


@pytest.mark.parametrize("resample", [*FILTERS, Image.Resampling.NEAREST])
@pytest.mark.parametrize("shape", [(640, 480), (480, 640), (224, 224), (3000, 300), (33, 500), (1, 16), (300, 256)])
def test_ordinary_pictures_are_the_same_to_the_bit(resample: Image.Resampling, shape: tuple[int, int]) -> None:
    picture = noise(*shape, 1)
    mine, wanted = (f(picture, 224, 256, resample) for f in (resized_middle, whole))
    assert mine.tobytes() == wanted.tobytes()


def peak() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10


def rulers(tmp_path: Path) -> list[Image.Image]:
    for width, height in ((60_000, 1), (1, 60_000), (200_000, 40)):
        Image.new("RGB", (width, height), (200, 3, 3)).save(tmp_path / f"{width}.png")
    return [open_picture(file, reduced_to=224) for file in sorted(tmp_path.glob("*.png"))]


def transforms() -> dict[str, Callable[[Image.Image], torch.Tensor]]:
    from tests.tiny_clip import OPTIONS

    own = PictureTransform(size=224, resize=256)
    made: dict[str, Callable[[Image.Image], torch.Tensor]] = {"own": lambda picture: torch.from_numpy(own(picture))}
    for mode in ("shortest", "longest", "squash"):
        backbone = Backbone(name="clip:custom", weights=None, options=OPTIONS, transform={"resize_mode": mode})
        made[mode] = backbone.build().preprocess()
    return made


def test_a_ruler_of_60_000_pixels_is_prepared_in_little_memory(tmp_path: Path) -> None:
    pictures, before = rulers(tmp_path), peak()
    for name, transform in transforms().items():
        for picture in pictures:
            rows = transform(picture)
            assert rows.shape[1] == rows.shape[2], name
            if name != "longest":  # which fills up with black
                assert torch.allclose(rows, rows[:, :1, :1].expand_as(rows), atol=1e-4), "one colour everywhere"
    assert peak() - before < 400, "MiB, most of it open_clip itself"
