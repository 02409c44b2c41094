"""LiveRows: items decoded, augmented and prepared when a batch asks for them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from torch import Tensor
from torch.utils.data import Dataset

from deephash.data.augment import Augmentation
from deephash.data.batch import Batch
from deephash.data.table import Split

MEMORY = 256 << 20  # bytes of prepared rows of one modality


class PreparedRows:
    """Rows that are prepared in the same way each time, kept up to a number of bytes: a small data set is read once.

    Args:
        budget: bytes.
    """

    def __init__(self, budget: int = MEMORY) -> None:
        self._left = budget
        self._rows: dict[int, Tensor] = {}

    def get(self, row: int, make: Callable[[int], Tensor]) -> Tensor:
        """Return a row, made where it is not kept."""
        found = self._rows.get(row)
        if found is None:
            found = make(row)
            if found.nbytes <= self._left:
                self._rows[row] = found
                self._left -= found.nbytes
        return found


class LiveRows(Dataset[Batch]):
    """The rows of a split for a DataLoader.

    Args:
        split: whose rows.
        sources: modality -> function from a row number of the whole data set to a PIL picture or a str.
        transforms: modality -> function from that to a row of the encoder's input.
        augment: what happens to pictures first.
        memories: modality -> what keeps its rows; for those that nothing random happens to.
    """

    def __init__(
        self,
        split: Split,
        sources: dict[str, Callable[[int], Any]],
        transforms: dict[str, Callable[[Any], Tensor]],
        augment: Augmentation,
        memories: Mapping[str, PreparedRows] = {},
    ) -> None:
        self.split, self.columns = split, split.columns(without=sources)
        self.sources, self.transforms, self.augment, self.memories = sources, transforms, augment, memories

    def __len__(self) -> int:
        return len(self.split)

    def __getitem__(self, place: int) -> Batch:
        item = {name: column[place] for name, column in self.columns.items()}
        row = int(self.split.rows[place])
        for name in self.sources:
            memory = self.memories.get(name)
            item[name] = self._prepared(name, row) if memory is None else memory.get(row, partial(self._prepared, name))
        return item

    def _prepared(self, name: str, row: int) -> Tensor:
        raw = self.sources[name](row)
        return self.transforms[name](self.augment(raw) if name == "image" else raw)
