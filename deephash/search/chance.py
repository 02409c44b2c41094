"""How far apart unrelated items of a collection are, and the cut-off that follows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import floor, sqrt
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from deephash.codes import BinaryCodes

CHANCE_PAIRS = 20_000  # the 1 % point of 20,000 pairs has a standard error of 0.07 percentage points
CHANCE_TAIL = 0.01
GROUP_SHARE = 0.95
PEAK = 2.0  # related pairs stand apart where their peak is so many times as high as the valley behind it


@dataclass(frozen=True, slots=True)
class Chance:
    """How far apart two unrelated items of a collection are.

    Attributes:
        mean: mean distance of random pairs, in bits.
        deviation: its standard deviation.
        cutoff: the largest distance that chance does not explain; -1 where there is none, as when most items share one
            code, or when there are so many items that even equal codes are expected by chance. Within it lie at most
            1 % of random pairs, and fewer than one unrelated item is expected there. Where the collection falls into
            groups (:attr:`grouped`), 95 % of the pairs of one group lie within it instead of that 1 %.
        share: float64 [K + 1], the share of random pairs at each distance.
        grouped: whether related pairs stand apart from the others, as with codes of classes.
    """

    mean: float
    deviation: float
    cutoff: int
    share: NDArray[np.float64]
    grouped: bool = False

    @property
    def nearer(self) -> float:
        """Share of random pairs that reach the cut-off or stay below it."""
        return float(self.share[: self.cutoff + 1].sum())

    @property
    def reason(self) -> str:
        """Why the cut-off is where it is, in a few words."""
        if self.cutoff < 0:
            return "no cut-off: chance alone gives equal codes"
        if self.grouped:
            return f"cut-off {self.cutoff}, as in one group: {100 * self.nearer:.0f} % of random pairs lie within it"
        return f"cut-off {self.cutoff}: by chance, fewer than one item is expected within it"

    def __str__(self) -> str:
        return f"chance level for this collection: {self.mean:.0f} ± {self.deviation:.0f} bits; {self.reason}"


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
    return chance_of(np.bincount(differing, minlength=one.layout.max_distance + 1), total)


def chance_of(counts: NDArray[np.int64], total: int) -> Chance:
    """Read random pairs: ``counts`` [K L + 1] of them lie at each distance, ``total`` items are searched."""
    share = counts / counts.sum()
    valley = _valley(share)
    if valley is None:
        cutoff, chances = _quantile(share, CHANCE_TAIL), float(total)
    else:  # items of one group come or go together, so there are as many chances as groups
        together = float(share[: valley + 1].sum())
        cutoff, chances = _quantile(share, GROUP_SHARE * together) + 1, 1 / together
    cutoff = max(-1, min(cutoff, unexplained(share, chances)))
    distances = np.arange(len(share))
    mean = float(share @ distances)
    deviation = sqrt(float(share @ (distances - mean) ** 2))
    return Chance(mean, deviation, cutoff, share, valley is not None)


def is_histogram(counts: object, max_distance: int) -> bool:
    """Say whether ``counts``, which a stranger may have written, are whole numbers of pairs at each distance."""
    if not isinstance(counts, list) or len(counts) != max_distance + 1:
        return False
    return all(isinstance(each, int) and 0 <= each < 1 << 40 for each in counts) and sum(counts) > 0


def probabilities(chance: Chance | None, max_distance: int) -> NDArray[np.float64]:
    """Return the probability that an unrelated item lies within each distance, float64 [max_distance + 1], rising.

    It is the normal tail of :func:`unexplained`, as fine at distances that no random pair reaches. Without pairs the
    bits are taken to be independent.
    """
    from scipy.special import ndtr  # not before it is needed: it would slow down every start

    middle, spread = (max_distance / 2, sqrt(max_distance) / 2) if chance is None else _unrelated(chance.share)
    return np.asarray(ndtr((np.arange(max_distance + 1) + 0.5 - middle) / max(spread, 0.5)))


def _quantile(share: NDArray[np.float64], part: float) -> int:
    """Return the largest distance that at most ``part`` of random pairs reach or stay below, or -1."""
    return int(np.searchsorted(np.cumsum(share), part, side="right")) - 1


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
