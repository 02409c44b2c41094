"""Copies in a collection: candidates by code, confirmed by an independent look at their pixels."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from PIL import Image

from deephash.codes import BinaryCodes
from deephash.collection import Collection, Item
from deephash.collection.schema import CODE
from deephash.collection.sources.again import source_of
from deephash.encoding.record import read_model_record
from deephash.errors import UnreadablePicture, UsageError
from deephash.index.dedup import DuplicateGroup, NearPairs, group_pairs, near_pairs
from deephash.pictures import open_picture
from deephash.pictures.details import details, likeness_of_details
from deephash.pictures.lookalike import SIDE, likeness, miniatures
from deephash.pictures.perceptual import perceptual_hash
from deephash.progress import track
from deephash.search.chance import chance_level, unexplained

Like = Literal["files", "copies", "alike"]
Ids = NDArray[np.int64]
Pixels = NDArray[np.uint8] | NDArray[np.int8] | NDArray[np.bool_]

PHASH = "phash"
LIKENESS = 0.9
LOOKS = 200_000  # pairs of pictures that are compared by their pixels, about: 10 to 20 seconds
MOST_PAIRS = 20_000_000
SAMPLE = 1_000
PAIRS_AT_ONCE = 256
DETAILED_AT_ONCE = 10_000  # pairs whose details are held at once: 1 GiB at most
PICTURE_SIDE = 4 * SIDE  # JPEGs are decoded no larger than a few times the miniatures


@dataclass(frozen=True)
class Copies:
    """What was found.

    Attributes:
        groups: what belongs together, largest first.
        items: how many were compared.
        radius: largest distance in bits of a candidate pair; None where files were compared byte by byte.
        num_bits: of the codes.
        chosen: why the radius is what it is, in words.
        candidates: pairs within the radius.
        confirmed: those of them whose pixels agree; None where nobody looked.
        unreadable: pictures that could not be looked at, with the reason.
    """

    groups: list[DuplicateGroup]
    items: int
    radius: int | None
    num_bits: int
    chosen: str
    candidates: int
    confirmed: int | None
    unreadable: dict[str, str]


@dataclass(frozen=True)
class CopyPairs:
    """Pairs of copies, before they are put into groups.

    Attributes:
        pairs: those that count: confirmed ones where somebody looked.
        radius, chosen, candidates, confirmed, unreadable: as in :class:`Copies`.
    """

    pairs: NearPairs
    radius: int
    chosen: str
    candidates: int
    confirmed: int | None
    unreadable: dict[str, str]


def find_copies(
    collection: Collection,
    ids: Ids,
    codes: BinaryCodes,
    *,
    like: Like = "copies",
    radius: int | None = None,
    least: float = LIKENESS,
    grouping: Literal["star", "chain"] = "star",
    priority: ArrayLike | None = None,
) -> Copies:
    """Group the items of a collection that are copies of each other.

    Args:
        collection: where the pictures are.
        ids: int64 [N], the items to compare.
        codes: their codes [N].
        like: ``files``: equal byte by byte. ``copies``: candidates by code, confirmed by their pixels. ``alike``: by
            code alone, nearer than chance.
        radius: of candidates, in bits; None chooses it from the collection's own distances.
        least: likeness from which pixels agree, in :func:`miniature <deephash.pictures.lookalike.likeness>` and in
            :func:`detail <deephash.pictures.details.likeness_of_details>`.
        grouping: see :func:`~deephash.index.dedup.near_duplicates`.
        priority: likewise.

    Raises:
        UsageError: ``like`` or ``least`` out of range, or more pairs than can be compared.
    """
    if like not in ("files", "copies", "alike"):
        raise UsageError(f"like is files, copies or alike, not {like!r}")
    if not 0 < least <= 1:
        raise UsageError(f"the least likeness lies above 0 and at most at 1, for example {LIKENESS}, not {least}")
    if like == "files":
        pairs = _equal_files(collection, ids)
        groups = group_pairs(ids, codes, pairs, grouping="chain", priority=priority)
        return Copies(groups, len(ids), None, codes.num_bits, "equal files", len(pairs), None, {})
    found = find_pairs(collection, ids, codes, looks=like == "copies", radius=radius, least=least)
    groups = group_pairs(ids, codes, found.pairs, grouping=grouping, priority=priority)
    return Copies(
        groups,
        len(ids),
        found.radius,
        codes.num_bits,
        found.chosen,
        found.candidates,
        found.confirmed,
        found.unreadable,
    )


def find_pairs(
    collection: Collection,
    ids: Ids,
    codes: BinaryCodes,
    *,
    looks: bool = True,
    radius: int | None = None,
    least: float = LIKENESS,
) -> CopyPairs:
    """Find the pairs that :func:`find_copies` makes groups of; ``looks``: confirm them where there are pictures."""
    looks = looks and collection.root is not None
    chosen = "as given" if radius is not None else ""
    if radius is None:
        radius, chosen = _candidate_radius(codes) if looks else _beyond_chance(codes)
    pairs = _within(ids, codes, radius)
    confirmed, unreadable = _confirmed(collection, pairs, least) if looks else (pairs, {})
    return CopyPairs(confirmed, radius, chosen, len(pairs), len(confirmed) if looks else None, unreadable)


def supervised_method(collection: Collection, column: str = CODE) -> str | None:
    """Return the name of the method behind the codes where it learned classes: near codes mean "same class" then."""
    folder = collection.model_path_of(column)
    if folder is None:
        return None
    record = read_model_record(folder)
    name, supervised = str(record["class"]), record.get("supervised")
    if supervised is None:  # written before the record said so
        import deephash.models as models

        supervised = getattr(getattr(models, name, None), "supervised", False)
    return name if supervised else None


def perceptual_codes(collection: Collection, ids: Ids) -> tuple[Ids, BinaryCodes, dict[str, str]]:
    """Return ids and 64-bit pHash codes of the pictures that can be read, and why the others cannot."""
    hashed, unreadable = _each_picture(collection, ids, perceptual_hash)
    kept = np.array([item for item in ids.tolist() if item in hashed], np.int64)
    bits = [hashed[item] for item in kept.tolist()]
    return kept, BinaryCodes.from_bits(np.array(bits, bool).reshape(len(kept), 64)), unreadable


def _equal_files(collection: Collection, ids: Ids) -> NearPairs:
    """Pair every item with the first one of equal content: enough for groups, and never a square of their size."""
    table = collection.table(["content_hash"])
    place = np.searchsorted(table.column("id").to_numpy(), ids)
    hashes = np.array(table.column("content_hash").to_pylist(), dtype=object)[place]
    first: dict[str, int] = {}
    pairs = [
        (first.setdefault(content, item), item) for content, item in zip(hashes, ids.tolist()) if content is not None
    ]
    found = np.array([pair for pair in pairs if pair[0] != pair[1]], np.int64).reshape(-1, 2)
    return NearPairs(found[:, 0], found[:, 1], np.zeros(len(found), np.int32))


def _candidate_radius(codes: BinaryCodes) -> tuple[int, str]:
    """Return the largest radius at which a picture has so few neighbours that all of them can be looked at."""
    total = len(codes)
    allowed = 2 * LOOKS / max(1, total)
    rows = np.random.default_rng(0).permutation(total)[:SAMPLE]
    counts = np.zeros(codes.layout.max_distance + 1)
    for start in range(0, len(rows), 64):
        counts += np.bincount(codes[rows[start : start + 64]].hamming(codes).ravel(), minlength=len(counts))
    counts[0] -= len(rows)  # each is at distance 0 from itself
    near = np.cumsum(counts) / max(1, len(rows))
    radius = max(0, int(np.searchsorted(near, allowed, side="right")) - 1)
    return radius, f"a picture has {near[radius]:.1f} neighbours within it, few enough to look at them all"


def _beyond_chance(codes: BinaryCodes) -> tuple[int, str]:
    chance = chance_level(codes)
    if chance is None:
        return 0, "equal codes"
    pairs = len(codes) * (len(codes) - 1) // 2
    return max(0, unexplained(chance.share, pairs)), "fewer than one unrelated pair is expected within it"


def _within(ids: Ids, codes: BinaryCodes, radius: int) -> NearPairs:
    shared = np.unique(codes.packed, axis=0, return_counts=True)[1].astype(np.int64)
    equal = int((shared * (shared - 1) // 2).sum())
    if equal > MOST_PAIRS:
        raise UsageError(
            f"{equal:,} pairs of these {len(ids):,} items share a code exactly ({int(shared.max()):,} items one code), "
            "so the codes do not tell pictures apart; compare the files (--like files) or perceptual hashes "
            "(--column phash), or index with more bits"
        )
    return near_pairs(ids, codes, radius)


def _confirmed(collection: Collection, pairs: NearPairs, least: float) -> tuple[NearPairs, dict[str, str]]:
    """Keep the pairs whose pixels agree, in miniature and then, of those few, in their details."""
    likely, unreadable = _agreeing(collection, pairs, miniatures, likeness, least)
    same = np.zeros(len(pairs), bool)
    for rows in np.split(likely, range(DETAILED_AT_ONCE, len(likely), DETAILED_AT_ONCE)):
        kept, gone = _agreeing(collection, _only(pairs, rows), details, likeness_of_details, least)
        same[rows[kept]] = True
        unreadable |= gone
    return _only(pairs, np.flatnonzero(same)), unreadable


def _only(pairs: NearPairs, rows: Ids) -> NearPairs:
    return NearPairs(pairs.first[rows], pairs.second[rows], pairs.distances[rows])


def _agreeing(
    collection: Collection,
    pairs: NearPairs,
    look: Callable[[Image.Image], Pixels],
    compare: Callable[..., NDArray[np.float64]],
    least: float,
) -> tuple[Ids, dict[str, str]]:
    """Return the rows of pairs that look alike by at least so much, and the pictures that cannot be looked at."""
    seen, unreadable = _each_picture(collection, np.unique([pairs.first, pairs.second]), look)
    able = np.flatnonzero([a in seen and b in seen for a, b in zip(pairs.first.tolist(), pairs.second.tolist())])
    agree = np.zeros(len(able), bool)
    starts = range(0, len(able), PAIRS_AT_ONCE)
    for start in track(starts, f"comparing {len(able):,} pairs", total=len(starts)):
        rows = able[start : start + PAIRS_AT_ONCE]
        sides = (np.stack([seen[item] for item in side[rows].tolist()]) for side in (pairs.first, pairs.second))
        agree[start : start + PAIRS_AT_ONCE] = compare(*sides) >= least
    return able[agree], unreadable


def _each_picture(
    collection: Collection, ids: Ids, look: Callable[[Image.Image], Pixels]
) -> tuple[dict[int, NDArray], dict[str, str]]:
    """Return what ``look`` makes of each picture, by id, and the reasons of those that cannot be read, by uri."""
    found: dict[int, NDArray] = {}
    unreadable: dict[str, str] = {}
    items: Sequence[Item] = collection.items(ids, with_hashes=False)

    def opened(item: Item) -> tuple[Item, NDArray | str]:
        try:
            return item, look(open_picture(source_of(collection, item), reduced_to=PICTURE_SIDE))
        except (UnreadablePicture, UsageError) as error:
            return item, str(error)

    with ThreadPoolExecutor() as pool:
        for item, result in track(pool.map(opened, items), f"looking at {len(ids):,} pictures", total=len(ids)):
            if isinstance(result, str):
                unreadable[item.uri] = result
            else:
                found[item.id] = result
    return found, unreadable
