"""The two-valued sign, and the sign that gradients pass straight through."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor


def sign(values: Tensor) -> Tensor:
    """Return +1 where ``values >= 0`` and -1 elsewhere; unlike ``torch.sign``, zero has a side."""
    return torch.ones_like(values).masked_fill(values < 0, -1.0)


def hamming_of_signs(a: Tensor, b: Tensor) -> Tensor:
    """Return the Hamming distances [A, B] of -1/+1 rows: (K - <a, b>) / 2."""
    return ((a.shape[1] - a @ b.T) / 2).round()


def straight_through_sign(values: Tensor) -> Tensor:
    """Return :func:`sign` of ``values``; its gradient is that of the identity (GreedyHash, NeurIPS 2018)."""
    signs: Tensor = _StraightThroughSign.apply(values)
    return signs


class _StraightThroughSign(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, values: Tensor) -> Tensor:
        return sign(values)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        return gradient
