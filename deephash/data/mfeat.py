"""UCI multiple features (mfeat): 2,000 handwritten numerals as pixels, Fourier and Karhunen-Loeve coefficients."""

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

VIEWS = {"fourier": 76, "kl": 64, "pixel": 240}
PICTURE = "pixel"  # 15 x 16 averages: the view that is the picture itself


class Mfeat(HashDataModule):
    """Three views of each numeral; the 500 test numerals ask, the 1,500 training ones are searched.

    ``image`` are the 240 pixel averages, so that a model with ``features:240`` asks by the picture alone; ``fourier``
    (76), ``kl`` (64) and ``pixel`` (240) are views for training.

    Args:
        file: an ``.npz`` of ``fourier_train`` [1500, 76], ``kl_train`` [1500, 64], ``pixel_train`` [1500, 240],
            ``label_train`` [1500] and the same with ``_test``.
        seed: of the held-out validation items.
        batch_size: see :class:`HashDataModule`.
        hold_out: see :class:`HashDataModule`.
    """

    def __init__(self, file: str, seed: int = 0, batch_size: int = 64, hold_out: bool = True) -> None:
        super().__init__(batch_size=batch_size, hold_out=hold_out)
        self.file, self.seed = Path(file).expanduser(), seed

    @property
    def protocol_name(self) -> str:
        """The file's own split."""
        return "uci-mfeat/v1"

    def read(self) -> ItemTable:
        """Read the features, training numerals first. Raises DatasetNotFound or DataError."""
        columns = read_npz(self.file)
        missing = [f"{kind}_{part}" for kind in (*VIEWS, "label") for part in ("train", "test")]
        missing = [name for name in missing if name not in columns]
        if missing:
            raise DataError(f"{self.file} lacks {', '.join(missing)}; these are not the mfeat views")
        joined = {
            kind: np.concatenate([columns[f"{kind}_train"], columns[f"{kind}_test"]]) for kind in (*VIEWS, "label")
        }
        vectors = {kind: torch.from_numpy(joined[kind].astype(np.float32)) for kind in VIEWS}
        broken = [kind for kind, table in vectors.items() if not bool(table.isfinite().all())]
        if broken:
            raise DataError(f"{self.file}: {broken[0]} holds NaN or infinity")
        self._num_train = len(columns["label_train"])
        return ItemTable(
            names=[str(row) for row in range(len(joined["label"]))],
            labels=joined["label"].astype(np.int64),
            checksum=hashlib.sha256(self.file.read_bytes()).hexdigest(),
            class_names=[str(digit) for digit in range(10)],
            vectors=vectors | {"image": vectors[PICTURE]},
        )

    def divide(self, table: ItemTable) -> Splits:
        """Return the file's split."""
        train = np.arange(self._num_train)
        query = np.arange(self._num_train, len(table))
        return with_validation({"train": train, "query": query, "database": train}, table.labels, self.seed)
