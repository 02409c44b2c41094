"""Flickr8k (Hodosh, Young, Hockenmaier 2013), or a part of it: photographs with five English captions each."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any, Literal

import numpy as np

from deephash.data.datamodule import HashDataModule
from deephash.data.folder import READ_SIDE
from deephash.data.protocols import Splits
from deephash.data.table import ItemTable
from deephash.errors import DataError, DatasetNotFound, UsageError
from deephash.pictures import open_picture


class Flickr8k(HashDataModule):
    """Pictures and captions without labels, for instance retrieval: which picture does this sentence describe?

    Items not trained on ask, in either modality, and are searched in the other; the right answer has the same row.

    Args:
        root: folder that holds ``captions.jsonl`` (lines with ``file`` and ``captions``) and the pictures it names.
        text: which caption stands for the text: ``joined``, or the number of one, 0 to 4.
        test_items: how many items ask and are searched.
        seed: of the split.
        batch_size: see :class:`HashDataModule`.
        cache_dir: see :class:`HashDataModule`.
    """

    def __init__(
        self,
        root: str,
        text: Literal["joined", "0", "1", "2", "3", "4"] = "joined",
        test_items: int = 300,
        seed: int = 0,
        batch_size: int = 256,
        cache_dir: str | None = None,
    ) -> None:
        super().__init__(batch_size=batch_size, hold_out=False, cache_dir=cache_dir)
        self.root, self.text = Path(root).expanduser(), text
        self.test_items, self.seed = test_items, seed

    @property
    def protocol_name(self) -> str:
        """Our own split of whatever part is there; its checksum tells which."""
        return f"flickr8k-{len(self.table)}-instances/v1"

    def captions(self, row: int) -> list[str]:
        """Return all captions of an item."""
        if self._table is None:
            self.setup()
        return list(self._lines[row]["captions"])

    def read(self) -> ItemTable:
        """Read the list of captions. Raises DatasetNotFound or DataError."""
        self._lines = read_lines(self.root / "captions.jsonl", ("file", "captions"))
        return ItemTable(
            names=[str(line["file"]) for line in self._lines],
            labels=None,
            checksum=hashlib.sha256((self.root / "captions.jsonl").read_bytes() + self.text.encode()).hexdigest(),
            sources={"image": self._picture, "text": self._text},
        )

    def divide(self, table: ItemTable) -> Splits:
        """Draw the items that ask; the others are learned from."""
        if not 0 < self.test_items < len(table):
            raise UsageError(f"test_items lies between 0 and {len(table)}, the number of items, not {self.test_items}")
        order = np.random.RandomState(self.seed).permutation(len(table))
        test, train = np.sort(order[: self.test_items]), np.sort(order[self.test_items :])
        return {"train": train, "query": test, "database": test}

    def _picture(self, row: int) -> Any:
        return open_picture(self.root / self._lines[row]["file"], reduced_to=READ_SIDE)

    def _text(self, row: int) -> str:
        captions = self._lines[row]["captions"]
        return " ".join(captions) if self.text == "joined" else str(captions[int(self.text)])


def read_lines(path: Path, needed: tuple[str, ...]) -> list[dict[str, Any]]:
    """Return the objects of a JSON-lines file, each with the ``needed`` keys. Raises DatasetNotFound or DataError."""
    if not path.is_file():
        raise DatasetNotFound(f"{path.absolute()}: no such file")
    lines = []
    for number, text in enumerate(path.read_text(encoding="utf8").splitlines(), 1):
        try:
            line = json.loads(text)
        except ValueError as error:
            raise DataError(f"{path}, line {number} is not JSON: {error}") from None
        missing = [key for key in needed if not isinstance(line, dict) or key not in line]
        if missing:
            raise DataError(f"{path}, line {number} lacks {', '.join(missing)}")
        lines.append(line)
    return lines
