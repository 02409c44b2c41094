"""Which values of a 16-bit, integer or float picture are black and white, where its file does not say so plainly."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deephash.errors import UnreadablePicture

WHITES = (255, 1023, 4095, 65535)  # of 8, 10, 12 and 16 bits
LEAST_USED = 8  # a usual white is believed where the values reach an eighth of it
OUTLIERS = 10_000  # one value in so many, and at least one, may lie outside
SLACK = 0.1  # how far floats of 0..1 or -1..1 may swing over, as sharpening and resampling make them


@dataclass(frozen=True)
class ValueRange:
    """The values that become black and white.

    Attributes:
        black: this and everything below becomes 0.
        white: this and everything above becomes 255.
        is_plain: the file's own kind says it (the whole range of its integers, or floats of 0..1).
    """

    black: float
    white: float
    is_plain: bool

    def __str__(self) -> str:
        return f"values {self.black:g} to {self.white:g} were taken as black to white"

    def apply(self, values: NDArray[Any]) -> NDArray[np.uint8]:
        """Return 8-bit values of the same shape; NaN becomes black."""
        step = 255.0 / (self.white - self.black)
        scaled = (values.astype(np.float64) - self.black) * step
        return np.asarray(np.clip(np.nan_to_num(scaled, nan=0.0) + 0.5, 0, 255), np.uint8)


def find_range(values: NDArray[Any], *, told_white: float | None = None, missing: float | None = None) -> ValueRange:
    """Decide what black and white are.

    Infinite values and NaN do not count, and neither does one value in 10,000 (at least one) at either end. Then:

    1. ``told_white``, where the file tells one that the values keep to, with black 0;
    2. floats of 0..1 and of -1..1 that use an eighth of it are taken as that (a tenth more or less is clipped);
    3. values from 0 up: white is the smallest of 255, 1023, 4095 and 65535 that holds them, if they reach an eighth of
       it; otherwise the largest value;
    4. values below 0: from the lowest to the largest.

    Args:
        values: of the whole picture, any shape, of at least one value.
        told_white: what the file calls white.
        missing: the value that marks pixels without data.

    Raises:
        UnreadablePicture: no value is finite.
    """
    low, high = _ends(values if missing is None else values[values != missing])
    is_float = values.dtype.kind == "f"
    if told_white is not None and low >= 0 and high <= told_white:
        return ValueRange(0.0, told_white, True)
    if is_float and low >= -SLACK and high <= 1 + SLACK and (high * LEAST_USED >= 1 or low == high == 0):
        return ValueRange(0.0, 1.0, True)
    if is_float and -1 - SLACK <= low < 0 and high <= 1 + SLACK and (high - low) * LEAST_USED >= 2:
        return ValueRange(-1.0, 1.0, False)
    if low < 0:
        return ValueRange(low, max(high, low + 1e-9 * abs(low)), False)
    white = next((float(white) for white in WHITES if high <= white), high)
    if high * LEAST_USED < white and high > 0:
        white = high
    natural = values.dtype.kind in "ui" and values.dtype.itemsize <= 2 and white == np.iinfo(values.dtype).max
    return ValueRange(0.0, white, natural or high == 0)


def _ends(values: NDArray[Any]) -> tuple[float, float]:
    """Return the lowest and largest value without outliers."""
    flat = values.reshape(-1)
    if flat.dtype.kind == "f":
        flat = flat[np.isfinite(flat)]
    if not flat.size:
        raise UnreadablePicture("no value in it is a finite number, so there is nothing to see")
    spare = min(max(1, flat.size // OUTLIERS), (flat.size - 1) // 2)
    ordered = np.partition(flat, (spare, flat.size - 1 - spare))
    return float(ordered[spare]), float(ordered[flat.size - 1 - spare])
