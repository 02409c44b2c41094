"""Slow and plain versions of the evaluation formulas, one ranking at a time, to judge the fast ones by."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray


def arrangements(gains_by_group: list[list[int]]) -> Iterator[list[int]]:
    """All different orders of gains inside tied groups; each stands for equally many permutations."""
    options = [sorted(set(itertools.permutations(group))) for group in gains_by_group]
    for choice in itertools.product(*options):
        yield [gain for group in choice for gain in group]


def average_precision(gains: list[int], depth: int, normalize: str, total: int) -> float:
    """AP of one ranking; ``total`` relevant items in the database."""
    hits, numerator, found = 0, 0.0, []
    for rank, gain in enumerate(gains, start=1):
        if gain > 0:
            hits += 1
            found.append((rank, hits / rank))
    if normalize == "first-k":
        kept = [precision for _, precision in found[: min(depth, total)]]
        return sum(kept) / min(depth, total)
    kept = [precision for rank, precision in found if rank <= depth]
    numerator = sum(kept)
    denominator = {"hits": len(kept), "min": min(depth, total), "total": total}[normalize]
    return numerator / denominator if denominator else 0.0


def weighted_average_precision(gains: list[int], depth: int) -> float:
    """WAP of one ranking."""
    cumulated, terms = 0.0, []
    for rank, gain in enumerate(gains[:depth], start=1):
        cumulated += gain
        if gain > 0:
            terms.append(cumulated / rank)
    return sum(terms) / len(terms) if terms else 0.0


def trapezoid(gains: list[int]) -> float:
    """Area under the PR curve of one ranking by trapezoids."""
    hits, area, total = 0, 0.0, sum(gain > 0 for gain in gains)
    for place, gain in enumerate(gains):
        if gain > 0:
            before = hits / place if place else 1.0
            hits += 1
            area += (before + hits / (place + 1)) / 2 / total
    return area


def ndcg(gains: list[int], depth: int, exponential: bool) -> float:
    """NDCG of one ranking that holds the whole database."""

    def discounted(order: list[int]) -> float:
        values = [(2**gain - 1 if exponential else gain) for gain in order[:depth]]
        return sum(value / np.log2(rank + 1) for rank, value in enumerate(values, start=1))

    return discounted(gains) / discounted(sorted(gains, reverse=True))


def gains_between(query_labels: NDArray, database_labels: NDArray) -> NDArray[np.int64]:
    """Shared labels of each pair, [Q, N]."""
    if query_labels.ndim == 1:
        return ((query_labels[:, None] == database_labels[None]) & (query_labels[:, None] >= 0)).astype(np.int64)
    return query_labels.astype(np.int64) @ database_labels.astype(np.int64).T


def distances_between(query_bits: NDArray, database_bits: NDArray) -> NDArray[np.int64]:
    """Hamming distances by comparing bit by bit, [Q, N]."""
    return (query_bits[:, None, :] != database_bits[None]).sum(axis=2)


def ranked_gains(distances: NDArray, gains: NDArray) -> list[int]:
    """Gains of one query in (distance, database row) order."""
    return [int(gains[item]) for item in sorted(range(len(distances)), key=lambda item: (distances[item], item))]


def groups_of(distances: NDArray, gains: NDArray) -> list[list[int]]:
    """Gains of one query in tied groups, nearest first."""
    return [[int(g) for g in gains[distances == d]] for d in sorted(set(distances.tolist()))]


def random_sides(
    seed: int, queries: int, items: int, bits: int, labels: int = 0, classes: int = 4
) -> tuple[NDArray, NDArray, NDArray, NDArray]:
    """Bits and labels of both sides; multi-hot with ``labels`` columns, or class numbers with a few unlabelled."""
    rng = np.random.default_rng(seed)
    query, database = rng.integers(0, 2, (queries, bits)), rng.integers(0, 2, (items, bits))
    if labels:
        query_labels = rng.integers(0, 2, (queries, labels))
        query_labels[:, 0] |= query_labels.sum(axis=1) == 0  # every query has something to find
        return query, database, query_labels, rng.integers(0, 2, (items, labels))
    query_labels, database_labels = rng.integers(0, classes, queries), rng.integers(-1, classes, items)
    database_labels[:classes] = np.arange(classes)  # every query has something to find
    return query, database, query_labels, database_labels


def metric_learning(gains: list[int]) -> tuple[float, float]:
    """MAP@R and R-precision of one ranking, R being its number of relevant items."""
    total = sum(gain > 0 for gain in gains)
    hits, precisions = 0, 0.0
    for rank, gain in enumerate(gains[:total], start=1):
        if gain > 0:
            hits += 1
            precisions += hits / rank
    return precisions / total, hits / total
