"""Locality-sensitive hashing tables over float features: the classic web image search engine.

Two families. p-stable (Datar et al., SoCG 2004), for Euclidean distance: h(x) = floor((a.x + b) / w) with a ~ N(0, I)
and b ~ U[0, w). Random hyperplanes (Charikar, STOC 2002), for angles: h(x) = [a.x >= 0]. A table's key joins g
functions; L tables; candidates are the union of the query's buckets, ordered by true distance. ``compare_with_scan``
reports what the tables cost in quality and how much of the database they looked at, beside scans of the floats and of
binary codes, so that the loss by quantisation and the loss by the index are seen apart (after arXiv 2105.01147).
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations
from math import acos, erfc, exp, pi, sqrt
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from deephash.codes import BinaryCodes
from deephash.errors import UsageError
from deephash.index.bloom import mix64
from deephash.index.exact import plain_exact

_SIDES: tuple[Literal["left"], Literal["right"]] = ("left", "right")
Ids = NDArray[np.int64]
Floats = NDArray[np.float32]


def pstable_collision(distance: float, width: float) -> float:
    """Return the chance that one p-stable function gives two points at ``distance`` the same value."""
    if distance == 0:
        return 1.0
    t = width / distance
    tail = erfc(t / sqrt(2)) / 2  # Phi(-t)
    return 1 - 2 * tail - 2 / (sqrt(2 * pi) * t) * (1 - exp(-(t**2) / 2))


def hyperplane_collision(cosine: float) -> float:
    """Return the chance that one hyperplane has two points of that cosine on the same side: 1 - angle / pi."""
    return 1 - acos(max(-1.0, min(1.0, cosine))) / pi


def hit_probability(collision: float, functions: int, tables: int) -> float:
    """Return the chance that a point is found in at least one of ``tables`` tables: 1 - (1 - p^g)^L."""
    return float(1 - (1 - collision**functions) ** tables)


@dataclass(frozen=True, slots=True, eq=False)
class LshAnswer:
    """Answers of one query, ordered by (distance, id); fewer than k where the buckets held fewer.

    Attributes:
        ids: int64 [m].
        distances: float32 [m], Euclidean (p-stable) or 1 - cosine (hyperplane).
        scanned: items whose distance was computed.
    """

    ids: Ids
    distances: Floats
    scanned: int


class LshIndex:
    """L hash tables over float vectors.

    Args:
        ids: int64 [N], distinct.
        vectors: float [N, D].
        family: ``pstable`` or ``hyperplane``.
        tables: L.
        functions: g, functions a key.
        width: w of the p-stable family, in units of distance; None = the median distance of sampled pairs.
        probes: buckets also looked at around the query's own, up to this many changed functions (hyperplane: flipped
            bits; p-stable: the neighbouring interval on the nearer side).
        seed: of the functions.

    Raises:
        UsageError: shapes or numbers that cannot work.
    """

    def __init__(
        self,
        ids: Ids,
        vectors: ArrayLike,
        *,
        family: Literal["pstable", "hyperplane"] = "pstable",
        tables: int = 8,
        functions: int = 12,
        width: float | None = None,
        probes: int = 0,
        seed: int = 0,
    ) -> None:
        points = _as_points(vectors)
        if family not in ("pstable", "hyperplane"):
            raise UsageError(f"family is 'pstable' or 'hyperplane', not {family!r}")
        if len(ids) != len(points) or not len(points):
            raise UsageError(
                f"{len(ids):,} ids for {len(points):,} vectors; each vector needs one id, and one at least"
            )
        if min(tables, functions) < 1 or not 0 <= probes <= functions:
            raise UsageError(
                f"tables and functions are at least 1, probes 0..functions, not {(tables, functions, probes)}"
            )
        order = np.argsort(ids)
        self._ids, self._points = (
            np.asarray(ids)[order],
            _unit(points)[order] if family == "hyperplane" else points[order],
        )
        self._family, self._tables, self._functions, self._probes = family, tables, functions, probes
        random = np.random.default_rng(seed)
        self._directions = random.standard_normal((points.shape[1], tables * functions), dtype=np.float32)
        self.width = float(width or _median_distance(self._points, random))
        self._offsets = random.uniform(0, self.width, tables * functions).astype(np.float32)
        keys = self._keys(self._values(self._points)[0])
        self._order = np.argsort(keys, axis=1, kind="stable")
        self._sorted = np.take_along_axis(keys, self._order, 1)

    def __len__(self) -> int:
        return len(self._ids)

    def search(self, queries: ArrayLike, k: int) -> list[LshAnswer]:
        """Return the ``k`` nearest of each query's candidates."""
        points = _as_points(queries)
        points = _unit(points) if self._family == "hyperplane" else points
        return [self._search_one(point, k) for point in points]

    @property
    def ids(self) -> Ids:
        """All ids, ascending."""
        return self._ids

    def scan(self, queries: ArrayLike, k: int) -> Ids:
        """Return the exact k nearest ids by the same distance, from a sequential scan, int64 [Q, min(k, N)]."""
        points = _as_points(queries)
        points = _unit(points) if self._family == "hyperplane" else points
        answers = np.empty((len(points), min(k, len(self))), np.int64)
        for row, point in enumerate(points):
            distances = _distances(point, self._points, self._family)
            answers[row] = self._ids[np.lexsort((self._ids, distances))[:k]]
        return answers

    def _search_one(self, point: Floats, k: int) -> LshAnswer:
        rows = self._candidates(point)
        distances = _distances(point, self._points[rows], self._family)
        order = np.lexsort((rows, distances))[:k]
        return LshAnswer(self._ids[rows[order]], distances[order], len(rows))

    def _candidates(self, point: Floats) -> Ids:
        values, nearer = self._values(point[None])
        found = []
        for changed in range(self._probes + 1):
            for chosen in combinations(range(self._functions), changed):
                moved = values.copy()
                if chosen:
                    moved[:, :, list(chosen)] += nearer[:, :, list(chosen)]
                keys = self._keys(moved)[:, 0]
                for table in range(self._tables):
                    first, last = (np.searchsorted(self._sorted[table], keys[table], side=side) for side in _SIDES)
                    found.append(self._order[table, first:last])
        return np.unique(np.concatenate(found))

    def _values(self, points: Floats) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return the function values [L, n, g] and the step to the next most likely value of each."""
        projected = points @ self._directions
        if self._family == "hyperplane":
            values = (projected >= 0).astype(np.int64)
            step = 1 - 2 * values
        else:
            scaled = (projected + self._offsets) / np.float32(self.width)
            values = np.floor(scaled).astype(np.int64)
            step = np.where(scaled - values < 0.5, -1, 1)
        shape = (len(points), self._tables, self._functions)
        return values.reshape(shape).swapaxes(0, 1), step.reshape(shape).swapaxes(0, 1)

    def _keys(self, values: NDArray[np.int64]) -> NDArray[np.uint64]:
        """Return one 64-bit key a table and point, uint64 [L, n]; the order of the functions matters."""
        keys = np.zeros(values.shape[:2], np.uint64)
        for function in range(values.shape[2]):
            keys = mix64(keys ^ values[:, :, function].astype(np.uint64))
        return keys


@dataclass(frozen=True, slots=True)
class LshReport:
    """An index judged beside sequential scans.

    Attributes:
        share_scanned: mean share of the database whose distance was computed.
        recall: share of the exact k nearest (by the floats) that were found.
        map_lsh: mAP@k of the index, by labels.
        map_scan: mAP@k of the sequential scan of the floats.
        map_binary_scan: mAP@k of the scan of binary codes, where codes were given.
        k: answers a query.
        recall_by_class: recall@k of each class of the queries, by label.
    """

    share_scanned: float
    recall: float
    map_lsh: float
    map_scan: float
    map_binary_scan: float | None
    k: int
    recall_by_class: dict[int, float]


def compare_with_scan(
    index: LshIndex,
    queries: ArrayLike,
    query_labels: NDArray[np.int64],
    labels: NDArray[np.int64],
    *,
    k: int = 10,
    codes: tuple[BinaryCodes, BinaryCodes] | None = None,
) -> LshReport:
    """Search with the index and by sequential scan, and report quality and share of the database looked at.

    Args:
        index: its items carry ``labels`` in ascending order of their ids.
        queries: float [Q, D]; not the ones the index was tuned on.
        query_labels: int [Q].
        labels: int [N].
        k: answers a query.
        codes: (query codes, database codes in ascending order of ids) to scan beside the floats.
    """
    points = _as_points(queries)
    answers = index.search(points, k)
    exact = index.scan(points, k)
    rows = [np.searchsorted(index.ids, answer.ids) for answer in answers]
    hits = [labels[found] == label for found, label in zip(rows, query_labels, strict=True)]
    relevant = labels[np.searchsorted(index.ids, exact)] == query_labels[:, None]
    shared = np.array([np.isin(true, answer.ids).mean() for true, answer in zip(exact, answers, strict=True)])
    binary = None
    if codes is not None:
        found = plain_exact(codes[1]).search(codes[0], k, None).ids
        binary = _mean_precision(list(labels[found] == query_labels[:, None]))
    return LshReport(
        share_scanned=float(np.mean([answer.scanned for answer in answers]) / len(index)),
        recall=float(shared.mean()),
        map_lsh=_mean_precision(hits),
        map_scan=_mean_precision(list(relevant)),
        map_binary_scan=binary,
        k=k,
        recall_by_class={int(label): float(shared[query_labels == label].mean()) for label in np.unique(query_labels)},
    )


def _mean_precision(hits: list[NDArray[np.bool_]]) -> float:
    """Return the mean AP of ranked hit lists, each normalised by its own hits; a list without hits counts 0."""
    total = 0.0
    for hit in hits:
        found = np.cumsum(hit)
        if len(hit) and found[-1]:
            total += float((found[hit] / (np.flatnonzero(hit) + 1)).mean())
    return total / max(1, len(hits))


def _distances(point: Floats, others: Floats, family: str) -> Floats:
    if family == "hyperplane":
        result: Floats = 1 - others @ point
        return result
    distances: Floats = np.linalg.norm(others - point, axis=1)
    return distances


def _median_distance(points: Floats, random: np.random.Generator) -> float:
    one, two = random.integers(0, len(points), (2, 256))
    distances = np.linalg.norm(points[one] - points[two], axis=1)
    return float(np.median(distances[distances > 0])) if (distances > 0).any() else 1.0


def _unit(points: Floats) -> Floats:
    lengths = np.linalg.norm(points, axis=1, keepdims=True)
    result: Floats = points / np.maximum(lengths, np.finfo(np.float32).tiny)
    return result


def _as_points(vectors: ArrayLike) -> Floats:
    points = np.asarray(vectors, dtype=np.float32)
    if points.ndim != 2:
        raise UsageError(f"vectors are float of shape [N, D], not {list(points.shape)}")
    return points
