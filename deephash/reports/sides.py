"""What a report is made of: both sides, unlabelled queries taken out, and what makes an item right."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sized
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from deephash.codes import BinaryCodes
from deephash.errors import UsageError
from deephash.evaluation.arrays import as_labels, is_labelled
from deephash.evaluation.listed import ListedPairs
from deephash.evaluation.relevance import Relevance, relevance_among_others, require_own_rows

OWN, PAIRS, LISTED, TARGET = "any-shared-label", "pairs", "explicit", "target-label"
NOTHING = "none"  # no relevance: a figure of codes or pixels alone


@dataclass(frozen=True, eq=False)
class Sides:
    """Codes, labels and names of both sides, with unlabelled queries already taken out.

    Attributes:
        query: Q codes.
        database: N codes.
        query_labels: class numbers [Q] or multi-hot [Q, C].
        database_labels: the same of the database.
        query_rows: row of each kept query in what was given, [Q].
        query_names: names of the kept queries, or None.
        database_names: names, or None.
        num_unlabelled: queries taken out.
        given_query: codes of all queries that were given.
        given_labels: their labels.
        right: what makes an item right, in the word of protocols: ``OWN``, ``PAIRS`` or ``LISTED``.
        own: leave-one-out: database row of each kept query, [Q]; else None.
        listed: right and ignored items of each query, in place of labels, which then say nothing; else None.
    """

    query: BinaryCodes
    database: BinaryCodes
    query_labels: NDArray[Any]
    database_labels: NDArray[Any]
    query_rows: NDArray[np.int64]
    query_names: NDArray[np.str_] | None
    database_names: NDArray[np.str_] | None
    num_unlabelled: int
    given_query: BinaryCodes
    given_labels: NDArray[Any]
    right: str
    own: NDArray[np.int64] | None = None
    listed: ListedPairs | None = None

    @classmethod
    def of(
        cls,
        query: BinaryCodes,
        database: BinaryCodes,
        query_labels: ArrayLike,
        database_labels: ArrayLike,
        query_names: ArrayLike | None,
        database_names: ArrayLike | None,
        *,
        right: str,
        own: NDArray[np.int64] | None = None,
        listed: ListedPairs | None = None,
    ) -> Sides:
        """Check that everything fits and leave out the unlabelled queries."""
        labels = as_labels(np.asarray(query_labels), source="query labels")
        targets = as_labels(np.asarray(database_labels), source="database labels")
        names = None if query_names is None else np.asarray(query_names, dtype=str)
        others = None if database_names is None else np.asarray(database_names, dtype=str)
        _require_fit("query", query, labels, names)
        _require_fit("database", database, targets, others)
        rows = None if own is None else require_own_rows(own, len(query), len(database))
        kept = np.flatnonzero(is_labelled(labels))
        if not len(kept):
            raise UsageError(f"none of the {len(query):,} queries has a label, so nothing can be scored")
        return cls(
            query=query[kept],
            database=database,
            query_labels=labels[kept],
            database_labels=targets,
            query_rows=kept,
            query_names=None if names is None else names[kept],
            database_names=others,
            num_unlabelled=len(labels) - len(kept),
            given_query=query,
            given_labels=labels,
            right=right,
            own=None if rows is None else rows[kept],
            listed=listed,
        )

    def require_one_each(self, columns: Mapping[str, Sized | None], *, of_queries: bool = True) -> None:
        """Raise UsageError unless each column has one entry for each query that was given (or database item)."""
        count = len(self.given_query if of_queries else self.database)
        for name, column in columns.items():
            if column is not None and len(column) != count:
                raise UsageError(f"{len(column):,} {name}; {count:,} are needed, one for each")

    @cached_property
    def relevance(self) -> Relevance:
        """Which item is right for which kept query."""
        if self.listed is not None:
            return self.listed
        return relevance_among_others(self.query_labels, self.database_labels, self.own)

    @cached_property
    def overlap(self) -> int | None:
        """Number of queries whose name is also in the database; None where names are missing."""
        if self.query_names is None or self.database_names is None:
            return None
        asking = self.query_names.tolist()
        both = set(asking).intersection(self.database_names.tolist())
        return sum(name in both for name in asking)

    @property
    def split(self) -> str:
        """Checksum of who is query and database: by lists of right items, else by names, else by labels in order."""
        if self.listed is not None:
            digest = hashlib.sha256(str(self.listed.shape).encode())
            for column in (self.listed.starts, self.listed.items, self.listed.pair_gains):
                digest.update(np.ascontiguousarray(column).tobytes())
            return f"lists:{digest.hexdigest()[:12]}"
        if self.query_names is not None and self.database_names is not None:
            text = "\n".join([*sorted(self.query_names.tolist()), "", *sorted(self.database_names.tolist())]).encode()
            return f"names:{hashlib.sha256(text).hexdigest()[:12]}"
        digest = hashlib.sha256()
        for labels in (self.query_labels, self.database_labels):
            digest.update(str(labels.shape).encode() + np.ascontiguousarray(labels.astype(np.int64)).tobytes())
        return f"labels:{digest.hexdigest()[:12]}"


def _require_fit(side: str, codes: BinaryCodes, *columns: Sized | None) -> None:
    if not len(codes):
        raise UsageError(f"the {side} side holds no codes, so there is nothing to score")
    wrong = [len(column) for column in columns if column is not None and len(column) != len(codes)]
    if wrong:
        raise UsageError(f"{len(codes):,} {side} codes but {wrong[0]:,} labels or names; one belongs to each code")
