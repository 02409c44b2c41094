"""How sure each bit is, as a model folder keeps it: from a continuous code to the probability that a bit is 1.

Of a model that says it itself (HIB), ``Phi`` of the continuous code. Of others the margin |v| is calibrated:
``deephash train`` holds the bits of its validation queries against those of the right answers to each, and writes into
``certainty.json`` how often bits of such a margin agree, made to rise with the margin by isotonic regression. So a
probability means "a right answer has this bit", and a bit that varies within a class is never called sure.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from deephash.codes.certainty import NOISE, bit_probabilities, certainty
from deephash.errors import CollectionDamaged, UsageError
from deephash.evaluation.calibration import isotonic
from deephash.foreign import SMALL, Unfit, read_if_there, refused_as

FILE_NAME = "certainty.json"
VERSION = 1
BINS = 48  # of margins, equally full
LEAST_BITS = 200  # of known rows, below which a table says nothing
USUAL = 0.05  # share of the known rows that are less certain than what is told as usual


@dataclass(frozen=True, eq=False)
class BitCertainty:
    """Of one modality.

    Attributes:
        kind: ``gaussian``: continuous codes are means in units of their spread; ``margins``: calibrated.
        margins: float64 [M], |v|, rising; empty where gaussian.
        agreement: float64 [M], 0.5 to 1 and rising: how probably a right answer has a bit of that margin.
        usual: certainty of a code that 95 % of the known rows reach; None where no rows are known.
        rows: how many are known.
        source: where they come from, in words.
    """

    kind: Literal["gaussian", "margins"]
    margins: NDArray[np.float64]
    agreement: NDArray[np.float64]
    usual: float | None = None
    rows: int = 0
    source: str = ""

    @classmethod
    def gaussian(cls) -> Self:
        """Take continuous codes as ``mu / sigma``."""
        return cls("gaussian", np.empty(0), np.empty(0))

    @classmethod
    def calibrated(cls, continuous: ArrayLike, agreement: ArrayLike, source: str = "") -> Self | None:
        """Measure it on known rows; None where there are too few bits.

        Args:
            continuous: v [N, K] (or [N, L, K]).
            agreement: shaped like it, 0..1: what share of the right answers to a row, or of other views of it, has the
                same bit.
            source: where the rows come from.

        Raises:
            UsageError: NaN, or shapes that do not fit.
        """
        values, agree = np.asarray(continuous, np.float64), np.asarray(agreement, np.float64)
        if values.shape != agree.shape or np.isnan(values).any() or not ((agree >= 0) & (agree <= 1)).all():
            raise UsageError(
                "calibration takes continuous codes and shares of agreement 0..1, of one shape, without NaN"
            )
        if values.size < LEAST_BITS:
            return None
        order = np.argsort(np.abs(values), axis=None, kind="stable")
        margins, shares = np.abs(values).ravel()[order], agree.ravel()[order]
        parts = [part for part in np.array_split(np.arange(len(order)), min(BINS, len(order))) if len(part)]
        places = np.array([margins[part].mean() for part in parts])
        sizes = np.array([len(part) for part in parts])
        rising = isotonic(np.array([shares[part].mean() for part in parts]), sizes)
        rising = np.clip(rising, 0.5, 1 - 0.5 / (sizes + 1))  # n bits without a counterexample show no more
        found = cls("margins", *_knots(places, np.maximum.accumulate(rising)), source=source)
        return found.known(values, source)

    def known(self, continuous: ArrayLike, source: str) -> Self:
        """Return the same with what is usual, measured on continuous codes [N, K] of known rows."""
        sure = self.of_rows(continuous)
        usual = float(np.quantile(sure, USUAL)) if len(sure) else None
        return replace(self, usual=usual, rows=len(sure), source=source)

    def probabilities(self, continuous: ArrayLike) -> NDArray[np.float64]:
        """Return how probably each bit is 1, shaped like the continuous codes. Raises UsageError for NaN."""
        values = np.asarray(continuous, np.float64)
        if np.isnan(values).any():
            raise UsageError("continuous codes hold NaN, so nothing is known of their bits")
        if self.kind == "gaussian":
            return bit_probabilities(values, 1.0)
        sure = np.interp(np.abs(values), self.margins, self.agreement)
        return np.where(values >= 0, sure, 1 - sure)

    def of_rows(self, continuous: ArrayLike) -> NDArray[np.float64]:
        """Return how sure whole codes are, [N], 0..1, of continuous codes [N, ...]."""
        found = self.probabilities(continuous)
        return certainty(found.reshape(len(found), -1)) if len(found) else np.empty(0)

    @property
    def noise(self) -> float | None:
        """The margin below which bits are within noise; None where no margin is above it."""
        if self.kind == "gaussian":
            return 1.0
        sure = np.flatnonzero(self.agreement >= NOISE)
        return float(self.margins[sure[0]]) if len(sure) else None

    def to_record(self) -> dict[str, Any]:
        """Return JSON values."""
        return asdict(self) | {"margins": self.margins.tolist(), "agreement": self.agreement.tolist()}

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> Self:
        """Take what :meth:`to_record` gave and ``certainty.json`` of the schema holds. Raises Unfit."""
        margins, agreement = (np.asarray(record[name], np.float64) for name in ("margins", "agreement"))
        rising = len(margins) == len(agreement) and all((np.diff(each) >= 0).all() for each in (margins, agreement))
        if not rising or (record["kind"] == "margins") != bool(len(margins)):
            raise Unfit(f"{FILE_NAME} holds margins and agreements that do not rise together, or none")
        return cls(**{**record, "margins": margins, "agreement": agreement})


def certainty_for(tables: Mapping[str, BitCertainty], modality: str, method: str) -> BitCertainty:
    """Return the table of a modality. Raises UsageError where the model has none."""
    if modality not in tables:
        raise UsageError(
            f"how sure the bits of this {method} are is not known: its model folder has no {FILE_NAME} for "
            f"{modality} codes; deephash train writes one where the data have a labelled validation part"
        )
    return tables[modality]


def _knots(margins: NDArray[np.float64], rising: NDArray[np.float64]) -> tuple[NDArray[Any], NDArray[Any]]:
    """Put a toss of a coin at margin 0, and leave out what a straight line between its neighbours says too."""
    margins, rising = np.concatenate([[0.0], margins]), np.concatenate([[0.5], rising])
    inner = (rising[1:-1] != rising[:-2]) | (rising[1:-1] != rising[2:])
    keep = np.concatenate([[True], inner, [True]])
    return margins[keep], rising[keep]


def save_certainty(folder: Path, tables: Mapping[str, BitCertainty]) -> None:
    """Write ``certainty.json`` of a model folder, in one step: a table for each modality."""
    from deephash.collection.card import replace_file

    record = {"format_version": VERSION, "tables": {name: table.to_record() for name, table in tables.items()}}
    replace_file(folder / FILE_NAME, json.dumps(record) + "\n")


def load_certainty(folder: Path) -> dict[str, BitCertainty]:
    """Read ``certainty.json``; nothing where there is none, or it is of a later version.

    Raises:
        CollectionDamaged: it cannot be read.
    """
    with refused_as(CollectionDamaged, "remove that file: then nobody is told how sure a code is"):
        record = read_if_there(folder / FILE_NAME, "certainty", version=VERSION, limit=SMALL)
        return {name: BitCertainty.from_record(each) for name, each in (record or {"tables": {}})["tables"].items()}
