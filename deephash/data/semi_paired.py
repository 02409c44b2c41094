"""Half-paired training data: some items keep picture and text together, the others lose their partner."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray

from deephash.data.datamodule import HashDataModule
from deephash.data.feature_file import read_npz
from deephash.data.protocols import Splits
from deephash.data.table import ItemTable
from deephash.errors import DataError, UsageError, did_you_mean

Rows = NDArray[np.int64]
SCHEMES = ("shuffle", "missing")


@dataclass(frozen=True)
class PairingMask:
    """Which training items kept what; row numbers, ascending. Stored, so that a figure can be repeated.

    Attributes:
        pairs: picture and text together.
        image_alone: the picture without its text.
        text_alone: the text without its picture; under ``shuffle`` the same items as ``image_alone``.
    """

    pairs: Rows
    image_alone: Rows
    text_alone: Rows

    @classmethod
    def draw(cls, rows: Rows, share: float, scheme: str = "shuffle", seed: int = 0) -> PairingMask:
        """Draw which of ``rows`` stay paired.

        Args:
            rows: training items.
            share: of the items that keep their partner, 0 to 1.
            scheme: ``shuffle``: the others keep both halves but not the knowledge that they belong together;
                ``missing``: half of the others keep only the picture, half only the text.
            seed: the mask depends on nothing else.
        """
        if scheme not in SCHEMES:
            raise UsageError(f"scheme {scheme!r} is unknown" + did_you_mean(scheme, list(SCHEMES)))
        if not 0 <= share <= 1:
            raise UsageError(f"share lies within [0, 1], not {share}")
        order = np.random.RandomState(seed).permutation(np.asarray(rows, dtype=np.int64))
        count = round(share * len(order))
        pairs, rest = np.sort(order[:count]), order[count:]
        if scheme == "shuffle":
            return cls(pairs, np.sort(rest), np.sort(rest))
        middle = (len(rest) + 1) // 2
        return cls(pairs, np.sort(rest[:middle]), np.sort(rest[middle:]))

    def save(self, path: str | Path) -> None:
        """Write an ``.npz``."""
        np.savez(path, pairs=self.pairs, image_alone=self.image_alone, text_alone=self.text_alone)

    @classmethod
    def load(cls, path: str | Path) -> PairingMask:
        """Read what :meth:`save` wrote. Raises DatasetNotFound or DataError."""
        columns = read_npz(Path(path))
        if set(columns) != {"pairs", "image_alone", "text_alone"}:
            raise DataError(f"{path} is not a mask written by PairingMask.save")
        return cls(**{name: column.astype(np.int64) for name, column in columns.items()})


class SemiPaired(HashDataModule):
    """Another data set whose training items lose their partner, except a share of them.

    Each half that stands alone becomes a row of its own behind the items of the base, so nothing downstream can look
    its partner up. Queries are always complete. The database is the base's; under ``missing`` an item that lost one
    half is there with the other only (``has_image``, ``has_text``).

    Args:
        base: the complete data set.
        share: of the training items that keep their partner.
        scheme: see :meth:`PairingMask.draw`.
        mask_seed: of the mask.
        mask_file: an ``.npz`` that the mask is read from if it exists, and written to otherwise.
    """

    def __init__(
        self,
        base: HashDataModule,
        share: float = 0.5,
        scheme: Literal["shuffle", "missing"] = "shuffle",
        mask_seed: int = 0,
        mask_file: str | None = None,
    ) -> None:
        super().__init__(batch_size=base.batch_size, hold_out=False)
        self.cache_dir, self.encode_batch_size = base.cache_dir, base.encode_batch_size
        self.base, self.share, self.scheme, self.mask_seed = base, share, scheme, mask_seed
        self.mask_file = Path(mask_file).expanduser() if mask_file is not None else None

    @property
    def protocol_name(self) -> str:
        """The base's name with share and scheme; versioned as the base is."""
        name, _, version = self.base.protocol_name.partition("/")
        return f"{name}-{self.scheme}{round(100 * self.share)}/{version or 'v1'}"

    def read(self) -> ItemTable:
        """Return the base's items, followed by the halves that stand alone."""
        whole = self.base.table
        lacking = {"image", "text"} - {*whole.sources, *whole.vectors}
        if lacking:
            raise UsageError(f"{type(self.base).__name__} has no {' and no '.join(sorted(lacking))} to take apart")
        self._splits = self.base.divide(whole)
        self.mask = self._mask()
        self._origin = np.concatenate([np.arange(len(whole)), self.mask.image_alone, self.mask.text_alone])
        kinds = ["image"] * len(self.mask.image_alone) + ["text"] * len(self.mask.text_alone)
        alone = [f"{whole.names[row]}#{kind}" for row, kind in zip(self._origin[len(whole) :], kinds, strict=True)]
        present = {}
        for kind in ("image", "text"):
            before = whole.present.get(kind, np.ones(len(whole), dtype=bool))
            present[kind] = np.concatenate([before, np.array([own == kind for own in kinds], dtype=bool)])
        return ItemTable(
            names=[*whole.names, *alone],
            labels=None if whole.labels is None else whole.labels[self._origin],
            checksum=f"{whole.checksum}:{self.scheme}",
            class_names=whole.class_names,
            sources={name: self._redirected(source) for name, source in whole.sources.items()},
            vectors={name: table[torch.from_numpy(self._origin)] for name, table in whole.vectors.items()},
            present=present,
        )

    def divide(self, table: ItemTable) -> Splits:
        """Return the base's queries; training on pairs and lone halves."""
        first = len(self.base.table)
        halves = np.arange(first, len(table))
        train = np.concatenate([self.mask.pairs, halves])
        database = self._splits["database"]
        if self.scheme == "missing":
            lost = np.union1d(self.mask.image_alone, self.mask.text_alone)
            there = halves[np.isin(self._origin[first:], database)]
            database = np.concatenate([np.setdiff1d(database, lost), there])
        return {"train": train, "query": self._splits["query"], "database": database}

    def _mask(self) -> PairingMask:
        train = self._splits["train"]
        if self.mask_file is not None and self.mask_file.exists():
            mask = PairingMask.load(self.mask_file)
            known = np.concatenate([mask.pairs, mask.image_alone, mask.text_alone])
            if not np.array_equal(np.unique(known), np.sort(train)):
                raise UsageError(f"{self.mask_file} is the mask of other training items; remove it")
            return mask
        mask = PairingMask.draw(train, self.share, self.scheme, self.mask_seed)
        if self.mask_file is not None:
            mask.save(self.mask_file)
        return mask

    def _redirected(self, source: Callable[[int], Any]) -> Callable[[int], Any]:
        return lambda row: source(int(self._origin[row]))
