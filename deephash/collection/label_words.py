"""Labels as words, several joined by ``|``, and what numbers stand for them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

SEVERAL = "|"


def parse_labels(words: Sequence[str]) -> tuple[NDArray[Any], list[str]]:
    """Return class numbers [N] where nobody has two labels, else multi-hot [N, C]; and the class names, sorted."""
    sets = [[part.strip() for part in text.split(SEVERAL) if part.strip()] for text in words]
    class_names = sorted({name for names in sets for name in names})
    number = {name: position for position, name in enumerate(class_names)}
    if all(len(names) <= 1 for names in sets):
        return np.array([number[names[0]] if names else -1 for names in sets], dtype=np.int64), class_names
    table = np.zeros((len(sets), len(class_names)), dtype=np.uint8)
    for row, names in enumerate(sets):
        table[row, [number[name] for name in names]] = 1
    return table, class_names
