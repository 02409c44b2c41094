"""Fashion items: small product photos with an English title and a type, from a catalogue kept in two files."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np

from deephash.data.datamodule import HashDataModule
from deephash.data.feature_file import read_npz
from deephash.data.flickr8k import read_lines
from deephash.data.protocols import Splits
from deephash.data.split_words import with_validation
from deephash.data.table import ItemTable
from deephash.errors import DataError
from deephash.pictures import open_picture


class FashionItems(HashDataModule):
    """Pictures with titles; label = type. The file's own split: 800 items ask; training and database items are
    searched.

    Args:
        root: folder of ``fashion_images.npz`` (``blob``: JPEG files end to end, ``offsets``) and
            ``fashion_items.jsonl`` (``title``, ``type``, ``split``), in the same order.
        seed: of the held-out validation items.
        batch_size: see :class:`HashDataModule`.
        hold_out: see :class:`HashDataModule`.
        cache_dir: see :class:`HashDataModule`.
    """

    def __init__(
        self, root: str, seed: int = 0, batch_size: int = 256, hold_out: bool = True, cache_dir: str | None = None
    ) -> None:
        super().__init__(batch_size=batch_size, hold_out=hold_out, cache_dir=cache_dir)
        self.root, self.seed = Path(root).expanduser(), seed

    @property
    def protocol_name(self) -> str:
        """The split of the file, 800 / 4,000 / 10,201."""
        return "fashion/v1"

    def read(self) -> ItemTable:
        """Read titles and the pictures' bytes. Raises DatasetNotFound or DataError."""
        images = read_npz(self.root / "fashion_images.npz")
        self._items = read_lines(self.root / "fashion_items.jsonl", ("title", "type", "split"))
        if not {"blob", "offsets"} <= set(images) or len(images["offsets"]) != len(self._items) + 1:
            raise DataError(f"{self.root}: fashion_images.npz does not hold {len(self._items)} pictures")
        self._blob, self._offsets = images["blob"], images["offsets"]
        names = sorted({str(item["type"]) for item in self._items})
        number = {name: place for place, name in enumerate(names)}
        return ItemTable(
            names=[str(item.get("id", row)) for row, item in enumerate(self._items)],
            labels=np.array([number[str(item["type"])] for item in self._items], dtype=np.int64),
            checksum=hashlib.sha256(self._blob.tobytes()).hexdigest(),
            class_names=names,
            sources={"image": self._picture, "text": lambda row: str(self._items[row]["title"])},
        )

    def divide(self, table: ItemTable) -> Splits:
        """Follow the column ``split``; what does not ask is searched."""
        parts = np.array([item["split"] for item in self._items])
        query, train = np.flatnonzero(parts == "query"), np.flatnonzero(parts == "train")
        splits = {"train": train, "query": query, "database": np.flatnonzero(parts != "query")}
        return with_validation(splits, table.labels, self.seed)

    def attribute(self, name: str) -> list[str]:
        """Return ``master``, ``sub``, ``colour``, ``usage`` or another entry of the items."""
        if not len(self.table) or not any(name in item for item in self._items):
            return super().attribute(name)
        return [str(item.get(name) or "") for item in self._items]

    def _picture(self, row: int) -> Any:
        return open_picture(self._blob[self._offsets[row] : self._offsets[row + 1]].tobytes())
