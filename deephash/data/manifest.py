"""Pictures and texts that a list names: a table, COCO's JSON, a Hugging Face folder or WebDataset tars."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from deephash.collection.label_words import parse_labels
from deephash.data.datamodule import Augment, HashDataModule
from deephash.data.folder import READ_SIDE
from deephash.data.items.dividing import divide
from deephash.data.items.item_list import ItemList
from deephash.data.items.reading import read_items
from deephash.data.protocols import Splits
from deephash.data.split_words import notes_of_splits
from deephash.data.table import ItemTable
from deephash.errors import DataError, DatasetNotFound, UnreadablePicture, UsageError, did_you_mean
from deephash.foreign import read_npy
from deephash.pictures import open_picture


class Manifest(HashDataModule):
    """Pictures and texts of a list: a table, COCO's JSON, a folder of Hugging Face ``datasets``, or WebDataset tars.

    A table has columns ``path`` (relative to its folder), ``split``, ``labels`` and ``text``; all but one optional.
    Their usual other names (``file``, ``label``, ``class``, ``caption``, ...) are understood too; a column that is not
    used is named in the notes.

    - ``split``: train, query (or test), database (or gallery), validation_query (or validation, val); several joined by
      commas. Training items are searched where nobody is database, and validation items ask where nobody is query.
      Without the column a fifth of each class asks. OML's ``is_query`` and ``is_gallery`` say who of the validation
      items asks and who is searched.
    - ``labels``: class names; several joined by ``|``; empty for an unlabelled item.
    - an empty ``path`` or ``text`` is an item that lacks that half.

    Of COCO give ``instances_*.json`` or ``captions_*.json`` (the other one beside it is read too), or their folder:
    train is learned from, val asks. Of the others files' and folders' names say the split (``train-00000.tar``,
    ``data/test-00000-of-00001.parquet``). Captions without labels are instances: a fifth asks, each text for its own
    picture. See docs/data.md.

    Sentence vectors made elsewhere stand beside the table, in ``text_vectors``; the model's text backbone is then
    ``features:D``. They need no column ``text``.

    Args:
        path: a ``.csv``, ``.tsv``, ``.parquet``, ``.json``, ``.tar`` or ``.arrow`` file, or the folder of such.
        root: folder that picture paths are relative to; None takes the file's own (of COCO the usual ones beside it).
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
        self.root = Path(root).expanduser() if root is not None else None
        self.seed = seed
        self.text_vectors = Path(text_vectors).expanduser() if text_vectors is not None else None

    @property
    def protocol_name(self) -> str:
        """The file's name; its split is told by the checksum."""
        return f"{self.path.stem}/v1"

    def read(self) -> ItemTable:
        """Read the list. Raises DatasetNotFound, DataError or UsageError."""
        self._items = items = read_items(self.path, self.root)
        labels, class_names = parse_labels(items.labels) if items.labels is not None else (None, [])
        present, vectors = _halves(items), {}
        checksum = items.checksum
        if self.text_vectors is not None:
            vectors["text"], there = read_vectors(self.text_vectors, len(items))
            checksum = hashlib.sha256(checksum.encode() + self.text_vectors.read_bytes()).hexdigest()
            if not there.all():
                present["text"] = there & present.get("text", there)
        names, at = list(items.names), items.pictures or ()
        return ItemTable(
            names=[f"{row}:{name}" for row, name in enumerate(names)] if len(set(names)) < len(names) else names,
            labels=labels,
            class_names=class_names,
            checksum=checksum,
            files=[each if isinstance(each, Path) else None for each in at] if _any_file(at) else [],
            sources=_sources(items),
            vectors=vectors,
            present=present,
            notes=[*_missing_files(items), *items.notes, *_no_text(items), *notes_of_splits(items.split or ())],
        )

    def divide(self, table: ItemTable) -> Splits:
        """Follow the list's split, or draw a fifth of each class as queries; without labels, of all, as instances."""
        has_texts = "text" in table.sources or "text" in table.vectors
        return divide(self._items, table.labels, has_texts=has_texts, seed=self.seed)

    def attribute(self, name: str) -> list[str]:
        """Return a column of the table."""
        columns = self._items.columns if len(self.table) else {}
        if name not in columns:
            known = ", ".join(columns)
            raise UsageError(f"{self.path} has no column {name!r}{did_you_mean(name, list(columns))}; it has {known}")
        return list(columns[name])


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


def _sources(items: ItemList) -> dict[str, Any]:
    sources: dict[str, Any] = {}
    if items.pictures is not None:
        sources["image"] = lambda row: _open(items, row)
    if items.texts is not None:
        sources["text"] = items.texts.__getitem__
    return sources


def _open(items: ItemList, row: int) -> Any:
    at = items.pictures[row] if items.pictures is not None else None
    if at is None:
        raise UnreadablePicture(f"{items.names[row]}: the item has no picture")
    try:
        return open_picture(at if isinstance(at, Path) else at.read(), reduced_to=READ_SIDE)
    except OSError as error:
        raise UnreadablePicture(f"{items.names[row]}: {error.strerror or error}") from None


def _any_file(pictures: Sequence[Any]) -> bool:
    return any(isinstance(each, Path) for each in pictures)


def _missing_files(items: ItemList) -> list[str]:
    missing = items.missing_files()
    if missing and len(missing) == sum(at is not None for at in items.pictures or ()):
        first = next(at for at in items.pictures or () if at is not None)
        raise DatasetNotFound(f"none of the pictures of {items.source} exist; the first: {first}")
    return [f"{len(missing)} pictures of the list do not exist; the first: {missing[0]}"] if missing else []


def _no_text(items: ItemList) -> list[str]:
    """Count the items with a picture whose caption is empty; where nobody has a picture, that is an item of nothing."""
    empty = sum(not text.strip() for text in items.texts or ())
    return [f"{empty:,} of {len(items):,} items have no text; they are learned from by their pictures"] if empty else []


def _halves(items: ItemList) -> dict[str, NDArray[np.bool_]]:
    """Say which items have which half, where some lack one."""
    halves = {
        name: np.array([bool(entry) for entry in column])
        for name, column in (("image", items.pictures), ("text", items.texts))
        if column is not None
    }
    return {} if all(flags.all() for flags in halves.values()) else halves
