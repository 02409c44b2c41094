"""How far apart unrelated items of a collection are: the chance level, and the null that follows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import floor, sqrt
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from deephash.codes import BinaryCodes
from deephash.evaluation.null import Null, fit_null

CHANCE_PAIRS = 20_000  # the 1 % point of 20,000 pairs has a standard error of 0.07 percentage points
CHANCE_TAIL = 0.01
PEAK = 2.0  # related pairs stand apart where their peak is so many times as high as the valley behind it


@dataclass(frozen=True, slots=True)
class Chance:
    """How far apart two random items of a collection are.

    Attributes:
        mean: mean distance of random pairs, in bits.
        deviation: its standard deviation.
        counts: int64 [K + 1], random pairs at each distance.
        valley: where related pairs stand apart from the others, as with codes of classes, the distance between the two;
            None where they do not.
    """

    mean: float
    deviation: float
    counts: NDArray[np.int64]
    valley: int | None = None

    @property
    def share(self) -> NDArray[np.float64]:
        """Share of random pairs at each distance, float64 [K + 1]."""
        return np.asarray(self.counts / self.counts.sum())

    @property
    def related(self) -> float:
        """Share of random pairs that stand apart as related, 0 where none do."""
        return 0.0 if self.valley is None else float(self.share[: self.valley + 1].sum())

    def null(self) -> Null:
        """Fit the distances of unrelated items alone, see :func:`~deephash.evaluation.null.fit_null`."""
        return fit_null(self.counts, least=0 if self.valley is None else self.valley + 1)

    def __str__(self) -> str:
        return f"chance level for this collection: {self.mean:.0f} ± {self.deviation:.0f} bits"


def chance_level(codes: BinaryCodes, *, pairs: int = CHANCE_PAIRS, seed: int = 0) -> Chance | None:
    """Measure random pairs of ``codes`` [N]; all pairs where N is small; None for fewer than two items."""
    return chance_among(len(codes), codes.__getitem__, pairs=pairs, seed=seed)


def chance_among(
    total: int, codes_at: Callable[[NDArray[np.int64]], BinaryCodes], *, pairs: int = CHANCE_PAIRS, seed: int = 0
) -> Chance | None:
    """Measure random pairs of ``total`` items, of which ``codes_at`` gives those at the places asked for."""
    if total < 2:
        return None
    if total * (total - 1) // 2 <= pairs:
        first, second = np.triu_indices(total, 1)
    else:
        generator = np.random.default_rng(seed)
        first = generator.integers(0, total, pairs)
        second = (first + generator.integers(1, total, pairs)) % total  # never the item itself
    one, other = codes_at(first), codes_at(second)
    differing = np.bitwise_count(one.packed ^ other.packed).sum(axis=1, dtype=np.int64)
    return chance_of(np.bincount(differing, minlength=one.layout.max_distance + 1))


def chance_of(counts: NDArray[np.int64]) -> Chance:
    """Read random pairs: ``counts`` [K L + 1] of them lie at each distance."""
    share = counts / counts.sum()
    distances = np.arange(len(share))
    mean = float(share @ distances)
    return Chance(mean, sqrt(float(share @ (distances - mean) ** 2)), counts, _valley(share))


def is_histogram(counts: object, max_distance: int) -> bool:
    """Say whether ``counts``, which a stranger may have written, are whole numbers of pairs at each distance."""
    if not isinstance(counts, list) or len(counts) != max_distance + 1:
        return False
    return all(isinstance(each, int) and 0 <= each < 1 << 40 for each in counts) and sum(counts) > 0


def unexplained(share: NDArray[np.float64], chances: float) -> int:
    """Return the largest distance within which fewer than one of ``chances`` unrelated items (or pairs) is expected.

    Unrelated pairs alone are about symmetric around their median, and related ones do not reach beyond it: the far half
    tells how wide the near one is. It is not taken narrower than that of independent bits with the same median, since
    a query may come from outside the collection. The tail is a normal one.
    """
    median, spread = _unrelated(share)
    tail = NormalDist().inv_cdf(min(CHANCE_TAIL, 1 / chances))
    return floor(median + tail * spread - 0.5)


def _unrelated(share: NDArray[np.float64]) -> tuple[int, float]:
    """Return the median distance of unrelated pairs, and its standard deviation, see :func:`unexplained`."""
    distances = np.arange(len(share))
    median = _median(share)
    far = distances >= median
    measured = float((share * (distances - median) ** 2)[far].sum() / share[far].sum())
    independent = median * (1 - median / (len(share) - 1))
    return median, sqrt(max(measured, independent))


def _valley(share: NDArray[np.float64]) -> int | None:
    """Return the middle of the lowest stretch between a peak of near pairs and the others; None without such a peak."""
    below, median = np.cumsum(share), _median(share)
    behind = np.flatnonzero(below[:median] > CHANCE_TAIL)
    if not len(behind):
        return None
    lowest = share[behind].min()
    stretch = behind[share[behind] == lowest]
    peak = share[: stretch[0]].max(initial=0.0)
    return int(stretch[0] + stretch[-1]) // 2 if peak > PEAK * lowest else None


def _median(share: NDArray[np.float64]) -> int:
    return int(np.searchsorted(np.cumsum(share), 0.5 - 1e-9))
