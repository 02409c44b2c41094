"""Near-duplicates by Hamming distance: every pair within a radius, and groups made of them. Nothing is ever deleted.

Complete by the pigeonhole principle: codes cut into r + 1 bands agree in one of them when they differ in at most r
bits, so candidates come from equal bands and are verified. Learned codes of supervised models share codes by class:
they find "the same class", not "the same picture"; use perceptual, self-supervised or copy-detection codes for this.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from deephash.codes import BinaryCodes
from deephash.errors import UsageError
from deephash.index.available import has_numba
from deephash.index.bands import as_planes, band_bounds, band_keys, band_masks
from deephash.index.exact import plain_exact
from deephash.index.groups import UniqueGroups, ranges
from deephash.numbers import whole

Ids = NDArray[np.int64]
CANDIDATE_COST = 16  # verifying one candidate pair costs about as much as scanning this many codes
QUERIES_AT_ONCE = 256


@dataclass(frozen=True, slots=True, eq=False)
class NearPairs:
    """All pairs within a radius, ordered by (first, second).

    Attributes:
        first: int64 [P], the smaller id of each pair.
        second: int64 [P], the larger one.
        distances: int32 [P].
    """

    first: Ids
    second: Ids
    distances: NDArray[np.int32]

    def __len__(self) -> int:
        return len(self.first)


@dataclass(frozen=True, slots=True, eq=False)
class DuplicateGroup:
    """Items that belong together.

    Attributes:
        kept: id of the item to keep: the one of highest priority, then the smallest id.
        others: int64 ids, ordered by (distance, id).
        distances: int32, Hamming distances of the others to the kept one; beyond the radius only in chained groups.
    """

    kept: int
    others: Ids
    distances: NDArray[np.int32]

    def __len__(self) -> int:
        return 1 + len(self.others)


def near_duplicates(
    ids: Ids,
    codes: BinaryCodes,
    radius: int,
    *,
    grouping: Literal["star", "chain"] = "star",
    priority: ArrayLike | None = None,
) -> list[DuplicateGroup]:
    """Group items whose codes differ in at most ``radius`` bits; largest groups first, then by the id kept.

    Args:
        ids: int64 [N], distinct; the answer does not depend on their order.
        codes: N codes.
        radius: largest distance, inclusive; 0 = equal codes.
        grouping: ``star``: every item lies within ``radius`` of the one kept, taken greedily by priority. ``chain``:
            connected components (A near B, B near C puts all three together, however far A is from C).
        priority: number an item, [N]; the highest is kept (say, the picture's pixels). None = the smallest id is.

    Raises:
        UsageError: a grouping that does not exist, a negative radius, lengths that do not fit.
    """
    _check(ids, codes, radius)
    order = _best_first(ids, priority, grouping)
    ids, codes = np.asarray(ids)[order], codes[order]
    groups = UniqueGroups.of(codes)  # ordered by their best item
    one, two, _ = _unique_pairs(groups.codes, radius)
    label = _stars(one, two, len(groups)) if grouping == "star" else _components(one, two, len(groups))
    of_row = np.empty(len(ids), np.int64)
    of_row[groups.members] = np.repeat(label, groups.sizes)
    return _collected(of_row, ids, codes)


def group_pairs(
    ids: Ids,
    codes: BinaryCodes,
    pairs: NearPairs,
    *,
    grouping: Literal["star", "chain"] = "star",
    priority: ArrayLike | None = None,
) -> list[DuplicateGroup]:
    """Group items by ``pairs`` of them that somebody found to belong together; arguments as :func:`near_duplicates`."""
    order = _best_first(ids, priority, grouping)
    ids, codes = np.asarray(ids)[order], codes[order]
    by_id = np.argsort(ids)
    one, two = (by_id[np.searchsorted(ids, side, sorter=by_id)] for side in (pairs.first, pairs.second))
    first, second = np.minimum(one, two), np.maximum(one, two)
    label = _stars(first, second, len(ids)) if grouping == "star" else _components(first, second, len(ids))
    return _collected(label, ids, codes)


def near_pairs(ids: Ids, codes: BinaryCodes, radius: int) -> NearPairs:
    """Return every pair of items within ``radius`` bits of each other (quadratic in the size of groups of equal codes).

    Raises:
        UsageError: a negative radius, lengths that do not fit.
    """
    _check(ids, codes, radius)
    ids = np.asarray(ids, np.int64)
    groups = UniqueGroups.of(codes)
    left, right = _pairs_within(groups)
    one, two, distances = _unique_pairs(groups.codes, radius)
    left_across, right_across, apart = _pairs_across(groups, one, two, distances)
    by_id = np.argsort(ids)
    rank = np.empty(len(ids), np.int64)
    rank[by_id] = np.arange(len(ids))
    a, b = rank[np.concatenate([left, left_across])], rank[np.concatenate([right, right_across])]
    key = np.minimum(a, b) * len(ids) + np.maximum(a, b)  # one number a pair sorts much faster than two
    order = np.argsort(key)
    first, second = np.divmod(key[order], max(1, len(ids)))
    apart = np.concatenate([np.zeros(len(left), np.int32), apart])[order]
    return NearPairs(ids[by_id[first]], ids[by_id[second]], apart)


def _pairs_within(groups: UniqueGroups) -> tuple[Ids, Ids]:
    """Return the rows of all pairs of equal codes: every member with those behind it in its group."""
    place = np.arange(len(groups.members))
    behind = np.repeat(groups.starts[1:], groups.sizes) - 1 - place
    return groups.members[np.repeat(place, behind)], groups.members[ranges(place + 1, behind)]


def _pairs_across(
    groups: UniqueGroups, one: Ids, two: Ids, distances: NDArray[np.int32]
) -> tuple[Ids, Ids, NDArray[np.int32]]:
    """Return the rows of all pairs that one member of ``one`` and one of ``two`` make, and their distances."""
    members, apart = np.repeat(one, groups.sizes[two]), np.repeat(distances, groups.sizes[one] * groups.sizes[two])
    # every member of ``two`` once a pair of groups, and beside each all members of ``one``
    right = groups.members[ranges(groups.starts[two], groups.sizes[two])]
    left = groups.members[ranges(groups.starts[members], groups.sizes[members])]
    return left, np.repeat(right, groups.sizes[members]), apart


def _unique_pairs(codes: BinaryCodes, radius: int) -> tuple[Ids, Ids, NDArray[np.int32]]:
    """Return all pairs a < b of distinct codes within ``radius``."""
    total = codes.layout.total_bits
    if has_numba() and 0 < radius < total:
        bounds = band_bounds(total, radius + 1)
        keys = band_keys(codes, bounds)
        sizes = [np.unique(key, return_counts=True)[1] for key in keys]
        candidates = sum(int((size * (size - 1) // 2).sum()) for size in sizes)
        if candidates * CANDIDATE_COST < len(codes) ** 2 // 2:
            return _banded_pairs(codes, bounds, keys, radius)
    return _scanned_pairs(codes, radius)


def _banded_pairs(
    codes: BinaryCodes, bounds: list[tuple[int, int]], keys: NDArray[np.uint64], radius: int
) -> tuple[Ids, Ids, NDArray[np.int32]]:
    from deephash.index.kernels import ROW_BITS, ROW_MASK
    from deephash.index.pairs import pairs_in_band

    planes, masks = as_planes(codes), band_masks(codes, bounds)
    found = []
    for band, key in enumerate(keys):
        order = np.argsort(key, kind="stable")
        found.append(pairs_in_band(planes, order, key[order], masks[:band], radius))
    ones = np.concatenate([part[0] for part in found])
    others = np.concatenate([part[1] for part in found])
    return ones, (others & ROW_MASK).astype(np.int64), (others >> ROW_BITS).astype(np.int32)


def _scanned_pairs(codes: BinaryCodes, radius: int) -> tuple[Ids, Ids, NDArray[np.int32]]:
    """Compare all with all: for radii so large, or codes so crowded, that bands would not narrow anything down."""
    ones, others, distances = [np.empty(0, np.int64)], [np.empty(0, np.int64)], [np.empty(0, np.int32)]
    engine = plain_exact(codes) if radius and len(codes) else None
    for first in range(0, len(codes) if engine else 0, QUERIES_AT_ONCE):
        block = codes[first : first + QUERIES_AT_ONCE]
        for row, answer in enumerate(engine.search_radius(block, radius, None) if engine else [], start=first):
            later = answer.ids > row
            ones.append(np.full(int(later.sum()), row))
            others.append(answer.ids[later])
            distances.append(answer.distances[later])
    return np.concatenate(ones), np.concatenate(others), np.concatenate(distances)


def _neighbour_lists(one: Ids, two: Ids, number: int) -> tuple[Ids, Ids]:
    """Return (starts [number + 1], neighbours), each pair seen from both sides."""
    source, target = np.concatenate([one, two]), np.concatenate([two, one])
    order = np.argsort(source, kind="stable")
    return np.concatenate([[0], np.cumsum(np.bincount(source, minlength=number))]), target[order]


def _stars(one: Ids, two: Ids, number: int) -> Ids:
    """Label each code by its star: the best free code becomes a centre and takes its free neighbours."""
    starts, neighbours = _neighbour_lists(one, two, number)
    label = np.full(number, -1)
    for centre in range(number):
        if label[centre] < 0:
            near = neighbours[starts[centre] : starts[centre + 1]]
            label[near[label[near] < 0]] = centre
            label[centre] = centre
    return label


def _components(one: Ids, two: Ids, number: int) -> Ids:
    """Label each code by the best code it is connected with."""
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import connected_components

    graph = coo_matrix((np.ones(len(one), np.int8), (one, two)), shape=(number, number))
    label: Ids = connected_components(graph, directed=False)[1]
    best = np.full(number, number)
    np.minimum.at(best, label, np.arange(number))
    return best[label]


def _best_first(ids: Ids, priority: ArrayLike | None, grouping: str) -> Ids:
    """Return the order of items, best first: row numbers are ranks from there on."""
    if grouping not in ("star", "chain"):
        raise UsageError(f"grouping is 'star' or 'chain', not {grouping!r}")
    ranked = np.zeros(len(ids)) if priority is None else np.asarray(priority, dtype=np.float64)
    if ranked.shape != (len(ids),):
        raise UsageError(f"priority holds one number an item: {len(ids):,} are needed, not {ranked.shape}")
    return np.lexsort((ids, -ranked))


def _collected(of_row: Ids, ids: Ids, codes: BinaryCodes) -> list[DuplicateGroup]:
    """Turn labels of rows into groups of items; rows are ranks, so the first row of a group is the one kept."""
    order = np.argsort(of_row, kind="stable")
    edges = np.flatnonzero(np.diff(of_row[order])) + 1
    found = []
    for rows in np.split(order, edges):
        if len(rows) > 1:
            distances = codes[rows[:1]].hamming(codes[rows[1:]])[0]
            nearest = np.lexsort((ids[rows[1:]], distances))
            found.append(DuplicateGroup(int(ids[rows[0]]), ids[rows[1:]][nearest], distances[nearest]))
    return sorted(found, key=lambda group: (-len(group), group.kept))


def _check(ids: Ids, codes: BinaryCodes, radius: int) -> None:
    whole(radius, "a radius in bits")
    if len(ids) != len(codes):
        raise UsageError(f"{len(ids):,} ids were given for {codes.describe()}; each code needs one id")
    if len(np.unique(ids)) != len(ids):
        raise UsageError("ids must be distinct")
