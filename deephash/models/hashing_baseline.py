"""Hashing-Baseline: Moummad et al., "Hashing-Baseline: Rethinking Hashing in the Age of Pretrained Models", 2025.

Frozen features, principal axes, a random rotation, sign. The rotation spreads the variance of the axes over all bits,
so that later bits say as much as early ones; ITQ learns that rotation. Only the outline of the method could be read, so
this is that outline. Measured results: docs/methods/hashing_baseline.md.
"""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor

from deephash.backbones import Backbone
from deephash.models.base import Inputs
from deephash.models.pca_sign import PCASign


class HashingBaseline(PCASign):
    """b = sign((x - mean) V_K R) with a rotation R that is drawn and not learned.

    Args:
        num_bits: K <= min(D, N - 1), which is checked when fitting.
        backbone: where features come from.
        seed: of the rotation, which depends on nothing else.
    """

    training_free: ClassVar[str | None] = "hashing_baseline"
    is_baseline: ClassVar[bool] = False
    training_only: ClassVar[tuple[str, ...]] = ("seed",)

    def __init__(self, num_bits: int, backbone: Backbone = Backbone(), seed: int = 0) -> None:
        super().__init__(num_bits, backbone)
        self.save_hyperparameters()
        self.seed = seed

    def start(self, features: Inputs) -> None:
        """Find mean and axes, and turn them."""
        super().start(features)
        rotation = random_rotation(self.num_bits, self.seed).to(self.projection.device)
        self.projection.copy_(self.projection.double() @ rotation)


def random_rotation(size: int, seed: int = 0) -> Tensor:
    """Return an orthogonal matrix float64 [size, size], uniform over all of them (QR with a positive diagonal of R)."""
    generator = torch.Generator().manual_seed(int(seed))
    rotation, upper = torch.linalg.qr(torch.randn(size, size, generator=generator, dtype=torch.float64))
    signed: Tensor = rotation * torch.where(upper.diagonal() >= 0, 1.0, -1.0)
    return signed
