"""Smoothed codes: what a model says of most noisy copies of a picture (docs/certified.md)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from deephash.attacks.noise import Noise
from deephash.attacks.pixels import require_pixels
from deephash.attacks.victims import Victim
from deephash.errors import UsageError
from deephash.evaluation.certified import agreement_bound

CHOOSING_DRAWS = 100  # n0 of Cohen et al.: they choose the bit, others count
DRAWS, ALPHA = 1000, 0.001
_CHOOSING, _COUNTING = 0, 1  # streams of an item


@dataclass(frozen=True, eq=False)
class Smoothed:
    """Smoothed codes of B pictures.

    Attributes:
        bits: booleans [B, K], the majority of the choosing draws.
        agreeing: int64 [B, K], how many of ``draws`` other draws agreed.
        draws: n.
    """

    bits: NDArray[np.bool_]
    agreeing: NDArray[np.int64]
    draws: int

    def unknown(self, alpha: float = ALPHA) -> NDArray[np.bool_]:
        """Return the bits without a confident majority: p > 1/2 does not hold at alpha / K, [B, K]."""
        return np.asarray(agreement_bound(self.agreeing, self.draws, alpha / self.bits.shape[1]) <= 0.5)


def smoothed_codes(
    victim: Victim,
    images: Tensor,
    sigma: float,
    *,
    draws: int = DRAWS,
    choosing: int = CHOOSING_DRAWS,
    items: Sequence[int] | None = None,
    seed: int = 0,
    batch_size: int = 256,
) -> Smoothed:
    """Return the smoothed codes of pictures; each picture gets the same noise alone and among others.

    Noise is not clipped to [0, 1]: the network sees values beyond. Memory is bounded by ``batch_size`` pictures.

    Args:
        victim: the model.
        images: pixels [B, C, H, W] in [0, 1].
        sigma: of the noise, in units of the pixel range.
        draws: n that count.
        choosing: n0 that choose the bit.
        items: numbers of the pictures, for their noise; None counts them.
        seed: of the noise.
        batch_size: noisy pictures in one pass.

    Raises:
        UsageError: pixels out of range, a negative sigma, no draws.
    """
    require_pixels(images)
    if not (0 <= sigma <= 10):
        raise UsageError(f"sigma is a share of the pixel range, such as 0.25, not {sigma}")
    if draws < 1 or choosing < 1 or batch_size < 1:
        raise UsageError(f"draws and batch size are 1 or more, not {draws}, {choosing} and {batch_size}")
    bits, agreeing = [], []
    with victim.evaluating():
        for image, item in zip(images, items or range(len(images)), strict=True):
            ones = _ones(victim, image, sigma, choosing, Noise(seed, [2 * item + _CHOOSING]), batch_size)
            bits.append(2 * ones >= choosing)
            ones = _ones(victim, image, sigma, draws, Noise(seed, [2 * item + _COUNTING]), batch_size)
            agreeing.append(np.where(bits[-1], ones, draws - ones))
    return Smoothed(np.stack(bits), np.stack(agreeing), draws)


def _ones(victim: Victim, image: Tensor, sigma: float, draws: int, noise: Noise, batch_size: int) -> NDArray[np.int64]:
    """Count in how many noisy copies of one picture each bit is 1, [K]."""
    total: NDArray[np.int64] | None = None
    for start in range(0, draws, batch_size):
        # drawn one by one, so that the numbers do not depend on the size of a batch
        drawn = torch.cat([noise.normal(*image.shape) for _ in range(min(batch_size, draws - start))])
        found = victim.signs((image[None] + sigma * drawn).to(victim.device)) > 0
        ones = found.sum(dim=0).cpu().numpy().astype(np.int64)
        total = ones if total is None else total + ones
    assert total is not None
    return total
