"""Ids: int64, ascending, and where they stand in a table of others."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from deephash.codes import BinaryCodes
from deephash.errors import UsageError
from deephash.index.available import has_numba, is_loaded

Ids = NDArray[np.int64]
MANY = 1 << 12  # ids from which on they are looked up by a compiled loop, where that is there already
WORTH_LOADING = 1 << 22  # ids for which it is loaded


class UnknownIds(UsageError):
    """Ids that an index does not hold.

    Attributes:
        ids: int64, which ones.
    """

    def __init__(self, ids: Ids, asked: int) -> None:
        first = ", ".join(str(each) for each in ids[:5])
        super().__init__(f"{len(ids):,} of {asked:,} ids are not in this index: {first}")
        self.ids = ids


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


def positions(wanted: Ids, ids: Ids) -> Ids:
    """Return the rows of ascending ``ids`` that hold one of the ascending ``wanted``; unknown ones are passed over."""
    if not len(ids) or not len(wanted):
        return np.empty(0, dtype=np.int64)
    first, last = int(ids[0]), int(ids[-1])
    inside = wanted[np.searchsorted(wanted, first) : np.searchsorted(wanted, last, side="right")]
    if last - first + 1 == len(ids):  # no gaps: a subtraction instead of a search
        return inside - first if first else inside
    if len(inside) >= MANY and (is_loaded() or (len(inside) >= WORTH_LOADING and has_numba())):
        from deephash.index.kernels import look_up

        rows = np.empty(len(inside), np.int64)
        return rows[: look_up(inside, ids, rows)]
    rows = np.searchsorted(ids, inside)
    found: Ids = rows[ids[rows] == inside]
    return found


def ascends(ids: Ids) -> bool:
    """Say whether each id is larger than the one before."""
    if len(ids) >= MANY and is_loaded():
        from deephash.index import kernels

        return bool(kernels.ascends(ids))
    return bool((ids[1:] > ids[:-1]).all())


def as_ids(ids: Ids) -> Ids:
    """Return ids as int64. Raises UsageError for what is no list of integers."""
    array = np.asarray(ids)
    if array.ndim != 1 or (array.size and not np.issubdtype(array.dtype, np.integer)):
        raise UsageError(f"ids are a list of integers, not {array.dtype} of shape {list(array.shape)}")
    return array.astype(np.int64, copy=False)


def in_order(ids: Ids, codes: BinaryCodes) -> tuple[Ids, BinaryCodes]:
    """Return ids and codes by ascending id; without a copy where they already are. Raises UsageError for others."""
    array = as_ids(ids)
    if len(array) != len(codes):
        raise UsageError(f"{len(array):,} ids were given for {codes.describe()}; each code needs one id")
    if len(array) > 1 and not (array[1:] > array[:-1]).all():
        order = np.argsort(array, kind="stable")
        array, codes = array[order], codes[order]
        twice = array[1:][array[1:] == array[:-1]]
        if len(twice):
            raise UsageError(f"id {int(twice[0])} was given more than once; ids must be distinct")
    return array, codes
