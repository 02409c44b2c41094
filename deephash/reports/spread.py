"""Mean, spread and a 95 % interval over repetitions, such as runs of one recipe with several seeds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Spread:
    """One figure of several repetitions.

    Attributes:
        values: one a repetition.
        mean: of the values.
        spread: sample standard deviation (n - 1); None for one value.
        low: lower end of Student's 95 % interval of the mean; None for one value. Between seeds, not between queries.
        high: upper end.
    """

    values: tuple[float, ...]
    mean: float
    spread: float | None
    low: float | None
    high: float | None

    def __str__(self) -> str:
        return f"{self.mean:.4f}" if self.spread is None else f"{self.mean:.4f} ± {self.spread:.4f}"


def spread_of(values: Sequence[float]) -> Spread:
    """Return mean, sample standard deviation and Student's 95 % interval (n - 1 degrees of freedom) of ``values``."""
    numbers = tuple(float(value) for value in values)
    mean = float(np.mean(numbers))
    if len(numbers) < 2:
        return Spread(numbers, mean, None, None, None)
    from scipy.special import stdtrit  # needed for repetitions alone

    deviation = float(np.std(numbers, ddof=1))
    half = float(stdtrit(len(numbers) - 1, 0.975)) * deviation / len(numbers) ** 0.5
    return Spread(numbers, mean, deviation, mean - half, mean + half)
