"""The pairs of copies of a collection, beside its rows; they hold while neither codes nor files have changed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deephash.codes import BinaryCodes
from deephash.collection import Collection
from deephash.collection.sources.shard import holder_of
from deephash.errors import DeephashError
from deephash.index.dedup import NearPairs
from deephash.search.best_copy import Look
from deephash.search.copies import LIKENESS, LOOKS, CopyPairs
from deephash.search.snapshot import Shard
from deephash.version import __version__

from .background import Background, Job
from .duplicates import Duplicates, find_duplicates, found_by
from .kept import Kept, kept_or_made, key_of
from .workspace import Place, Workspace


def duplicates_job(background: Background, workspace: Workspace, place: Place) -> Job:
    """Return the job that finds the duplicates of a collection's newest version; its result is :class:`Duplicates`."""
    snapshot = place.searcher.snapshot
    key = ("duplicates", place.name, snapshot.collection.version)
    return background.job(key, lambda: kept_duplicates(snapshot.current, writes=not workspace.read_only))


def kept_duplicates(shard: Shard, *, writes: bool) -> Duplicates:
    """Return the duplicates of a shard, see :func:`~webui.duplicates.find_duplicates`; read back where they hold."""
    return kept_or_made(
        shard.collection,
        "duplicates",
        _key(shard),
        make=lambda: find_duplicates(shard),
        pack=_packed,
        unpack=lambda kept: _unpacked(kept, shard),
        writes=writes,
    )


def _key(shard: Shard) -> str:
    ids = shard.index.ids
    codes = shard.index.codes_of(ids)
    settings = f"{__version__} {codes.num_bits} {codes.num_levels} {LIKENESS} {LOOKS} {found_by(shard)}"
    return key_of(settings, ids, codes.packed, _files(shard.collection, ids))


def _files(collection: Collection, ids: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return size and time of every file, int64 [N, 2]: whoever changes a picture changes them; -1 where it is gone."""
    if collection.root is None:
        return np.empty((0, 2), np.int64)

    def stamp(path: Path) -> tuple[int, int]:
        status = path.stat()
        return status.st_size, status.st_mtime_ns

    stamps = []
    for item in collection.items(ids, with_hashes=False):
        try:
            stamps.append(stamp(holder_of(collection.picture_path(item))))
        except (DeephashError, OSError, ValueError):
            stamps.append((-1, -1))
    return np.array(stamps, np.int64).reshape(-1, 2)


def _packed(found: Duplicates) -> Kept | None:
    """Return what is written; nothing where a picture could not be looked at: it may be there again tomorrow."""
    looked = found.collection.root is not None
    if found.found.unreadable or (looked and len(found.looks) < len(found.ids)):
        return None
    looks = [found.looks[item] for item in found.ids.tolist()] if looked else []
    pairs = found.found.pairs
    arrays: dict[str, NDArray[Any]] = {
        "first": pairs.first,
        "second": pairs.second,
        "distances": pairs.distances,
        "ids": found.ids,
        "codes": found.codes.packed,
        "looks": np.array([(one.width, one.height, one.size) for one in looks], np.int64).reshape(-1, 3),
        "sharpness": np.array([one.sharpness for one in looks], np.float64),
    }
    named = ("radius", "chosen", "candidates", "confirmed")
    facts = {name: getattr(found.found, name) for name in named}
    return Kept(arrays, facts | {"compared": found.compared, "bits": [found.codes.num_bits, found.codes.num_levels]})


def _unpacked(kept: Kept, shard: Shard) -> Duplicates:
    ids = kept.array("ids", "int64", None)
    if not np.isin(ids, shard.index.ids).all() or (np.diff(ids) <= 0).any():
        raise ValueError("it names items that are not there")
    facts, total = kept.facts, len(kept.array("first", "int64", None))
    num_bits, num_levels = (_whole(each) for each in facts["bits"])
    packed = kept.arrays["codes"]
    if packed.dtype != np.uint8 or packed.shape[:1] != ids.shape:
        raise ValueError("not a code an item")
    codes = BinaryCodes(packed, num_bits, num_levels)
    first, second = kept.array("first", "int64", total), kept.array("second", "int64", total)
    if not np.isin(np.concatenate([first, second]), ids).all():
        raise ValueError("it pairs items that it does not name")
    pairs = NearPairs(first, second, kept.array("distances", "int32", total))
    if total and not 0 <= int(pairs.distances.min()) <= int(pairs.distances.max()) <= codes.layout.max_distance:
        raise ValueError("it tells distances that no codes have")
    confirmed = None if facts["confirmed"] is None else _whole(facts["confirmed"])
    radius, candidates = _whole(facts["radius"]), _whole(facts["candidates"])
    found = CopyPairs(pairs, radius, str(facts["chosen"]), candidates, confirmed, {})
    by = found_by(shard)
    return Duplicates(shard.collection, _whole(facts["compared"]), ids, codes, found, _looks(kept, ids), by)


def _looks(kept: Kept, ids: NDArray[np.int64]) -> dict[int, Look]:
    looks = kept.array("looks", "int64", None, 3)
    sharpness = kept.array("sharpness", "float64", len(looks))
    if len(looks) not in (0, len(ids)) or not (np.isfinite(sharpness).all() and (looks >= 0).all()):
        raise ValueError("not a look a picture")
    return {
        item: Look(width, height, size, sharp)
        for item, (width, height, size), sharp in zip(ids.tolist(), looks.tolist(), sharpness.tolist(), strict=False)
    }


def _whole(value: Any) -> int:
    if type(value) is not int or value < 0:
        raise ValueError(f"{str(value)[:20]!r} is no count")
    return value
