"""ITQ: rotate the principal axes until the signs lose as little as possible.

Gong and Lazebnik, "Iterative quantization: a Procrustean approach to learning binary codes", CVPR 2011.
Minimises ||B - V R||_F^2 over codes B and rotations R, V = (X - mean) V_K, by turns: B = sign(V R); with the singular
value decomposition B^T V = U S W^T, R = W U^T.

Two public implementations hand on ``torch.svd``'s W as if it were W^T, which makes R a random rotation and ITQ look
like plain PCA. Faiss's ``ITQTransform`` also divides each centred vector by its length; this textbook version does not,
so that their codes differ.
"""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor

from deephash.backbones import Backbone
from deephash.models.base import Inputs
from deephash.models.pca_sign import PCASign, principal_axes


class ITQ(PCASign):
    """PCA-sign with a learned rotation; b = sign((x - mean) V_K R).

    Args:
        num_bits: K <= min(D, N - 1), which is checked when fitting.
        backbone: where features come from.
        seed: of the first rotation.
    """

    one_sweep: ClassVar[bool] = False
    training_free: ClassVar[str | None] = "itq"
    training_only: ClassVar[tuple[str, ...]] = ("seed",)

    def __init__(self, num_bits: int, backbone: Backbone = Backbone(), seed: int = 0) -> None:
        super().__init__(num_bits, backbone)
        self.save_hyperparameters()
        self.seed = seed

    def start(self, features: Inputs) -> None:
        """Find the axes, and begin at a random rotation."""
        table = features["image_features"]
        mean, self._axes = principal_axes(table, self.num_bits)
        self.mean.copy_(mean)
        self._projected = torch.cat([(block.double() - mean) @ self._axes for block in table.split(8192)])
        generator = torch.Generator().manual_seed(int(self.seed))
        gaussian = torch.randn(self.num_bits, self.num_bits, generator=generator, dtype=torch.float64)
        self._rotate(torch.linalg.qr(gaussian).Q.to(table.device))

    def sweep(self, features: Inputs) -> Tensor:
        """Update codes, then the rotation; return ||B - V R||^2 / (N K), which never rises."""
        codes = torch.where(self._projected @ self._rotation >= 0, 1.0, -1.0).double()
        left, _, right_t = torch.linalg.svd(codes.T @ self._projected)
        self._rotate(right_t.T @ left.T)
        return (codes - self._projected @ self._rotation).square().mean()

    def _rotate(self, rotation: Tensor) -> None:
        self._rotation = rotation
        self.projection.copy_(self._axes @ rotation)
