"""Whole numbers that come from outside, and how large they may be."""

from __future__ import annotations

from typing import Any

from deephash.numbers import whole

TOO_LARGE = 2**63  # for an item's id, as collections store it
LARGEST = TOO_LARGE - 1
MOST_BITS = 1_000_000  # more than any code has


def as_written(value: Any, what: str, least: int = 0, most: int = LARGEST) -> int:
    """Return a whole number as addresses and scripts of the page write it: as such, in digits, or as 3.0.

    Raises UsageError, naming ``what``, for anything else or out of bounds.
    """
    if isinstance(value, str) and len(value) < 20 and value.isascii() and value.removeprefix("-").isdigit():
        value = int(value)
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return whole(value, what, least=least, most=most)
