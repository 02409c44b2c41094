"""What shards say of a picture, as attributes: plain values under names that can name a column."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from deephash.collection.schema import FILE_ATTRIBUTES, RESERVED, is_derived

MOST_NAMES = 64  # of one picture
MOST_LETTERS = 16_384
SHARD_SIZE = "shard_size"
_WORDS = ("label", "caption")  # of what a file has, these two a shard may give
_MADE_BY_US = {*FILE_ATTRIBUTES, SHARD_SIZE} - {*_WORDS}


def as_attributes(given: Mapping[str, Any]) -> dict[str, Any]:
    """Return those values that an attribute can hold; names are made valid, and what a file itself says is left out."""
    found: dict[str, Any] = {}
    for name, value in given.items():
        column, kept = _column(str(name)), _value(value)
        if column is None or kept is None or column in found:
            continue
        found[column] = str(kept) if column in _WORDS else kept
        if len(found) == MOST_NAMES:
            break
    return found


def _column(name: str) -> str | None:
    column = re.sub(r"[^A-Za-z0-9_]", "_", name)[:60]
    if not column[:1].isalpha() or column in _MADE_BY_US or is_derived(column):
        return None
    return f"{column}_" if column.lower() in RESERVED else column


def _value(value: Any) -> Any:
    if isinstance(value, bool | datetime):
        return value.replace(tzinfo=None) if isinstance(value, datetime) else value
    if isinstance(value, int):
        return value if -(2**63) <= value < 2**63 else None
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode()[:MOST_LETTERS]  # half of a surrogate pair is no text
    return None
