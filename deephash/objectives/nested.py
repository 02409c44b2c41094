"""Nested codes: every listed prefix of a code is itself a good code (Nested Hash Layer, arXiv 2412.08922).

The weights and the distillation are pure functions; :class:`deephash.models.head.HeadHashModel` applies them to any
gradient method.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor
from torch.nn.functional import normalize

from deephash.errors import UsageError


@dataclass(frozen=True)
class Nested:
    """Which prefixes are trained, and how.

    Attributes:
        lengths: ascending multiples of 8, so that a prefix is a slice of the stored bytes; the last is ``num_bits``.
        weighting: ``dominance`` keeps long codes from pushing short prefixes uphill, by the formula; ``release`` does
            so as the authors' code does (see :func:`dominance_weights`); ``equal`` adds plain losses.
        distillation: weight of the cascade distillation from each length to the next shorter one.
    """

    lengths: tuple[int, ...]
    weighting: Literal["dominance", "release", "equal"] = "dominance"
    distillation: float = 1.0

    def __post_init__(self) -> None:
        lengths = tuple(self.lengths)
        if not lengths or any(m < 8 or m % 8 for m in lengths) or list(lengths) != sorted(set(lengths)):
            raise UsageError(f"nested lengths are ascending multiples of 8, such as [16, 32, 64], not {list(lengths)}")
        if self.distillation < 0:
            raise UsageError(f"the weight of the distillation is at least 0, not {self.distillation}")
        object.__setattr__(self, "lengths", lengths)


NestedLengths = Nested | tuple[int, ...]  # a bare list of lengths stands for Nested(lengths)


def dominance_weights(gradients: Sequence[Tensor], *, as_released: bool = False) -> Tensor:
    """Return one weight w_l a length, [n], so that no longer code moves a shorter one's block uphill.

    ``gradients[l]`` is the gradient of loss l with respect to the first ``m_l`` rows of the hash layer. In block k (the
    rows that length k adds) a longer length l conflicts when ``-<g_k, g_l> > |g_k|^2 / (n - 1)``; then ``alpha_kl =
    |g_k|^2 / ((n - 1) (-<g_k, g_l>))``, else 1, and lengths further away get no more than the next one. Finally ``w_l =
    prod_{k < l} alpha_kl``, rescaled to sum n.

    Args:
        gradients: tensors [m_1, D], [m_2, D], ... with ascending numbers of rows.
        as_released: block k is the whole prefix of length k instead of the rows that k adds, and ``|g_k|^2`` is the
            shortest loss's in every block.
    """
    count = len(gradients)
    weights = torch.ones(count, device=gradients[0].device)
    start = 0
    for k in range(count - 1):
        own = gradients[k][start:].flatten()
        energy = gradients[0].square().sum() if as_released else own @ own
        cap = torch.ones((), device=weights.device)
        for longer in range(k + 1, count):
            other = gradients[longer][start : len(gradients[k])].flatten()
            alpha = torch.minimum(_alpha(-(own @ other) * (count - 1), energy), cap)
            cap = alpha if longer == k + 1 else cap
            weights[longer] *= alpha
        start = 0 if as_released else len(gradients[k])
    return weights * count / weights.sum()


def _alpha(conflict: Tensor, energy: Tensor) -> Tensor:
    return torch.where(conflict > energy, energy / conflict.clamp(min=1e-30), torch.ones_like(energy))


def cascade_distillation(shorter: Tensor, longer: Tensor) -> Tensor:
    """Return ``|G(v) - G(u)|_F^2 / B^2``, G(u) being ``u u^T`` with rows of length 1; u learns from the longer v.

    Args:
        shorter: u [B, m].
        longer: v [B, M]; no gradient flows into it.
    """
    difference = _similarity_rows(longer.detach()) - _similarity_rows(shorter)
    return difference.square().sum() / len(shorter) ** 2


def _similarity_rows(codes: Tensor) -> Tensor:
    return normalize(codes @ codes.T, dim=1, eps=1e-12)
