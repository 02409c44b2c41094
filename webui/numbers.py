"""Whole numbers that come from outside, and how large they may be."""

from __future__ import annotations

from deephash.errors import UsageError

TOO_LARGE = 2**63  # for an item's id, as collections store it
LARGEST = TOO_LARGE - 1
MOST_BITS = 1_000_000  # more than any code has


def whole(value: object, what: str, smallest: int = 0, largest: int = LARGEST) -> int:
    """Return ``value`` as a whole number. Raises UsageError, naming ``what``, for anything else or out of bounds.

    Text of decimal digits is taken too: addresses and scripts of the page hold numbers that way.
    """
    if isinstance(value, str) and len(value) < 20 and value.isascii() and value.removeprefix("-").isdigit():
        value = int(value)
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int) or not smallest <= value <= largest:
        raise UsageError(f"{what} is a whole number from {smallest} to {largest}, not {str(value)[:40]!r}")
    return value
