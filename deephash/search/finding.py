"""From an encoded query to hits: narrowed once, counted once, ordered as the options ask."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from deephash.codes import BinaryCodes
from deephash.codes.certainty import expected_hamming
from deephash.encoding.product import gather_of
from deephash.errors import UsageError
from deephash.index.rerank import search_two_stage
from deephash.numbers import whole
from deephash.search.encoder import Encoded
from deephash.search.hits import Hit
from deephash.search.narrowing import Among
from deephash.search.query import AUTO, Options, Query
from deephash.search.snapshot import Shard

BEYOND = 64  # further neighbours, among which ties at the last hit's distance mostly end


@dataclass(frozen=True, eq=False)
class Found:
    """Hits, best first, how many items lie at each distance, which engine answered, and the item that asked itself."""

    hits: list[Hit]
    counts: NDArray[np.int64]
    engine: str
    itself: int | None = None


@dataclass(frozen=True, eq=False)
class _Ordered:
    """Items in order: ids and distances [m], and what they were ordered by, where it was not the distance."""

    ids: NDArray[np.int64]
    distances: NDArray[np.int32]
    scores: NDArray[np.float32] | None = None
    corrected: NDArray[np.float64] | None = None
    expected: NDArray[np.float64] | None = None

    def within(self, distance: int | None) -> _Ordered:
        """Leave out what lies farther away."""
        if distance is None:
            return self
        near = self.distances <= distance
        columns = (self.ids, self.distances, self.scores, self.corrected, self.expected)
        return _Ordered(*(None if column is None else column[near] for column in columns))  # type: ignore[arg-type]


def find(shard: Shard, query: Query, encoded: Encoded, options: Options) -> Found:
    """Search one shard, and count the items at every distance.

    Raises:
        UsageError: a code of another length, numbers out of range, a filter that does not fit, re-ranking where there
            are no vectors, or hubs where there is no bank.
    """
    code, k, farthest = encoded.code, *_checked(shard, encoded.code, options)
    among = shard.narrowing.among(options.where)
    counts = among.counts(code)
    ordered = _ordered(shard, among, query, encoded, options, k).within(farthest)
    how = among.explain(int(counts.sum()), len(shard))
    engine = (shard.index if code.layout.is_flat else shard.symmetric).explain() + (f"\nfilter: {how}" if how else "")
    itself = query.item if query.item is not None and query.item in among else None
    return Found(_hits(shard, code, ordered, lambda far: int(counts[far])), counts, engine, itself)


def find_hits(shard: Shard, query: Query, encoded: Encoded, options: Options) -> list[Hit]:
    """Return the hits of :func:`find` alone; on large collections without a second pass over all codes.

    How many items lie at a hit's distance is read from some more neighbours: all nearer ones are among them. Only where
    these end at the last hit's own distance are the codes counted.
    """
    if options.rerank or options.rerank_expected or options.correct_hubs or not encoded.code.layout.is_flat:
        return find(shard, query, encoded, options).hits
    code, k, farthest = encoded.code, *_checked(shard, encoded.code, options)
    among = shard.narrowing.among(options.where)
    more = 2 * k + BEYOND
    found = among.index.search(code, more, allowed=among.allowed)
    distances = found.distances[0]
    last = distances[-1] if len(distances) == more else code.layout.max_distance + 1

    def tie_size(far: int) -> int:
        return int((distances == far).sum()) if far < last else int(among.counts(code)[far])

    nearest = _nearest(found.ids[0, :k], distances[:k], query, among)
    return _hits(shard, code, nearest.within(farthest), cache(tie_size))


def _checked(shard: Shard, code: BinaryCodes, options: Options) -> tuple[int, int | None]:
    """Return k and the farthest distance that is asked for."""
    _check(shard, code)
    k = whole(options.k, "k, the number of answers,", least=1)
    if options.max_distance is None or options.max_distance == AUTO:
        return k, None
    return k, whole(options.max_distance, "max_distance, in bits,")


def _ordered(shard: Shard, among: Among, query: Query, encoded: Encoded, options: Options, k: int) -> _Ordered:
    rerank = whole(options.rerank, "rerank, the length of the shortlist,")
    expected = whole(options.rerank_expected, "rerank_expected, the length of the shortlist,")
    if sum(map(bool, (rerank, expected, options.correct_hubs))) > 1:
        raise UsageError(
            "hits are ordered by stored vectors (rerank), by expected distances (rerank_expected) or by corrected "
            "distances (hubs); leave out all but one"
        )
    if expected:
        return by_expected_distance(shard, among, encoded, k, max(k, expected))
    if options.correct_hubs:
        correction = shard.correction(_hub_kind(query))
        ids, corrected, distances = correction.search(among.index, encoded.code, k, allowed=among.allowed)[0]
        return _Ordered(ids, distances, corrected=corrected)
    if rerank:
        if encoded.vector is None:
            raise UsageError("re-ranking compares float vectors; give the query's with `vector`")
        gather, metric = gather_of(shard.collection)
        best = search_two_stage(
            *(among.index, encoded.code, encoded.vector, gather, k),
            shortlist=max(k, rerank),
            metric=metric,
            allowed=among.allowed,
        )
        return _Ordered(best.ids[0], best.distances[0], scores=best.scores[0])
    if not encoded.code.layout.is_flat:
        return _symmetric(shard, among, query, encoded.code, k)
    found = among.index.search(encoded.code, k, allowed=among.allowed)
    return _nearest(found.ids[0], found.distances[0], query, among)


def by_expected_distance(shard: Shard, among: Among, encoded: Encoded, k: int, shortlist: int) -> _Ordered:
    """Order the nearest codes by the mean of their distance to an uncertain query; equal means by (distance, id).

    Raises:
        UsageError: it is not known how sure the query's bits are, or codes have several levels.
    """
    encoded.code.layout.require_flat("re-ranking by expected distance")
    sure = require_known(encoded)
    found = among.index.search(encoded.code, shortlist, allowed=among.allowed)
    ids, distances = found.ids[0], found.distances[0]
    bits = shard.codes_of(ids).bits() if len(ids) else np.zeros((0, len(sure)), bool)
    expected = expected_hamming(bits, sure)
    best = np.lexsort((ids, distances, expected))[:k]
    return _Ordered(ids[best], distances[best], expected=expected[best])


def require_known(encoded: Encoded) -> NDArray[np.float64]:
    """Return how probably each bit is 1. Raises UsageError where it is not known."""
    if encoded.probabilities is None:
        raise UsageError(
            "how sure this query's code is is not known: stored codes and mixtures have bits alone, and a model tells "
            "it where deephash train had a labelled validation part (certainty.json in its folder)"
        )
    return encoded.probabilities


def _symmetric(shard: Shard, among: Among, query: Query, code: BinaryCodes, k: int) -> _Ordered:
    """Order by the cosine of what codes of several levels stand for; their distances are only told."""
    best = shard.symmetric.search(code, k, allowed=among.ids)
    ids, scores = best.ids[0], best.scores[0]
    if query.item is not None and query.item in among:
        ids = _itself_first(ids, np.where(scores >= scores[:1], 0, 1).astype(np.int32), query.item)
    distances = code.hamming(shard.codes_of(ids))[0] if len(ids) else np.empty(0, np.int32)
    return _Ordered(ids, distances, scores=scores)


def _nearest(ids: NDArray[np.int64], distances: NDArray[np.int32], query: Query, among: Among) -> _Ordered:
    if query.item is not None and query.item in among:
        ids = _itself_first(ids, distances, query.item)
    return _Ordered(ids, distances)


def _hub_kind(query: Query) -> str:
    if query.only is None or query.only.kind not in ("image", "text"):
        raise UsageError(
            "hub correction (--correct-hubs) knows queries of one phrase or one picture; leave out the others"
        )
    return query.only.kind


def _check(shard: Shard, code: BinaryCodes) -> None:
    expected = shard.index.layout
    if code.layout != expected:
        raise UsageError(
            f"{shard.collection.path} holds codes of {expected.describe()}; the query has {code.layout.describe()}. "
            "Encode it with the collection's own model"
        )


def _hits(shard: Shard, code: BinaryCodes, found: _Ordered, tie_size: Callable[[int], int]) -> list[Hit]:
    if not len(found.ids):
        return []
    longest, flat = code.layout.max_distance, code.layout.is_flat
    return [
        Hit(
            rank=place + 1,
            id=item.id,
            uri=item.uri,
            distance=(far := int(found.distances[place])),
            similarity=1 - far / longest if flat or found.scores is None else float(found.scores[place]),
            num_bits=longest,
            tie_size=tie_size(far),
            attributes=item.attributes,
            score=None if found.scores is None else float(found.scores[place]),
            corrected=None if found.corrected is None else float(found.corrected[place]),
            expected_distance=None if found.expected is None else float(found.expected[place]),
            model_version=item.model_version,
        )
        for place, item in enumerate(shard.collection.items(found.ids, with_hashes=False))
    ]


def _itself_first(ids: NDArray[np.int64], distances: NDArray[np.int32], item: int) -> NDArray[np.int64]:
    """Move an item before those at its own distance 0; where it is not among the k, all of them share its code."""
    found = np.flatnonzero(ids == item)
    place = int(found[0]) if len(found) else len(ids) - 1
    if place < 0 or distances[place] > 0:
        return ids
    return np.concatenate([[item], ids[:place], ids[place + 1 :]])
