"""Pictures and texts listed in a CSV or Parquet file: one line an item."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from deephash.collection import tables
from deephash.collection.label_words import parse_labels
from deephash.collection.tables import read_table
from deephash.data.datamodule import Augment, HashDataModule
from deephash.data.feature_file import named_splits, with_validation
from deephash.data.folder import READ_SIDE
from deephash.data.protocols import Splits, build_split
from deephash.data.table import ItemTable
from deephash.errors import DataError, DatasetNotFound, UsageError, did_you_mean
from deephash.foreign import read_npy
from deephash.pictures import open_picture

_ROLES = {"path": tables.PATH, "split": tables.SPLIT, "labels": tables.LABELS, "text": tables.TEXT}


class Manifest(HashDataModule):
    """A table with columns ``path`` (relative to its folder), ``split``, ``labels`` and ``text``; all but one optional.

    Their usual other names (``file``, ``label``, ``class``, ``caption``, ...) are understood too; a column that is not
    used is named in the notes.

    - ``split``: train, query, database, validation_query, validation_database; several joined by commas. Training items
      are searched where nobody is database. Without the column a fifth of each class asks.
    - ``labels``: class names; several joined by ``|``; empty for an unlabelled item.
    - an empty ``path`` or ``text`` is an item that lacks that half.

    Sentence vectors made elsewhere stand beside the table, in ``text_vectors``; the model's text backbone is then
    ``features:D``. They need no column ``text``.

    Args:
        path: of the ``.csv`` or ``.parquet`` file.
        root: folder that picture paths are relative to; None takes the file's own.
        text_vectors: a ``.npy`` of floats [N, D], a row a line of the table; a row with NaN is an item without text.
        seed: of the split where there is none, and of the held-out validation items.
        batch_size: see :class:`HashDataModule`.
        hold_out: see :class:`HashDataModule`.
        augment: see :class:`HashDataModule`.
        cache_dir: see :class:`HashDataModule`.
        num_workers: see :class:`HashDataModule`.
    """

    by_name: ClassVar[bool] = True

    def __init__(
        self,
        path: str,
        root: str | None = None,
        seed: int = 0,
        batch_size: int = 64,
        hold_out: bool = True,
        augment: Augment = "none",
        cache_dir: str | None = None,
        num_workers: int = 0,
        text_vectors: str | None = None,
    ) -> None:
        super().__init__(
            batch_size=batch_size, hold_out=hold_out, augment=augment, cache_dir=cache_dir, num_workers=num_workers
        )
        self.path = Path(path).expanduser()
        self.root = Path(root).expanduser() if root is not None else self.path.parent
        self.seed = seed
        self.text_vectors = Path(text_vectors).expanduser() if text_vectors is not None else None

    @property
    def protocol_name(self) -> str:
        """The file's name; its split is told by the checksum."""
        return f"{self.path.stem}/v1"

    def read(self) -> ItemTable:
        """Read the list. Raises DatasetNotFound, DataError or UsageError."""
        columns, unused = read_item_columns(self.path)
        paths, texts = columns.get("path"), columns.get("text")
        first = paths if paths is not None else columns["text"]
        self._split = columns.get("split")
        labels, class_names = parse_labels(columns["labels"]) if "labels" in columns else (None, [])
        present, vectors = _halves(paths, texts), {}
        if self.text_vectors is not None:
            vectors["text"], there = read_vectors(self.text_vectors, len(first))
            if not there.all():
                present["text"] = there & present.get("text", there)
        return ItemTable(
            names=[f"{row}:{name}" for row, name in enumerate(first)] if len(set(first)) < len(first) else list(first),
            labels=labels,
            class_names=class_names,
            checksum=self._checksum(),
            files=[self.root / name if name else None for name in paths or []],
            sources=self._sources(paths, texts),
            vectors=vectors,
            present=present,
            notes=[*self._missing_files(paths or []), *_unused_note(self.path, unused, "labels" in columns)],
        )

    def divide(self, table: ItemTable) -> Splits:
        """Follow the column ``split``, or draw a fifth of each class as queries."""
        if self._split is not None:
            return with_validation(named_splits(self._split, str(self.path)), table.labels, self.seed)
        if table.labels is None:
            raise UsageError(f"{self.path} has neither split nor labels, so nothing says who is query and who database")
        return build_split("fifth", table.labels, seed=self.seed)

    def attribute(self, name: str) -> list[str]:
        """Return a column of the table."""
        columns = read_table(self.path).columns
        if name not in columns:
            known = ", ".join(columns)
            raise UsageError(f"{self.path} has no column {name!r}{did_you_mean(name, list(columns))}; it has {known}")
        return columns[name]

    def _checksum(self) -> str:
        content = hashlib.sha256(self.path.read_bytes() + str(self.root.absolute()).encode())
        if self.text_vectors is not None:
            content.update(self.text_vectors.read_bytes())
        return content.hexdigest()

    def _sources(self, paths: list[str] | None, texts: list[str] | None) -> dict[str, Any]:
        sources: dict[str, Any] = {}
        if paths is not None:
            root = self.root
            sources["image"] = lambda row: open_picture(root / paths[row], reduced_to=READ_SIDE)
        if texts is not None:
            sources["text"] = texts.__getitem__
        return sources

    def _missing_files(self, paths: list[str]) -> list[str]:
        missing = [name for name in paths if name and not (self.root / name).is_file()]
        if paths and len(missing) == sum(map(bool, paths)):
            raise DatasetNotFound(f"none of the pictures of {self.path} exist; the first: {self.root / missing[0]}")
        return [f"{len(missing)} pictures of the list do not exist; the first: {missing[0]}"] if missing else []


def read_item_columns(path: Path) -> tuple[dict[str, list[str]], list[str]]:
    """Return the columns path, split, labels and text of a table, as far as it has them, and what else it has.

    Raises DatasetNotFound, DataError or UsageError.
    """
    table = read_table(path)
    found = {role: table.heading(names) for role, names in _ROLES.items()}
    if found["path"] is None and found["text"] is None:
        first = next(iter(table.columns))
        hint = did_you_mean(first, list(_ROLES))
        raise UsageError(f"{path} has neither 'path' nor 'text' among its columns {', '.join(table.columns)}{hint}")
    if not len(table):
        raise DataError(f"{path} lists no items")
    columns = {role: table.columns[heading] for role, heading in found.items() if heading is not None}
    return columns, table.unused(list(found.values()))


def read_vectors(path: Path, count: int) -> tuple[Tensor, NDArray[np.bool_]]:
    """Return float32 vectors [N, D] of a ``.npy`` file and which rows hold one; the others are zeros.

    Raises DatasetNotFound or DataError.
    """
    if not path.is_file():
        raise DatasetNotFound(f"{path.absolute()}: no such file")
    rows = read_npy(path)
    if rows.ndim != 2 or len(rows) != count or rows.dtype.kind not in "fiu":
        found = f"{rows.dtype} {list(rows.shape)}"
        raise DataError(f"{path} must hold numbers [{count}, D], a row a line of the table, not {found}")
    rows = rows.astype(np.float32)
    there = ~np.isnan(rows).any(axis=1)
    rows[~there] = 0
    if np.isinf(rows).any():
        raise DataError(f"{path} holds infinite numbers; only NaN marks an item without text")
    return torch.from_numpy(rows), there


def _unused_note(path: Path, unused: list[str], has_labels: bool) -> list[str]:
    """Name the columns that were not read, so that a heading nobody knows is not lost in silence."""
    if not unused:
        return []
    hint = "" if has_labels else f"; none gives labels, which are read from {' or '.join(tables.LABELS)}"
    return [f"{path} has columns that are not used: {', '.join(unused)}{hint}"]


def _halves(paths: list[str] | None, texts: list[str] | None) -> dict[str, NDArray[np.bool_]]:
    """Say which items have which half, where some lack one."""
    halves = {
        name: np.array([bool(entry) for entry in column])
        for name, column in (("image", paths), ("text", texts))
        if column is not None
    }
    return {} if all(flags.all() for flags in halves.values()) else halves
