"""Which database item is relevant to which query, and how much.

Three ways to say it, one for each class here, and one to restrict the first two. All have the face of ``Relevance``:
labels, whose gains a counting loop makes on the fly, and ``Exceptions``, the pairs whose gain the labels do not tell.

- ``SharedClass``: one class number an item; relevant means the same class (gain 1).
- ``SharedLabels``: several labels an item (multi-hot); the gain is the number of shared labels.
- ``ListedPairs``: an explicit list of relevant database rows a query, with optional gains and ignored ("junk") rows;
- ``WithoutItself``: the queries are database items too, and each searches all the others (leave-one-out).

``relevance_from_labels`` picks the first or second from the shape of the labels.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Protocol, Self, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from deephash.errors import UsageError

UNLABELLED_QUERY = np.uint64(2**64 - 2)  # two different numbers: an unlabelled query
UNLABELLED_ITEM = np.uint64(2**64 - 1)  # and an unlabelled item never share a class
IGNORED = -1  # the gain of an item that is taken out of a query's ranking


@dataclass(frozen=True, slots=True, eq=False)
class Exceptions:
    """P pairs whose gain is another than their labels say.

    Attributes:
        query: int64 [P], query rows.
        item: int64 [P], database rows.
        by_labels: int64 [P], gain by the labels.
        gain: int64 [P], gain, or ``IGNORED``.
    """

    query: NDArray[np.int64]
    item: NDArray[np.int64]
    by_labels: NDArray[np.int64]
    gain: NDArray[np.int64]


class Relevance(Protocol):
    """What metrics ask of any kind of relevance."""

    @property
    def shape(self) -> tuple[int, int]:
        """Q and N."""

    @property
    def max_gain(self) -> int:
        """The largest possible gain."""

    @property
    def labels(self) -> LabelRelevance:
        """The gains that labels tell."""

    @property
    def exceptions(self) -> Exceptions | None:
        """The pairs that are otherwise; None where labels tell all."""

    @property
    def own(self) -> NDArray[np.int64] | None:
        """Leave-one-out: database row of each query, [Q]."""

    @property
    def most_ignored(self) -> int:
        """Items that a query ignores, at most; they take no place, so its ranking must reach further by them."""

    def rows(self, rows: slice) -> Relevance:
        """Keep a range of queries."""

    def gains(self, columns: slice = ...) -> NDArray[np.int16]:
        """Return the gains [Q, number of columns] of a range of database items, ``IGNORED`` for ignored pairs."""

    def ranked_gains(self, order: NDArray[np.int64]) -> NDArray[np.int16]:
        """Return the gains [Q, R] of the database rows that each query ranks in ``order`` [Q, R]."""


class _ByLabels:
    """Labels tell all."""

    __slots__ = ()
    exceptions: ClassVar[None] = None
    own: ClassVar[None] = None
    most_ignored: ClassVar[int] = 0

    @property
    def labels(self) -> Self:
        """Itself."""
        return self


@dataclass(frozen=True, slots=True, eq=False)
class SharedClass(_ByLabels):
    """Relevant = same class number.

    Attributes:
        query: uint64 [Q], class numbers; unlabelled queries hold ``UNLABELLED_QUERY``.
        database: uint64 [N], class numbers; unlabelled items hold ``UNLABELLED_ITEM``.
    """

    query: NDArray[np.uint64]
    database: NDArray[np.uint64]

    @property
    def max_gain(self) -> int:
        """The largest possible gain, 1."""
        return 1

    @property
    def shape(self) -> tuple[int, int]:
        """Q and N."""
        return len(self.query), len(self.database)

    def rows(self, rows: slice) -> SharedClass:
        """Keep some queries."""
        return SharedClass(self.query[rows], self.database)

    def gains(self, columns: slice = slice(None)) -> NDArray[np.int16]:
        """Return the gains [Q, number of columns] of a range of database items."""
        return np.equal(self.query[:, None], self.database[columns]).astype(np.int16)

    def ranked_gains(self, order: NDArray[np.int64]) -> NDArray[np.int16]:
        """Return the gains [Q, R] of the database rows that each query ranks in ``order`` [Q, R]."""
        return np.equal(self.query[:, None], self.database[order]).astype(np.int16)

    @property
    def words(self) -> tuple[NDArray[np.uint64], NDArray[np.uint64], bool]:
        """Query words [Q, L], database planes [L, N], whether words are class numbers, for the kernels."""
        return self.query[:, None], self.database[None], True

    @property
    def classes(self) -> tuple[NDArray[np.int64], NDArray[np.int64]] | None:
        """Class numbers [Q] and [N], -1 for none; None where items may have several labels."""
        query, database = (
            np.where(side >= UNLABELLED_QUERY, -1, side.astype(np.int64)) for side in (self.query, self.database)
        )
        return query, database

    def reordered(self, order: NDArray[np.int64]) -> SharedClass:
        """The same for the database taken in ``order``."""
        return SharedClass(self.query, self.database[order])


@dataclass(frozen=True, slots=True, eq=False)
class SharedLabels(_ByLabels):
    """Relevant = at least one label in common; gain = how many.

    Attributes:
        query: uint64 [Q, W], label sets as bit masks, W = ceil(C / 64).
        database: uint64 [N, W].
        max_gain: no pair can share more labels than this.
    """

    query: NDArray[np.uint64]
    database: NDArray[np.uint64]
    max_gain: int

    @property
    def shape(self) -> tuple[int, int]:
        """Q and N."""
        return len(self.query), len(self.database)

    def rows(self, rows: slice) -> SharedLabels:
        """Keep some queries."""
        return SharedLabels(self.query[rows], self.database, self.max_gain)

    def gains(self, columns: slice = slice(None)) -> NDArray[np.int16]:
        """Return the gains [Q, number of columns] of a range of database items."""
        items = self.database[columns]
        shared = np.zeros((len(self.query), len(items)), dtype=np.int16)
        for word in range(items.shape[1]):
            shared += np.bitwise_count(self.query[:, word, None] & items[None, :, word])
        return shared

    def ranked_gains(self, order: NDArray[np.int64]) -> NDArray[np.int16]:
        """Return the gains [Q, R] of the database rows that each query ranks in ``order`` [Q, R]."""
        shared = np.zeros(order.shape, dtype=np.int16)
        for word in range(self.database.shape[1]):
            shared += np.bitwise_count(self.query[:, word, None] & self.database[order, word])
        return shared

    @property
    def words(self) -> tuple[NDArray[np.uint64], NDArray[np.uint64], bool]:
        """Query words [Q, L], database planes [L, N], whether words are class numbers, for the kernels."""
        return self.query, np.ascontiguousarray(self.database.T), False

    @property
    def classes(self) -> tuple[NDArray[np.int64], NDArray[np.int64]] | None:
        """Class numbers [Q] and [N], -1 for none; None where items may have several labels."""
        return None

    def reordered(self, order: NDArray[np.int64]) -> SharedLabels:
        """The same for the database taken in ``order``."""
        return SharedLabels(self.query, self.database[order], self.max_gain)


LabelRelevance: TypeAlias = SharedClass | SharedLabels
"""What a counting loop can read."""


def packed_words(packed: NDArray[np.uint8]) -> NDArray[np.uint64]:
    """View packed bytes [N, B] as words [N, ceil(B / 8)], padded with zero bytes."""
    padded = np.zeros((len(packed), -(-packed.shape[1] // 8) * 8), dtype=np.uint8)
    padded[:, : packed.shape[1]] = packed
    return padded.view(np.uint64)


@dataclass(frozen=True, slots=True, eq=False)
class WithoutItself:
    """Leave-one-out: each query is a database item, which is taken out of its own ranking.

    Attributes:
        labels: of both sides.
        own: int64 [Q], database row of each query.
    """

    labels: LabelRelevance
    own: NDArray[np.int64]
    most_ignored: ClassVar[int] = 1

    @property
    def exceptions(self) -> Exceptions:
        """Each query among the items, which labels count."""
        queries = np.arange(len(self.own))
        by_labels = self.labels.ranked_gains(self.own[:, None])[:, 0].astype(np.int64)
        return Exceptions(queries, self.own, by_labels, np.full(len(queries), IGNORED, np.int64))

    @property
    def max_gain(self) -> int:
        """The largest possible gain."""
        return self.labels.max_gain

    @property
    def shape(self) -> tuple[int, int]:
        """Q and N."""
        return self.labels.shape

    def rows(self, rows: slice) -> WithoutItself:
        """Keep some queries."""
        return WithoutItself(self.labels.rows(rows), self.own[rows])

    def gains(self, columns: slice = slice(None)) -> NDArray[np.int16]:
        """Return the gains [Q, number of columns], with ``IGNORED`` for each query itself."""
        places = np.arange(self.shape[1])[columns]
        return np.where(places == self.own[:, None], np.int16(IGNORED), self.labels.gains(columns))

    def ranked_gains(self, order: NDArray[np.int64]) -> NDArray[np.int16]:
        """Return the gains [Q, R] of the database rows that each query ranks in ``order`` [Q, R]."""
        return np.where(order == self.own[:, None], np.int16(IGNORED), self.labels.ranked_gains(order))


def relevance_from_labels(query_labels: ArrayLike, database_labels: ArrayLike) -> LabelRelevance:
    """Read labels of both sides.

    Args:
        query_labels: class numbers [Q] (-1 = unlabelled) or multi-hot [Q, C] of 0 and 1.
        database_labels: the same kind, [N] or [N, C].

    Raises:
        UsageError: the sides differ in kind or in C, or hold other values.
    """
    query, database = np.asarray(query_labels), np.asarray(database_labels)
    if query.ndim == 1 and database.ndim == 1:
        return SharedClass(
            _class_numbers("query", query, UNLABELLED_QUERY), _class_numbers("database", database, UNLABELLED_ITEM)
        )
    if query.ndim == 2 and database.ndim == 2 and query.shape[1] == database.shape[1]:
        left, right = _label_masks("query", query), _label_masks("database", database)
        most = [int(np.bitwise_count(side).sum(axis=1, dtype=np.int64).max(initial=0)) for side in (left, right)]
        return SharedLabels(left, right, max(1, min(most)))
    raise UsageError(
        f"query labels {list(query.shape)} and database labels {list(database.shape)} do not fit together; "
        "give class numbers [Q] and [N] on both sides, or multi-hot [Q, C] and [N, C]"
    )


def require_own_rows(own: ArrayLike, num_queries: int, num_items: int) -> NDArray[np.int64]:
    """Return the database row that each query is, int64 [Q]. Raises UsageError for anything else."""
    rows = np.asarray(own)
    if rows.shape != (num_queries,) or rows.dtype.kind not in "iu" or not np.isin(rows, np.arange(num_items)).all():
        raise UsageError(f"own is the database row, 0..{num_items - 1}, of each of the {num_queries} queries")
    return rows.astype(np.int64)


def relevance_among_others(
    query_labels: ArrayLike, database_labels: ArrayLike, own: NDArray[np.int64] | None
) -> Relevance:
    """Return the relevance of labels, each query's ``own`` database row left out where rows are given."""
    labels = relevance_from_labels(query_labels, database_labels)
    return labels if own is None else WithoutItself(labels, own)


def _class_numbers(side: str, labels: NDArray[Any], unlabelled: np.uint64) -> NDArray[np.uint64]:
    if labels.dtype.kind not in "iu" or (len(labels) and labels.min() < -1):
        raise UsageError(f"{side} labels are class numbers 0, 1, ... or -1 for unlabelled, of an integer type")
    if len(labels) and int(labels.max()) >= UNLABELLED_QUERY:
        raise UsageError(f"{side} labels go up to {labels.max()}; number classes from 0")
    return np.where(labels < 0, unlabelled, labels.astype(np.uint64))


def _label_masks(side: str, labels: NDArray[Any]) -> NDArray[np.uint64]:
    """Pack multi-hot [N, C] into uint64 [N, ceil(C / 64)]."""
    if labels.dtype != bool and not ((labels == 0) | (labels == 1)).all():
        raise UsageError(f"multi-hot {side} labels hold only 0 and 1")
    return packed_words(np.packbits(labels.astype(bool), axis=1))
