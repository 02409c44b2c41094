"""Features that somebody already has: one ``.npz`` file."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from deephash import foreign
from deephash.data.datamodule import HashDataModule
from deephash.data.protocols import Splits, build_split
from deephash.data.split_words import named_splits, with_validation
from deephash.data.table import ItemTable
from deephash.errors import DataError, DatasetNotFound, UsageError

_SUFFIX = "_features"


class FeatureFile(HashDataModule):
    """An ``.npz`` of ``image_features`` [N, D], ``text_features`` or any ``<view>_features``, and optionally

    - ``labels``: class numbers [N] with -1 for unlabelled, or multi-hot [N, C];
    - ``split``: one word an item, several joined by commas: train, query, database, validation_query,
      validation_database. Without it a fifth of each class asks, and the rest is learned from and searched;
    - ``names``: one name an item; ``class_names``; ``has_<view>``: bool [N], which items have that half.

    Args:
        path: of the file.
        seed: of the split where the file has none, and of the held-out validation items.
        batch_size: see :class:`HashDataModule`.
        hold_out: see :class:`HashDataModule`.
    """

    def __init__(self, path: str, seed: int = 0, batch_size: int = 256, hold_out: bool = True) -> None:
        super().__init__(batch_size=batch_size, hold_out=hold_out)
        self.path, self.seed = Path(path).expanduser(), seed

    @property
    def protocol_name(self) -> str:
        """The file's name; its split is told by the checksum."""
        return f"{self.path.stem}/v1"

    def read(self) -> ItemTable:
        """Read the file; nothing in it can run code. Raises DatasetNotFound, DataError or UsageError."""
        columns = read_npz(self.path)
        self._columns = {name: column for name, column in columns.items() if column.ndim == 1}
        views = {name.removesuffix(_SUFFIX): columns[name] for name in columns if name.endswith(_SUFFIX)}
        if not views:
            raise UsageError(
                f"{self.path} holds {', '.join(columns) or 'nothing'}, but no <view>_features such as image_features"
            )
        num_items = len(next(iter(views.values())))
        self._split = columns.get("split")
        if self._split is not None and len(self._split) != num_items:
            raise UsageError(f"{self.path}: split has {len(self._split)} entries for {num_items} items")
        return ItemTable(
            names=[str(name) for name in columns.get("names", np.arange(num_items))],
            labels=self._labels(columns.get("labels")),
            checksum=hashlib.sha256(self.path.read_bytes()).hexdigest(),
            class_names=[str(name) for name in columns.get("class_names", ())],
            vectors={name: self._vectors(name, view) for name, view in views.items()},
            present={name: columns[f"has_{name}"].astype(bool) for name in views if f"has_{name}" in columns},
        )

    def divide(self, table: ItemTable) -> Splits:
        """Follow the file's ``split``, or draw a fifth of each class as queries."""
        if self._split is not None:
            splits = named_splits([str(words) for words in self._split], str(self.path))
            return with_validation(splits, table.labels, self.seed)
        if table.labels is None:
            raise UsageError(f"{self.path} has neither split nor labels, so nothing says who is query and who database")
        return build_split("fifth", table.labels, seed=self.seed)

    def attribute(self, name: str) -> list[str]:
        """Return another array of the file, one entry an item."""
        column = self._columns.get(name) if len(self.table) else None
        if column is None or len(column) != len(self.table):
            known = ", ".join(self._columns)
            raise UsageError(f"{self.path} has no array {name!r} of one entry an item; it holds {known}")
        return [str(entry) for entry in column]

    def _labels(self, labels: NDArray[Any] | None) -> NDArray[Any] | None:
        if labels is None:
            return None
        if labels.ndim == 2:
            return labels.astype(np.uint8)
        if not np.array_equal(labels, labels.astype(np.int64)):
            raise UsageError(
                f"{self.path}: labels are class numbers [N] or multi-hot [N, C], not {labels.dtype} values"
            )
        return labels.astype(np.int64)

    def _vectors(self, name: str, view: NDArray[Any]) -> torch.Tensor:
        if view.ndim != 2:
            raise UsageError(f"{self.path}: {name}{_SUFFIX} has shape {list(view.shape)}, but must be [N, D]")
        vectors = torch.from_numpy(np.ascontiguousarray(view, dtype=np.float32))
        broken = int((~vectors.isfinite()).any(dim=1).sum())
        if broken:
            raise DataError(f"{self.path}: {broken} rows of {name}{_SUFFIX} hold NaN or infinity")
        return vectors


def read_npz(path: Path) -> dict[str, NDArray[Any]]:
    """Return the arrays of an ``.npz`` file, without unpickling anything. Raises DatasetNotFound or DataError."""
    try:
        return foreign.read_npz(path)
    except foreign.Absent:
        raise DatasetNotFound(f"{path}: no such file (looked in {path.absolute().parent})") from None
