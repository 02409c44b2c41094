"""Windows: filters that ask for a range of one column of numbers or times, as whole numbers that sort like its values.

Lance compares floats by the total order of IEEE 754 (NaN above all) but for zeros, which are equal, and so do these
keys; a window holds the same rows as the filter's SQL.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from deephash.collection.filters import Condition, Filter, Kinds, moment

_LEAST, _MOST = -(2**63), 2**63 - 1
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_BOUNDS = {"eq", "gt", "gte", "lt", "lte"}


@dataclass(frozen=True, slots=True)
class Window:
    """Rows whose key in ``column`` (see :func:`sort_keys`) lies in ``first..last``, both included."""

    column: str
    first: int
    last: int


def window_of(where: Filter, kinds: Kinds) -> Window | None:
    """Return the window that a filter asks for; None where it is anything else.

    Args:
        where: a filter that ``to_sql`` accepts for these columns.
        kinds: {column: text, integer, number, yes/no or time}.
    """
    conditions = list(_conditions(where))
    names = {each.column for each in conditions if each is not None}
    if None in conditions or len(names) != 1:
        return None
    (name,) = names
    if kinds.get(name) not in ("integer", "number", "time"):
        return None
    first, last = _LEAST, _MOST
    for each in conditions:
        assert each is not None  # narrows the type
        low, high = _range(each.operation, each.value, kinds[name])
        first, last = max(first, low), min(last, high)
    return Window(name, first, last) if first <= last else Window(name, 0, -1)


def sort_keys(column: pa.ChunkedArray) -> NDArray[np.int64]:
    """Return int64 keys that sort like the values of a column of integers, numbers or times without nulls."""
    values = column.cast(pa.int64()) if pa.types.is_timestamp(column.type) else column
    numbers = values.to_numpy()
    return _float_keys(numbers) if numbers.dtype == np.float64 else numbers


def _conditions(part: Filter | Condition) -> Iterator[Condition | None]:
    """Yield the bounds that are joined by "and"; None for everything else."""
    if isinstance(part, Condition):
        yield part if part.operation in _BOUNDS else None
    elif part.joint == "and":
        for inner in part.parts:
            yield from _conditions(inner)
    else:
        yield None


def _range(operation: str, value: Any, kind: str) -> tuple[int, int]:
    """Return the least and the largest key that pass."""
    if kind == "time":
        floor = ceil = (moment(value).replace(tzinfo=UTC) - _EPOCH) // timedelta(microseconds=1)
    elif kind == "integer":
        floor, ceil = math.floor(value), math.ceil(value)
    else:
        floor = ceil = int(_float_keys(np.array([value], np.float64))[0])
    first = {"gt": floor + 1, "gte": ceil, "eq": ceil}.get(operation, _LEAST)
    last = {"lt": ceil - 1, "lte": floor, "eq": floor}.get(operation, _MOST)
    return first, last


def _float_keys(numbers: NDArray[np.float64]) -> NDArray[np.int64]:
    bits = (numbers + 0.0).view(np.int64)  # -0 + 0 is +0
    keys: NDArray[np.int64] = bits ^ ((bits >> 63) & _MOST)  # of negative numbers all bits but the sign are turned
    return keys
