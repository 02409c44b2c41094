"""CodeBook: the codes of a stream's items, each made by the model of the task that the item came with.

What is stored does not change: a later model adds rows, and copies the older ones as they are.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deephash.codes import BinaryCodes
from deephash.errors import DataError, UsageError
from deephash.evaluation.arrays import as_words
from deephash.evaluation.codefile import CodeFile, read_code_file, read_columns, write_code_file
from deephash.foreign import refused_as

BOOK_NAME = "codebook.npz"
_AGAIN = "train the run again, or copy the file from where it came"


@dataclass(frozen=True, eq=False)
class CodeBook:
    """Codes of items by name.

    Attributes:
        side: codes with ``names``, ``labels``, ``class_names`` and ``sessions`` (the task of each row, from 1).
        modalities: str [N], of cross-modal models: which half of the item the code is of; None where it is all.
    """

    side: CodeFile
    modalities: NDArray[np.str_] | None = None

    def __post_init__(self) -> None:
        lacking = [name for name in ("names", "sessions") if getattr(self.side, name) is None]
        if lacking:
            raise DataError(f"{self.side.source} is no code book: it has no array {lacking[0]!r}; {_AGAIN}")
        if len(self._rows) != len(self.side):
            raise DataError(f"{self.side.source} is no code book: it has codes of one item twice; {_AGAIN}")

    def __len__(self) -> int:
        return len(self.side)

    @property
    def codes(self) -> BinaryCodes:
        """All codes, in the order in which they were added."""
        return self.side.codes

    @property
    def sessions(self) -> NDArray[np.int64]:
        """int64 [N]."""
        assert self.side.sessions is not None
        return self.side.sessions

    @cached_property
    def _rows(self) -> dict[tuple[str, str | None], int]:
        names = [] if self.side.names is None else self.side.names.tolist()
        halves = [None] * len(names) if self.modalities is None else self.modalities.tolist()
        return {key: row for row, key in enumerate(zip(names, halves, strict=True))}

    def rows(self, names: Sequence[str], modality: str | None = None) -> NDArray[np.int64]:
        """Return the row of each item, -1 where it has none, int64 [n]."""
        half = None if self.modalities is None else modality
        return np.array([self._rows.get((name, half), -1) for name in names], dtype=np.int64)

    def over(self, made: BinaryCodes, names: Sequence[str], modality: str | None = None) -> BinaryCodes:
        """Return ``made``, codes of the items ``names``, with the stored code wherever there is one.

        Raises:
            UsageError: codes of another length.
        """
        made.layout.require_same(self.codes.layout)
        rows = self.rows(names, modality)
        packed = np.where(rows[:, None] >= 0, self.codes.packed[rows] if len(self) else made.packed, made.packed)
        return BinaryCodes(packed, made.num_bits, made.num_levels)

    def take(self, chosen: NDArray[Any]) -> CodeBook:
        """Return the rows that are ``chosen`` (bool [N] or row numbers)."""
        rows = np.flatnonzero(chosen) if chosen.dtype == bool else chosen
        return CodeBook(self.side.take(rows), None if self.modalities is None else self.modalities[rows])

    def before(self, task: int) -> CodeBook:
        """Return what the tasks before ``task`` stored."""
        return self.take(self.sessions < task)

    def save(self, folder: str | Path) -> None:
        """Write ``codebook.npz`` into a folder, whole or not at all."""
        target = Path(folder) / BOOK_NAME
        partial = target.with_name(f".{BOOK_NAME}.{os.getpid()}.partial.npz")
        halves = {} if self.modalities is None else {"modality": self.modalities}
        try:
            write_code_file(partial, self.side, **halves)
            with partial.open("rb+") as file:
                os.fsync(file.fileno())
            os.replace(partial, target)
        finally:
            partial.unlink(missing_ok=True)

    @classmethod
    def load(cls, folder: str | Path) -> CodeBook | None:
        """Return the code book of a run, None where it has none. Raises DataError where it is damaged."""
        path = Path(folder) / BOOK_NAME
        if not os.path.lexists(path):
            return None
        with refused_as(DataError, _AGAIN):
            side, columns = read_code_file(path), read_columns(path)
        halves = columns.get("modality")
        return cls(side, None if halves is None else as_words(halves, f"modality of {path}"))


def joined(old: CodeBook | None, new: CodeBook) -> CodeBook:
    """Return ``old`` with the rows of ``new`` behind it; the codes of the old rows are copied bit for bit.

    Class numbers become those of ``new``, by the classes' names.

    Raises:
        UsageError: codes of different length, or an item that is stored already.
    """
    if old is None or not len(old):
        return new
    if (old.modalities is None) != (new.modalities is None):
        raise UsageError(f"{old.side.source} holds codes of items, {new.side.source} of their halves; they do not mix")
    known = [key for key in new._rows if key in old._rows]
    if known:
        raise UsageError(f"{old.side.source} holds a code of {known[0][0]!r} already, which is never made again")
    labels = in_numbers_of(new.side, old.side)
    side = replace(
        new.side,
        codes=BinaryCodes.concatenate([old.codes, new.codes]),
        labels=None if labels is None or new.side.labels is None else np.concatenate([labels, new.side.labels]),
        names=np.concatenate([_column(old, "names"), _column(new, "names")]),
        sessions=np.concatenate([old.sessions, new.sessions]),
    )
    halves = None if old.modalities is None else np.concatenate([old.modalities, new.modalities])  # type: ignore[list-item]
    return CodeBook(side, halves)


def _column(book: CodeBook, name: str) -> NDArray[Any]:
    column: NDArray[Any] = getattr(book.side, name)
    return column


def in_numbers_of(new: CodeFile, old: CodeFile) -> NDArray[Any] | None:
    """Return the labels of ``old`` in the class numbers of ``new``."""
    if old.labels is None or old.class_names == new.class_names:
        return old.labels
    places = {name: place for place, name in enumerate(new.class_names)}
    if lost := [name for name in old.class_names if name not in places]:
        raise UsageError(f"{old.source} has items of the class {lost[0]!r}, which {new.source} does not know")
    place = np.array([places[name] for name in old.class_names], dtype=np.int64)
    if old.labels.ndim == 1:
        return np.where(old.labels >= 0, place[np.maximum(old.labels, 0)], -1)
    wide = np.zeros((len(old.labels), len(new.class_names)), dtype=old.labels.dtype)
    wide[:, place] = old.labels
    return wide
