"""LiveRows: items decoded, augmented and prepared when a batch asks for them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor
from torch.utils.data import Dataset

from deephash.data.augment import Augmentation
from deephash.data.batch import Batch
from deephash.data.table import Split


class LiveRows(Dataset[Batch]):
    """The rows of a split for a DataLoader.

    Args:
        split: whose rows.
        sources: modality -> function from a row number of the whole data set to a PIL picture or a str.
        transforms: modality -> function from that to a row of the encoder's input.
        augment: what happens to pictures first.
    """

    def __init__(
        self,
        split: Split,
        sources: dict[str, Callable[[int], Any]],
        transforms: dict[str, Callable[[Any], Tensor]],
        augment: Augmentation,
    ) -> None:
        self.split, self.columns = split, split.columns(without=sources)
        self.sources, self.transforms, self.augment = sources, transforms, augment

    def __len__(self) -> int:
        return len(self.split)

    def __getitem__(self, place: int) -> Batch:
        item = {name: column[place] for name, column in self.columns.items()}
        row = int(self.split.rows[place])
        for name, source in self.sources.items():
            raw = source(row)
            item[name] = self.transforms[name](self.augment(raw) if name == "image" else raw)
        return item
