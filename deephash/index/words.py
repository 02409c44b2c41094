"""Codes as tuples of words, so that Numba compiles a loop of its own for each code length.

The length of a tuple is part of its type: a loop over it is unrolled, and a distance becomes W times XOR and POPCNT
with nothing around them. The callers are written once, for any length. Beyond ``LONGEST_TUPLE`` words an array stands
in for the tuple: by then the loop costs little beside what it does, and compiling it unrolled would cost much.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numba.core import types
from numba.cpython.unsafe.tuple import tuple_setitem
from numba.extending import overload

from deephash.index.kernels import compiled, popcount

LONGEST_TUPLE = 8  # words: 512 bits


def form_of(width: int) -> Any:
    """Return what tells :func:`words_of` how codes of ``width`` words are held: a tuple of so many, or an array."""
    return (np.uint64(0),) * width if width <= LONGEST_TUPLE else np.empty(0, np.uint64)


def words_of(codes: Any, row: int, form: Any) -> Any:
    """Return a row of ``codes`` (uint64 [N, W]) in the given form; for compiled callers."""
    raise NotImplementedError("called from compiled code only; see the overload below")


@overload(words_of)
def _words_of(codes: Any, row: Any, form: Any) -> Callable[..., Any]:
    def as_tuple(codes: Any, row: Any, form: Any) -> Any:
        words = form
        for w in range(len(form)):
            words = tuple_setitem(words, w, codes[row, w])  # type: ignore[call-arg]
        return words

    def as_array(codes: Any, row: Any, form: Any) -> Any:
        return codes[row]

    return as_tuple if isinstance(form, types.UniTuple) else as_array


@compiled
def distance_to(codes: Any, row: int, words: Any) -> Any:
    """Return the distance of a row of ``codes`` (uint64 [N, W]) to a code given by :func:`words_of`."""
    distance = popcount(codes[row, 0] ^ words[0])
    for w in range(1, len(words)):
        distance += popcount(codes[row, w] ^ words[w])
    return distance
