"""PCA-sign (PCAH): signs of the projections on the K leading principal axes of the training features."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor

from deephash.backbones import Backbone
from deephash.errors import UsageError
from deephash.models.base import AlternatingHashModel, Inputs


class PCASign(AlternatingHashModel):
    """b = sign((x - mean) V_K). Bits of later axes carry less variance, so that long codes gain little.

    Args:
        num_bits: K <= min(D, N - 1), which is checked when fitting.
        backbone: where features come from.
    """

    one_sweep: ClassVar[bool] = True
    training_free: ClassVar[str | None] = "pca_sign"
    is_baseline: ClassVar[bool] = True
    mean: Tensor
    projection: Tensor

    def __init__(self, num_bits: int, backbone: Backbone = Backbone()) -> None:
        super().__init__(num_bits, {"image": backbone})
        self.save_hyperparameters()
        num_features = self.encoders["image"].num_features
        self.register_buffer("mean", torch.zeros(num_features))
        self.register_buffer("projection", torch.zeros(num_features, num_bits))

    def forward(self, inputs: Inputs) -> Tensor:
        """Return (x - mean) V, [B, K]."""
        continuous: Tensor = (self.features(inputs) - self.mean) @ self.projection
        return continuous

    def start(self, features: Inputs) -> None:
        """Find mean and axes."""
        mean, axes = principal_axes(features["image_features"], self.num_bits)
        self.mean.copy_(mean)
        self.projection.copy_(axes)

    def sweep(self, features: Inputs) -> Tensor:
        """Return the mean squared distance of (x - mean) V from its own signs; nothing is left to update."""
        continuous: Tensor = self(features).double()
        return (continuous - torch.where(continuous >= 0, 1.0, -1.0)).square().mean()


def principal_axes(features: Tensor, num_axes: int) -> tuple[Tensor, Tensor]:
    """Return mean [D] and the leading axes [D, K] of ``features`` [N, D], in float64.

    The largest entry of every axis is positive, so that the same data give the same codes on any machine. Raises
    UsageError unless K <= min(D, N - 1).
    """
    rows, width = features.shape
    if num_axes > min(width, rows - 1):
        raise UsageError(
            f"{num_axes} bits need {num_axes} principal axes, but {rows} training vectors of {width} features have at "
            f"most {min(width, rows - 1)}; use fewer bits, more training data, or LSH"
        )
    mean = features.double().mean(dim=0)
    covariance = torch.zeros(width, width, dtype=torch.float64, device=features.device)
    for block in features.split(8192):  # blocks keep the float64 copy small
        centred = block.double() - mean
        covariance += centred.T @ centred
    axes = torch.linalg.eigh(covariance).eigenvectors.flip(1)[:, :num_axes]
    largest = axes.gather(0, axes.abs().argmax(dim=0, keepdim=True))
    return mean, axes * torch.where(largest >= 0, 1.0, -1.0)
