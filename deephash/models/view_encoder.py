"""The networks of multi-view hashing: from a view to its code, and from a picture's feature to the fused code."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class ViewEncoder(nn.Module):
    """One view [B, d], standardised by the training set, to entries in -1..1, [B, K_v].

    Args:
        width: d.
        hidden: of the layer between.
        num_bits: K_v.
    """

    mean: Tensor
    scale: Tensor

    def __init__(self, width: int, hidden: int, num_bits: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(width))
        self.register_buffer("scale", torch.ones(width))
        self.layers = head(width, hidden, num_bits)

    def standardise_by(self, table: Tensor) -> str | None:
        """Take means and deviations of ``table`` [N, d]; return why the view is of no use, or None.

        Columns that never change are left out. A view of no use gives the same entries for everything.
        """
        self.mean.zero_()
        self.scale.zero_()
        broken = int((~table.isfinite()).any(dim=1).sum())
        if broken:
            return f"{broken:,} of {len(table):,} rows are missing, NaN or infinite"
        deviation = table.double().std(dim=0, correction=0)
        varies = deviation > 1e-6 * table.double().abs().amax(dim=0)
        if not bool(varies.any()):
            return "it is the same for every item"
        self.mean.copy_(table.double().mean(dim=0))
        self.scale.copy_(torch.where(varies, 1 / deviation.clamp(min=1e-300), 0.0))
        return None

    def forward(self, view: Tensor) -> Tensor:
        """Return entries in -1..1, [B, K_v]."""
        entries: Tensor = self.layers((view - self.mean).nan_to_num(0.0, 0.0, 0.0) * self.scale)
        return entries


def head(width: int, hidden: int, num_bits: int) -> nn.Sequential:
    """Return linear, ReLU, batch norm, linear and tanh."""
    return nn.Sequential(
        nn.Linear(width, hidden), nn.ReLU(), nn.BatchNorm1d(hidden), nn.Linear(hidden, num_bits), nn.Tanh()
    )
