"""Hubness reductions: even out how often the items of a gallery turn up among nearest neighbours, within one space.

After Nielsen and Hansen, Hubness Reduction Improves Sentence-BERT Semantic Spaces, NLDL 2024: f-norm, mutual proximity,
local scaling. They are measured with :mod:`deephash.evaluation.hubness_measures`; low hubness alone is no merit (a
shuffled gallery has none), so read it beside recall or mAP. For a correction by a bank of queries see ``querybank``.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr, ndtri

from deephash.errors import UsageError

Floats = NDArray[np.floating]


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
