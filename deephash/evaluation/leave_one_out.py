"""Leave-one-out: the queries are the database too, and each searches all the others (CUB, Cars, SOP)."""

from __future__ import annotations

import numpy as np

from deephash.errors import UsageError
from deephash.evaluation.codefile import CodeFile
from deephash.evaluation.groups import IntArray


def own_rows(query: CodeFile, database: CodeFile) -> IntArray:
    """Return the database row that each query is, [Q]: by name where both sides have names, else by order.

    Raises:
        UsageError: a query is not in the database, names that are not unique, or without names codes that differ.
    """
    if query.names is None or database.names is None:
        if not np.array_equal(query.codes.packed, database.codes.packed):
            raise UsageError(
                f"{query.source} and {database.source} do not hold the same codes in the same order; for leave-one-out "
                "give one file on both sides, or an array 'names' in both"
            )
        return np.arange(len(query))
    row = {name: number for number, name in enumerate(database.names.tolist())}
    if len(row) != len(database):
        raise UsageError(f"{database.source} names an item twice, so which one is the query cannot be told")
    missing = [name for name in query.names.tolist() if name not in row]
    if missing:
        raise UsageError(
            f"{len(missing):,} of {len(query):,} queries are not in {database.source}, the first {missing[0]!r}; "
            "leave-one-out is for queries that search each other"
        )
    return np.array([row[name] for name in query.names.tolist()], dtype=np.int64)
