"""A folder of pictures with one sub-folder a class (ImageFolder layout)."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from deephash.data.datamodule import Augment, HashDataModule
from deephash.data.protocols import Splits, build_split
from deephash.data.split_words import with_validation
from deephash.data.table import ItemTable
from deephash.errors import DatasetNotFound
from deephash.foreign.names import as_utf8
from deephash.pictures import open_picture, scan_folder

_QUERY_FOLDERS = ("query", "test", "val", "validation")
READ_SIDE = 512  # JPEGs are decoded no larger than networks look at


class PictureFolder(HashDataModule):
    """``root/CLASS/picture.jpg``, or ``root/train/CLASS/...`` beside ``root/test/CLASS/...``.

    With a ``train`` and a ``test`` (or query, val) folder, test pictures ask, and training pictures are learned from
    and searched. Otherwise a fifth of each class asks and the rest is learned from and searched.

    Args:
        root: the folder.
        seed: of the split and of the held-out validation items.
        batch_size: see :class:`HashDataModule`.
        hold_out: see :class:`HashDataModule`.
        augment: see :class:`HashDataModule`.
        cache_dir: see :class:`HashDataModule`.
        num_workers: see :class:`HashDataModule`.
    """

    by_name: ClassVar[bool] = True

    def __init__(
        self,
        root: str,
        seed: int = 0,
        batch_size: int = 64,
        hold_out: bool = True,
        augment: Augment = "none",
        cache_dir: str | None = None,
        num_workers: int = 0,
    ) -> None:
        super().__init__(
            batch_size=batch_size, hold_out=hold_out, augment=augment, cache_dir=cache_dir, num_workers=num_workers
        )
        self.root, self.seed = Path(root).expanduser(), seed

    @property
    def protocol_name(self) -> str:
        """The folder's name; its split is told by the checksum."""
        return f"{self.root.resolve().name}-folder/v1"

    def read(self) -> ItemTable:
        """List the pictures. Raises DatasetNotFound where there are none, or no classes."""
        if not self.root.is_dir():
            raise DatasetNotFound(f"{self.root.absolute()} is not a folder; give one with a sub-folder a class")
        train, query = self._part_folders()
        parts = [train, query] if query is not None else [train]
        files = [path for part in parts for path in scan_folder(part)]
        classes = [as_utf8(self._class_of(path)) for path in files]
        if not any(classes):
            raise DatasetNotFound(
                f"{self.root.absolute()} holds no pictures in sub-folders; expected CLASS/picture.jpg. "
                "A folder without classes can be searched all the same: deephash index"
            )
        class_names = sorted({name for name in classes if name})
        numbers = {name: number for number, name in enumerate(class_names)}
        names = [as_utf8(path.relative_to(self.root).as_posix()) for path in files]
        paths = dict(enumerate(files))
        return ItemTable(
            names=names,
            labels=np.array([numbers.get(name, -1) for name in classes], dtype=np.int64),
            checksum=files_checksum(files, self.root),
            class_names=class_names,
            files=files,
            sources={"image": lambda row: open_picture(paths[row], reduced_to=READ_SIDE)},
            notes=self._empty_classes(parts, set(class_names)),
        )

    def divide(self, table: ItemTable) -> Splits:
        """Follow the folders, or draw a fifth of each class as queries."""
        assert table.labels is not None
        _, query = self._part_folders()
        if query is None:
            return build_split("fifth", table.labels, seed=self.seed)
        asks = np.array([name.startswith(f"{query.name}/") for name in table.names])
        train: NDArray[np.int64] = np.flatnonzero(~asks)
        splits = {"query": np.flatnonzero(asks), "train": train, "database": train.copy()}
        return with_validation(splits, table.labels, self.seed)

    def _part_folders(self) -> tuple[Path, Path | None]:
        query = next((self.root / name for name in _QUERY_FOLDERS if (self.root / name).is_dir()), None)
        if (self.root / "train").is_dir() and query is not None:
            return self.root / "train", query
        return self.root, None

    def _class_of(self, path: Path) -> str:
        train, query = self._part_folders()
        base = query if query is not None and path.is_relative_to(query) else train
        parts = path.relative_to(base).parts
        return parts[0] if len(parts) > 1 else ""

    def _empty_classes(self, parts: list[Path], known: set[str]) -> list[str]:
        folders = {as_utf8(child.name) for part in parts for child in part.iterdir() if child.is_dir()}
        empty = sorted(name for name in folders - known if not name.startswith(".") and not name.endswith(".dh"))
        return [f"{len(empty)} sub-folders hold no pictures: {', '.join(empty[:5])}"] if empty else []


def files_checksum(files: list[Path], root: Path) -> str:
    """Return a digest of names, sizes and modification times: enough to notice that cached features are stale."""
    digest = hashlib.sha256()
    for path in files:
        name = as_utf8(path.relative_to(root).as_posix())
        try:
            facts = path.stat()
        except OSError:  # a link to nowhere, or gone since; opening it says so
            digest.update(f"{name}\0-\n".encode())
            continue
        digest.update(f"{name}\0{facts.st_size}\0{facts.st_mtime_ns}\n".encode())
    return digest.hexdigest()
