"""Float vectors of any origin: a ``.npy`` array, an ``.npz`` or a Parquet file, with labels or without."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from deephash.data.datamodule import HashDataModule
from deephash.data.feature_file import read_npz
from deephash.data.protocols import Splits
from deephash.data.split_words import with_validation
from deephash.data.table import ItemTable
from deephash.errors import DataError, DatasetNotFound, UsageError
from deephash.numbers import whole


class Vectors(HashDataModule):
    """One vector an item, for models whose backbone is ``features:D``; some items ask, the others are searched.

    Args:
        vectors: ``.npy`` [N, D]; ``.npz`` with one array of that shape, or several and one called ``vectors``; or
            ``.parquet`` with one column of lists of D numbers.
        labels: ``.npy`` of class numbers [N], -1 for none; None has no labels, and nothing is validated.
        queries: how many items ask; they are not learned from.
        seed: of the split.
        batch_size: see :class:`HashDataModule`.
        hold_out: see :class:`HashDataModule`.
    """

    def __init__(
        self,
        vectors: str,
        labels: str | None = None,
        queries: int = 1000,
        seed: int = 0,
        batch_size: int = 2048,
        hold_out: bool = True,
    ) -> None:
        super().__init__(batch_size=batch_size, hold_out=hold_out)
        self.path = Path(vectors).expanduser()
        self.labels_path = None if labels is None else Path(labels).expanduser()
        self.queries, self.seed = whole(queries, "queries, the items that ask,", least=1), seed

    @property
    def protocol_name(self) -> str:
        """The file's name; its split is told by the checksum."""
        return f"{self.path.stem}-vectors/v1"

    def read(self) -> ItemTable:
        """Read the vectors. Raises DatasetNotFound, DataError for NaN and zero vectors, or UsageError for a shape."""
        vectors = checked_vectors(read_vectors(self.path), self.path)
        labels = None if self.labels_path is None else self._labels(len(vectors))
        return ItemTable(
            names=[str(row) for row in range(len(vectors))],
            labels=labels,
            checksum=hashlib.sha256(self.path.read_bytes()).hexdigest(),
            vectors={"image": torch.from_numpy(vectors)},
        )

    def divide(self, table: ItemTable) -> Splits:
        """Draw the items that ask; the others are learned from and searched."""
        if not self.queries < len(table) - 1:
            raise UsageError(
                f"queries lies between 1 and {len(table) - 2}, as {len(table)} vectors are there; it is {self.queries}"
            )
        order = np.random.RandomState(self.seed).permutation(len(table))
        query, rest = np.sort(order[: self.queries]), np.sort(order[self.queries :])
        return with_validation({"train": rest, "query": query, "database": rest}, table.labels, self.seed)

    def _labels(self, count: int) -> NDArray[np.int64]:
        assert self.labels_path is not None
        labels = _array(self.labels_path)
        if labels.shape != (count,) or labels.dtype.kind not in "iu":
            raise UsageError(
                f"{self.labels_path} holds {labels.dtype} of shape {list(labels.shape)}; labels of {count} vectors are "
                f"whole numbers of shape [{count}]"
            )
        return labels.astype(np.int64)


def read_vectors(path: Path) -> NDArray[Any]:
    """Return the array of a ``.npy``, ``.npz`` or ``.parquet`` file; nothing in it can run code.

    Raises:
        DatasetNotFound: no such file.
        DataError: it cannot be read, or holds no such array.
    """
    if not path.is_file():
        raise DatasetNotFound(f"{path}: no such file (looked in {path.absolute().parent})")
    if path.suffix == ".npz":
        tables = {name: array for name, array in read_npz(path).items() if array.ndim == 2}
        if "vectors" not in tables and len(tables) != 1:
            raise DataError(
                f"{path} holds {len(tables)} tables ({', '.join(tables) or 'none'}); call one of them vectors"
            )
        return tables.get("vectors", next(iter(tables.values())))
    return _of_parquet(path) if path.suffix == ".parquet" else _array(path)


def checked_vectors(vectors: NDArray[Any], path: Path) -> NDArray[np.float32]:
    """Return float32 [N, D]. Raises DataError for rows without a direction, UsageError for another shape."""
    if vectors.ndim != 2 or vectors.dtype.kind not in "fiu" or not vectors.size:
        raise UsageError(f"{path} holds {vectors.dtype} of shape {list(vectors.shape)}; vectors are numbers [N, D]")
    rows = np.ascontiguousarray(vectors, np.float32)
    broken = np.flatnonzero(~np.isfinite(rows).all(axis=1))
    if len(broken):
        raise DataError(
            f"{path}: {len(broken):,} vectors hold NaN or infinity, the first in row {broken[0]}; leave them out"
        )
    zero = np.flatnonzero(~rows.any(axis=1))
    if len(zero):
        raise DataError(
            f"{path}: {len(zero):,} vectors are zero and have no direction, the first in row {zero[0]}; leave them out"
        )
    return rows


def _array(path: Path) -> NDArray[Any]:
    if not path.is_file():
        raise DatasetNotFound(f"{path}: no such file (looked in {path.absolute().parent})")
    try:
        found: NDArray[Any] = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise DataError(f"{path} is no .npy array: {error}") from None
    return found


def _of_parquet(path: Path) -> NDArray[Any]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        table = pq.read_table(path)
    except (OSError, pa.ArrowException) as error:
        raise DataError(f"{path} is no Parquet file: {error}") from None
    lists = [
        name
        for name, kind in zip(table.column_names, table.schema.types)
        if pa.types.is_list(kind) or pa.types.is_fixed_size_list(kind)
    ]
    if len(lists) != 1:
        raise DataError(
            f"{path} has {len(lists)} columns of lists ({', '.join(lists) or 'none'}); one holds the vectors"
        )
    rows = table.column(lists[0]).to_pylist()
    widths = {-1 if row is None else len(row) for row in rows}
    if len(widths) > 1 or -1 in widths:
        raise DataError(f"{path}: the lists of {lists[0]} differ in length or are missing; every vector has D numbers")
    return np.asarray(rows, np.float32)
