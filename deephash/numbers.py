"""Numbers that callers hand in, checked in one place: a count is a whole number, a share is finite.

``True`` is no number, 2.0 is no count, NaN is not between two bounds: each would end in a wrong answer without a word.
"""

from __future__ import annotations

import operator
from math import isfinite
from typing import Any

import numpy as np

from deephash.errors import UsageError


def whole(value: Any, what: str, *, least: int = 0, most: int | None = None) -> int:
    """Return ``value`` as int.

    Args:
        value: any integer, NumPy's included; no bool, no float.
        what: its name and meaning, for the message: "k, the number of answers".
        least: smallest allowed.
        most: largest allowed.

    Raises:
        UsageError: another type, or out of bounds.
    """
    try:
        if isinstance(value, (bool, np.bool_)):
            raise TypeError
        number = operator.index(value)
    except TypeError:
        raise UsageError(f"{what} is a whole number of {_bounds(least, most)}, not {value!r:.80}") from None
    if number < least or (most is not None and number > most):
        raise UsageError(f"{what} is {_bounds(least, most)}, not {number}")
    return number


def real(value: Any, what: str, *, least: float = -np.inf, most: float = np.inf) -> float:
    """Return ``value`` as a finite float. Raises UsageError for another type, NaN, infinity, or out of bounds."""
    try:
        if isinstance(value, (bool, np.bool_, str, bytes)):
            raise TypeError
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        raise UsageError(f"{what} is a number, not {value!r:.80}") from None
    if not isfinite(number) or not least <= number <= most:
        raise UsageError(f"{what} is a finite number between {least:g} and {most:g}, not {number:g}")
    return number


def _bounds(least: int, most: int | None) -> str:
    return f"at least {least}" if most is None else f"{least} to {most}"
