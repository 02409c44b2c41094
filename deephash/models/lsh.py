"""LSH: signs of random projections (Charikar 2002).

Two vectors at angle theta differ in each bit with probability theta / pi.
"""

from __future__ import annotations

import sys
from typing import ClassVar

import torch
from torch import Tensor

from deephash.backbones import Backbone
from deephash.models.base import AlternatingHashModel, Inputs


class LSH(AlternatingHashModel):
    """Random hyperplanes through the mean of the training features.

    Args:
        num_bits: K; may exceed the number of features.
        backbone: where features come from.
        centre: subtract the training mean. Features after a ReLU all lie in one corner, where uncentred hyperplanes
            separate little; False needs no fitting at all.
        seed: of the projection, which depends on nothing else.
    """

    one_sweep: ClassVar[bool] = True
    training_free: ClassVar[str | None] = "lsh"
    is_baseline: ClassVar[bool] = True
    mean: Tensor
    projection: Tensor
    training_only: ClassVar[tuple[str, ...]] = ("seed",)

    def __init__(self, num_bits: int, backbone: Backbone = Backbone(), centre: bool = True, seed: int = 0) -> None:
        super().__init__(num_bits, {"image": backbone})
        self.save_hyperparameters()
        self.centre = centre
        num_features = self.encoders["image"].num_features
        generator = torch.Generator().manual_seed(int(seed))
        self.register_buffer("mean", torch.zeros(num_features))
        self.register_buffer("projection", torch.randn(num_features, num_bits, generator=generator))
        self.fitted.fill_(not centre)

    @classmethod
    def most_bits(cls, num_rows: int, num_features: int) -> int:
        """Any length: random directions never run out."""
        return sys.maxsize

    def forward(self, inputs: Inputs) -> Tensor:
        """Return (x - mean) W, [B, K]."""
        continuous: Tensor = (self.features(inputs) - self.mean) @ self.projection
        return continuous

    def start(self, features: Inputs) -> None:
        """Take the mean."""
        if self.centre:
            self.mean.copy_(features["image_features"].double().mean(dim=0))

    def sweep(self, features: Inputs) -> Tensor:
        """Return the share of pairs of bits that are out of balance: nothing is left to update."""
        balance = (self(features) >= 0).double().mean(dim=0)
        imbalance: Tensor = (balance - 0.5).abs().mean()
        return imbalance
