"""Attacks that learn something about the victim before they change any picture: prototypes, generators, one delta."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol, Self, runtime_checkable

import torch
from torch import Tensor

from deephash.attacks.base import Known
from deephash.attacks.victims import Victim


@dataclass(frozen=True, eq=False)
class Lesson:
    """What an attack may learn from; never the pictures that it is measured on.

    Attributes:
        known: codes and labels of the training split.
        count: number of pictures with their labels among ``known``, the first of its rows.
        pictures: row numbers -> pictures float32 [B, 3, H, W] in [0, 1].
    """

    known: Known
    count: int = 0
    pictures: Callable[[Sequence[int]], Tensor] | None = None


@runtime_checkable
class Learner(Protocol):
    """An attack with something to learn; what it learned travels as tensors, not as code."""

    def learn(self, victim: Victim, lesson: Lesson) -> Self:
        """Return the attack, ready. The victim's weights and modes are left alone.

        Raises:
            UsageError: labels or pictures are needed and missing.
        """

    def learned(self) -> dict[str, Tensor]:
        """Return what was learned; empty before :meth:`learn`."""

    def with_learned(self, state: dict[str, Tensor]) -> Self:
        """Return the attack with what another of the same options learned."""


class Rows:
    """Draws batches of row numbers, evenly and by a seed of their own."""

    def __init__(self, count: int, size: int, seed: int) -> None:
        self._count, self._size = count, min(size, count)
        self._generator = torch.Generator().manual_seed(seed)

    def __call__(self) -> Tensor:
        """Return ``size`` different rows."""
        return torch.randperm(self._count, generator=self._generator)[: self._size]


def step_decay(optimizer: torch.optim.Optimizer, steps: int) -> torch.optim.lr_scheduler.MultiStepLR:
    """Return the schedule of the releases: a tenth after half of the steps, and again after three quarters."""
    return torch.optim.lr_scheduler.MultiStepLR(optimizer, [max(1, steps // 2), max(2, 3 * steps // 4)], gamma=0.1)
