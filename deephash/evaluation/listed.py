"""Relevance given pair by pair: right and ignored items of each query."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from deephash.errors import UsageError
from deephash.evaluation.relevance import IGNORED, Exceptions, SharedLabels


@dataclass(frozen=True, slots=True, eq=False)
class ListedPairs:
    """Relevance given pair by pair, as compressed rows.

    Attributes:
        starts: int64 [Q + 1]; the pairs of query q are ``starts[q]:starts[q + 1]``.
        items: int64 [P], database rows.
        pair_gains: int16 [P], 1 or more, or ``IGNORED`` for an item taken out of this query's ranking.
        num_database: N.
    """

    starts: NDArray[np.int64]
    items: NDArray[np.int64]
    pair_gains: NDArray[np.int16]
    num_database: int

    @classmethod
    def from_lists(
        cls,
        relevant: Sequence[ArrayLike],
        num_database: int,
        *,
        gains: Sequence[ArrayLike] | None = None,
        ignored: Sequence[ArrayLike] | None = None,
    ) -> ListedPairs:
        """Build from one list of database rows a query.

        Args:
            relevant: Q lists of database rows.
            num_database: N.
            gains: Q lists of positive whole numbers beside ``relevant``; 1 for every pair when left out.
            ignored: Q lists of rows that count neither as right nor as wrong (the junk of ROxford; the query itself).

        Raises:
            UsageError: rows outside 0..N-1, a row named twice for one query, gains below 1, lists of unequal number.
        """
        for name, lists in (("gains", gains), ("ignored", ignored)):
            if lists is not None and len(lists) != len(relevant):
                raise UsageError(f"{len(lists)} lists of {name} for {len(relevant)} queries; give one list a query")
        parts = [_pairs_of_query(q, relevant, gains, ignored, num_database) for q in range(len(relevant))]
        lengths = [len(rows) for rows, _ in parts]
        rows = np.concatenate([rows for rows, _ in parts]) if parts else np.zeros(0, np.int64)
        values = np.concatenate([values for _, values in parts]) if parts else np.zeros(0, np.int16)
        return cls(np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64), rows, values, num_database)

    @property
    def max_gain(self) -> int:
        """The largest gain of any pair, at least 1."""
        return max(1, int(self.pair_gains.max(initial=1)))

    @property
    def shape(self) -> tuple[int, int]:
        """Q and N."""
        return len(self.starts) - 1, self.num_database

    @property
    def labels(self) -> SharedLabels:
        """None: by labels nothing is relevant."""
        queries, items = self.shape
        return SharedLabels(np.zeros((queries, 0), np.uint64), np.zeros((items, 0), np.uint64), 0)

    @property
    def exceptions(self) -> Exceptions:
        """The pairs."""
        return Exceptions(
            self.query_of_pair, self.items, np.zeros(len(self.items), np.int64), self.pair_gains.astype(np.int64)
        )

    @property
    def own(self) -> None:
        """Ignored items are listed."""

    @property
    def most_ignored(self) -> int:
        """Items that a query ignores, at most."""
        return int(np.bincount(self.query_of_pair[self.pair_gains == IGNORED]).max(initial=0))

    @property
    def query_of_pair(self) -> NDArray[np.int64]:
        """The query row of each pair, [P]."""
        return np.repeat(np.arange(len(self.starts) - 1), np.diff(self.starts))

    def rows(self, rows: slice) -> ListedPairs:
        """Keep a range of queries."""
        first, last, _ = rows.indices(len(self.starts) - 1)
        pairs = slice(int(self.starts[first]), int(self.starts[max(first, last)]))
        starts = self.starts[first : max(first, last) + 1] - self.starts[first]
        return ListedPairs(starts, self.items[pairs], self.pair_gains[pairs], self.num_database)

    def gains(self, columns: slice = slice(None)) -> NDArray[np.int16]:
        """Return the gains [Q, number of columns], with ``IGNORED`` for ignored pairs."""
        dense = np.zeros((len(self.starts) - 1, self.num_database), dtype=np.int16)
        dense[self.query_of_pair, self.items] = self.pair_gains
        return dense[:, columns]

    def ranked_gains(self, order: NDArray[np.int64]) -> NDArray[np.int16]:
        """Return the gains [Q, R] of the database rows that each query ranks in ``order`` [Q, R]."""
        return np.take_along_axis(self.gains(), order, axis=1)


def _pairs_of_query(
    query: int,
    relevant: Sequence[ArrayLike],
    gains: Sequence[ArrayLike] | None,
    ignored: Sequence[ArrayLike] | None,
    num_database: int,
) -> tuple[NDArray[np.int64], NDArray[np.int16]]:
    listed = np.atleast_1d(np.asarray(relevant[query], dtype=np.int64))
    values = np.ones(len(listed), np.int16) if gains is None else np.atleast_1d(np.asarray(gains[query], np.int16))
    junk = np.zeros(0, np.int64) if ignored is None else np.atleast_1d(np.asarray(ignored[query], dtype=np.int64))
    rows = np.concatenate([listed, junk])
    if len(values) != len(listed) or (values < 1).any():
        raise UsageError(f"query {query}: gains are whole numbers from 1, one for each of its {len(listed)} items")
    if len(rows) and (rows.min() < 0 or rows.max() >= num_database):
        raise UsageError(f"query {query} names rows outside the database of {num_database} items")
    if len(np.unique(rows)) != len(rows):
        raise UsageError(f"query {query} names a database row twice")
    return rows, np.concatenate([values, np.full(len(junk), IGNORED, np.int16)])
