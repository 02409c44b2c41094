"""Labels as words, several joined by ``|``, and what numbers stand for them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

SEVERAL = "|"
UNLABELLED = "-1"  # among numbers; beside words it is a word
_NUMBER = re.compile(r"0|[1-9][0-9]{0,6}")  # of a class


def split_labels(words: Sequence[str]) -> tuple[list[list[str]], bool]:
    """Return the labels of each item, and whether all of them are numbers, as such written; -1 is none then."""
    sets = [[part.strip() for part in text.split(SEVERAL) if part.strip()] for text in words]
    known = {name for names in sets for name in names} - {UNLABELLED}
    are_numbers = all(_NUMBER.fullmatch(name) for name in known)
    return [[name for name in names if name != UNLABELLED] if are_numbers else names for names in sets], are_numbers


def without_unlabelled(words: Sequence[str]) -> list[str]:
    """Return the words as they are written, but an empty one where -1 stands among numbers."""
    return [word if names else "" for word, names in zip(words, split_labels(words)[0])]


def parse_labels(words: Sequence[str]) -> tuple[NDArray[Any], list[str]]:
    """Return class numbers [N] where nobody has two labels, else multi-hot [N, C]; and the class names, sorted."""
    sets, _ = split_labels(words)
    class_names = sorted({name for names in sets for name in names})
    number = {name: position for position, name in enumerate(class_names)}
    if all(len(names) <= 1 for names in sets):
        return np.array([number[names[0]] if names else -1 for names in sets], dtype=np.int64), class_names
    table = np.zeros((len(sets), len(class_names)), dtype=np.uint8)
    for row, names in enumerate(sets):
        table[row, [number[name] for name in names]] = 1
    return table, class_names
