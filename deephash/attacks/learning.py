"""Attacks that learn something about the victim before they change any picture: prototypes, generators, one delta."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, Self, runtime_checkable

import torch
from torch import Tensor

from deephash.attacks.base import Known
from deephash.attacks.losses import mainstay_loss
from deephash.attacks.victims import Victim
from deephash.errors import UsageError
from deephash.progress import track


@dataclass(frozen=True, eq=False)
class Lesson:
    """What an attack may learn from; never the pictures that it is measured on.

    Attributes:
        known: codes and labels of the training split.
        count: number of pictures with their labels among ``known``, the first of its rows.
        pictures: row numbers -> pictures float32 [B, 3, H, W] in [0, 1].
        guide: signs [K] that all pictures are to be pulled to; None where each flees its own code, or has its own aim.
    """

    known: Known
    count: int = 0
    pictures: Callable[[Sequence[int]], Tensor] | None = None
    guide: Tensor | None = None

    def require_pictures(self, victim: Victim, asker: str) -> None:
        """Raise UsageError where there are no pictures to learn from, or their pixels get no gradient."""
        if self.pictures is None or not self.count:
            raise UsageError(
                f"{asker} learns from pictures of the training split (or of the collection), and there are none; pgd, "
                "mainstay and square learn nothing and need only the queries"
            )
        with victim.evaluating():
            victim.require_gradient(self.pictures([0]))

    def batches(self, size: int, steps: int, seed: int, label: str) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield ``steps`` batches of different pictures, drawn evenly, with their row numbers, under a progress bar."""
        assert self.pictures is not None
        rows = Rows(self.count, size, seed)
        for _ in track(range(steps), label, total=steps, unit="step"):
            chosen = rows()
            yield self.pictures(chosen.tolist()), chosen


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


@runtime_checkable
class Printable(Protocol):
    """Something learned that people may print."""

    def print_into(self, folder: Path) -> None:
        """Write it as pictures."""


class Rows:
    """Draws batches of row numbers, evenly and by a seed of their own."""

    def __init__(self, count: int, size: int, seed: int) -> None:
        self._count, self._size = count, min(size, count)
        self._generator = torch.Generator().manual_seed(seed)

    def __call__(self) -> Tensor:
        """Return ``size`` different rows."""
        return torch.randperm(self._count, generator=self._generator)[: self._size]


def shared_loss(victim: Victim, clean: Tensor, changed: Tensor, guide: Tensor | None, sharpness: float) -> Tensor:
    """Return what one change of all pictures is to lower, [B]: flight from the own codes, or the pull to one guide.

    Args:
        victim: in evaluation mode.
        clean: pictures [B, C, H, W].
        changed: the same with the change, through which the gradient passes.
        guide: signs [K]; None flees each picture's own code.
        sharpness: a of ``u = tanh(a v)``.
    """
    outputs = torch.tanh(sharpness * victim.continuous(changed))
    if guide is not None:
        return mainstay_loss(outputs, guide.expand_as(outputs), targeted=True)
    return mainstay_loss(outputs, victim.signs(clean))


def step_decay(optimizer: torch.optim.Optimizer, steps: int) -> torch.optim.lr_scheduler.MultiStepLR:
    """Return the schedule of the releases: a tenth after half of the steps, and again after three quarters."""
    return torch.optim.lr_scheduler.MultiStepLR(optimizer, [max(1, steps // 2), max(2, 3 * steps // 4)], gamma=0.1)
