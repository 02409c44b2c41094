"""Per-distance counts: all that a ranking metric over Hamming distances needs to know.

For one query let ``n[d]`` be the number of database items at distance d and ``m[d]`` the number of relevant ones among
them. Every ranking metric is a function of these few numbers, so metrics computed from them are exactly tie-aware and
do not depend on the order of the database, the sort call or the machine. Graded metrics also need how many of the items
at distance d have each gain, which is what ``DistanceCounts.by_gain`` keeps.

Counting goes block by block, never through a queries x database matrix. Large jobs run a Numba kernel, small ones (and
machines without Numba) NumPy; the numbers are integers and identical.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from deephash.codes import BinaryCodes, distance_blocks
from deephash.errors import UsageError
from deephash.evaluation.relevance import IGNORED, Exceptions, LabelRelevance, Relevance, packed_words

Engine = Literal["auto", "numba", "numpy"]

NUMBA_PAYS_FROM = 300_000_000  # pairs; below, importing Numba and its cache (1.7 s) takes longer than NumPy
KERNELS_PAY_FROM = 1_000_000  # pairs, once the kernels are loaded
QUERIES_PER_TASK = 64  # their histograms stay in the second-level cache
COUNTS_BYTES = 4 << 20  # of one block of queries in count_blocks; what metrics build on it is up to 100 times larger


@dataclass(frozen=True, slots=True, eq=False)
class DistanceCounts:
    """How many items lie at each distance from each query, by gain.

    Attributes:
        by_gain: int64 [Q, G + 1, D + 1]; ``by_gain[q, g, d]`` = database items at distance d with gain g, where gain 0
            means irrelevant.
        num_database: N, items that a query may ignore included; None takes the longest ranking there is. Cut-offs are
            held against it, so that what is allowed does not depend on which queries stand together in a block.
    """

    by_gain: NDArray[np.int64]
    num_database: int | None = None

    @classmethod
    def from_items(cls, items: ArrayLike, relevant: ArrayLike) -> DistanceCounts:
        """Build from n [Q, D + 1] and m [Q, D + 1] (one query: [D + 1]) with gains of 0 and 1.

        Raises:
            UsageError: shapes differ, negative numbers, or more relevant items than items.
        """
        n, m = np.atleast_2d(np.asarray(items, np.int64)), np.atleast_2d(np.asarray(relevant, np.int64))
        if n.shape != m.shape or (m < 0).any() or (m > n).any():
            raise UsageError("counts need 0 <= relevant <= items at each distance, in two arrays of one shape [Q, D+1]")
        return cls(np.stack([n - m, m], axis=1))

    def __len__(self) -> int:
        return len(self.by_gain)

    @property
    def items(self) -> NDArray[np.int64]:
        """n, [Q, D + 1]."""
        return np.asarray(self.by_gain.sum(axis=1))

    @property
    def relevant(self) -> NDArray[np.int64]:
        """m, [Q, D + 1]."""
        return np.asarray(self.by_gain[:, 1:].sum(axis=1))

    @property
    def totals(self) -> NDArray[np.int64]:
        """Items of each gain in the whole database, [Q, G + 1]."""
        return np.asarray(self.by_gain.sum(axis=2))

    @property
    def num_relevant(self) -> NDArray[np.int64]:
        """N_q, the relevant items of each query in the whole database, [Q]."""
        return np.asarray(self.by_gain[:, 1:].sum(axis=(1, 2)))

    @property
    def num_items(self) -> NDArray[np.int64]:
        """Ranked items of each query, [Q]; the size of the database less the ignored items."""
        return np.asarray(self.by_gain.sum(axis=(1, 2)))

    @property
    def longest(self) -> int:
        """The largest cut-off R one may ask for: N."""
        return int(self.num_items.max(initial=1)) if self.num_database is None else self.num_database

    @property
    def unanswerable(self) -> int:
        """Number of queries without any relevant item; no ranking metric is defined for them."""
        return int((self.num_relevant == 0).sum())


def distance_counts(
    query_codes: BinaryCodes,
    database_codes: BinaryCodes,
    relevance: Relevance,
    *,
    engine: Engine = "auto",
    threads: int | None = None,
) -> DistanceCounts:
    """Count items by distance and gain for every query.

    Args:
        query_codes: Q codes.
        database_codes: N codes of the same length; N below 2^31.
        relevance: from ``relevance_from_labels`` or ``ListedPairs.from_lists``.
        engine: "auto" takes Numba when it is installed and the job is large.
        threads: worker threads of the Numba kernel; by default the cores this process may use, at most
            ``OMP_NUM_THREADS`` where that is set.

    Raises:
        UsageError: codes of different lengths, or labels that do not belong to these codes.
    """
    require_fit(query_codes, database_codes, relevance)
    shape = (len(query_codes), relevance.max_gain + 1, max_distance(query_codes) + 1)
    counts = np.zeros(shape, dtype=np.int64)
    if len(query_codes) and len(database_codes):
        count = _count_numba if takes_numba(engine, len(query_codes) * len(database_codes)) else _count_numpy
        count(query_codes, database_codes, relevance.labels, counts, threads or default_threads())
    if relevance.exceptions is not None:
        _set_right(query_codes, database_codes, relevance.exceptions, counts)
    return DistanceCounts(counts, len(database_codes))


def count_blocks(
    query_codes: BinaryCodes,
    database_codes: BinaryCodes,
    relevance: Relevance,
    *,
    engine: Engine = "auto",
    threads: int | None = None,
) -> Iterator[tuple[slice, DistanceCounts]]:
    """Yield ``(query rows, counts of those queries)``; memory stays bounded for any number of queries."""
    per_query = (relevance.max_gain + 1) * (max_distance(query_codes) + 1) * np.dtype(np.int64).itemsize
    step = max(QUERIES_PER_TASK, COUNTS_BYTES // per_query)
    if engine == "auto":  # decided once for the whole job, not for each block
        engine = "numba" if takes_numba(engine, len(query_codes) * len(database_codes)) else "numpy"
    for start in range(0, len(query_codes), step):
        rows = slice(start, min(start + step, len(query_codes)))
        part = distance_counts(query_codes[rows], database_codes, relevance.rows(rows), engine=engine, threads=threads)
        yield rows, part


def max_distance(codes: BinaryCodes) -> int:
    """Return D = bits times levels, the largest possible distance."""
    return codes.num_bits * codes.num_levels


def code_words(codes: BinaryCodes) -> NDArray[np.uint64]:
    """View packed codes as uint64 words [N, ceil(bytes / 8)], padded with zero bytes."""
    return packed_words(codes.packed)


def takes_numba(engine: Engine, pairs: int) -> bool:
    """Decide whether a job of so many pairs runs the Numba kernels."""
    if engine not in ("auto", "numba", "numpy"):
        raise UsageError(f"engine is 'auto', 'numba' or 'numpy', not {engine!r}")
    if engine == "auto":
        loaded = "deephash.evaluation.kernels" in sys.modules
        return pairs >= (KERNELS_PAY_FROM if loaded else NUMBA_PAYS_FROM) and find_spec("numba") is not None
    return engine == "numba"


def default_threads() -> int:
    """Return the cores this process may use, at most ``OMP_NUM_THREADS``."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    wanted = os.environ.get("OMP_NUM_THREADS", "")
    return max(1, min(cores, int(wanted))) if wanted.isdigit() else cores


def in_threads(run: Callable[[int], None], num_queries: int, threads: int, step: int = QUERIES_PER_TASK) -> None:
    """Call ``run`` with the first row of each ``step`` queries; kernels release the interpreter lock."""
    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(run, range(0, num_queries, step)))


def _count_numba(
    queries: BinaryCodes,
    database: BinaryCodes,
    labels: LabelRelevance,
    counts: NDArray[np.int64],
    threads: int,
) -> None:
    from deephash.evaluation.kernels import count_cells

    query_words, planes = code_words(queries), np.ascontiguousarray(code_words(database).T)
    query_labels, label_planes, same_class = labels.words
    flat = counts.reshape(len(counts), -1)
    stride = np.uint64(counts.shape[2])

    def run(start: int) -> None:
        rows = slice(start, start + QUERIES_PER_TASK)
        count_cells(query_words[rows], planes, query_labels[rows], label_planes, same_class, stride, flat[rows])

    in_threads(run, len(queries), threads)


def _count_numpy(
    queries: BinaryCodes,
    database: BinaryCodes,
    labels: LabelRelevance,
    counts: NDArray[np.int64],
    _threads: int,
) -> None:
    flat = counts.reshape(len(counts), -1)
    num_cells, stride = flat.shape[1], counts.shape[2]
    for rows, columns, distances in distance_blocks(queries, database):
        cells = distances.astype(np.int64)
        if labels.max_gain:
            cells += stride * labels.rows(rows).gains(columns)
        cells += num_cells * np.arange(len(cells))[:, None]
        found = np.bincount(cells.ravel(), minlength=num_cells * len(cells))
        flat[rows] += found.reshape(len(cells), num_cells)


def _set_right(queries: BinaryCodes, database: BinaryCodes, pairs: Exceptions, counts: NDArray[np.int64]) -> None:
    """Move pairs that were counted by their labels to their gain; take the ignored ones out."""
    distances = np.bitwise_count(queries.packed[pairs.query] ^ database.packed[pairs.item]).sum(axis=1, dtype=np.int64)
    np.subtract.at(counts, (pairs.query, pairs.by_labels, distances), 1)
    kept = pairs.gain != IGNORED
    np.add.at(counts, (pairs.query[kept], pairs.gain[kept], distances[kept]), 1)


def require_fit(queries: BinaryCodes, database: BinaryCodes, relevance: Relevance) -> None:
    """Refuse codes of two lengths, and labels that do not belong to these codes."""
    if (queries.num_bits, queries.num_levels) != (database.num_bits, database.num_levels):
        raise UsageError(
            f"codes of different lengths cannot be compared: {queries.describe()} against {database.describe()}; "
            "encode both sides with the same model"
        )
    sizes = relevance.shape
    if sizes != (len(queries), len(database)):
        raise UsageError(
            f"labels of {sizes[0]} queries and {sizes[1]} database items were given for {len(queries)} query codes and "
            f"{len(database)} database codes; each code needs its label, in the same order"
        )
