"""Certified bits: from counts of agreement under noise to radii, and from radii to bounds of retrieval metrics.

A bit of a smoothed code is what the model says of most noisy copies of a picture. Where it says so of a share p > 1/2,
no change of L2 norm below ``sigma Phi^-1(p)`` turns the bit (Cohen et al., ICML 2019, bit by bit). With m bits that may
turn within a radius and the distance e over the others, every distance stays in [e, e + m]: so no neighbour moves by
more than m, and relevant items at e + m with irrelevant ones at e, ties against the relevant, are a lower bound of AP
and P@k. To our knowledge no other toolkit or paper certifies retrieval by codes.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import ArrayLike, NDArray

from deephash.codes import BinaryCodes
from deephash.errors import UsageError
from deephash.evaluation.counts import DistanceCounts
from deephash.evaluation.groups import FloatArray
from deephash.evaluation.relevance import Relevance

BoolArray = NDArray[np.bool_]


def agreement_bound(agreeing: ArrayLike, draws: int, alpha: float) -> FloatArray:
    """Return the Clopper-Pearson lower bound of a share: below it with probability at most ``alpha``.

    Args:
        agreeing: how many of ``draws`` agreed, of any shape.
        draws: n.
        alpha: of one bound.

    Raises:
        UsageError: no draws, counts out of range, alpha outside (0, 1).
    """
    from scipy.stats import beta

    counts = np.asarray(agreeing, dtype=np.int64)
    if draws < 1:
        raise UsageError(f"a share is bounded by one draw or more, not {draws}")
    if not 0 < alpha < 1:
        raise UsageError(f"alpha is a probability between 0 and 1, not {alpha}")
    if ((counts < 0) | (counts > draws)).any():
        raise UsageError(f"of {draws} draws 0 to {draws} agree, not {counts.min()} to {counts.max()}")
    low = beta.ppf(alpha, np.maximum(counts, 1), draws - counts + 1)
    return np.where(counts > 0, low, 0.0)


def certified_radii(agreeing: ArrayLike, draws: int, sigma: float, alpha: float) -> FloatArray:
    """Return the L2 radius [Q, K] within which each bit of a smoothed code keeps; 0 where nothing is certified.

    All K bits of a query hold together with probability 1 - alpha (each bound is made at alpha / K).

    Args:
        agreeing: [Q, K], draws that agreed with the bit, which other draws chose.
        draws: n.
        sigma: of the noise.
        alpha: of a query.

    Raises:
        UsageError: as :func:`agreement_bound`, or a negative sigma.
    """
    from scipy.stats import norm

    counts = np.atleast_2d(np.asarray(agreeing))
    if sigma < 0:
        raise UsageError(f"sigma is 0 or more, not {sigma}")
    low = agreement_bound(counts, draws, alpha / counts.shape[1])
    return np.where(low > 0.5, sigma * norm.ppf(np.maximum(low, 0.5)), 0.0)


def largest_radius(draws: int, num_bits: int, sigma: float, alpha: float) -> float:
    """Return the largest radius that so many draws can show, ``sigma Phi^-1((alpha / K)^(1/n))``; 0 for too few."""
    return float(certified_radii(np.full((1, num_bits), draws), draws, sigma, alpha).max())


def draws_for(radius: float, num_bits: int, sigma: float, alpha: float) -> int | None:
    """Return the fewest draws that can show ``radius``; None where sigma is too small for it (over 10 million)."""
    from scipy.stats import norm

    if sigma <= 0:
        return None
    share = float(norm.cdf(radius / sigma))
    needed = np.log(alpha / num_bits) / np.log(share) if share < 1 else np.inf
    return int(np.floor(needed)) + 1 if needed < 1e7 else None


def certain_bits(radii: ArrayLike, radius: float) -> BoolArray:
    """Return which bits no change of L2 norm up to ``radius`` turns, shaped like ``radii``."""
    return np.asarray(np.asarray(radii) > radius)


def certain_distances(codes: BinaryCodes, certain: BoolArray, database: BinaryCodes) -> Iterator[NDArray[np.int64]]:
    """Yield, query by query, the distances e [N] over the certain bits alone.

    The expected distance of a bit that is not known is a half: add m / 2 for the distance of unknown bits.
    """
    masks = BinaryCodes.from_bits(certain).packed
    for code, mask in zip(codes.packed, masks, strict=True):
        yield np.bitwise_count((database.packed ^ code) & mask).sum(axis=1, dtype=np.int64)


def worst_counts(codes: BinaryCodes, certain: ArrayLike, database: BinaryCodes, relevance: Relevance) -> DistanceCounts:
    """Return counts of the worst ranking that bits which are not certain allow, for ties against the relevant items.

    Args:
        codes: Q flat codes.
        certain: booleans [Q, K], see :func:`certain_bits`.
        database: N codes.
        relevance: of both; an item is relevant or not, however many labels are shared.

    Raises:
        UsageError: shapes that do not fit, codes of several levels.
    """
    known = np.asarray(certain, dtype=bool)
    if codes.num_levels != 1 or known.shape != (len(codes), codes.num_bits):
        raise UsageError(
            f"certain bits [{len(codes)}, {codes.num_bits}] belong to {codes.describe()}, not {known.shape}; codes of "
            "several levels are not certified"
        )
    uncertain = codes.num_bits - known.sum(axis=1)
    found = np.zeros((len(codes), 2, codes.num_bits + 1), dtype=np.int64)
    for query, near in enumerate(certain_distances(codes, known, database)):
        gains = relevance.rows(slice(query, query + 1)).gains()[0]
        relevant = gains > 0
        found[query, 1] = np.bincount(near[relevant] + uncertain[query], minlength=codes.num_bits + 1)
        found[query, 0] = np.bincount(near[gains == 0], minlength=codes.num_bits + 1)
    return DistanceCounts(found, len(database))


def certain_duplicates(near: ArrayLike, uncertain: int, radius: int) -> tuple[BoolArray, BoolArray]:
    """Return which items a query certainly stays a near-duplicate of, and which it can certainly not collide with.

    Args:
        near: e, distances over certain bits.
        uncertain: m.
        radius: t, in bits; an item is a near-duplicate at distance t or less.
    """
    distances = np.asarray(near)
    return distances + uncertain <= radius, distances > 0
