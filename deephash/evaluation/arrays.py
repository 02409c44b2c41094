"""Arrays of other programs: text, whole numbers and labels, each as it was given, or refused in a sentence."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from deephash.codes import BinaryCodes
from deephash.codes.binary import bytes_per_code
from deephash.errors import UsageError

_FIX = "write it with BinaryCodes.save, or add an entry num_bits"


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


def as_codes(codes: BinaryCodes | ArrayLike, source: str = "codes") -> BinaryCodes:
    """Return codes that are spelt with one number a bit, or are BinaryCodes already.

    Args:
        codes: BinaryCodes, or an array [N, K] (or [N, L, K]: L levels) of booleans, of 0 and 1, or of -1 and +1, of any
            numeric type. Packed bytes are accepted only inside BinaryCodes, since their number of bits cannot be seen.
        source: what to call them in an error message.

    Raises:
        UsageError: real values, NaN, zeros among -1/+1 values, other integers, or a wrong shape.
    """
    if isinstance(codes, BinaryCodes):
        return codes
    array = np.asarray(codes)
    if array.ndim not in (2, 3) or array.shape[-1] == 0:
        raise UsageError(f"{source} have shape [N, K], not {list(array.shape)}")
    if array.dtype.kind not in "biuf":
        raise UsageError(f"{source}: codes are numbers or booleans, not {array.dtype}")
    if array.dtype.kind == "f" and np.isnan(array).any():
        rows = int(np.isnan(array).any(axis=tuple(range(1, array.ndim))).sum())
        raise UsageError(f"{source}: {rows:,} codes hold NaN")
    ones, zeros, minus = array == 1, array == 0, array == -1
    if (zeros | ones).all():
        return BinaryCodes.from_bits(array)
    if (minus | ones).all():
        return BinaryCodes.from_signs(array)
    if (minus | zeros | ones).all():
        rows = int(zeros.any(axis=-1).sum())
        raise UsageError(
            f"{source}: {rows:,} codes hold 0 beside -1 and +1, as sign() makes it for 0; a bit has two sides, "
            "0/1 or -1/+1: binarise with v >= 0 (BinaryCodes.from_continuous)"
        )
    if array.dtype.kind == "f":
        raise UsageError(f"{source}: codes hold real values; binarise first: BinaryCodes.from_continuous(v), v >= 0")
    raise UsageError(
        f"{source}: codes are 0/1, -1/+1 or packed uint8, not {array.dtype} from {array.min()} to {array.max()}; "
        f"wrap packed bytes as BinaryCodes(packed, num_bits). In a file: {_FIX}"
    )


def read_codes(
    array: NDArray[Any], *, num_bits: int | None = None, num_levels: int = 1, source: str = "codes"
) -> BinaryCodes:
    """Turn an array of a file, packed uint8, 0/1, boolean or -1/+1, into BinaryCodes, by these rules.

    1. ``num_bits`` given: uint8 of width ceil(K/8) is packed, width K is one number a bit; any other width is refused.
    2. Booleans and arrays that hold a negative number are one number a bit.
    3. uint8 with a value above 1 is packed, K = 8 x width.
    4. Anything that holds only 0 and 1 is one number a bit, except uint8 of less than 8 columns: 16 packed bits whose
       bytes are all 0 or 1 look the same, so ``num_bits`` is asked for.

    Raises:
        UsageError: real values, NaN, zeros beside -1/+1, other integers, or a width that does not fit.
    """
    if array.ndim not in (2, 3) or array.shape[-1] == 0:
        raise UsageError(f"{source}: codes have shape [N, K], or [N, ceil(K/8)] packed, not {list(array.shape)}")
    if num_bits is None and _is_ambiguous(array):
        raise UsageError(
            f"{source}: uint8 codes of {array.shape[1]} columns with only 0 and 1 could be {array.shape[1]} bits or "
            f"{8 * array.shape[1]} packed bits; {_FIX}"
        )
    if _is_packed(array, num_bits, num_levels):
        return BinaryCodes(array, num_bits or 8 * (array.shape[1] // num_levels), num_levels)
    if num_bits is not None and array.shape[-1] != num_bits:
        raise UsageError(
            f"{source}: num_bits is {num_bits}, so codes have {bytes_per_code(num_bits) * num_levels} columns of "
            f"packed uint8 or {num_bits} of 0/1 or -1/+1, not {array.shape[-1]} of {array.dtype}"
        )
    return as_codes(array, source)


def _is_ambiguous(array: NDArray[Any]) -> bool:
    return array.dtype == np.uint8 and array.ndim == 2 and array.shape[1] < 8 and not (array > 1).any()


def _is_packed(array: NDArray[Any], num_bits: int | None, num_levels: int) -> bool:
    if array.dtype != np.uint8 or array.ndim != 2:
        return False
    if num_bits is None:
        return bool((array > 1).any())
    fits = array.shape[1] == num_levels * bytes_per_code(num_bits)
    return fits and not (num_bits == 1 and (array == 1).any())  # one bit packed is 0 or 128


def is_labelled(labels: NDArray[Any]) -> NDArray[np.bool_]:
    """Return whether each item has a label: class numbers [N] from 0, or multi-hot [N, C] with a 1."""
    return np.asarray(labels >= 0 if labels.ndim == 1 else labels.any(axis=1))
