"""How far continuous codes are from being binary. Each loss appears in two or more methods."""

from __future__ import annotations

from torch import Tensor
from torch.nn.functional import cosine_similarity

from deephash.objectives.signs import sign


def squared_quantization(codes: Tensor) -> Tensor:
    """Return ``mean (u - sign u)^2`` (DPSH, DTSH); the same number as ``mean (|u| - 1)^2`` (CSQ)."""
    return (codes - sign(codes)).square().mean()


def cubic_quantization(codes: Tensor) -> Tensor:
    """Return ``mean ||u| - 1|^3`` (GreedyHash)."""
    return (codes.abs() - 1).abs().pow(3).mean()


def cosine_quantization(codes: Tensor, binary: Tensor | None = None) -> Tensor:
    """Return ``mean (1 - cos(v, b))`` over rows (SDC, CSCE-Net).

    Args:
        codes: v [B, K].
        binary: b [B, K]; the sign of v where none is given. No gradient flows into it.
    """
    target = sign(codes) if binary is None else binary
    return (1 - cosine_similarity(codes, target.detach(), eps=1e-12)).mean()
