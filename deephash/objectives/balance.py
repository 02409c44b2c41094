"""Bits that are +1 for half of the pictures and independent of each other."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor


def half_half_sign(values: Tensor, gamma: float) -> Tensor:
    """Return the sign that is +1 for exactly half of the batch in every bit (BiHalf, AAAI 2021).

    Per bit the floor(B / 2) largest entries become +1, the others -1. The gradient is that of the identity plus
    ``gamma * (U - B) / (B K)``, which pulls the values towards their half.

    Args:
        values: U [B, K].
        gamma: 6 in the paper.
    """
    halves: Tensor = _HalfHalf.apply(values, gamma)
    return halves


def bit_imbalance(codes: Tensor) -> Tensor:
    """Return the mean over bits of (mean of the bit over the batch)^2; 0 where every bit is balanced."""
    return codes.mean(dim=0).square().mean()


def bit_correlation(codes: Tensor) -> Tensor:
    """Return the mean squared correlation between different bits over the batch; 0 for a single bit."""
    if codes.shape[1] < 2:
        return codes.sum() * 0
    centred = codes - codes.mean(dim=0)
    standard = centred / centred.square().mean(dim=0).add(1e-12).sqrt()
    correlation = standard.T @ standard / len(codes)  # [K, K]
    different = ~torch.eye(len(correlation), dtype=torch.bool, device=codes.device)
    return correlation[different].square().mean()


class _HalfHalf(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, values: Tensor, gamma: float) -> Tensor:
        top = values.argsort(dim=0, descending=True, stable=True)[: len(values) // 2]
        codes = torch.full_like(values, -1.0).scatter_(0, top, 1.0)
        ctx.save_for_backward(values, codes)
        ctx.gamma = gamma
        return codes

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        values, codes = ctx.saved_tensors
        return gradient + ctx.gamma * (values - codes) / values.numel(), None
