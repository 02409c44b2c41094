"""One version of a collection, ready to be searched."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from deephash.codes import BinaryCodes
from deephash.collection import Collection
from deephash.errors import UsageError
from deephash.index import open_index
from deephash.index.ids import UnknownIds
from deephash.search.chance import Chance, chance_among
from deephash.search.narrowing import Narrowing

if TYPE_CHECKING:
    from deephash.index import CodeIndex
    from deephash.index.querybank import HubCorrection

NEIGHBOURS = 16  # that tell which bits of an item are firm


@dataclass(frozen=True)
class Snapshot:
    """One version of a collection; replaced as a whole when the collection changes.

    Attributes:
        collection: opened at this version.
        index: holds its codes, and answers.
    """

    collection: Collection
    index: CodeIndex
    _corrections: dict[str, HubCorrection] = field(default_factory=dict, repr=False)
    _prefixes: dict[int, Snapshot] = field(default_factory=dict, repr=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    @classmethod
    def of(cls, collection: Collection, kind: str) -> Snapshot:
        """Read the codes of a collection and build an index of ``kind`` over them."""
        return cls(collection, open_index(kind, *collection.codes()))

    def __len__(self) -> int:
        return len(self.index)

    @property
    def ids(self) -> NDArray[np.int64]:
        """Ids of all items, int64 [N], ascending."""
        return self.index.ids

    def correction(self, kind: str) -> HubCorrection:
        """Return the hub correction stored for queries of ``kind``; read once a version."""
        from deephash.collection.hubs import hub_correction

        if kind not in self._corrections:
            self._corrections[kind] = hub_correction(self.collection, kind)
        return self._corrections[kind]

    @cached_property
    def chance(self) -> Chance | None:
        """How far apart unrelated items are; measured once a version."""
        ids = self.ids
        return chance_among(len(ids), lambda places: self.index.codes_of(ids[places]))

    @cached_property
    def narrowing(self) -> Narrowing:
        """Applies filters to this version."""
        return Narrowing(self.collection, self.index)

    def prefix(self, bits: int) -> Snapshot:
        """Return this version with only the first ``bits`` of its codes; its index is kept as long as this one."""
        with self._lock:
            if bits not in self._prefixes:
                ids = self.ids
                index = open_index("auto", ids, self.index.codes_of(ids).prefix(bits))
                self._prefixes[bits] = Snapshot(self.collection, index)
            return self._prefixes[bits]

    def codes_of(self, ids: Sequence[int] | NDArray[np.int64]) -> BinaryCodes:
        """Return the stored codes of ``ids``, in their order. Raises UsageError for an id that is not there."""
        try:
            return self.index.codes_of(np.asarray(ids, dtype=np.int64))
        except UnknownIds as unknown:
            missing = ", ".join(str(item) for item in unknown.ids[:5])
            raise UsageError(f"{self.collection.path} has no item {missing}; it holds {len(self):,} items") from None

    def item_and_neighbours(self, item: int) -> BinaryCodes:
        """Return the code of an item, and behind it those of its nearest neighbours, for a mixture."""
        code = self.codes_of([item])
        if not code.layout.is_flat:
            return code
        near = self.index.search(code, NEIGHBOURS + 1).ids[0]
        return BinaryCodes.concatenate([code, self.codes_of(near[near != item])])
