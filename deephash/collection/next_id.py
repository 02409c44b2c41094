"""``next_id`` of a collection: the number of the next row, so that no number is ever given twice."""

from __future__ import annotations

import os
import re
from pathlib import Path

from deephash.errors import CollectionDamaged
from deephash.foreign import Unfit, read_bytes, refused_as

_NUMBER = re.compile(rb"\s*(0|[1-9][0-9]{0,17})\s*")  # 18 digits leave room in 64 bits


def next_id(file: Path, *, after: int) -> int:
    """Return the number in ``file``, or the one after the largest id where there is no file.

    Raises:
        CollectionDamaged: it is no number, or not above ``after``: rows would get numbers that others have.
    """
    if not os.path.lexists(file):
        return after + 1
    with refused_as(CollectionDamaged, "delete it, and ids go on after the largest"):
        found = _NUMBER.fullmatch(read_bytes(file, 64))
        if found is None:
            raise Unfit(f"{file} is not a number from 0")
        if int(found[1]) <= after:
            raise Unfit(f"{file} is {int(found[1])}, and there is a row {after} already")
    return int(found[1])
