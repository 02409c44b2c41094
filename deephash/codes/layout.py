"""CodeLayout: how the codes of one model are laid out, and what follows from it; the only place that knows."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from deephash.errors import UsageError
from deephash.numbers import whole


@dataclass(frozen=True, slots=True)
class CodeLayout:
    """K bits in each of L levels.

    Attributes:
        num_bits: K, any K >= 1.
        num_levels: L; more than 1 only for recurrent codes (BEBR), whose levels refine each other.

    Raises:
        UsageError: a number below 1, or no whole number.
    """

    num_bits: int
    num_levels: int = 1

    def __post_init__(self) -> None:
        for name in ("num_bits", "num_levels"):
            object.__setattr__(self, name, whole(getattr(self, name), name, least=1))

    @property
    def bytes_a_level(self) -> int:
        """ceil(K / 8)."""
        return -(-self.num_bits // 8)

    @property
    def width(self) -> int:
        """Bytes a code."""
        return self.num_levels * self.bytes_a_level

    @property
    def total_bits(self) -> int:
        """Bits of all levels."""
        return self.num_bits * self.num_levels

    @property
    def max_distance(self) -> int:
        """The greatest Hamming distance, summed over levels."""
        return self.total_bits

    @property
    def weights(self) -> NDArray[np.float64]:
        """What a bit of each level weighs in the value that the levels stand for, [L]: 1, 1/2, 1/4, ... (BEBR)."""
        return np.power(0.5, np.arange(self.num_levels), dtype=np.float64)

    @property
    def is_flat(self) -> bool:
        """Whether the Hamming distance is the distance that is meant: one level."""
        return self.num_levels == 1

    def describe(self) -> str:
        """Return such as ``64 bits`` or ``64 bits x 4 levels``."""
        bits = f"{self.num_bits} bits"
        return bits if self.is_flat else f"{bits} x {self.num_levels} levels"

    def require_same(self, other: CodeLayout) -> None:
        """Raise UsageError where codes of the two layouts cannot be compared."""
        if self != other:
            raise UsageError(
                f"codes of different lengths cannot be compared: {self.describe()} against {other.describe()}; "
                "encode both sides with the same model"
            )

    def require_flat(self, what: str) -> None:
        """Raise UsageError where codes have several levels and ``what`` knows only one."""
        if not self.is_flat:
            raise UsageError(f"{what} takes codes of one level, not {self.describe()}")
