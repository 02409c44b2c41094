"""LiveIndex: ids, changes and filters, done once for every engine.

An engine is a fixed table. Here it becomes a living index: rows that were removed are masked, rows that were added are
scanned exactly beside the engine, and both are folded into a fresh engine when they have grown to a tenth of it. So a
kind that can neither remove nor replace (MultiHash, HNSW) still gives right answers after any change.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import accumulate
from typing import TypeAlias, cast

import numpy as np
from numpy.typing import NDArray

from deephash.codes import BinaryCodes
from deephash.errors import UsageError
from deephash.index.base import Allowed, Engine, Neighbors, PreparedFilter, Selection
from deephash.index.exact import plain_exact
from deephash.index.histogram import distance_histogram
from deephash.index.ids import AscendingIds, UnknownIds, as_ids, ascends, in_order, positions
from deephash.index.row_filter import ListedFilter, RowFilter
from deephash.numbers import whole

Ids = NDArray[np.int64]
Part: TypeAlias = tuple[Engine, Ids, RowFilter | None]  # an engine, the ids of its rows, the rows that may be returned
REBUILD_SHARE = 0.1  # of the engine's rows changed: a merged search then costs about as much as a new engine saves
REBUILD_AT_LEAST = 4096  # below this the exact scan of the additions costs less than the call around it


class LiveIndex:
    """A ``CodeIndex`` over any :class:`~deephash.index.base.Engine`.

    Args:
        ids: int64 [N], distinct.
        codes: N codes.
        build: makes an engine from codes whose rows ascend with the ids.

    Raises:
        UsageError: ids that are not distinct integers, one for each code.
    """

    translates_filters = False

    def __init__(self, ids: Ids, codes: BinaryCodes, build: Callable[[BinaryCodes], Engine]) -> None:
        self._build = build
        self.num_bits = codes.num_bits
        self.layout = codes.layout
        self._version = 0
        self._settle(*in_order(ids, codes))

    def _settle(self, ids: Ids, codes: BinaryCodes) -> None:
        """Make ``codes`` (rows ascending by id) the engine's table, with no changes pending."""
        self._ids, self._codes = ids, codes
        self._engine = self._build(codes) if len(codes) else None
        self._dead = 0
        self._alive: NDArray[np.bool_] | None = None
        self._fresh_ids, self._fresh_codes = ids[:0], codes[:0]
        self._fresh_engine: Engine | None = None
        self._alive_rows: RowFilter | None = None
        self._version += 1

    def __len__(self) -> int:
        return len(self._ids) - self._dead + len(self._fresh_ids)

    @property
    def ids(self) -> Ids:
        """All ids, ascending."""
        kept = self._ids if self._alive is None else self._ids[self._alive]
        if not len(self._fresh_ids):
            return kept
        return np.sort(np.concatenate([kept, self._fresh_ids]), kind="stable")  # disjoint; two ascending runs merge

    def codes_of(self, ids: Ids) -> BinaryCodes:
        """Return the codes of ``ids``, in their order; of all :attr:`ids` without a copy, where no change is pending.

        Raises:
            UnknownIds: some are not in the index.
        """
        if ids is self._ids and self._alive is None:
            return self._codes
        wanted = as_ids(ids)
        if ascends(wanted):
            return self._codes_of_ascending(wanted)
        distinct, places = np.unique(wanted, return_inverse=True)
        return self._codes_of_ascending(distinct)[places]

    def _codes_of_ascending(self, ids: Ids) -> BinaryCodes:
        packed = np.empty((len(ids), self._codes.packed.shape[1]), np.uint8)
        found = np.zeros(len(ids), dtype=bool)
        for own, codes, alive in (
            (self._ids, self._codes, self._alive),
            (self._fresh_ids, self._fresh_codes, None),
        ):
            rows = positions(ids, own)
            rows = rows if alive is None else rows[alive[rows]]
            places = np.searchsorted(ids, own[rows])
            packed[places], found[places] = codes.packed[rows], True
        if not found.all():
            raise UnknownIds(ids[~found], len(ids))
        return BinaryCodes(packed, self.num_bits, self.layout.num_levels)

    # Changing --------------------------------------------------------------------------------------

    def add(self, ids: Ids, codes: BinaryCodes) -> None:
        """Add items; a known id is replaced."""
        self._check_codes(codes)
        ids, codes = in_order(ids, codes)
        self._drop(ids)
        joined = np.concatenate([self._fresh_ids, ids])
        order = np.argsort(joined, kind="stable")
        self._fresh_ids = joined[order]
        self._fresh_codes = BinaryCodes.concatenate([self._fresh_codes, codes])[order]
        self._fold()

    def remove(self, ids: Ids) -> None:
        """Remove items; ids that are not there are passed over, so that removing twice is harmless."""
        self._drop(np.unique(as_ids(ids)))
        self._fold()

    def _drop(self, ids: Ids) -> None:
        rows = positions(ids, self._ids)
        if len(rows):
            alive = np.ones(len(self._ids), dtype=bool) if self._alive is None else self._alive.copy()
            alive[rows] = False
            self._alive, self._dead = alive, len(alive) - int(np.count_nonzero(alive))
        stale = positions(ids, self._fresh_ids)
        keep = np.ones(len(self._fresh_ids), dtype=bool)
        keep[stale] = False
        self._fresh_ids, self._fresh_codes = self._fresh_ids[keep], self._fresh_codes[keep]
        self._fresh_engine = None
        self._alive_rows = None
        self._version += 1

    def _fold(self) -> None:
        pending = self._dead + len(self._fresh_ids)
        if pending <= max(REBUILD_AT_LEAST, REBUILD_SHARE * len(self._ids)) and self._dead < len(self._ids):
            return
        keep = slice(None) if self._alive is None else self._alive
        ids = np.concatenate([self._ids[keep], self._fresh_ids])
        codes = BinaryCodes.concatenate([self._codes[keep], self._fresh_codes])
        order = np.argsort(ids, kind="stable")
        self._settle(ids[order], codes[order])

    # Searching -------------------------------------------------------------------------------------

    def prepare(self, allowed: Ids | AscendingIds) -> PreparedFilter:
        """Resolve a filter once, for many searches; give what comes back as ``allowed``."""
        return PreparedFilter(allowed, self, self._version, self._parts_of(allowed, reused=True))

    def search(self, queries: BinaryCodes, k: int, *, allowed: Allowed | None = None) -> Neighbors:
        """Return the ``k`` nearest items of each query, ordered by (distance, id)."""
        self._check_codes(queries)
        k = whole(k, "k, the number of neighbours wanted,", least=1)
        parts = [_named(engine.search(queries, k, within), ids) for engine, ids, within in self._parts(allowed)]
        if not parts:
            empty = np.empty((len(queries), 0))
            return Neighbors(empty.astype(np.int64), empty.astype(np.int32))
        return parts[0] if len(parts) == 1 else merged(parts, k)

    def search_radius(self, queries: BinaryCodes, radius: int, *, allowed: Allowed | None = None) -> list[Neighbors]:
        """Return, for each query, every item with distance <= ``radius``, ordered by (distance, id)."""
        self._check_codes(queries)
        radius = min(whole(radius, "a radius in bits"), self.layout.max_distance)
        parts = [
            _named_each(engine.search_radius(queries, radius, within), ids)
            for engine, ids, within in self._parts(allowed)
        ]
        if not parts:
            return [Neighbors(np.empty(0, np.int64), np.empty(0, np.int32)) for _ in range(len(queries))]
        if len(parts) == 1:
            return parts[0]
        return [merged(list(both), None) for both in zip(*parts, strict=True)]

    def counts(self, query: BinaryCodes, *, allowed: Allowed | None = None) -> NDArray[np.int64]:
        """Return how many items lie at each distance from one query, int64 [K L + 1]."""
        self._check_codes(query)
        total = np.zeros(self.layout.max_distance + 1, np.int64)
        for _, ids, within in self._parts(allowed):
            codes = self._codes if ids is self._ids else self._fresh_codes
            total += distance_histogram(codes, query, None if within is None else within.rows)
        return total

    def warm(self) -> None:
        """Build now what many searches would earn (pivot lists, band tables), as a server does before it opens."""
        if self._engine:
            self._engine.warm()

    def explain(self) -> str:
        """Say which engine answers, why it was chosen, and how the last search was run."""
        engine = self._engine.explain() if self._engine else "empty: nothing to search"
        pending = (
            [] if self.layout.is_flat else [f"distances are summed over {self.layout.num_levels} levels, unweighted"]
        )
        if self._dead:
            pending.append(f"{self._dead:,} removed rows masked")
        if len(self._fresh_ids):
            pending.append(f"{len(self._fresh_ids):,} added rows scanned beside it")
        return "; ".join([engine, *pending])

    def _parts(self, allowed: Allowed | None) -> list[Part]:
        """Return what must be searched: the table and the additions, each with its filter."""
        if isinstance(allowed, Selection):
            allowed = allowed.ids
        if isinstance(allowed, PreparedFilter):
            known = allowed.resolved(self, self._version)
            return cast(list[Part], known) if known is not None else self._parts_of(allowed.ids)
        return self._parts_of(allowed)

    def _parts_of(self, allowed: Ids | AscendingIds | None, *, reused: bool = False) -> list[Part]:
        parts: list[Part] = []
        if self._engine and self._dead < len(self._ids):
            parts.append((self._engine, self._ids, self._living()))
        if len(self._fresh_ids):
            self._fresh_engine = self._fresh_engine or plain_exact(self._fresh_codes)
            parts.append((self._fresh_engine, self._fresh_ids, None))
        if allowed is None:
            return parts
        wanted = allowed if isinstance(allowed, AscendingIds) else as_ids(allowed)
        filtered: list[Part] = []
        for engine, ids, living in parts:
            within = ListedFilter(wanted, ids, None if living is None else living.mask, reused=reused)
            if within.any():
                everything = reused and within.count == len(ids)  # a filter used once is not looked up for that
                filtered.append((engine, ids, None if everything else within))
        return filtered

    def _living(self) -> RowFilter | None:
        """Return the filter that leaves out removed rows; None where there are none."""
        if self._alive is not None and self._alive_rows is None:
            self._alive_rows = RowFilter(self._alive, reused=True)
        return self._alive_rows

    def _check_codes(self, codes: BinaryCodes) -> None:
        if codes.layout != self.layout:
            raise UsageError(
                f"this index holds codes of {self.layout.describe()}, but was given "
                f"{codes.describe()}; encode both sides with the same model"
            )


def _named(found: Neighbors, ids: Ids) -> Neighbors:
    return Neighbors(ids[found.ids], found.distances)


def _named_each(answers: list[Neighbors], ids: Ids) -> list[Neighbors]:
    """Name the rows of many answers, most of them small, all at once."""
    named = ids[np.concatenate([np.empty(0, np.int64), *(found.ids for found in answers)])]
    ends = list(accumulate(len(found.ids) for found in answers))
    return [Neighbors(named[end - len(found.ids) : end], found.distances) for found, end in zip(answers, ends)]


def merged(parts: Sequence[Neighbors], k: int | None) -> Neighbors:
    """Return the answers of several parts as one, in the order (distance, id); the first ``k``, None for all."""
    ids = np.concatenate([part.ids for part in parts], axis=-1)
    distances = np.concatenate([part.distances for part in parts], axis=-1)
    order = np.lexsort((ids, distances), axis=-1)[..., :k]
    return Neighbors(np.take_along_axis(ids, order, -1), np.take_along_axis(distances, order, -1))
