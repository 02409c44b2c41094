"""What every index promises (CodeIndex), what a search returns (Neighbors), and how an index is opened.

An index is a cache over a collection's code column: it can always be rebuilt, and it never decides what the truth is.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from deephash.codes import BinaryCodes
from deephash.errors import UsageError, did_you_mean
from deephash.numbers import whole

if TYPE_CHECKING:
    from deephash.index.row_filter import AscendingIds, RowFilter


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


Allowed: TypeAlias = "NDArray[np.int64] | AscendingIds | PreparedFilter"


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


class CodeIndex(Searchable, Protocol):
    """Exact or approximate nearest neighbours among packed codes, by our own int64 ids."""

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


KINDS: Mapping[str, str] = {
    "auto": "let the planner choose by size, code length and duplicates",
    "scan": "our exact scan (Numba)",
    "faiss:flat": "exact, Faiss IndexBinaryFlat",
    "faiss:multihash": "exact, Faiss IndexBinaryMultiHash with a scan behind it; for small radii",
    "faiss:ivf": "approximate, Faiss IndexBinaryIVF; see nprobe",
    "faiss:hnsw": "approximate graph over unique codes; see ef_search",
}


@dataclass(frozen=True, slots=True)
class IndexOptions:
    """Options of ``open_index``; None leaves the choice to the engine.

    Attributes:
        threads: threads a search may use (all kinds); None = every core this process may run on.
        num_lists: faiss:ivf, number of inverted lists.
        nprobe: faiss:ivf, lists visited a query; ``num_lists`` makes it exact.
        ef_search: faiss:hnsw, length of the candidate list.
        neighbours: faiss:hnsw, links of a node.
        force: faiss:hnsw, build it even where it was measured to miss neighbours.
        prune: scan, cluster pruning; None = used where it pays.
    """

    threads: int | None = None
    num_lists: int | None = None
    nprobe: int | None = None
    ef_search: int | None = None
    neighbours: int | None = None
    force: bool | None = None
    prune: bool | None = None


_OPTIONS_OF: Mapping[str, frozenset[str]] = {
    "auto": frozenset({"threads", "prune"}),
    "scan": frozenset({"threads", "prune"}),
    "faiss:flat": frozenset({"threads"}),
    "faiss:multihash": frozenset({"threads"}),
    "faiss:ivf": frozenset({"threads", "num_lists", "nprobe"}),
    "faiss:hnsw": frozenset({"threads", "ef_search", "neighbours", "force"}),
}


def open_index(
    kind: str,
    ids: NDArray[np.int64],
    codes: BinaryCodes,
    *,
    threads: int | None = None,
    num_lists: int | None = None,
    nprobe: int | None = None,
    ef_search: int | None = None,
    neighbours: int | None = None,
    force: bool | None = None,
    prune: bool | None = None,
) -> CodeIndex:
    """Build an index of ``kind`` over ``codes``, row i of which is known as ``ids[i]``.

    Args:
        kind: one of ``KINDS``.
        ids: int64 [N], distinct; any order.
        codes: N codes; may be memory-mapped (then keep the ids ascending, and nothing is copied by ``scan``).
        threads: see :class:`IndexOptions`, as all that follow.

    Raises:
        UsageError: a kind that does not exist, an option of another kind, ids that do not fit.
    """
    from deephash.index.engines import Builder
    from deephash.index.live import LiveIndex

    check_kind(kind)
    options = IndexOptions(threads, num_lists, nprobe, ef_search, neighbours, force, prune)
    for name in IndexOptions.__slots__:
        if getattr(options, name) is not None and name not in _OPTIONS_OF[kind]:
            owners = [other for other, names in _OPTIONS_OF.items() if name in names]
            raise UsageError(f"{name} is an option of {', '.join(owners)}, not of {kind}; leave it out")
    _check_counts(options)
    return LiveIndex(ids, codes, Builder(kind, options))


def check_kind(kind: str) -> None:
    """Refuse a kind of index that does not exist, with a suggestion."""
    if kind not in KINDS:
        raise UsageError(f"no index kind {kind!r}{did_you_mean(kind, list(KINDS))}")


def _check_counts(options: IndexOptions) -> None:
    for name in ("threads", "num_lists", "nprobe", "ef_search", "neighbours"):
        value = getattr(options, name)
        if value is not None:
            whole(value, name, least=1)


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
