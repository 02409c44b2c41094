"""TargetTable: the code that each class is pulled to, with rows reserved for classes to come.

Models that share the table share one space of codes, whatever their networks (stationarity; CoReS, arXiv 2111.07632,
here with +-1 targets). It lies in the model folder as ``targets.npz`` and is told by its checksum. NumPy only.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deephash.codes import BinaryCodes
from deephash.encoding.record import COPY_AGAIN, model_folder
from deephash.errors import CollectionDamaged, UsageError
from deephash.evaluation.codefile import CodeFile, read_code_file, write_code_file
from deephash.foreign import refused_as

TARGETS_NAME = "targets.npz"
VERSION = 1
PATIENCE = 2000  # draws for one row
LEAST_SHARE = 0.25  # of the bits, in which a row that is added differs from every other


@dataclass(frozen=True, eq=False)
class TargetTable:
    """R target codes of K bits.

    Attributes:
        codes: [R, K].
        names: class of each row, "" where the row is reserved.
    """

    codes: BinaryCodes
    names: tuple[str, ...]

    def __post_init__(self) -> None:
        used = [name for name in self.names if name]
        if len(self.names) != len(self.codes) or len(set(used)) != len(used):
            raise UsageError(f"a table of {len(self.codes)} targets needs one name a row and no class twice")

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the rows in use."""
        return tuple(name for name in self.names if name)

    @property
    def reserved(self) -> int:
        """How many rows are free."""
        return len(self.names) - len(self.classes)

    @property
    def checksum(self) -> str:
        """``sha256:...`` of the rows, in whatever order and of whatever class they are."""
        lines = sorted(self.codes.hex())
        return f"sha256:{hashlib.sha256(chr(10).join([str(self.codes.num_bits), *lines]).encode()).hexdigest()}"

    def least_distance(self) -> int:
        """Return the smallest Hamming distance of two rows; K where there is one."""
        distances = self.codes.hamming(self.codes)
        np.fill_diagonal(distances, self.codes.num_bits)
        return int(distances.min())

    def with_classes(self, classes: Sequence[str]) -> TargetTable:
        """Return the table in which every class has a row: new ones the next reserved rows, then rows drawn for them.

        A row that is drawn differs from every other in a quarter of the bits or more; it depends on the table alone.

        Raises:
            UsageError: no such row was found.
        """
        free = iter(row for row, name in enumerate(self.names) if not name)
        names, new = list(self.names), [name for name in classes if name not in self.names]
        for row, name in zip(free, new, strict=False):
            names[row] = name
        lacking = new[self.reserved :]
        signs = _grown(self.codes.signs(), len(lacking), int(self.checksum[7:15], 16))
        return TargetTable(BinaryCodes.from_signs(signs), (*names, *lacking))

    def rows_of(self, classes: Sequence[str]) -> list[int]:
        """Return the row of each class, all of which have one."""
        row_of = {name: row for row, name in enumerate(self.names)}
        return [row_of[name] for name in classes]

    def record(self) -> dict[str, Any]:
        """Return what ``model.json`` says about it."""
        known = {"version": VERSION, "checksum": self.checksum, "rows": len(self.names)}
        return known | {"classes": len(self.classes)}

    def save(self, folder: str | Path) -> None:
        """Write ``targets.npz`` into a folder."""
        side = CodeFile(self.codes, names=np.array(self.names, dtype=str))
        write_code_file(Path(folder) / TARGETS_NAME, side, version=np.array(VERSION))

    @classmethod
    def load(cls, path: str | Path) -> TargetTable | None:
        """Read the table of a model folder, a run, or a file; None where a folder has none.

        Raises:
            CollectionDamaged: it cannot be read.
        """
        given = Path(path)
        file = model_folder(given) / TARGETS_NAME if given.is_dir() else given
        if given.is_dir() and not os.path.lexists(file):
            return None
        with refused_as(CollectionDamaged, COPY_AGAIN):
            side = read_code_file(file)
        if side.names is None:
            raise CollectionDamaged(f"{file} is no table of targets: it has no array 'names'; {COPY_AGAIN}")
        return cls(side.codes, tuple(side.names.tolist()))


@dataclass(frozen=True)
class TargetComparison:
    """What two tables have in common.

    Attributes:
        same_table: they have the same rows.
        shared: classes of both.
        conflicting: those of them whose rows differ.
        new: classes of the newer one only.
    """

    same_table: bool
    shared: tuple[str, ...]
    conflicting: tuple[str, ...]
    new: tuple[str, ...]

    @property
    def one_space(self) -> bool:
        """Whether their codes are of one space: one table, or one that grew; no class with two targets."""
        return not self.conflicting and (self.same_table or bool(self.shared))


def compare_targets(old: TargetTable, new: TargetTable) -> TargetComparison:
    """Say whether two models are pulled to the same targets."""
    before, after = _code_of(old), _code_of(new)
    shared = tuple(name for name in new.classes if name in before)
    return TargetComparison(
        same_table=old.checksum == new.checksum,
        shared=shared,
        conflicting=tuple(name for name in shared if before[name] != after[name]),
        new=tuple(name for name in new.classes if name not in before),
    )


def _grown(signs: NDArray[np.int8], count: int, seed: int) -> NDArray[np.int8]:
    num_bits, draw = signs.shape[1], np.random.RandomState(seed)  # whose stream is frozen for good
    for _ in range(count):
        drawn = np.where(draw.randint(0, 2, (PATIENCE, num_bits)), np.int8(1), np.int8(-1))
        nearest = (num_bits - drawn.astype(np.int64) @ signs.T.astype(np.int64)).min(axis=1) // 2
        if nearest.max() < LEAST_SHARE * num_bits:
            raise UsageError(
                f"no further target of {num_bits} bits was found that differs from the {len(signs)} there are in a "
                "quarter of the bits: the table is full; more classes need a new table, and all codes made again"
            )
        signs = np.concatenate([signs, drawn[nearest >= LEAST_SHARE * num_bits][:1]])
    return signs


def _code_of(table: TargetTable) -> Mapping[str, str]:
    return {name: code for name, code in zip(table.names, table.codes.hex(), strict=True) if name}
