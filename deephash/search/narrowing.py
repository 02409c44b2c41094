"""Narrowing: how the filters of one version of a collection are applied, by ids or by a window, and why."""

from __future__ import annotations

import threading
from collections import Counter, OrderedDict
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from deephash.codes import BinaryCodes
from deephash.collection import Collection
from deephash.collection.filters import Filter
from deephash.collection.parser import as_filter
from deephash.collection.windows import Window, sort_keys, window_of
from deephash.index import AscendingIds, CodeIndex
from deephash.index.base import Searchable
from deephash.index.planner import window_or_filter
from deephash.index.window import WindowIndex, WindowSlice
from deephash.search.query import Where

KEPT_IDS = 1 << 23  # of filters asked before: 64 MiB


@dataclass(frozen=True, eq=False)
class Among:
    """The items a search is among.

    Attributes:
        index: answers; a slice of a window holds nothing but these items.
        allowed: the filter to give to ``index``; None where all it holds is meant.
        how: how the filter was applied and why; empty without one.
    """

    index: Searchable
    allowed: AscendingIds | None = None
    how: str = ""

    def __contains__(self, item: int) -> bool:
        if isinstance(self.index, WindowSlice):
            return item in self.index
        if self.allowed is None:
            return True
        place = int(np.searchsorted(self.allowed.ids, item))
        return place < len(self.allowed) and int(self.allowed.ids[place]) == item

    def counts(self, code: BinaryCodes) -> NDArray[np.int64]:
        """Return how many of the items lie at each distance from ``code``, int64 [K L + 1]."""
        return self.index.counts(code, allowed=self.allowed)


class Narrowing:
    """Applies filters to one version of a collection.

    A filter is evaluated by the collection, which costs a pass over its columns. One that asks for a range of a single
    number or time becomes a window instead, once so many were asked for that sorting the codes by that column has paid:
    then it is two binary searches, and the scan of one slice. The items are the same either way.

    Args:
        collection: at this version.
        index: answers over its codes.
    """

    def __init__(self, collection: Collection, index: CodeIndex) -> None:
        self._collection, self._index = collection, index
        self._asked: Counter[str] = Counter()
        self._windows: dict[str, WindowIndex] = {}
        self._passed: OrderedDict[str | None, AscendingIds] = OrderedDict()
        self._lock = threading.Lock()

    def among(self, where: Where) -> Among:
        """Return the items that pass ``where``. Raises UsageError for a filter that does not fit the collection."""
        if where is None or where == "":
            return Among(self._index)
        wanted, kinds = as_filter(where), self._collection.attribute_kinds
        sql = wanted.to_sql(kinds)  # the one place that judges filters
        window = window_of(wanted, kinds)
        asked = self._count(window)
        plan = window_or_filter(len(self._index), window.column if window else None, asked)
        if window is None or plan.choice != "window":
            allowed = self._matching(wanted, sql)
            return Among(self._index, allowed, f"{plan}; {len(allowed):,} of {len(self._index):,} items pass")
        part = self._sorted_by(window.column).slice(gte=window.first, lte=window.last)
        return Among(part, how=f"{plan}; {part.explain()}")

    def _matching(self, wanted: Filter, sql: str | None) -> AscendingIds:
        """Return the ids that pass; those of the last filters are kept, since a visitor asks on with the same one."""
        with self._lock:
            if sql in self._passed:
                self._passed.move_to_end(sql)
                return self._passed[sql]
        allowed = AscendingIds(self._collection.matching(wanted))
        with self._lock:
            self._passed[sql] = allowed
            while sum(map(len, self._passed.values())) > KEPT_IDS and len(self._passed) > 1:
                self._passed.popitem(last=False)
        return allowed

    def _count(self, window: Window | None) -> int:
        if window is None:
            return 0
        with self._lock:
            self._asked[window.column] += 1
            return self._asked[window.column]

    def _sorted_by(self, column: str) -> WindowIndex:
        with self._lock:
            if column not in self._windows:
                table = self._collection.table([column])
                table = table.filter(table.column(column).is_valid())
                ids = table.column("id").to_numpy()
                self._windows[column] = WindowIndex(ids, self._index.codes_of(ids), sort_keys(table.column(column)))
            return self._windows[column]
