"""Code health: does a set of codes use its bits? Numbers that explain a score before anybody looks at a network."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from deephash.codes import BinaryCodes
from deephash.errors import UsageError
from deephash.evaluation.arrays import is_labelled
from deephash.evaluation.counts import code_words, distance_counts
from deephash.evaluation.relevance import packed_words, relevance_from_labels

BLOCK = 1 << 16  # codes unpacked at once
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
    ones, both = _bit_counts(codes)
    share = ones / len(codes)
    bucket, counts = _numbered(code_words(codes))
    intra, inter = (None, None) if labels is None else _class_distances(codes, np.asarray(labels), seed)
    return CodeHealth(
        num_codes=len(codes),
        num_bits=len(ones),
        unique_codes=len(counts),
        unique_share=len(counts) / len(codes),
        imbalance=float(np.abs(share - 0.5).mean()),
        dead_bits=int(((share == 0) | (share == 1)).sum()),
        mean_correlation=_mean_correlation(both, len(codes)),
        entropy=_entropy(counts),
        collision_rate=None if labels is None else _collided_share(bucket, np.asarray(labels)),
        intra_distance=intra,
        inter_distance=inter,
        quantisation_error=None if continuous is None else quantisation_error(continuous),
    )


def collision_rate(codes: BinaryCodes, labels: ArrayLike) -> float:
    """Share of the labelled codes that equal the code of an item with which they share no label; 0 if none is labelled.

    Unlabelled items neither count nor collide.
    """
    array = np.asarray(labels)
    _require_labels(codes, array)
    return _collided_share(_numbered(code_words(codes))[0], array)


def quantisation_error(continuous: ArrayLike) -> float:
    """Mean of (v / mean|v| - sign(v))^2, sign(0) = +1; independent of the scale of v, 0 when all |v| are equal."""
    values = np.asarray(continuous, dtype=np.float64)
    scale = np.abs(values).mean() if values.size else 0.0
    signs = np.where(values >= 0, 1.0, -1.0)
    return float(np.square(values / scale - signs).mean()) if scale > 0 else 1.0


def _bit_counts(codes: BinaryCodes) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return in how many codes each bit is 1, [K], and each two bits are, [K, K]; whole numbers."""
    width = codes.num_bits * codes.num_levels
    both = np.zeros((width, width))
    for start in range(0, len(codes), BLOCK):  # below 2^24 float32 counts exactly
        bits = codes[start : start + BLOCK].bits().reshape(-1, width).astype(np.float32)
        both += bits.T @ bits
    return np.diag(both).copy(), both


def _mean_correlation(both: NDArray[np.float64], size: int) -> float:
    """Mean absolute correlation of the bits that live, from how often two are 1 together."""
    ones = np.diag(both)
    live = (ones > 0) & (ones < size)
    if live.sum() < 2:
        return 0.0
    joint, single = both[np.ix_(live, live)] / size, ones[live] / size
    spread = np.sqrt(single * (1 - single))
    correlation = (joint - np.outer(single, single)) / np.outer(spread, spread)
    return float(np.abs(correlation[np.triu_indices_from(correlation, 1)]).mean())


def _numbered(rows: NDArray[Any]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Number equal rows [N, W] alike, in ascending order; return the numbers [N] and the size of each group."""
    if rows.shape[1] == 1:  # plain numbers sort many times faster than rows
        _, number, counts = np.unique(rows[:, 0], return_inverse=True, return_counts=True)
    else:
        _, number, counts = np.unique(rows, axis=0, return_inverse=True, return_counts=True)
    return number.ravel(), counts


def count_labellings(labels: NDArray[Any]) -> int:
    """Number of different classes [N], or sets of labels [N, C]; that of the unlabelled is one."""
    return len(labelling_sizes(labels))


def labelling_sizes(labels: NDArray[Any]) -> NDArray[np.int64]:
    """Number of items of each class [N], or set of labels [N, C]; the unlabelled are one."""
    return _numbered(_label_rows(labels))[1]


def _label_rows(labels: NDArray[Any]) -> NDArray[Any]:
    return labels[:, None] if labels.ndim == 1 else packed_words(np.packbits(labels.astype(bool), axis=1))


def _collided_share(bucket: NDArray[np.int64], labels: NDArray[Any]) -> float:
    """Share of labelled items whose bucket holds an item without a common label."""
    labelled = is_labelled(labels)
    if not labelled.any():
        return 0.0
    # Items with equal label sets collide or not together, so compare label sets, not items.
    kept = labels[labelled]
    kind, _ = _numbered(_label_rows(kept))
    num_kinds = int(kind.max()) + 1
    pairs, size = np.unique(bucket[labelled] * num_kinds + kind, return_counts=True)
    holder, kinds = np.divmod(pairs, num_kinds)
    starts, several = np.unique(holder, return_index=True, return_counts=True)[1:]
    if labels.ndim == 1:  # two kinds never share a class
        return float(size[np.repeat(several > 1, several)].sum() / labelled.sum())
    sets = kept[np.unique(kind, return_index=True)[1]].astype(np.float32)
    collided = 0
    for start, count in zip(starts[several > 1], several[several > 1], strict=True):
        part = slice(start, start + count)
        alone = sets[kinds[part]] @ sets[kinds[part]].T == 0
        collided += int(size[part][alone.any(axis=1)].sum())
    return collided / int(labelled.sum())


def _require_labels(codes: BinaryCodes, labels: NDArray[Any]) -> None:
    if len(labels) != len(codes):
        raise UsageError(f"{len(labels)} labels for {len(codes)} codes; each code needs its label, in the same order")


def _entropy(counts: NDArray[np.int64]) -> float:
    share = counts / counts.sum()
    return float(-(share * np.log2(share)).sum()) + 0.0


def _class_distances(codes: BinaryCodes, labels: NDArray[Any], seed: int) -> tuple[float | None, float | None]:
    """Mean distance of pairs with and without a shared label, from counts; an item is no pair with itself."""
    _require_labels(codes, labels)
    rows = np.sort(np.random.default_rng(seed).permutation(len(codes))[:SAMPLE])
    rows = rows[is_labelled(labels[rows])]
    counts = distance_counts(codes[rows], codes[rows], relevance_from_labels(labels[rows], labels[rows]))
    same = counts.relevant.sum(axis=0)
    other = counts.items.sum(axis=0) - same
    same[0] -= len(rows)
    return _mean_distance(same), _mean_distance(other)


def _mean_distance(histogram: NDArray[np.int64]) -> float | None:
    pairs = int(histogram.sum())
    return float((histogram * np.arange(len(histogram))).sum() / pairs) if pairs else None
