"""Judging an index against exact search, and choosing a shortlist length for a recall target.

Used by ``deephash collection verify``, which writes what it measured into the collection's card.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from deephash.codes import BinaryCodes
from deephash.errors import UsageError
from deephash.index.base import CodeIndex, Neighbors
from deephash.index.exact import plain_exact
from deephash.index.ids import positions
from deephash.index.measures import recall_by_distance
from deephash.index.rerank import Gather, Ids

VECTORS_AT_ONCE = 1 << 15  # of the exact float search: 64 MB at 512 dimensions


@dataclass(frozen=True, slots=True)
class RecallCheck:
    """Recall of an index, measured.

    Attributes:
        recall: share of answers as near as exact search has them (by distance, so ties cannot lower it).
        k: answers a query.
        queries: how many were asked.
        wrong_distances: answers whose stated distance is not the distance of that id; 0 in a sound index.
        unknown_ids: answers whose id is not in the collection; 0 in a sound index.
        engine: what was judged, in words.
    """

    recall: float
    k: int
    queries: int
    wrong_distances: int
    unknown_ids: int
    engine: str

    @property
    def sound(self) -> bool:
        """Whether every answer was an item of the collection at its true distance."""
        return not self.wrong_distances and not self.unknown_ids


def verify_recall(
    index: CodeIndex,
    ids: Ids,
    codes: BinaryCodes,
    sample: int = 100,
    k: int = 10,
    *,
    queries: BinaryCodes | None = None,
    seed: int = 0,
) -> RecallCheck:
    """Measure an index against exact search over the same codes.

    Args:
        index: the index to judge.
        ids: int64 [N] ascending, the truth.
        codes: their codes.
        sample: number of codes drawn as queries where ``queries`` is not given.
        k: answers a query.
        queries: real queries, which are the better judges.
        seed: of the draw.

    Raises:
        UsageError: nothing to search.
    """
    if not len(ids):
        raise UsageError("an empty collection has no recall; index some pictures first")
    if queries is None:
        queries = codes[np.random.default_rng(seed).choice(len(codes), min(sample, len(codes)), replace=False)]
    found = index.search(queries, k)
    exact = plain_exact(codes).search(queries, k, None)
    wrong, unknown = _faults(found, ids, codes, queries)
    recall = recall_by_distance(found.distances, exact.distances)
    return RecallCheck(recall, k, len(queries), wrong, unknown, index.explain())


def _faults(found: Neighbors, ids: Ids, codes: BinaryCodes, queries: BinaryCodes) -> tuple[int, int]:
    wrong = unknown = 0
    for i in range(len(queries)):
        answer, order = np.unique(found.ids[i], return_index=True)
        known = np.isin(answer, ids)
        unknown += int(np.count_nonzero(~known)) + found.ids.shape[1] - len(answer)
        true = queries[i].hamming(codes[positions(answer, ids)])[0]
        wrong += int(np.count_nonzero(true != found.distances[i][order[known]]))
    return wrong, unknown


@dataclass(frozen=True, slots=True)
class ShortlistChoice:
    """A shortlist length and what it was chosen from.

    Attributes:
        length: the shortest S measured to reach the target.
        recall: recall@k after re-ranking S candidates, on the sample.
        target: what was asked for.
        k: answers a query.
        queries: size of the sample.
        curve: (S, recall) at doubling lengths up to ``length``.
    """

    length: int
    recall: float
    target: float
    k: int
    queries: int
    curve: tuple[tuple[int, float], ...]


def choose_shortlist(
    index: CodeIndex,
    queries: BinaryCodes,
    query_vectors: ArrayLike,
    ids: Ids,
    gather: Gather,
    *,
    k: int = 10,
    target: float = 0.99,
    metric: str = "cosine",
) -> ShortlistChoice:
    """Choose the shortest shortlist that keeps ``target`` of the exact float neighbours.

    Re-ranking puts every true neighbour that is in the shortlist into the first k places, so recall@k is the share of
    true neighbours within the first S of the code order; their places there are measured once and S is read off.

    Args:
        index: first stage.
        queries: Q sample codes.
        query_vectors: float [Q, D], their vectors.
        ids: int64 [N] ascending, all items.
        gather: reads vectors of ascending ids.
        k: answers a query.
        target: recall wanted, in (0, 1].
        metric: ``cosine`` or ``inner``.
    """
    if not 0 < target <= 1:
        raise UsageError(f"a recall target lies in (0, 1], not {target}")
    true = float_neighbours(query_vectors, ids, gather, k, metric=metric)
    length = min(len(ids), 16 * k)
    while True:
        found = index.search(queries, length)
        places = _places(true, found.ids)
        if (places < length).mean() >= target or length >= len(ids):
            break
        length = min(len(ids), 4 * length)
    reached = np.sort(places.ravel())
    needed = int(np.ceil(target * places.size))
    chosen = max(k, min(int(reached[needed - 1]) + 1, length))
    lengths = [k * 2**step for step in range(64) if k * 2**step < chosen] + [chosen]
    curve = tuple((each, float((places < each).mean())) for each in lengths)
    return ShortlistChoice(chosen, curve[-1][1], target, k, len(queries), curve)


def _places(true: Ids, shortlist: Ids) -> NDArray[np.int64]:
    """Return where each true neighbour stands in the shortlist; beyond the end = its length."""
    places = np.full(true.shape, shortlist.shape[1])
    for row, (wanted, given) in enumerate(zip(true, shortlist, strict=True)):
        order = np.argsort(given)
        at = np.minimum(np.searchsorted(given, wanted, sorter=order), len(given) - 1)
        hit = given[order[at]] == wanted
        places[row, hit] = order[at[hit]]
    return places


def float_neighbours(query_vectors: ArrayLike, ids: Ids, gather: Gather, k: int, *, metric: str = "cosine") -> Ids:
    """Return the exact k nearest ids by vector, int64 [Q, min(k, N)], reading the vectors block by block."""
    queries = np.asarray(query_vectors, dtype=np.float32)
    best = np.empty((len(queries), 0), np.float32)
    names = np.empty((len(queries), 0), np.int64)
    for first in range(0, len(ids), VECTORS_AT_ONCE):
        part = ids[first : first + VECTORS_AT_ONCE]
        vectors = np.asarray(gather(part), dtype=np.float32)
        if metric == "cosine":
            vectors /= np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), np.finfo(np.float32).tiny)
        best = np.concatenate([best, queries @ vectors.T], axis=1)
        names = np.concatenate([names, np.broadcast_to(part, (len(queries), len(part)))], axis=1)
        order = np.lexsort((names, -best), axis=-1)[:, :k]
        best, names = np.take_along_axis(best, order, 1), np.take_along_axis(names, order, 1)
    return names
