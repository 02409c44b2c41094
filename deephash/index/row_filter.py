"""Which rows a search may return, looked up no sooner and no further than an engine needs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deephash.index.ids import AscendingIds, Ids, ascends, positions

Mask = NDArray[np.bool_]


class RowFilter:
    """The rows a search may return, as a mask or as row numbers, whichever an engine wants.

    Args:
        mask: bool [N].
        reused: whether further searches with this filter are expected, so that gathering its codes is worth it.
    """

    def __init__(self, mask: Mask, *, reused: bool = False) -> None:
        self.reused = reused
        self._mask: Mask | None = mask
        self._rows: Ids | None = None
        self._count: int | None = None
        self._kept: Any = None

    def once(self, make: Callable[[], Any]) -> Any:
        """Return what ``make`` returned at the first call: an engine keeps here what it gathered for this filter."""
        if self._kept is None:
            self._kept = make()
        return self._kept

    @property
    def rows(self) -> Ids:
        """Ascending row numbers, computed at the first call."""
        if self._rows is None:
            self._rows = np.flatnonzero(self.mask)
        return self._rows

    @property
    def mask(self) -> Mask:
        """bool [N], computed at the first call."""
        if self._mask is None:
            raise NotImplementedError("a filter without a mask says how to make one")
        return self._mask

    @property
    def count(self) -> int:
        """Rows that pass, computed at the first call."""
        if self._count is None:
            self._count = int(np.count_nonzero(self.mask))
        return self._count


class ListedFilter(RowFilter):
    """A filter given as a list of ids, which may hold as many bytes as the codes: reading it can cost a scan.

    So nothing is read before it is needed, and :meth:`passes` answers for a few rows without resolving the others.

    Args:
        wanted: ids in any order, or known to ascend; unknown ones are passed over.
        ids: the ascending ids of the table.
        alive: bool [N], rows that are still there; None = all.
        reused: see :class:`RowFilter`.

    Attributes:
        ordered: whether ``wanted`` is known to ascend.
    """

    def __init__(
        self, wanted: Ids | AscendingIds, ids: Ids, alive: Mask | None = None, *, reused: bool = False
    ) -> None:
        self.ordered = isinstance(wanted, AscendingIds)
        self.wanted = wanted.ids if isinstance(wanted, AscendingIds) else wanted
        self.reused = reused
        self._ids, self._alive = ids, alive
        self._mask, self._rows, self._count, self._kept = None, None, None, None

    @property
    def resolved(self) -> bool:
        """Whether the rows are known already."""
        return self._rows is not None

    @property
    def rows(self) -> Ids:
        """Ascending row numbers, computed at the first call."""
        if self._rows is None:
            self._order()
            rows = positions(self.wanted, self._ids)
            self._rows = rows if self._alive is None else rows[self._alive[rows]]
        return self._rows

    @property
    def mask(self) -> Mask:
        """bool [N], computed at the first call."""
        if self._mask is None:
            self._mask = np.zeros(len(self._ids), dtype=bool)
            self._mask[self.rows] = True
        return self._mask

    @property
    def count(self) -> int:
        """Rows that pass, computed at the first call."""
        return len(self.rows)

    def any(self) -> bool:
        """Say whether a row passes: as a rule the first id tells, and the others need not be looked at."""
        if not self.resolved and len(self.wanted) and len(self._ids):
            row = min(int(np.searchsorted(self._ids, self.wanted[0])), len(self._ids) - 1)
            if self._ids[row] == self.wanted[0] and (self._alive is None or self._alive[row]):
                return True
        return self.count > 0

    def passes(self, rows: Ids) -> Mask:
        """Say of some rows, any shape, whether they pass, by binary search.

        A row that is found passes, whatever the order of the list; that one does *not* pass is certain only in a list
        that ascends, so only then the whole list is read.
        """
        found = self._found(rows)
        if not found.all() and not self.ordered:
            self._order()
            found = self._found(rows)
        return found if self._alive is None else found & self._alive[rows]

    def _found(self, rows: Ids) -> Mask:
        ids = self._ids[rows]
        places = np.searchsorted(self.wanted, ids)
        found: Mask = self.wanted[np.minimum(places, len(self.wanted) - 1)] == ids
        return found

    def _order(self) -> None:
        if not self.ordered:
            self.wanted = self.wanted if ascends(self.wanted) else np.unique(self.wanted)
            self.ordered = True
