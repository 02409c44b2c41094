"""Random numbers that belong to an item, so that an attack does the same to it alone and in a batch."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor


class Noise:
    """One random stream for each of B items.

    Args:
        seed: of the attack.
        items: B numbers that name the items, such as their rows among the queries.
        device: where the numbers are wanted; they are drawn on the CPU, so that every device sees the same.
    """

    def __init__(self, seed: int, items: Sequence[int], device: torch.device | str = "cpu") -> None:
        self._device = device
        self._streams = [torch.Generator().manual_seed(_mixed(seed, item)) for item in items]

    def __len__(self) -> int:
        return len(self._streams)

    def uniform(self, *shape: int) -> Tensor:
        """Return float32 [B, *shape] in [0, 1)."""
        return torch.stack([torch.rand(shape, generator=each) for each in self._streams]).to(self._device)

    def normal(self, *shape: int) -> Tensor:
        """Return float32 [B, *shape] of mean 0 and variance 1."""
        return torch.stack([torch.randn(shape, generator=each) for each in self._streams]).to(self._device)

    def symmetric(self, *shape: int) -> Tensor:
        """Return float32 [B, *shape] in [-1, 1)."""
        return 2 * self.uniform(*shape) - 1


def _mixed(seed: int, item: int) -> int:
    """Return 63 bits of both, so that neighbouring seeds and items share no stream."""
    state = np.random.SeedSequence([abs(int(seed)), int(seed) < 0, abs(int(item))]).generate_state(1, np.uint64)
    return int(state[0] >> np.uint64(1))
