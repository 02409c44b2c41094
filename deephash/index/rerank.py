"""Second stage: float vectors, or a float query against binary codes, reorder a shortlist.

Binary codes choose S candidates in memory; only their vectors are read from disk, each once a batch and in ascending
order, and the final order is by exact inner product or cosine. The shortlist length is what matters: see
``verify.choose_shortlist``. The scheme is that of BiDR (Xiao et al., WWW 2022) and MRL's two-stage retrieval.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from deephash.codes import BinaryCodes
from deephash.errors import UsageError
from deephash.index.base import Allowed, Neighbors, Searchable
from deephash.numbers import whole

Ids = NDArray[np.int64]
Gather = Callable[[Ids], NDArray[Any]]  # ascending ids [n] -> vectors [n, D], e.g. Collection.vectors
GATHERED_AT_ONCE = 1 << 16  # vectors held at a time: 64 MB at 512 dimensions in float16


@dataclass(frozen=True, slots=True, eq=False)
class Reranked:
    """Answers in the order (-score, id).

    Attributes:
        ids: int64 [Q, m].
        distances: int32 [Q, m], Hamming distances, as before.
        scores: float32 [Q, m], larger is better.
    """

    ids: Ids
    distances: NDArray[np.int32]
    scores: NDArray[np.float32]


def search_two_stage(
    index: Searchable,
    queries: BinaryCodes,
    query_vectors: ArrayLike,
    gather: Gather,
    k: int,
    *,
    shortlist: int,
    beta: float = 0.0,
    metric: str = "cosine",
    allowed: Allowed | None = None,
) -> Reranked:
    """Return the best ``k`` of the ``shortlist`` items nearest by code, ordered by their vectors.

    Args:
        index: first stage.
        queries: Q codes.
        query_vectors: float [Q, D].
        gather: reads vectors of ascending ids.
        k: answers wanted.
        shortlist: S, candidates of the first stage; at least k.
        beta: weight of the code similarity in the final score; see :func:`rerank`.
        metric: ``cosine`` or ``inner`` (inner product).
        allowed: filter of the first stage.

    Raises:
        UsageError: a shortlist shorter than ``k``, or vectors that do not fit.
    """
    k, shortlist = whole(k, "k, the number of answers,", least=1), whole(shortlist, "a shortlist")
    if shortlist < k:
        raise UsageError(f"a shortlist of {shortlist} cannot hold {k} answers; give at least {k}, better {20 * k}")
    found = index.search(queries, shortlist, allowed=allowed)
    return rerank(found, query_vectors, gather, k, num_bits=index.num_bits, beta=beta, metric=metric)


def rerank(
    found: Neighbors,
    query_vectors: ArrayLike,
    gather: Gather,
    k: int,
    *,
    num_bits: int,
    beta: float = 0.0,
    metric: str = "cosine",
) -> Reranked:
    """Reorder a shortlist by ``score = <q, x> + beta * (K - 2 d) / K`` and keep the best ``k``.

    Args:
        found: shortlist [Q, S].
        query_vectors: float [Q, D].
        gather: reads vectors of ascending ids; called with each id once a block of queries.
        k: answers wanted.
        num_bits: K, for the blend.
        beta: 0 = vectors alone; BiDR uses 0.3 for its code score.
        metric: ``cosine`` or ``inner``.

    Raises:
        UsageError: a metric that does not exist, or vectors that do not fit.
    """
    if metric not in ("cosine", "inner"):
        raise UsageError(f"metric is 'cosine' or 'inner', not {metric!r}")
    vectors = _as_vectors(query_vectors, len(found.ids))
    scores = np.empty(found.ids.shape, np.float32)
    block = max(1, GATHERED_AT_ONCE // max(1, found.ids.shape[1]))
    for first in range(0, len(vectors), block):
        rows = slice(first, first + block)
        scores[rows] = _scores(found.ids[rows], vectors[rows], gather, metric)
    if beta:
        scores += np.float32(beta) * (num_bits - 2 * found.distances) / np.float32(num_bits)
    return _best(found, scores, k)


def rerank_asymmetric(
    found: Neighbors, query_values: ArrayLike, codes_of: Callable[[Ids], BinaryCodes], k: int
) -> Reranked:
    """Reorder a shortlist by the float query against binary items: ``score = sum_k q_k b_k``, b in {-1, +1}.

    Args:
        found: shortlist [Q, S].
        query_values: continuous codes of the queries, float [Q, K].
        codes_of: gives the codes of ascending ids, e.g. ``LiveIndex.codes_of``.
        k: answers wanted.
    """
    values = _as_vectors(query_values, len(found.ids))
    scores = _scores(found.ids, values, lambda ids: codes_of(ids).signs(), "inner")
    return _best(found, scores, k)


def asymmetric_scores(query_values: ArrayLike, codes: BinaryCodes) -> NDArray[np.float32]:
    """Return ``sum_k q_k b_k`` for all pairs, float32 [Q, N]; unpacked in blocks, multiplied by BLAS.

    With queries of -1/+1 this is K - 2 d, so its order is the Hamming order.
    """
    values = _as_vectors(query_values, None)
    if values.shape[1] != codes.num_bits:
        raise UsageError(f"queries of {values.shape[1]} values cannot be scored against {codes.describe()}")
    scores = np.empty((len(values), len(codes)), np.float32)
    for first in range(0, len(codes), 1 << 14):
        columns = slice(first, first + (1 << 14))
        scores[:, columns] = values @ codes[columns].signs().astype(np.float32).T
    return scores


def _scores(ids: Ids, queries: NDArray[np.float32], gather: Gather, metric: str) -> NDArray[np.float32]:
    """Return float32 [Q, S]; every id is read once, in ascending order."""
    wanted, place = np.unique(ids, return_inverse=True)
    if not len(wanted):
        return np.empty(ids.shape, np.float32)
    vectors = np.asarray(gather(wanted), dtype=np.float32)
    if vectors.shape != (len(wanted), queries.shape[1]):
        raise UsageError(
            f"{len(wanted):,} vectors of {queries.shape[1]} dimensions were expected, the collection gave "
            f"{list(vectors.shape)}; its vectors and the query's must come from the same model"
        )
    if metric == "cosine":
        queries, vectors = _unit(queries), _unit(vectors)
    place = place.reshape(ids.shape)
    return np.stack([vectors[row] @ query for row, query in zip(place, queries, strict=True)])


def _best(found: Neighbors, scores: NDArray[np.float32], k: int) -> Reranked:
    order = np.lexsort((found.ids, -scores), axis=-1)[:, :k]
    ids, distances = np.take_along_axis(found.ids, order, 1), np.take_along_axis(found.distances, order, 1)
    return Reranked(ids, distances, np.take_along_axis(scores, order, 1))


def _unit(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    result: NDArray[np.float32] = vectors / np.maximum(lengths, np.finfo(np.float32).tiny)
    return result


def _as_vectors(values: ArrayLike, number: int | None) -> NDArray[np.float32]:
    vectors = np.asarray(values, dtype=np.float32)
    if vectors.ndim != 2 or (number is not None and len(vectors) != number):
        rows = "Q" if number is None else str(number)
        raise UsageError(f"query vectors are float of shape [{rows}, D], not {list(vectors.shape)}")
    return vectors
