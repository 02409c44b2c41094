"""Unique codes with posting lists: supervised models give thousands of pictures one and the same code.

Searching the unique codes and listing their items gives the same answers with less memory and less work, shows how
large ties are, and is the only way a graph index can be right on duplicated codes.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from deephash.codes import BinaryCodes
from deephash.index.bands import MIX, as_planes
from deephash.index.base import Allowed, CodeIndex, Engine, Neighbors
from deephash.index.exact import plain_exact
from deephash.index.row_filter import RowFilter

Rows = NDArray[np.int64]
SAMPLE = 1 << 20  # codes drawn to learn whether many are alike


@dataclass(frozen=True, slots=True, eq=False)
class UniqueGroups:
    """The items of each distinct code.

    Attributes:
        codes: U distinct codes, in the order in which they first occur.
        starts: int64 [U + 1]; the items of group g are ``members[starts[g] : starts[g + 1]]``, ascending.
        members: int64 [N], row numbers.
    """

    codes: BinaryCodes
    starts: Rows
    members: Rows

    @classmethod
    def of(cls, codes: BinaryCodes) -> UniqueGroups:
        """Group equal codes."""
        if not len(codes):
            return cls(codes, np.zeros(1, np.int64), np.empty(0, np.int64))
        planes = as_planes(codes)
        key = mixed(planes)
        order = np.argsort(key, kind="stable")
        changed = (planes[:, order[1:]] != planes[:, order[:-1]]).any(axis=0)
        if np.any(changed & (key[order[1:]] == key[order[:-1]])):  # two codes share a key: sort by the codes themselves
            order = np.lexsort(planes)
            changed = (planes[:, order[1:]] != planes[:, order[:-1]]).any(axis=0)
        begins = np.concatenate([[0], np.flatnonzero(changed) + 1])
        sizes = np.diff(np.append(begins, len(order)))
        rank = np.argsort(order[begins], kind="stable")  # groups by their first row: equal distances stay in row order
        starts = np.concatenate([[0], np.cumsum(sizes[rank])])
        members = order[ranges(begins[rank], sizes[rank])]
        return cls(codes[order[begins[rank]]], starts, members)

    def __len__(self) -> int:
        return len(self.codes)

    @property
    def sizes(self) -> Rows:
        """Items a group, int64 [U]."""
        return np.diff(self.starts)

    def describe(self) -> str:
        """Return e.g. ``50,000 items share 612 unique codes; the largest group has 4,880; ...``."""
        items, width = len(self.members), self.codes.packed.shape[1]
        share = len(self) * width / max(1, items * width)
        largest = int(self.sizes.max(initial=0))
        return (
            f"{items:,} items share {len(self):,} unique codes; the largest group has {largest:,}; "
            f"the codes take {100 * share:.1f} % of the memory"
        )


def count_unique(codes: BinaryCodes) -> int:
    """Return the number of distinct codes (for codes beyond 64 bits by a 64-bit key: off by one in 10**7 at 10**6)."""
    ordered = np.sort(mixed(as_planes(codes)))
    return int(len(ordered) and 1 + np.count_nonzero(ordered[1:] != ordered[:-1]))


def surely_many(codes: BinaryCodes, below: float) -> bool:
    """Say, from a sample, whether the distinct codes are surely more than the share ``below`` of all.

    If they were fewer, each would be there 1 / ``below`` times on average, and the sample would hold at least
    ``sample**2 / N * (1 / below - 1) / 2`` pairs of equal codes (the sum of squares is least when all are as many).
    """
    size = len(codes)
    if size < 4 * SAMPLE:
        return False
    places = np.sort(np.random.default_rng(0).integers(0, size, SAMPLE))
    places = places[np.append(True, places[1:] != places[:-1])]
    pairs = len(places) - count_unique(codes[places])  # at most as many as there are
    return pairs < len(places) ** 2 / size * (1 / below - 1) / 4  # half of what is expected: chance leaves no doubt


def mixed(planes: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Return one 64-bit key a code, from words [W, N]; codes of one word are their own key."""
    key = planes[0]
    for words in planes[1:]:
        key = (key ^ (key >> np.uint64(29))) * MIX
        key = (key ^ (key >> np.uint64(32))) + words
    result: NDArray[np.uint64] = key
    return result


def ranges(starts: Rows, sizes: Rows) -> Rows:
    """Return start, start + 1, ... of each range, one after another."""
    ends = np.cumsum(sizes)
    return np.arange(ends[-1] if len(ends) else 0) + np.repeat(starts - ends + sizes, sizes)


class GroupedEngine:
    """An engine over unique codes, answering with items.

    The first k groups in the order (distance, first row) hold the first k items: an item whose group comes later is
    preceded by the first item of each of k groups. So k groups are always enough.
    """

    def __init__(self, groups: UniqueGroups, engine: Engine) -> None:
        self._groups = groups
        self._engine = engine
        self._group_of: Rows | None = None

    def warm(self) -> None:
        """Build now what the inner engine would build when it has been earned."""
        self._engine.warm()

    def search(self, queries: BinaryCodes, k: int, within: RowFilter | None) -> Neighbors:
        """Return rows [Q, min(k, rows that pass)] in order of (distance, row)."""
        if within is not None:
            return self._filtered(within).search(queries, k, None)
        width = min(k, len(self._groups.members))
        near = self._engine.search(queries, min(k, len(self._groups)), None)
        rows = np.empty((len(queries), width), np.int64)
        distances = np.empty((len(queries), width), np.int32)
        for i in range(len(queries)):
            one = self._listed(Neighbors(near.ids[i], near.distances[i]), width)
            rows[i], distances[i] = one.ids, one.distances
        return Neighbors(rows, distances)

    def search_radius(self, queries: BinaryCodes, radius: int, within: RowFilter | None) -> list[Neighbors]:
        """Return for each query all rows with distance <= radius, in order of (distance, row)."""
        if within is not None:
            return self._filtered(within).search_radius(queries, radius, None)
        return [self._listed(near, None) for near in self._engine.search_radius(queries, radius, None)]

    def _listed(self, near: Neighbors, k: int | None) -> Neighbors:
        """Turn groups, nearest first, into their items; the first k where k is given."""
        starts = self._groups.starts[near.ids]
        sizes = self._groups.starts[near.ids + 1] - starts
        groups, distances = near.ids, near.distances
        if k is not None and len(groups):
            held = np.cumsum(sizes)
            last = distances[min(int(np.searchsorted(held, k)), len(groups) - 1)]  # distance of the k-th item
            used = int(np.searchsorted(distances, last, side="right"))
            starts, sizes, distances = starts[:used], np.minimum(sizes[:used], k), distances[:used]
        rows = self._groups.members[ranges(starts, sizes)]
        distances = np.repeat(distances, sizes)
        order = np.lexsort((rows, distances))[:k]
        return Neighbors(rows[order], distances[order])

    def _filtered(self, within: RowFilter) -> Engine:
        """Return an engine over the groups that hold an allowed row, in the order of their first allowed row."""
        regrouped: Engine = within.once(lambda: self._regrouped(within))
        return regrouped

    def _regrouped(self, within: RowFilter) -> Engine:
        if self._group_of is None:
            self._group_of = np.empty(len(self._groups.members), np.int64)
            self._group_of[self._groups.members] = np.repeat(np.arange(len(self._groups)), self._groups.sizes)
        rows = within.rows
        mine = self._group_of[rows]
        first = np.full(len(self._groups), -1)
        first[mine[::-1]] = np.arange(len(rows))[::-1]  # the last assignment wins: the first allowed row of each group
        kept = np.flatnonzero(first >= 0)
        kept = kept[np.argsort(first[kept])]
        number = np.empty(len(self._groups), np.int64)
        number[kept] = np.arange(len(kept))
        order = np.argsort(number[mine], kind="stable")
        sizes = np.bincount(number[mine], minlength=len(kept))
        part = UniqueGroups(self._groups.codes[kept], np.concatenate([[0], np.cumsum(sizes)]), order)
        return _RenamedEngine(GroupedEngine(part, plain_exact(part.codes)), rows)

    def explain(self) -> str:
        """Describe the engine and its last search."""
        return f"{self._engine.explain()}; over unique codes: {self._groups.describe()}"


class _RenamedEngine:
    """A grouped engine over some rows of a table, answering with the table's row numbers."""

    def __init__(self, engine: GroupedEngine, rows: Rows) -> None:
        self._engine, self._rows = engine, rows
        self.warm, self.explain = engine.warm, engine.explain

    def search(self, queries: BinaryCodes, k: int, within: RowFilter | None) -> Neighbors:
        found = self._engine.search(queries, k, within)
        return Neighbors(self._rows[found.ids], found.distances)

    def search_radius(self, queries: BinaryCodes, radius: int, within: RowFilter | None) -> list[Neighbors]:
        return [
            Neighbors(self._rows[found.ids], found.distances)
            for found in self._engine.search_radius(queries, radius, within)
        ]


def tie_sizes(index: CodeIndex, queries: BinaryCodes, found: Neighbors, *, allowed: Allowed | None = None) -> Rows:
    """Return for each answer how many items of the index have that same distance ("8 items at distance 3").

    Args:
        index: the index that was searched.
        queries: Q queries.
        found: their answers [Q, m].
        allowed: the filter of that search.

    Returns:
        int64 [Q, m]. The last ones may be larger than what is shown: a tie that was cut off.
    """
    sizes = np.zeros(found.ids.shape, np.int64)
    for i in range(len(queries) if found.ids.shape[1] else 0):
        reach = int(found.distances[i, -1])
        (all_within,) = index.search_radius(queries[i], reach, allowed=allowed)
        sizes[i] = np.bincount(all_within.distances, minlength=reach + 1)[found.distances[i]]
    return sizes
