"""How sure the bits of a code are, and what follows from it: expected distances, and which codes to look at next.

A row of probabilities p [K] says of each bit how probably it is 1; a stored code is the row of its bits, 0 and 1. Bits
are taken to be independent. NumPy alone (and SciPy's normal distribution).
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from itertools import islice

import numpy as np
from numpy.typing import ArrayLike, NDArray

from deephash.errors import UsageError
from deephash.numbers import whole

Probabilities = NDArray[np.float64]
NOISE = 0.8413447460685429  # Phi(1): a bit less sure than this has a margin below one standard deviation
SUREST = 1e-12  # no bit is surer than this from being wrong, so that its log odds are finite


def bit_probabilities(mean: ArrayLike, sigma: ArrayLike) -> Probabilities:
    """Return how probably each bit is 1 where its value is N(mean, sigma^2): ``Phi(mean / sigma)``.

    Args:
        mean: mu [..., K].
        sigma: standard deviations, above 0, of a shape that fits.

    Raises:
        UsageError: NaN or infinity, or a sigma of 0 or below.
    """
    from scipy.special import ndtr

    mean, sigma = np.asarray(mean, np.float64), np.asarray(sigma, np.float64)
    if not (np.isfinite(mean).all() and np.isfinite(sigma).all()):
        raise UsageError("means and standard deviations of bits hold NaN or infinity")
    if not (sigma > 0).all():
        raise UsageError(f"standard deviations of bits are above 0, not {sigma.min():g}: a sure bit has a small one")
    return np.asarray(ndtr(mean / sigma))


def checked_probabilities(values: ArrayLike, what: str = "bit probabilities") -> Probabilities:
    """Return ``values`` [..., K] as float64. Raises UsageError for NaN, or a number outside 0..1."""
    found = np.asarray(values, np.float64)
    if found.ndim < 1 or not ((found >= 0) & (found <= 1)).all():  # NaN is neither
        raise UsageError(f"{what} are rows of numbers between 0 and 1 without NaN")
    return found


def differing(first: ArrayLike, second: ArrayLike) -> Probabilities:
    """Return how probably each bit differs, ``p (1 - q) + q (1 - p)``, of rows [..., K] that fit each other."""
    p, q = checked_probabilities(first), checked_probabilities(second)
    if p.shape[-1] != q.shape[-1]:
        raise UsageError(f"rows of {p.shape[-1]} and {q.shape[-1]} bits cannot be compared")
    return np.asarray(p * (1 - q) + q * (1 - p))


def expected_hamming(first: ArrayLike, second: ArrayLike) -> Probabilities:
    """Return the mean of the Hamming distance of two uncertain codes, in bits; a plain code is a row of 0 and 1.

    Args:
        first: p [..., K].
        second: q, of a shape that fits; ``first[:, None]`` against ``second[None]`` gives all pairs.
    """
    return np.asarray(differing(first, second).sum(axis=-1))


def hamming_variance(first: ArrayLike, second: ArrayLike) -> Probabilities:
    """Return the variance of that distance, in bits squared; arguments as of :func:`expected_hamming`."""
    chance = differing(first, second)
    return np.asarray((chance * (1 - chance)).sum(axis=-1))


def certainty(probabilities: ArrayLike) -> Probabilities:
    """Return how sure whole codes are, ``1 - mean 4 p (1 - p)``: 1 where all bits are sure, 0 where none is."""
    p = checked_probabilities(probabilities)
    return np.asarray(1 - (4 * p * (1 - p)).mean(axis=-1))


def within_noise(probabilities: ArrayLike) -> NDArray[np.bool_]:
    """Say which bits have a margin below one standard deviation: they are right with less than 84 %."""
    p = checked_probabilities(probabilities)
    return np.asarray(np.maximum(p, 1 - p) < NOISE)


def flip_order(probabilities: ArrayLike) -> NDArray[np.int64]:
    """Return the bits of one code [K], the least certain first: in this order a probe turns them, one at a time."""
    p = _one_row(probabilities)
    return np.argsort(np.abs(p - 0.5), kind="stable").astype(np.int64)


def probes(probabilities: ArrayLike, count: int) -> list[tuple[int, ...]]:
    """Return the ``count`` likeliest codes, each as the bits in which it differs from the likeliest of all.

    The order of multi-probe search: exact, by a heap over the sums of the bits' log odds, without looking at 2^K codes.
    The first is ``()``, the code itself; equally likely ones stand in the order of :func:`flip_order`.

    Args:
        probabilities: p [K].
        count: fewer come back where there are not so many codes.

    Raises:
        UsageError: probabilities that are none, or ``count`` below 1.
    """
    return list(islice(_falling(_one_row(probabilities)), whole(count, "count, the number of probes,", least=1)))


def _falling(p: Probabilities) -> Iterator[tuple[int, ...]]:
    order = flip_order(p)
    sure = np.clip(np.maximum(p, 1 - p)[order], None, 1 - SUREST)
    costs = np.log(sure / (1 - sure)).tolist()  # rising
    yield ()
    heap: list[tuple[float, tuple[int, ...]]] = [(costs[0], (0,))] if costs else []
    while heap:
        cost, places = heapq.heappop(heap)
        yield tuple(sorted(int(order[place]) for place in places))
        last, after = places[-1], places[-1] + 1
        if after < len(costs):  # turn one bit more, or the next one instead of the last
            heapq.heappush(heap, (cost + costs[after], (*places, after)))
            heapq.heappush(heap, (cost - costs[last] + costs[after], (*places[:-1], after)))


def _one_row(probabilities: ArrayLike) -> Probabilities:
    p = checked_probabilities(probabilities)
    if p.ndim != 1:
        raise UsageError(f"the bits of one code at a time, [K], are put in order, not {list(p.shape)}")
    return p
