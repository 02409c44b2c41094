"""What every index promises (CodeIndex), what stands behind it (Engine), and what a search returns (Neighbors).

An index is a cache over a collection's code column: it can always be rebuilt, and it never decides what the truth is.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from deephash.codes import BinaryCodes, CodeLayout
from deephash.index.ids import AscendingIds
from deephash.index.row_filter import RowFilter


@dataclass(frozen=True, slots=True, eq=False)
class Neighbors:
    """Answers in the order (distance, id).

    Attributes:
        ids: int64 [Q, m] with m = min(k, number of items that may be found); 1-D for one query of a radius search.
            Never -1: where fewer items exist, the array is narrower.
        distances: int32, same shape: Hamming distances in bits.
    """

    ids: NDArray[np.int64]
    distances: NDArray[np.int32]

    def __len__(self) -> int:
        return len(self.ids)


class PreparedFilter:
    """Ids that an index has already looked up, for filters used more than once (a page of a web search, a folder).

    It stays right when the index changes: it is then resolved again from the ids.
    """

    def __init__(self, ids: NDArray[np.int64] | AscendingIds, owner: object, version: int, resolved: object) -> None:
        self.ids = ids
        self._owner, self._version, self._resolved = owner, version, resolved

    def resolved(self, owner: object, version: int) -> object | None:
        """Return what ``owner`` resolved in that version, or None where it must be resolved again."""
        return self._resolved if self._owner is owner and self._version == version else None


class Selection:
    """Items that pass a filter, known by what it says; their ids are looked up where an engine first needs them.

    An engine with a language of its own (a server) translates the rule and never asks for ids.

    Args:
        rule: what was asked, such as a :class:`deephash.collection.Filter`.
        find: returns the ids, ascending.
    """

    def __init__(self, rule: object, find: Callable[[], NDArray[np.int64]]) -> None:
        self.rule = rule
        self._find, self._lock = find, threading.Lock()
        self._ids: AscendingIds | None = None

    @property
    def ids(self) -> AscendingIds:
        """The ids that pass."""
        with self._lock:
            if self._ids is None:
                self._ids = AscendingIds(self._find())
            return self._ids

    @property
    def held(self) -> int:
        """How many ids are in memory for it."""
        return 0 if self._ids is None else len(self._ids)

    def __len__(self) -> int:
        return len(self.ids)


Allowed: TypeAlias = NDArray[np.int64] | AscendingIds | PreparedFilter | Selection


class Searchable(Protocol):
    """Whatever finds the nearest items: an index, or one window of it."""

    @property
    def num_bits(self) -> int:
        """K, the length of the codes."""
        ...

    def __len__(self) -> int: ...

    def search(self, queries: BinaryCodes, k: int, *, allowed: Allowed | None = None) -> Neighbors:
        """Return the ``k`` nearest items of each query, among the ids ``allowed`` where given."""
        ...

    def counts(self, query: BinaryCodes, *, allowed: Allowed | None = None) -> NDArray[np.int64]:
        """Return how many items lie at each distance from one query, int64 [K L + 1]."""
        ...


class CodeIndex(Searchable, Protocol):
    """Exact or approximate nearest neighbours among packed codes, by our own int64 ids.

    It is also who is asked for codes: whoever searches keeps no table of them beside it, so that an engine whose codes
    lie elsewhere (on a server) needs none in this process.
    """

    @property
    def layout(self) -> CodeLayout:
        """What the codes look like."""
        ...

    @property
    def translates_filters(self) -> bool:
        """Whether a filter is best handed over as it was asked, instead of codes sorted by what it asks for."""
        ...

    @property
    def ids(self) -> NDArray[np.int64]:
        """All ids, ascending."""
        ...

    def codes_of(self, ids: NDArray[np.int64]) -> BinaryCodes:
        """Return the codes of ``ids``, in their order. Raises UnknownIds."""
        ...

    def add(self, ids: NDArray[np.int64], codes: BinaryCodes) -> None:
        """Add items; a known id is replaced."""
        ...

    def remove(self, ids: NDArray[np.int64]) -> None:
        """Remove items; ids that are not there are passed over, so that removing twice is harmless."""
        ...

    def search_radius(self, queries: BinaryCodes, radius: int, *, allowed: Allowed | None = None) -> list[Neighbors]:
        """Return, for each query, every item with distance <= ``radius``."""
        ...

    def prepare(self, allowed: NDArray[np.int64] | AscendingIds) -> PreparedFilter:
        """Resolve a filter once, for many searches; give what comes back as ``allowed``."""
        ...

    def explain(self) -> str:
        """Say which engine answers, why it was chosen, and how the last search was run."""
        ...


class Engine(Protocol):
    """Search over a fixed table of codes by row number; what :class:`LiveIndex` stands on.

    Rows ascend with the ids, so (distance, row) is (distance, id). Nothing here changes after it was built: adding,
    removing and naming items is done once, in ``LiveIndex``, for all engines.
    """

    def search(self, queries: BinaryCodes, k: int, within: RowFilter | None) -> Neighbors:
        """Return rows [Q, min(k, rows that pass)] in order of (distance, row)."""
        ...

    def search_radius(self, queries: BinaryCodes, radius: int, within: RowFilter | None) -> list[Neighbors]:
        """Return for each query all rows with distance <= radius, in order of (distance, row)."""
        ...

    def warm(self) -> None:
        """Build now what many searches would earn; a server does it before the first query."""
        ...

    def explain(self) -> str:
        """Describe the engine and its last search."""
        ...
