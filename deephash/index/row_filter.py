"""Which rows a search may return, looked up no sooner and no further than an engine needs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from deephash.errors import UsageError

if TYPE_CHECKING:
    from deephash.index.base import Engine

Ids = NDArray[np.int64]
Mask = NDArray[np.bool_]
MANY = 1 << 12  # ids from which on they are looked up by a compiled loop


@dataclass(frozen=True, slots=True, eq=False)
class AscendingIds:
    """A filter of ids that are known to ascend, so that a search need not read the list to learn it.

    It is checked here, once a list, and kept as a read-only view.

    Attributes:
        ids: int64, each larger than the one before, as ``Collection.matching`` returns them.

    Raises:
        UsageError: they do not ascend, or are not a list of integers.
    """

    ids: Ids

    def __post_init__(self) -> None:
        view = as_ids(self.ids).view()
        if not ascends(view):
            raise UsageError("these ids do not ascend, or hold one twice; numpy.unique(ids) puts them in order")
        view.flags.writeable = False
        object.__setattr__(self, "ids", view)

    def __len__(self) -> int:
        return len(self.ids)


class RowFilter:
    """The rows a search may return, as a mask or as row numbers, whichever an engine wants.

    Args:
        mask: bool [N].
        reused: whether further searches with this filter are expected, so that gathering its codes is worth it.

    Attributes:
        gathered: an engine over the rows that pass, once one was made.
    """

    gathered: Engine | None = None

    def __init__(self, mask: Mask, *, reused: bool = False) -> None:
        self.reused = reused
        self._mask: Mask | None = mask
        self._rows: Ids | None = None
        self._count: int | None = None

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
        self._mask, self._rows, self._count = None, None, None

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


def positions(wanted: Ids, ids: Ids) -> Ids:
    """Return the rows of ascending ``ids`` that hold one of the ascending ``wanted``; unknown ones are passed over."""
    if not len(ids) or not len(wanted):
        return np.empty(0, dtype=np.int64)
    first, last = int(ids[0]), int(ids[-1])
    inside = wanted[np.searchsorted(wanted, first) : np.searchsorted(wanted, last, side="right")]
    if last - first + 1 == len(ids):  # no gaps: a subtraction instead of a search
        return inside - first if first else inside
    if len(inside) >= MANY and _has_numba():
        from deephash.index.kernels import look_up

        rows = np.empty(len(inside), np.int64)
        return rows[: look_up(inside, ids, rows)]
    rows = np.searchsorted(ids, inside)
    found: Ids = rows[ids[rows] == inside]
    return found


def ascends(ids: Ids) -> bool:
    """Say whether each id is larger than the one before."""
    if len(ids) >= MANY and _has_numba():
        from deephash.index import kernels

        return bool(kernels.ascends(ids))
    return bool((ids[1:] > ids[:-1]).all())


def as_ids(ids: Ids) -> Ids:
    """Return ids as int64. Raises UsageError for what is no list of integers."""
    array = np.asarray(ids)
    if array.ndim != 1 or (array.size and not np.issubdtype(array.dtype, np.integer)):
        raise UsageError(f"ids are a list of integers, not {array.dtype} of shape {list(array.shape)}")
    return array.astype(np.int64, copy=False)


def _has_numba() -> bool:
    from deephash.index.engines import has_numba

    return has_numba()
