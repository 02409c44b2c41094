"""Nearest rows of a table in the order (distance, id), whatever the server does with ties.

A server returns the nearest rows, at most 16,384, and of those at the last distance any. So some more are asked for
than wanted; where they all end at the distance of the last one wanted, everything within that distance is fetched. What
exceeds one answer is fetched in parts: a range of ids is cut where half of the answer lies on each side.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from deephash.index.base import Neighbors
from deephash.index.live import merged
from deephash.index.milvus.connection import Connection
from deephash.index.milvus.table import CODE, ID, PAGE, Table

MORE = 32  # rows asked for beyond those wanted: with them most ties end within the answer
QUERIES = 100  # in one call
Span = tuple[int, int]  # ids from the first to the last
_EVERY: Span = (-(2**63), 2**63 - 1)


class Nearest:
    """Searches one table.

    Args:
        connection: to the server.
        table: what to search.
        nprobe: lists to look at; 0 for an index without lists.
        consistency: how fresh an answer must be.
    """

    def __init__(self, connection: Connection, table: Table, nprobe: int, consistency: str) -> None:
        self._connection, self._table = connection, table
        self._nprobe, self._consistency = nprobe, consistency

    def top(self, queries: list[bytes], k: int, where: str = "") -> list[Neighbors]:
        """Return the ``k`` nearest rows of each query, fewer where fewer pass ``where``."""
        limit = min(k + MORE, PAGE)
        found: list[Neighbors] = []
        for start in range(0, len(queries), QUERIES):
            part = queries[start : start + QUERIES]
            found += [
                self._completed(query, one, k, where, limit)
                for query, one in zip(part, self._ask(part, limit, where, _EVERY))
            ]
        return found

    def within(self, query: bytes, radius: int, where: str = "", span: Span = _EVERY) -> Neighbors:
        """Return every row at most ``radius`` bits away, ordered by (distance, id)."""
        found = self._ask([query], PAGE, where, span, radius)[0]
        if len(found) < PAGE or span[0] >= span[1]:
            return found
        return merged([self.within(query, radius, where, half) for half in _halves(found, span)], None)

    def _completed(self, query: bytes, found: Neighbors, k: int, where: str, limit: int) -> Neighbors:
        if len(found) < limit:
            return _first(found, k)
        if k >= limit:
            return _first(self._largest(query, k, where, found, _EVERY), k)
        last = int(found.distances[k - 1])
        return _first(found if found.distances[-1] > last else self.within(query, last, where), k)

    def _largest(self, query: bytes, k: int, where: str, found: Neighbors, span: Span) -> Neighbors:
        """Return at least the ``k`` nearest rows of a span, of which ``found`` are those of one answer."""
        if len(found) < PAGE or span[0] >= span[1]:
            return found
        halves = _halves(found, span)
        answers = [self._ask([query], PAGE, where, half)[0] for half in halves]
        return merged([self._largest(query, k, where, *each) for each in zip(answers, halves)], k)

    def _ask(
        self, queries: list[bytes], limit: int, where: str, span: Span, radius: int | None = None
    ) -> list[Neighbors]:
        inside = [f"{ID} >= {span[0]}"] * (span[0] > _EVERY[0]) + [f"{ID} <= {span[1]}"] * (span[1] < _EVERY[1])
        expression = " and ".join([*([f"({where})"] if where else []), *inside])
        options: dict[str, Any] = {"nprobe": self._nprobe} if self._nprobe else {}
        if radius is not None:
            options["radius"] = radius + 1  # which the server leaves out
        answers = self._connection.call(
            "searching",
            lambda client, timeout: client.search(
                self._table.name,
                data=queries,
                anns_field=CODE,
                limit=limit,
                filter=expression,
                search_params={"metric_type": "HAMMING", "params": options},
                consistency_level=self._consistency.capitalize(),
                timeout=timeout,
            ),
        )
        return [_ordered(answer) for answer in answers]


def _ordered(answer: Any) -> Neighbors:
    ids = np.array([hit[ID] for hit in answer], np.int64)
    distances = np.array([round(hit["distance"]) for hit in answer], np.int32)
    order = np.lexsort((ids, distances))
    return Neighbors(ids[order], distances[order])


def _halves(found: Neighbors, span: Span) -> tuple[Span, Span]:
    middle = min(int(np.median(found.ids)), span[1] - 1)
    return (span[0], middle), (middle + 1, span[1])


def _first(found: Neighbors, k: int) -> Neighbors:
    return Neighbors(found.ids[:k], found.distances[:k])
