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
from typing import Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from deephash.errors import UsageError
from deephash.evaluation.gains import (
    IGNORED,
    UNLABELLED_ITEM,
    UNLABELLED_QUERY,
    Exceptions,
    LabelRelevance,
    Relevance,
    SharedClass,
    SharedLabels,
    packed_words,
)
from deephash.evaluation.listed import ListedPairs

__all__ = [
    "IGNORED",
    "Exceptions",
    "LabelRelevance",
    "ListedPairs",
    "Relevance",
    "SharedClass",
    "SharedLabels",
    "WithoutItself",
    "relevance_among_others",
    "relevance_from_labels",
    "require_own_rows",
]


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
