"""What every picture encoder has in common: pixels in 0..1 are one thing, normalised pixels another.

A picture becomes the network's input in two steps, ``cut`` and ``normalise``. Whatever works on pixels that people
see, such as an attack or an augmentation, stands between the two; gradients flow back through the second.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from deephash.backbones.spec import Encoder


class PictureEncoder(Encoder):
    """A network from normalised pictures [B, 3, H, W] to features [B, D].

    Attributes:
        network: gives the features.
        mean: taken off each channel of pixels in 0..1.
        std: each channel is divided by it.
    """

    network: nn.Module
    mean: Sequence[float]
    std: Sequence[float]

    @abstractmethod
    def cut(self, picture: Any) -> Tensor:
        """Return the pixels of a PIL picture that the network sees, float32 [3, H, W] in 0..1."""

    def normalise(self, pixels: Tensor) -> Tensor:
        """Return the network's input of pixels [B, 3, H, W] in 0..1; differentiable."""
        mean, std = self._scale(pixels)
        return (pixels - mean) / std

    def pixels(self, normalised: Tensor) -> Tensor:
        """Return the pixels [B, 3, H, W] in 0..1 of what :meth:`normalise` made; differentiable."""
        mean, std = self._scale(normalised)
        return normalised * std + mean

    def portable_reader(self, folder: Path, assets: str) -> dict[str, Any] | None:
        """Return the transform as data."""
        return {"kind": "picture", "transform": dict(self.spec.transform or {})} if self.spec.transform else None

    def preprocess(self) -> Callable[[Any], Tensor]:
        """Return the function from a PIL picture to float32 [3, H, W]: ``normalise`` of ``cut``."""
        return lambda picture: self.normalise(self.cut(picture)[None])[0]

    def _scale(self, like: Tensor) -> tuple[Tensor, Tensor]:
        mean, std = (torch.tensor(tuple(values)).to(like)[:, None, None] for values in (self.mean, self.std))
        return mean, std
