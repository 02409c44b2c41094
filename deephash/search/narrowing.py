"""Narrowing: how the filters of one version of a collection are applied, by a selection or by a window, and why."""

from __future__ import annotations

import threading
from collections import Counter, OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deephash.codes import BinaryCodes
from deephash.collection import Collection
from deephash.collection.filters import Filter
from deephash.collection.parser import as_filter
from deephash.collection.windows import Window, sort_keys, window_of
from deephash.index import CodeIndex
from deephash.index.base import Searchable, Selection
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
        plan: how the filter is applied and why; empty without one.
    """

    index: Searchable
    allowed: Selection | None = None
    plan: str = ""

    def __contains__(self, item: int) -> bool:
        if isinstance(self.index, WindowSlice):
            return item in self.index
        if self.allowed is None:
            return True
        ids = self.allowed.ids.ids
        place = int(np.searchsorted(ids, item))
        return place < len(ids) and int(ids[place]) == item

    @property
    def ids(self) -> NDArray[np.int64] | None:
        """The ids of these items, ascending; None where all of the index are meant."""
        if isinstance(self.index, WindowSlice):
            return np.sort(self.index.window.ids[self.index.window.rank[self.index.first : self.index.last]])
        return None if self.allowed is None else self.allowed.ids.ids

    def counts(self, code: BinaryCodes) -> NDArray[np.int64]:
        """Return how many of the items lie at each distance from ``code``, int64 [K L + 1]."""
        return self.index.counts(code, allowed=self.allowed)

    def explain(self, passing: int, of: int) -> str:
        """Say how the filter was applied, and that so many items pass."""
        if not self.plan:
            return ""
        own = f"{passing:,} of {of:,} items pass" if self.allowed is not None else self.index.explain()  # type: ignore[attr-defined]
        return f"{self.plan}; {own}"


class Selections:
    """The filters asked of one version of a collection; those of the last ones keep their ids.

    Args:
        collection: at this version.
    """

    def __init__(self, collection: Collection) -> None:
        self.collection = collection
        self._passed: OrderedDict[str | None, Selection] = OrderedDict()
        self._lock = threading.Lock()

    def of(self, where: Filter | str | Mapping[str, Any]) -> tuple[Selection, Window | None]:
        """Return what passes ``where``, and the window that says the same, where one does.

        Raises:
            UsageError: a filter that does not fit the collection.
        """
        wanted, kinds = as_filter(where), self.collection.attribute_kinds
        sql = wanted.to_sql(kinds)  # the one place that judges filters
        with self._lock:
            if sql not in self._passed:
                self._passed[sql] = Selection(wanted, lambda: self.collection.matching(wanted))
            self._passed.move_to_end(sql)
            while sum(each.held for each in self._passed.values()) > KEPT_IDS and len(self._passed) > 1:
                self._passed.popitem(last=False)
            return self._passed[sql], window_of(wanted, kinds)


class Narrowing:
    """Applies filters to the items of one index.

    A filter is evaluated by the collection, which costs a pass over its columns. One that asks for a range of a single
    number or time becomes a window instead, once so many were asked for that sorting the codes by that column has paid:
    then it is two binary searches, and the scan of one slice. The items are the same either way.

    Args:
        selections: of the collection's version.
        index: answers over the codes of its items, or of some.
    """

    def __init__(self, selections: Selections, index: CodeIndex) -> None:
        self._selections, self._index = selections, index
        self._asked: Counter[str] = Counter()
        self._windows: dict[str, WindowIndex] = {}
        self._lock = threading.Lock()

    def among(self, where: Where) -> Among:
        """Return the items that pass ``where``. Raises UsageError for a filter that does not fit the collection."""
        if where is None or where == "":
            return Among(self._index)
        selection, window = self._selections.of(where)
        if self._index.translates_filters:
            return Among(self._index, selection, "by the server, or ids where it has no words for it")
        asked = self._count(window)
        plan = window_or_filter(len(self._index), window.column if window else None, asked)
        if window is None or plan.choice != "window":
            return Among(self._index, selection, str(plan))
        part = self._sorted_by(window.column).slice(gte=window.first, lte=window.last)
        return Among(part, plan=str(plan))

    def _count(self, window: Window | None) -> int:
        if window is None:
            return 0
        with self._lock:
            self._asked[window.column] += 1
            return self._asked[window.column]

    def _sorted_by(self, column: str) -> WindowIndex:
        with self._lock:
            if column not in self._windows:
                table = self._selections.collection.table([column])
                held = np.isin(table.column("id").to_numpy(), self._index.ids, assume_unique=True)
                table = table.filter(held & table.column(column).is_valid().to_numpy())
                ids = table.column("id").to_numpy()
                self._windows[column] = WindowIndex(ids, self._index.codes_of(ids), sort_keys(table.column(column)))
            return self._windows[column]
