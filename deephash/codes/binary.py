"""BinaryCodes: the one currency between the floors of deephash."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from deephash.codes.layout import CodeLayout
from deephash.codes.words import differing_bits
from deephash.errors import UsageError
from deephash.faces import as_frame, html_bars, html_table
from deephash.foreign import Unfit, read_npz, refused_as


@dataclass(frozen=True, slots=True, eq=False)
class BinaryCodes:
    """N binary codes of K bits, packed; immutable.

    Attributes:
        packed: uint8 [N, L * ceil(K / 8)], ``numpy.packbits`` order (big-endian, bit 1 means "positive"); padding bits
            are zero, so they never count in a distance.
        num_bits: K, any K >= 1.
        num_levels: L; more than 1 only for recurrent (BEBR) codes.

    Raises:
        UsageError: shape, dtype or padding do not fit.
    """

    packed: NDArray[np.uint8]
    num_bits: int
    num_levels: int = 1

    def __post_init__(self) -> None:
        layout = CodeLayout(self.num_bits, self.num_levels)
        for name in ("num_bits", "num_levels"):
            object.__setattr__(self, name, getattr(layout, name))
        packed = np.ascontiguousarray(self.packed)
        width = layout.width
        if packed.dtype != np.uint8 or packed.ndim != 2 or packed.shape[1] != width:
            raise UsageError(
                f"packed codes of {self.num_bits} bits and {self.num_levels} level(s) are uint8 of shape [N, {width}], "
                f"not {packed.dtype} of shape {list(packed.shape)}; BinaryCodes.from_bits packs 0/1 arrays"
            )
        if self._padding_is_set(packed):
            raise UsageError(
                f"padding bits behind bit {self.num_bits} must be zero, or distances would be wrong; "
                "BinaryCodes.from_bits packs 0/1 arrays correctly"
            )
        if packed is self.packed or packed.base is not None:
            packed = packed.view()
        packed.flags.writeable = False
        object.__setattr__(self, "packed", packed)

    def _padding_is_set(self, packed: NDArray[np.uint8]) -> bool:
        spare = -self.num_bits % 8
        if not spare or not len(packed):
            return False
        last = packed[:, bytes_per_code(self.num_bits) - 1 :: bytes_per_code(self.num_bits)]
        return bool((last & np.uint8((1 << spare) - 1)).any())

    # Making codes ----------------------------------------------------------------------------------

    @classmethod
    def from_bits(cls, bits: ArrayLike) -> BinaryCodes:
        """Pack 0/1 or boolean ``bits`` [N, K], or [N, L, K] for L levels."""
        array = np.asarray(bits)
        if array.ndim not in (2, 3) or array.shape[-1] == 0:
            raise UsageError(f"bits have shape [N, K] or [N, L, K], not {list(array.shape)}")
        if array.dtype != bool and not np.isin(array, (0, 1)).all():
            raise UsageError("bits are 0 or 1; use from_signs for -1/+1 and from_continuous for real values")
        packed = np.packbits(array.astype(bool), axis=-1)
        levels = array.shape[1] if array.ndim == 3 else 1
        return cls(packed.reshape(len(array), packed.shape[-1] * levels), array.shape[-1], levels)

    @classmethod
    def from_continuous(cls, values: ArrayLike, threshold: ArrayLike = 0.0) -> BinaryCodes:
        """Binarise continuous codes v [N, K] (or [N, L, K]): bit = (v >= threshold), as Faiss does."""
        array = np.asarray(values)
        if np.isnan(array).any():
            raise UsageError(f"{int(np.isnan(array).any(axis=-1).sum())} continuous codes hold NaN; they have no sign")
        return cls.from_bits(array >= np.asarray(threshold))

    @classmethod
    def from_signs(cls, signs: ArrayLike) -> BinaryCodes:
        """Pack -1/+1 ``signs`` [N, K]; zeros are refused because they have no side."""
        array = np.asarray(signs)
        if not np.isin(array, (-1, 1)).all():
            raise UsageError("signs are -1 or +1; use from_continuous for real values")
        return cls.from_bits(array > 0)

    @classmethod
    def from_hex(cls, lines: Iterable[str], num_bits: int | None = None) -> BinaryCodes:
        """Read one hexadecimal string a code; ``num_bits`` defaults to four times its length."""
        texts = [line.strip() for line in lines]
        lengths = {len(text) for text in texts}
        if len(lengths) != 1:
            raise UsageError(f"hex codes need one common length, not {sorted(lengths) or 'an empty list'}")
        bits = num_bits or 4 * lengths.pop()
        try:
            raw = [bytes.fromhex(text + "0" * (len(text) % 2)) for text in texts]
        except ValueError as error:
            raise UsageError(f"not hexadecimal: {error}") from None
        return cls(np.frombuffer(b"".join(raw), np.uint8).reshape(len(texts), -1), bits)

    @classmethod
    def concatenate(cls, parts: Sequence[BinaryCodes]) -> BinaryCodes:
        """Join codes of one length."""
        if not parts:
            raise UsageError("nothing to concatenate")
        shapes = {(part.num_bits, part.num_levels) for part in parts}
        if len(shapes) > 1:
            raise UsageError(f"codes of different lengths cannot be joined: {sorted(shapes)} (bits, levels)")
        return cls(np.concatenate([part.packed for part in parts]), parts[0].num_bits, parts[0].num_levels)

    # Looking at codes ------------------------------------------------------------------------------

    def __len__(self) -> int:
        return len(self.packed)

    def __getitem__(self, rows: Any) -> BinaryCodes:
        """Select rows; an integer gives one code, still as BinaryCodes of length 1."""
        if isinstance(rows, (int, np.integer)):
            rows = [rows]
        return BinaryCodes(self.packed[rows], self.num_bits, self.num_levels)

    def __iter__(self) -> Iterator[BinaryCodes]:
        return (self[row] for row in range(len(self)))

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, BinaryCodes):
            return NotImplemented
        same_kind = (self.num_bits, self.num_levels) == (other.num_bits, other.num_levels)
        return same_kind and np.array_equal(self.packed, other.packed)

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"BinaryCodes({self.describe()})"

    @property
    def layout(self) -> CodeLayout:
        """K and L, and what follows from them."""
        return CodeLayout(self.num_bits, self.num_levels)

    def describe(self) -> str:
        """Return e.g. ``1,000 codes of 64 bits``."""
        return f"{len(self):,} code{'s' * (len(self) != 1)} of {self.layout.describe()}"

    def bits(self) -> NDArray[np.bool_]:
        """Return booleans [N, K], or [N, L, K] for several levels."""
        shaped = self.packed.reshape(len(self), self.num_levels, bytes_per_code(self.num_bits))
        bits = np.unpackbits(shaped, axis=-1, count=self.num_bits).astype(bool)
        return bits if self.num_levels > 1 else bits[:, 0]

    def signs(self) -> NDArray[np.int8]:
        """Return -1/+1 as int8, shaped like :meth:`bits`."""
        return np.where(self.bits(), np.int8(1), np.int8(-1))

    def to(self, device: object, **_: object) -> BinaryCodes:
        """Return the codes as they are, in main memory: where Lightning brings what ``predict_step`` returned."""
        return self

    def hex(self) -> list[str]:
        """Return one lower-case hexadecimal string a code (padding zeros included)."""
        return [row.tobytes().hex() for row in self.packed]

    def to_arrow(self) -> Any:
        """Return an Arrow table of one column, ``code``, in hexadecimal."""
        import pyarrow as pa

        return pa.table({"code": pa.array(self.hex(), pa.string())})

    def to_pandas(self) -> Any:
        """Return :meth:`to_arrow` as a data frame."""
        return as_frame(self.to_arrow())

    def _repr_html_(self) -> str:
        first = [(place, code) for place, code in enumerate(self[: min(5, len(self))].hex())]
        ones = self.bits().reshape(len(self), -1).mean(axis=0).tolist() if 0 < len(self) <= 100_000 else []
        bars = (
            f"<p>{html_bars(ones, title='share of ones, bit by bit')}<br>share of ones, bit by bit</p>" if ones else ""
        )
        return f"<p>{self.describe()}</p>{html_table(first, ('', 'code'))}{bars}"

    def prefix(self, num_bits: int) -> BinaryCodes:
        """Return the first ``num_bits`` bits of each code (nested codes: a shorter valid code)."""
        if not 1 <= num_bits <= self.num_bits:
            raise UsageError(f"a prefix of {self.num_bits}-bit codes has 1..{self.num_bits} bits, not {num_bits}")
        if num_bits % 8 == 0 and self.num_levels == 1:
            return BinaryCodes(self.packed[:, : num_bits // 8], num_bits)
        return BinaryCodes.from_bits(self.bits()[..., :num_bits])

    def hamming(self, other: BinaryCodes) -> NDArray[np.int32]:
        """Return the Hamming distances to ``other``, int32 [len(self), len(other)].

        For codes of several levels (BEBR) they are summed over levels; the levels' weights belong to the symmetric
        distance of that method, not to this function.

        Raises:
            UsageError: the two sides differ in length.
        """
        self.layout.require_same(other.layout)
        return differing_bits(self.packed, other.packed)

    # On disk ---------------------------------------------------------------------------------------

    def save(self, path: str | Path, **columns: ArrayLike) -> None:
        """Write an ``.npz`` of ``codes``, ``num_bits``, ``num_levels`` and further ``columns`` (labels, ids)."""
        arrays: dict[str, Any] = dict(columns)
        np.savez_compressed(path, codes=self.packed, num_bits=self.num_bits, num_levels=self.num_levels, **arrays)

    @classmethod
    def load(cls, path: str | Path) -> BinaryCodes:
        """Read what :meth:`save` wrote; nothing in the file can run code. Raises DataError (Unfit)."""
        with refused_as(Unfit, "it is not a code file written by BinaryCodes.save"):
            arrays = read_npz(path, ("codes", "num_bits", "num_levels"))
        try:
            levels = one_number(arrays["num_levels"]) if "num_levels" in arrays else 1
            return cls(arrays["codes"], one_number(arrays["num_bits"]), levels)
        except (KeyError, ValueError) as error:  # UsageError is a ValueError
            reason = f"it has no array {error}" if isinstance(error, KeyError) else error
            raise Unfit(f"{path} is not a code file written by BinaryCodes.save: {reason}") from None


def one_number(array: NDArray[Any]) -> int:
    """Return the one whole number in ``array``. Raises ValueError."""
    if array.size != 1 or array.dtype.kind not in "iu":
        raise ValueError(f"one whole number is needed, not {array.dtype} of shape {list(array.shape)}")
    return int(array.reshape(-1)[0])


def bytes_per_code(num_bits: int) -> int:
    """Return ceil(K / 8)."""
    return -(-num_bits // 8)
