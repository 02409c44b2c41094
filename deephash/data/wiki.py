"""Wiki (Rasiwasia et al., ACM MM 2010): 2,866 Wikipedia articles in 10 classes, as features of picture and text."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import torch

from deephash.data.datamodule import HashDataModule
from deephash.data.feature_file import read_npz
from deephash.data.protocols import Splits
from deephash.data.split_words import with_validation
from deephash.data.table import ItemTable
from deephash.errors import DataError

_COLUMNS = tuple(f"{kind}_{part}" for kind in ("image", "text", "label") for part in ("train", "test"))


class Wiki(HashDataModule):
    """Pictures as 128 SIFT words, texts as 10 LDA topics. The 693 test articles ask, the 2,173 training ones are
    searched.

    Args:
        file: an ``.npz`` of ``image_train`` [2173, 128], ``text_train`` [2173, 10], ``label_train`` [2173], the same
            with ``_test``, and ``class_names``.
        seed: of the held-out validation items.
        batch_size: see :class:`HashDataModule`.
        hold_out: see :class:`HashDataModule`.
    """

    def __init__(self, file: str, seed: int = 0, batch_size: int = 256, hold_out: bool = True) -> None:
        super().__init__(batch_size=batch_size, hold_out=hold_out)
        self.file, self.seed = Path(file).expanduser(), seed

    @property
    def protocol_name(self) -> str:
        """The official split."""
        return "wiki/v1"

    def read(self) -> ItemTable:
        """Read the features, training articles first. Raises DatasetNotFound or DataError."""
        columns = read_npz(self.file)
        missing = [name for name in _COLUMNS if name not in columns]
        if missing:
            raise DataError(f"{self.file} lacks {', '.join(missing)}; these are not the Wiki features")
        joined = {
            kind: np.concatenate([columns[f"{kind}_train"], columns[f"{kind}_test"]])
            for kind in ("image", "text", "label")
        }
        self._num_train = len(columns["label_train"])
        return ItemTable(
            names=[str(row) for row in range(len(joined["label"]))],
            labels=joined["label"].astype(np.int64),
            checksum=hashlib.sha256(self.file.read_bytes()).hexdigest(),
            class_names=[str(name) for name in columns.get("class_names", ())],
            vectors={kind: torch.from_numpy(joined[kind].astype(np.float32)) for kind in ("image", "text")},
        )

    def divide(self, table: ItemTable) -> Splits:
        """Return the official split."""
        train = np.arange(self._num_train)
        query = np.arange(self._num_train, len(table))
        return with_validation({"train": train, "query": query, "database": train}, table.labels, self.seed)
