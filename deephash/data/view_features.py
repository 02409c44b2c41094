"""Views of a picture that need no network: colour histograms, oriented gradients, local binary patterns.

Each is an encoder like any other, so that it is cached like a backbone's features. Gradients, patterns and the HSV
colours are scikit-image's.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from deephash.backbones import Backbone, Encoder
from deephash.errors import UsageError

SIDE = 64  # pixels of the square that gradients and patterns are taken of
CELLS = 4  # a side, of the local binary patterns
Pixels = NDArray[np.float64]  # [H, W, 3], 0..1


def rgb_histogram(pixels: Pixels) -> NDArray[np.float64]:
    """Return the shares of 4 x 4 x 4 colours, [64]."""
    return _colours(pixels)


def hsv_histogram(pixels: Pixels) -> NDArray[np.float64]:
    """Return the shares of 4 x 4 x 4 hues, saturations and values, [64]."""
    from skimage.color import rgb2hsv

    return _colours(rgb2hsv(pixels))


def oriented_gradients(pixels: Pixels) -> NDArray[np.float64]:
    """Return 8 orientations in 8 x 8 cells, [512]."""
    from skimage.feature import hog

    found: NDArray[np.float64] = hog(
        _grey(pixels), orientations=8, pixels_per_cell=(SIDE // 8, SIDE // 8), cells_per_block=(1, 1)
    )
    return found


def local_patterns(pixels: Pixels) -> NDArray[np.float64]:
    """Return the shares of the 10 uniform local binary patterns (8 points, radius 1) in 4 x 4 cells, [160]."""
    from skimage.feature import local_binary_pattern

    levels = np.round(_grey(pixels) * 255).astype(np.uint8)
    patterns = local_binary_pattern(levels, 8, 1, "uniform").astype(np.int64)
    step = SIDE // CELLS
    cells = patterns.reshape(CELLS, step, CELLS, step).transpose(0, 2, 1, 3).reshape(CELLS * CELLS, -1)
    return np.concatenate([np.bincount(cell, minlength=10) / step**2 for cell in cells])


def _colours(pixels: Pixels) -> NDArray[np.float64]:
    counts, _ = np.histogramdd(pixels.reshape(-1, 3), bins=(4, 4, 4), range=((0, 1),) * 3)
    shares: NDArray[np.float64] = counts.ravel() / counts.sum()
    return shares


def _grey(pixels: Pixels) -> NDArray[np.float64]:
    from skimage.color import rgb2gray

    grey: NDArray[np.float64] = rgb2gray(pixels)
    return grey


GENERATORS: dict[str, tuple[int, Callable[[Pixels], NDArray[np.float64]]]] = {
    "rgb": (64, rgb_histogram),
    "hsv": (64, hsv_histogram),
    "hog": (512, oriented_gradients),
    "lbp": (160, local_patterns),
}


class Descriptor(Encoder):
    """A view by one of ``GENERATORS``, computed when a picture is prepared; the batch passes through.

    Args:
        name: rgb, hsv, hog or lbp.

    Raises:
        UsageError: scikit-image is not installed.
    """

    def __init__(self, name: str) -> None:
        super().__init__()
        try:
            import skimage  # noqa: F401
        except ImportError:
            raise UsageError(f"the view {name!r} needs scikit-image: pip install 'deephash[views]'") from None
        self.num_features, self._generate = GENERATORS[name]
        self.spec = Backbone(f"view:{name}", None)

    def forward(self, batch: Tensor) -> Tensor:
        """Return the batch itself, [B, D]."""
        return batch

    def preprocess(self) -> Callable[[Any], Tensor]:
        """Return a function from a PIL picture to its descriptor [D]; the picture is brought to 64 x 64 pixels."""

        def describe(picture: Any) -> Tensor:
            square = picture.convert("RGB").resize((SIDE, SIDE))
            return torch.from_numpy(self._generate(np.asarray(square, dtype=np.float64) / 255)).float()

        return describe
