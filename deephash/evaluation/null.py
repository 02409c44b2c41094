"""Nulls: how far away unrelated items lie, estimated from distances of which some are of related ones.

A null that is estimated from the data themselves is an empirical null (Efron 2004, "Large-scale simultaneous hypothesis
testing"). All random pairs are none where a class holds a tenth of the items: taken as they are, nothing would ever be
significant. So only the part is fitted that is surely unrelated.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import erfc, sqrt

import numpy as np
from numpy.typing import NDArray

TRUNCATED = 0.2  # share of random pairs, the nearest ones, that may be related and so has no say
NORMAL_IQR = 1.349  # interquartile range of a standard normal
LEAST_SPREAD = 0.5  # bits; a query that sees all items at one distance
_EDGE = 1e-4
_LEVELS, _STEPS, _SHRINK = 8, 9, 0.4  # of the search for the likeliest curve: 8 grids of 9 x 9
Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Null:
    """Distances of unrelated items.

    Attributes:
        mass: float64 [D + 1], probability of each distance, f0.
        within: float64 [D + 1], probability of at most that distance, F0; rising.
    """

    mass: Floats
    within: Floats

    @property
    def middle(self) -> float:
        """Mean distance in bits."""
        return float(self.mass @ np.arange(len(self.mass)))

    @property
    def spread(self) -> float:
        """Standard deviation in bits."""
        return sqrt(float(self.mass @ (np.arange(len(self.mass)) - self.middle) ** 2))

    def careful(self, other: Null) -> Null:
        """Return the null that allows for more by chance at every distance: the larger of both F0."""
        within = np.maximum(self.within, other.within)
        return Null(np.diff(within, prepend=0.0), within)


def fit_null(counts: NDArray[np.integer], *, least: int = 0) -> Null:
    """Fit a beta-binomial to random pairs, by likelihood truncated at their 20 % quantile.

    Args:
        counts: [D + 1], how many pairs lie at each distance; one or more.
        least: distances below are left out too, where related pairs are known to lie there.
    """
    total = counts.sum()
    first = int(np.searchsorted(np.cumsum(counts), TRUNCATED * total, side="right"))
    first = max(first, min(least, int(np.flatnonzero(counts)[-1])))
    kept = np.where(np.arange(len(counts)) >= first, counts, 0)
    bits = len(counts) - 1
    best = (float(kept @ np.arange(len(counts))) / (kept.sum() * bits), 0.1)
    reach = np.array([0.2, 0.3])
    for _ in range(_LEVELS):
        steps = np.linspace(-1, 1, _STEPS)
        means = np.clip(best[0] + reach[0] * steps, _EDGE, 1 - _EDGE)
        spreads = np.clip(best[1] + reach[1] * steps, 0.0, 1.0)
        grid = np.stack(np.meshgrid(means, spreads, indexing="ij"), axis=-1).reshape(-1, 2)
        best = tuple(grid[int(np.argmax(_likelihood(grid, kept, first)))])
        reach = reach * _SHRINK
    mass = np.exp(_log_mass(np.array([best]), bits)[0])
    return Null(mass, np.minimum(np.cumsum(mass), 1.0))


def independent_null(bits: int) -> Null:
    """Return the null of ``bits`` independent fair bits: a binomial."""
    mass = np.exp(_log_mass(np.array([[0.5, 0.0]]), bits)[0])
    return Null(mass, np.minimum(np.cumsum(mass), 1.0))


def own_null(counts: NDArray[np.integer]) -> Null:
    """Return the null of one query, from its own distances: a normal with their median and interquartile range.

    It moves with a query that is unlike everything, and is not moved by the few items that are like it.

    Args:
        counts: [D + 1], how many items lie at each distance from the query; one or more.
    """
    low, median, high = _quantiles(counts, (0.25, 0.5, 0.75))
    spread = max((high - low) / NORMAL_IQR, LEAST_SPREAD)
    edges = (np.arange(len(counts)) + 0.5 - median) / (spread * sqrt(2))
    within = np.array([0.5 * erfc(-edge) for edge in edges])
    return Null(np.diff(within, prepend=0.0), within)


def _quantiles(counts: NDArray[np.integer], shares: tuple[float, ...]) -> tuple[float, ...]:
    """Return quantiles between whole distances: the items at d are spread over d - 1/2 to d + 1/2."""
    below = np.concatenate([[0.0], np.cumsum(counts) / counts.sum()])
    edges = np.arange(len(below)) - 0.5
    rising = np.concatenate([[True], np.diff(below) > 0])
    rising[:-1] |= rising[1:]  # keep the left edge of every occupied distance
    return tuple(np.interp(shares, below[rising], edges[rising]).tolist())


def _likelihood(grid: Floats, kept: NDArray[np.integer], first: int) -> Floats:
    """Return the log-likelihood [G] of the pairs at ``first`` and beyond, given that they lie there."""
    logs = _log_mass(grid, len(kept) - 1)[:, first:]
    top = logs.max(axis=1, keepdims=True)
    tail = top[:, 0] + np.log(np.exp(logs - top).sum(axis=1))
    return np.asarray(logs @ kept[first:] - kept.sum() * tail)


def _log_mass(grid: Floats, bits: int) -> Floats:
    """Return the log of the beta-binomial of ``bits`` trials, [G, bits + 1], from the ratios of neighbours.

    ``grid`` [G, 2] holds means m in (0, 1) and u, where u^2 = rho / (1 - rho) is the overdispersion; 0 is the binomial.
    """
    mean, over = grid[:, :1], np.square(grid[:, 1:])
    place = np.arange(bits)
    steps = np.log((bits - place) / (place + 1.0))
    steps = steps + np.log(mean + over * place) - np.log(1 - mean + over * (bits - 1 - place))
    logs = np.concatenate([np.zeros((len(grid), 1)), np.cumsum(steps, axis=1)], axis=1)
    top = logs.max(axis=1, keepdims=True)
    return np.asarray(logs - top - np.log(np.exp(logs - top).sum(axis=1, keepdims=True)))
