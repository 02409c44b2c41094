"""Gains by labels, and what every kind of relevance says of itself."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Protocol, Self, TypeAlias

import numpy as np
from numpy.typing import NDArray

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
