"""Arrays of other programs: text, whole numbers and labels, each as it was given, or refused in a sentence."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from deephash.errors import UsageError


def as_words(array: NDArray[Any], source: str) -> NDArray[np.str_]:
    """Return text [N]; bytes are read as UTF-8, which is what HDF5 and C programs hand over. Raises UsageError."""
    if array.dtype.kind != "S":
        return array.astype(str)
    try:
        return np.char.decode(array, "utf-8")
    except UnicodeDecodeError as error:
        raise UsageError(f"{source} are bytes that are no UTF-8 text: {error}; decode them and save text") from None


def as_integers(array: NDArray[Any], source: str) -> NDArray[np.int64]:
    """Return whole numbers as int64, each as it was given. Raises UsageError for those that would become others."""
    if array.dtype.kind == "f":
        exact = 2.0**53  # from here on a float stands for several integers
        if array.size and np.abs(array).max() > exact:
            raise UsageError(
                f"{source}: {np.abs(array).max():.0f} is too large for a float to tell from its neighbours; save whole "
                "numbers as int64, or names as text"
            )
    elif array.dtype.kind == "u" and array.size and int(array.max()) > np.iinfo(np.int64).max:
        raise UsageError(
            f"{source}: {array.max()} does not fit 64 bits with a sign; number from 0, or save names as text"
        )
    return array.astype(np.int64)


def as_labels(array: NDArray[Any], *, source: str = "labels") -> NDArray[Any]:
    """Return class numbers int64 [N], multi-hot uint8 [N, C], or class names str [N].

    A column [N, 1] is read as class numbers. Raises UsageError for NaN, fractions or multi-hot values other than 0/1.
    """
    labels = array[:, 0] if array.ndim == 2 and array.shape[1] == 1 else array
    if labels.dtype.kind in "US" and labels.ndim == 1:
        return as_words(labels, source)
    if labels.dtype.kind not in "biuf" or labels.ndim not in (1, 2):
        raise UsageError(
            f"{source}: labels are class numbers or names [N], or multi-hot [N, C], not {array.dtype} of shape "
            f"{list(array.shape)}"
        )
    if labels.dtype.kind == "f" and not (np.isfinite(labels).all() and (labels == np.round(labels)).all()):
        raise UsageError(f"{source}: labels hold NaN or fractions; they are whole class numbers or 0/1 multi-hot rows")
    if labels.ndim == 1:
        numbers = as_integers(labels, source)
        if numbers.min(initial=-1) < -1:
            raise UsageError(f"{source}: labels are class numbers from 0, or -1 for unlabelled, not {numbers.min()}")
        return numbers
    if not np.isin(labels, (0, 1)).all():
        raise UsageError(f"{source}: labels of shape {list(labels.shape)} are multi-hot and must hold only 0 and 1")
    return labels.astype(np.uint8)
