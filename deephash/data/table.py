"""ItemTable: all items of a data set; Split: the rows of one part."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from deephash.errors import UsageError

SPLIT_NAMES = ("train", "validation_query", "validation_database", "query", "database")


@dataclass
class ItemTable:
    """N items of a data set, read lazily.

    Attributes:
        names: one name an item, unique.
        labels: class numbers int64 [N] with -1 for unlabelled, multi-hot uint8 [N, C], or None.
        class_names: C words; empty where unknown.
        sources: modality -> function from a row number to a PIL picture or a str.
        vectors: modality -> float32 [N, D], for items that come as feature vectors.
        present: modality -> bool [N]; only where some items lack that modality.
        checksum: of the content, so that cached features are found again, and not taken for those of other data.
        sessions: int64 [N]: the task of a stream that each item comes with, from 1; 0 for none. Only in streams.
        files: the picture file of each item, where items are files; None for one without.
        notes: what the reader should know: unlabelled items counted, folders without pictures, ...
    """

    names: list[str]
    labels: NDArray[Any] | None
    checksum: str
    class_names: list[str] = field(default_factory=list)
    sources: Mapping[str, Callable[[int], Any]] = field(default_factory=dict)
    vectors: dict[str, Tensor] = field(default_factory=dict)
    present: dict[str, NDArray[np.bool_]] = field(default_factory=dict)
    sessions: NDArray[np.int64] | None = None
    files: Sequence[Path | None] = ()
    notes: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        columns = {"labels": self.labels, "sessions": self.sessions, **self.vectors, **self.present}
        wrong = {
            name: len(column) for name, column in columns.items() if column is not None and len(column) != len(self)
        }
        if wrong:
            raise UsageError(f"a table of {len(self)} items has columns of other lengths: {wrong}")
        unlabelled = 0 if self.labels is None else int((~labelled(self.labels)).sum())
        if unlabelled:
            self.notes.append(f"{unlabelled:,} of {len(self):,} items have no label; supervised losses leave them out")

    def __len__(self) -> int:
        return len(self.names)

    @property
    def num_classes(self) -> int:
        """C: the classes named, or else what the labels show; 0 without labels."""
        if self.class_names or self.labels is None:
            return len(self.class_names)
        return self.labels.shape[1] if self.labels.ndim == 2 else int(self.labels.max(initial=-1)) + 1


def labelled(labels: NDArray[Any]) -> NDArray[np.bool_]:
    """Say which rows carry a label."""
    return np.asarray(labels >= 0 if labels.ndim == 1 else labels.any(axis=1))


@dataclass
class Split:
    """One part of a data set.

    Attributes:
        rows: row numbers in the whole data set, int64 [n], ascending.
        names: of the items.
        labels: as in :class:`ItemTable`; None where there are none.
        features: modality -> float32 [n, D], once cached.
        present: modality -> bool [n].
        sessions: int64 [n]; only in streams.
    """

    rows: NDArray[np.int64]
    names: list[str]
    labels: NDArray[Any] | None
    features: dict[str, Tensor] = field(default_factory=dict)
    present: dict[str, NDArray[np.bool_]] = field(default_factory=dict)
    sessions: NDArray[np.int64] | None = None

    def __len__(self) -> int:
        return len(self.rows)

    @classmethod
    def of(cls, table: ItemTable, rows: NDArray[np.int64]) -> Split:
        """Take ``rows`` of ``table``."""
        labels = None if table.labels is None else table.labels[rows]
        present = {name: flags[rows] for name, flags in table.present.items()}
        sessions = None if table.sessions is None else table.sessions[rows]
        return cls(rows, [table.names[row] for row in rows], labels, {}, present, sessions)

    def without(self, rows: set[int]) -> Split:
        """Leave out ``rows`` (numbers in the whole data set)."""
        keep = np.array([int(row) not in rows for row in self.rows], dtype=bool)
        kept = torch.from_numpy(np.flatnonzero(keep))
        return Split(
            self.rows[keep],
            [name for name, stays in zip(self.names, keep) if stays],
            None if self.labels is None else self.labels[keep],
            {name: table[kept] for name, table in self.features.items()},
            {name: flags[keep] for name, flags in self.present.items()},
            None if self.sessions is None else self.sessions[keep],
        )

    def columns(self, without: Collection[str] = ()) -> dict[str, Tensor]:
        """Return what batches are cut from: index, labels, flags and cached features but of modalities ``without``."""
        columns = {"index": torch.arange(len(self))}
        if self.labels is not None:
            labels = torch.from_numpy(np.ascontiguousarray(self.labels))
            columns["labels"] = labels.float() if labels.ndim == 2 else labels.long()
        if self.sessions is not None:
            columns["session"] = torch.from_numpy(self.sessions)
        columns |= {f"has_{name}": torch.from_numpy(flags) for name, flags in self.present.items()}
        kept = {name: table for name, table in self.features.items() if name not in without}
        return columns | {f"{name}_features": table for name, table in kept.items()}
