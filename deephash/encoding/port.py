"""What the house asks of an encoder, whatever computes it.

Search, indexing and the page know this port only. Torch stands behind it (:mod:`deephash.models.encoder`); what a
row is made of is NumPy, so that an encoder without torch can stand there as well.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol, Self, TypeAlias, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from deephash.codes import BinaryCodes, CodeLayout

Modality: TypeAlias = Literal["image", "text"]
Precision: TypeAlias = Literal["fp32", "bf16", "int8"]
Decode: TypeAlias = Literal["reduced", "full"]
Engine: TypeAlias = Literal["auto", "onnx", "torch"]
Row: TypeAlias = NDArray[Any]


@dataclass(frozen=True, eq=False)
class Encoded:
    """What one pass of an encoder gave for n items.

    Attributes:
        codes: n rows.
        continuous: float32 [n, K] (or [n, L, K]), what the bits were made of; None where nobody asked for it.
        vectors: float32 [n, D] for re-ranking by cosine; None where nobody asked for them.
        uncertainty: float32 [n], 0..1, where it is known how sure bits are (:mod:`deephash.encoding.doubt`) and
            ``continuous`` was asked for; else None.
    """

    codes: BinaryCodes
    continuous: NDArray[np.float32] | None = None
    vectors: NDArray[np.float32] | None = None
    uncertainty: NDArray[np.float32] | None = None


@runtime_checkable
class CodeEncoder(Protocol):
    """A hash model as a function from pictures and phrases to codes.

    An item goes through :meth:`prepare`, which gives one row in NumPy, and rows through :meth:`encode`, a batch at a
    time. Both may be called from several threads at once.
    """

    @property
    def engine(self) -> str:
        """What computes: ``torch`` or ``onnx``."""

    @property
    def method(self) -> str:
        """Name of the method, such as ``OrthoHash``."""

    @property
    def num_bits(self) -> int:
        """K."""

    @property
    def num_levels(self) -> int:
        """L."""

    @property
    def layout(self) -> CodeLayout:
        """Of the codes."""

    @property
    def modalities(self) -> tuple[str, ...]:
        """What it reads: ``image``, ``text`` or both."""

    @property
    def picture_side(self) -> int | None:
        """Pixels to which the shorter side of a picture is brought, so that nobody decodes larger; None for vectors."""

    @property
    def neutral_phrase(self) -> str | None:
        """The phrase that says nothing, before which words are put; may be empty. None where it reads no phrases."""

    @property
    def is_mixable(self) -> bool:
        """Whether a bit is 1 exactly where the continuous code is at least 0, so that sums of these make codes."""

    @property
    def precision(self) -> Precision:
        """In which numbers the network computes."""

    @property
    def runs_on_cpu(self) -> bool:
        """Whether threads that encode share the cores with those that decode."""

    def fingerprint(self) -> str:
        """Return 16 hexadecimal digits that change whenever the codes could."""

    def vector_dim(self) -> int:
        """Return D of the vectors of pictures."""

    def prepare(self, modality: Modality, item: Any) -> Row:
        """Return one row: of a PIL picture or a phrase, or of a vector where the model reads vectors.

        Raises:
            UsageError: the model does not read the modality, or understands nothing of the phrase.
        """

    def unknown_words(self, phrase: str) -> list[tuple[str, str | None]]:
        """Return the words of a phrase that have no effect, each with a known one it may be a misspelling of."""

    def neutral(self) -> Row:
        """Return the row of :attr:`neutral_phrase`. Raises UsageError where no phrases are read."""

    def encode(
        self, modality: Modality, rows: Sequence[Row], *, continuous: bool = False, vectors: bool = False
    ) -> Encoded:
        """Return the codes of rows, and what else is asked for; the network runs once.

        Raises:
            UsageError: a continuous code is NaN, or the model was not fitted.
        """

    def at(self, precision: Precision) -> Self:
        """Return the same model in another precision; itself where it has it."""

    def in_threads(self) -> AbstractContextManager[Callable[[], None]]:
        """Let every thread compute by itself meanwhile, on one core; the function given is called first in each."""

    def save(self, directory: Path) -> None:
        """Write the model folder."""
