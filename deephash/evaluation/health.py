"""Code health: does a set of codes use its bits? Numbers that explain a score before anybody looks at a network."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from deephash.codes import BinaryCodes
from deephash.errors import UsageError
from deephash.evaluation.counts import code_words, distance_counts
from deephash.evaluation.relevance import relevance_from_labels

SAMPLE = 5_000  # codes used for the mean distances inside and between classes


@dataclass(frozen=True, slots=True)
class CodeHealth:
    """Health of N codes of K bits.

    Attributes:
        num_codes: N.
        num_bits: K (times the levels, if there are several).
        unique_codes: number of different codes.
        unique_share: unique_codes / N.
        imbalance: mean over bits of |P(bit = 1) - 1/2|; 0 is ideal, 1/2 means constant bits.
        dead_bits: bits with one value in all codes.
        mean_correlation: mean |correlation| between different live bits; 0 if fewer than two are live.
        entropy: Shannon entropy of the distribution of codes in bits, at most min(K, log2 N).
        collision_rate: share of labelled codes that equal the code of an item they share no label with; None without
            labels.
        intra_distance: mean Hamming distance between items that share a label; None without labels or such pairs.
        inter_distance: mean Hamming distance between items that do not; None without labels or such pairs.
        quantisation_error: mean squared difference between v / mean|v| and its signs; None without continuous codes.
    """

    num_codes: int
    num_bits: int
    unique_codes: int
    unique_share: float
    imbalance: float
    dead_bits: int
    mean_correlation: float
    entropy: float
    collision_rate: float | None
    intra_distance: float | None
    inter_distance: float | None
    quantisation_error: float | None


def code_health(
    codes: BinaryCodes, *, labels: ArrayLike | None = None, continuous: ArrayLike | None = None, seed: int = 0
) -> CodeHealth:
    """Measure the health of ``codes``.

    Args:
        codes: N codes, N >= 1.
        labels: class numbers [N] (-1 = unlabelled) or multi-hot [N, C].
        continuous: the real values v [N, K] that the codes were made from.
        seed: of the sample of at most ``SAMPLE`` items behind the mean distances.

    Raises:
        UsageError: no codes, or arrays of other lengths.
    """
    if not len(codes):
        raise UsageError("there are no codes to inspect")
    bits = codes.bits().reshape(len(codes), -1)
    share = bits.mean(axis=0)
    _, counts = np.unique(code_words(codes), axis=0, return_counts=True)
    intra, inter = (None, None) if labels is None else _class_distances(codes, np.asarray(labels), seed)
    return CodeHealth(
        num_codes=len(codes),
        num_bits=bits.shape[1],
        unique_codes=len(counts),
        unique_share=len(counts) / len(codes),
        imbalance=float(np.abs(share - 0.5).mean()),
        dead_bits=int(((share == 0) | (share == 1)).sum()),
        mean_correlation=_mean_correlation(bits),
        entropy=_entropy(counts),
        collision_rate=None if labels is None else collision_rate(codes, labels),
        intra_distance=intra,
        inter_distance=inter,
        quantisation_error=None if continuous is None else quantisation_error(continuous),
    )


def collision_rate(codes: BinaryCodes, labels: ArrayLike) -> float:
    """Share of the labelled codes that equal the code of an item with which they share no label; 0 if none is labelled.

    Unlabelled items neither count nor collide.
    """
    array = np.asarray(labels)
    if len(array) != len(codes):
        raise UsageError(f"{len(array)} labels for {len(codes)} codes; each code needs its label, in the same order")
    labelled = array >= 0 if array.ndim == 1 else array.any(axis=1)
    if not labelled.any():
        return 0.0
    _, bucket = np.unique(code_words(codes[labelled]), axis=0, return_inverse=True)
    # Items with equal label sets collide or not together, so compare label sets, not items.
    _, kind = np.unique(array[labelled], axis=0, return_inverse=True)
    kind = kind.ravel()
    pairs, size = np.unique(np.stack([bucket.ravel(), kind], axis=1), axis=0, return_counts=True)
    sets = array[labelled][np.unique(kind, return_index=True)[1]]
    collided = 0
    for start, stop in _runs(pairs[:, 0]):
        kinds = pairs[start:stop, 1]
        disjoint = _disjoint(sets[kinds])
        collided += int(size[start:stop][disjoint.any(axis=1)].sum())
    return collided / int(labelled.sum())


def quantisation_error(continuous: ArrayLike) -> float:
    """Mean of (v / mean|v| - sign(v))^2, sign(0) = +1; independent of the scale of v, 0 when all |v| are equal."""
    values = np.asarray(continuous, dtype=np.float64)
    scale = np.abs(values).mean() if values.size else 0.0
    signs = np.where(values >= 0, 1.0, -1.0)
    return float(np.square(values / scale - signs).mean()) if scale > 0 else 1.0


def _mean_correlation(bits: NDArray[np.bool_]) -> float:
    share = bits.mean(axis=0)
    live = (share > 0) & (share < 1)
    if live.sum() < 2:
        return 0.0
    correlation = np.atleast_2d(np.corrcoef(bits[:, live].astype(np.float32), rowvar=False))
    return float(np.abs(correlation[np.triu_indices_from(correlation, 1)]).mean())


def _entropy(counts: NDArray[np.int64]) -> float:
    share = counts / counts.sum()
    return float(-(share * np.log2(share)).sum()) + 0.0


def _class_distances(codes: BinaryCodes, labels: NDArray[np.generic], seed: int) -> tuple[float | None, float | None]:
    """Mean distance of pairs with and without a shared label, from counts; an item is no pair with itself."""
    if len(labels) != len(codes):
        raise UsageError(f"{len(labels)} labels for {len(codes)} codes; each code needs its label, in the same order")
    rows = np.sort(np.random.default_rng(seed).permutation(len(codes))[:SAMPLE])
    labelled = labels[rows] >= 0 if labels.ndim == 1 else labels[rows].any(axis=1)  # type: ignore[operator]
    rows = rows[labelled]
    counts = distance_counts(codes[rows], codes[rows], relevance_from_labels(labels[rows], labels[rows]))
    same = counts.relevant.sum(axis=0)
    other = counts.items.sum(axis=0) - same
    same[0] -= len(rows)
    return _mean_distance(same), _mean_distance(other)


def _mean_distance(histogram: NDArray[np.int64]) -> float | None:
    pairs = int(histogram.sum())
    return float((histogram * np.arange(len(histogram))).sum() / pairs) if pairs else None


def _disjoint(sets: NDArray[np.generic]) -> NDArray[np.bool_]:
    """Which pairs of label sets (or class numbers) have nothing in common, [S, S]."""
    if sets.ndim == 1:
        return np.asarray(sets[:, None] != sets[None, :])
    multi_hot = sets.astype(np.float32)
    return np.asarray(multi_hot @ multi_hot.T == 0)


def _runs(sorted_values: NDArray[np.int64]) -> list[tuple[int, int]]:
    edges = np.flatnonzero(np.diff(sorted_values)) + 1
    return list(zip([0, *edges.tolist()], [*edges.tolist(), len(sorted_values)], strict=True))
