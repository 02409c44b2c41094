"""What is wrong with a set of codes, in sentences: dead bits, classes with one code, few codes for many items."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from deephash.codes import BinaryCodes
from deephash.evaluation.arrays import is_labelled
from deephash.evaluation.counts import code_words
from deephash.evaluation.health import BLOCK, labelling_sizes

CROWDED = 0.5  # share of items on few codes from which it is said
MARGIN = 0.2  # beyond the share that classes of unequal size explain
FEW = 100  # without classes, codes are few where there are fewer than a code for so many items
MOST_NAMED = 12  # bits or classes named in a sentence

Labels = NDArray[np.generic]


def inspect_codes(
    codes: BinaryCodes, *, labels: Labels | None = None, class_names: Sequence[str] = (), supervised: bool = False
) -> list[str]:
    """Return what is wrong with N codes of K bits, worst first; an empty list where nothing is.

    Args:
        codes: of database or validation items.
        labels: class numbers [N] (-1 = unlabelled) or multi-hot [N, C].
        class_names: words of the classes, for the sentences.
        supervised: the method learned these classes, so that a code a class is what it is meant to give.
    """
    if len(codes) < 2:
        return []
    _, bucket, counts = np.unique(code_words(codes), axis=0, return_inverse=True, return_counts=True)
    if len(counts) == 1:
        return [
            f"all {len(codes):,} items have the same code: the model collapsed, and a search tells nothing apart. "
            "Common causes: a learning rate that is too high, a loss that became NaN, features that share a mean "
            "(centre: true of methods that have it)"
        ]
    sizes = labelling_sizes(np.asarray(labels)) if labels is not None and supervised else None
    found = [_crowding(counts, sizes), _dead_bits(codes)]
    if supervised and labels is not None and labels.ndim == 1:
        found.insert(1, _equal_classes(bucket.ravel(), labels, class_names))
    return [sentence for sentence in found if sentence]


def _crowding(counts: NDArray[np.int64], sizes: NDArray[np.int64] | None) -> str:
    """Say that many items share few codes: fewer than half the classes, or than a code for a hundred items.

    Args:
        counts: of the items of each code.
        sizes: of the classes that were learned; None where a code for each is not what is meant.
    """
    most = max(1, counts.sum() // FEW if sizes is None else len(sizes) // 2)
    held = _share_of_largest(counts)
    meant = 0.0 if sizes is None else _share_of_largest(sizes)[most - 1]  # a large class may fill a code
    share = held[min(most, len(held)) - 1]
    if share < max(CROWDED, meant + MARGIN):
        return ""
    few = int(np.searchsorted(held, 0.95 * share)) + 1
    named = "one code" if few == 1 else f"{few:,} codes"
    against = "" if sizes is None else f", and there are {len(sizes):,} classes"
    return f"{held[few - 1]:.0%} of items share {named}{against}: a search cannot order them"


def _share_of_largest(counts: NDArray[np.int64]) -> NDArray[np.float64]:
    shares: NDArray[np.float64] = np.cumsum(np.sort(counts)[::-1]) / counts.sum()
    return shares


def _dead_bits(codes: BinaryCodes) -> str:
    """Name the bits that have one value in all codes."""
    width, ones = codes.num_bits * codes.num_levels, 0
    for start in range(0, len(codes), BLOCK):
        ones = ones + codes[start : start + BLOCK].bits().reshape(-1, width).sum(axis=0, dtype=np.int64)
    dead = np.flatnonzero((ones == 0) | (ones == len(codes)))
    if not len(dead):
        return ""
    return (
        f"{len(dead)} of {width} bits are dead, with one value in all codes: {_listed([str(bit) for bit in dead])} "
        "(counted from 0); they cost memory and tell nothing"
    )


def _equal_classes(bucket: NDArray[np.int64], labels: Labels, names: Sequence[str]) -> str:
    """Name classes whose items mostly have a code that is also that of most items of another class."""
    by_code: dict[int, list[str]] = {}
    for kind in np.unique(labels[is_labelled(labels)]).tolist():
        codes, counts = np.unique(bucket[labels == kind], return_counts=True)
        if counts.max() * 2 > counts.sum():
            word = names[kind] if kind < len(names) else str(kind)
            by_code.setdefault(int(codes[counts.argmax()]), []).append(str(word))
    groups = [words for words in by_code.values() if len(words) > 1]
    if not groups:
        return ""
    return f"classes that share one code, so that a search cannot tell them apart: {_listed(map(' = '.join, groups))}"


def _listed(words: Sequence[str] | map[str]) -> str:
    every = list(words)
    more = f" and {len(every) - MOST_NAMED} more" if len(every) > MOST_NAMED else ""
    return ", ".join(every[:MOST_NAMED]) + more
