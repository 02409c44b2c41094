"""Hubness: how unevenly the items of a gallery turn up among nearest neighbours, and ways to even it out.

Measures as in scikit-hubness (Feldbauer, Rattei, Flexer 2020); reductions after Nielsen and Hansen, Hubness Reduction
Improves Sentence-BERT Semantic Spaces, NLDL 2024: f-norm, mutual proximity, local scaling. Low hubness alone is no
merit (a shuffled gallery has none): read it beside recall or mAP. For correction by a bank of queries see
``querybank``.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr, ndtri

from deephash.errors import UsageError

Floats = NDArray[np.floating]


@dataclass(frozen=True)
class Hubness:
    """How often each gallery item was among the k nearest of a query.

    Attributes:
        k: list length.
        occurrence: int64 [G]; sums to k times the number of queries.
    """

    k: int
    occurrence: NDArray[np.int64]

    @property
    def skewness(self) -> float:
        """Third standardised moment of the occurrences (biased, as scipy's default); 0 where all are equal."""
        deviation = self.occurrence - self.occurrence.mean()
        spread = deviation.std()
        return float((deviation**3).mean() / spread**3) if spread > 0 else 0.0

    @property
    def robin_hood(self) -> float:
        """Share of all occurrences that would have to move to make the items equal."""
        return float(0.5 * np.abs(self.occurrence - self.occurrence.mean()).sum() / max(self.occurrence.sum(), 1))

    @property
    def antihub_rate(self) -> float:
        """Share of items that no query ever found."""
        return float((self.occurrence == 0).mean())

    @property
    def hub_occurrence(self) -> float:
        """Share of list places taken by hubs, items found at least 2 k times."""
        return float(self.occurrence[self.occurrence >= 2 * self.k].sum() / max(self.occurrence.sum(), 1))

    @property
    def gini(self) -> float:
        """Gini coefficient of the occurrences."""
        ordered = np.sort(self.occurrence)
        ranks = 2 * np.arange(1, len(ordered) + 1) - len(ordered) - 1
        return float((ranks * ordered).sum() / max(len(ordered) * ordered.sum(), 1))

    def as_dict(self) -> dict[str, float]:
        """Return the measures by name, for a report."""
        names = ("skewness", "robin_hood", "antihub_rate", "hub_occurrence", "gini")
        return {"k": float(self.k)} | {name: float(getattr(self, name)) for name in names}


def measure_hubness(distances: Floats, k: int = 10, *, exclude_self: bool = False, seed: int = 0) -> Hubness:
    """Count k-occurrences over ``distances`` [Q, G]; equal distances are ordered at random.

    In a fixed order, ties (massive among short codes) would make hubs of the items that come first.

    Args:
        distances: smaller is nearer; pass minus the similarity.
        k: list length, at most G (minus one with ``exclude_self``).
        exclude_self: the queries are the gallery (Q = G); leave each item out of its own list.
        seed: of the order of ties.
    """
    work = np.array(distances, dtype=np.float64)
    if exclude_self:
        np.fill_diagonal(work, np.inf)
    if not 1 <= k <= work.shape[1] - exclude_self:
        raise UsageError(f"k lies in 1..{work.shape[1] - exclude_self} for {work.shape[1]} items, not {k}")
    shuffle = np.random.default_rng(seed)
    occurrence = np.zeros(work.shape[1], dtype=np.int64)
    for row in work:
        order = shuffle.permutation(len(row))
        occurrence[order[np.argsort(row[order], kind="stable")[:k]]] += 1
    return Hubness(k, occurrence)


@dataclass(frozen=True)
class FNorm:
    """f-norm: each dimension is mapped onto a normal distribution, rows then have unit length.

    The paper does so on training and test vectors together; here the map is frozen on the database, so that a single
    query can be transformed.

    Attributes:
        ordered: [N, D], the database's values of each dimension in ascending order.
    """

    ordered: Floats

    @classmethod
    def fit(cls, database: Floats) -> FNorm:
        """Learn the maps from ``database`` [N, D]."""
        return cls(np.sort(np.asarray(database, dtype=np.float64), axis=0))

    def transform(self, vectors: Floats) -> Floats:
        """Return mapped vectors [n, D] at unit norm; the order within a dimension is kept."""
        levels = (np.arange(len(self.ordered)) + 0.5) / len(self.ordered)
        columns = [ndtri(np.interp(vectors[:, d], self.ordered[:, d], levels)) for d in range(vectors.shape[1])]
        mapped = np.stack(columns, axis=1)
        length = np.linalg.norm(mapped, axis=1, keepdims=True)
        unit: Floats = mapped / np.maximum(length, 1e-12)
        return unit


@dataclass(frozen=True)
class Moments:
    """Mean and standard deviation of each point's distances, [n] each."""

    mean: Floats
    std: Floats

    @classmethod
    def of(cls, distances: Floats, neighbours: int | None = None) -> Moments:
        """Take the moments of each row of ``distances``, over its nearest ``neighbours`` only where given."""
        used = distances if neighbours is None else np.sort(distances, axis=1)[:, :neighbours]
        return cls(used.mean(axis=1), used.std(axis=1))

    @classmethod
    def from_histograms(cls, histograms: NDArray[np.int64]) -> Moments:
        """Take the moments of Hamming distances counted in [n, K + 1] (see ``querybank.bank_histograms``)."""
        levels = np.arange(histograms.shape[1])
        total = histograms.sum(axis=1)
        mean = histograms @ levels / total
        return cls(mean, np.sqrt(np.maximum(histograms @ levels**2 / total - mean**2, 0)))


def mutual_proximity(distances: Floats, queries: Moments, gallery: Moments, *, integer: bool = False) -> Floats:
    """Return d' = 1 - P(farther from x) P(farther from y) under normal distributions, [Q, G] within [0, 1].

    Args:
        distances: [Q, G].
        queries: moments of each query's distances.
        gallery: moments of each item's distances.
        integer: Hamming distances; half a bit of continuity correction is applied.
    """
    shifted = distances - 0.5 if integer else distances
    from_query = (shifted - queries.mean[:, None]) / np.maximum(queries.std[:, None], 1e-12)
    from_item = (shifted - gallery.mean) / np.maximum(gallery.std, 1e-12)
    proximity: Floats = 1 - ndtr(-from_query) * ndtr(-from_item)
    return proximity


def mutual_proximity_empirical(distances: Floats) -> Floats:
    """Return 1 - the share of points farther than d(x, y) from both x and y, for a square matrix [N, N] of one set."""
    if distances.shape[0] != distances.shape[1]:
        raise UsageError(f"empirical mutual proximity needs all distances of one set, not {list(distances.shape)}")
    farther = np.empty(distances.shape)
    for x, row in enumerate(distances):
        farther[x] = ((row[None, :] > row[:, None]) & (distances > row[:, None])).mean(axis=1)
    return 1 - farther


def local_scaling(distances: Floats, query_scale: Floats, gallery_scale: Floats) -> Floats:
    """Return d' = 1 - exp(-d^2 / (s_x s_y)), with s the distance to a near neighbour (:func:`neighbour_distance`)."""
    product = np.maximum(query_scale[:, None] * gallery_scale, 1e-12)
    scaled: Floats = 1 - np.exp(-(distances.astype(np.float64) ** 2) / product)
    return scaled


def neighbour_distance(distances: Floats, rank: int = 5) -> Floats:
    """Return each row's distance to its ``rank``-th nearest column."""
    if not 1 <= rank <= distances.shape[1]:
        raise UsageError(f"rank lies in 1..{distances.shape[1]}, not {rank}")
    nth: Floats = np.partition(distances, rank - 1, axis=1)[:, rank - 1]
    return nth
