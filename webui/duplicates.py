"""Groups of near-duplicates of a collection, found once a version, and the list of them. No Gradio in here."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deephash.codes import BinaryCodes
from deephash.collection import Collection
from deephash.index.dedup import NearPairs, group_pairs
from deephash.search.best_copy import Look, best_copy, look_at
from deephash.search.copies import CopyPairs, find_pairs, perceptual_codes, supervised_method
from deephash.search.snapshot import Shard

COLUMNS = ("group", "path", "verdict", "distance", "reason", "id")
FORMULA = "=+-@\t\r"  # a cell that begins like this would be run by a spreadsheet


@dataclass(frozen=True)
class Group:
    """Copies of one picture.

    Attributes:
        best: id of the copy that is suggested.
        reason: why that one.
        copies: (id, bits to the best) of the others, nearest first.
    """

    best: int
    reason: str
    copies: tuple[tuple[int, int], ...]

    @property
    def ids(self) -> list[int]:
        """All its items, the best first."""
        return [self.best, *(item for item, _ in self.copies)]


@dataclass(frozen=True)
class Duplicates:
    """The pairs of copies of one version of a collection.

    Attributes:
        collection: opened at that version.
        compared: how many items were.
        ids: int64 [M], items of any pair, ascending.
        codes: their codes [M].
        found: the pairs, and how they were found.
        looks: {id: what its file is like}.
        by: which codes named the candidates, in words.
    """

    collection: Collection
    compared: int
    ids: NDArray[np.int64]
    codes: BinaryCodes
    found: CopyPairs
    looks: dict[int, Look]
    by: str

    @property
    def reach(self) -> int:
        """Bits between the farthest pair: a larger radius finds no more."""
        return int(self.found.pairs.distances.max(initial=0))

    def groups(self, radius: int) -> list[Group]:
        """Return the groups of pairs within ``radius`` bits, largest first."""
        if radius not in self._groups:
            self._groups[radius] = self._grouped(radius)
        return self._groups[radius]

    @cached_property
    def _groups(self) -> dict[int, list[Group]]:
        return {}

    def _grouped(self, radius: int) -> list[Group]:
        pairs = self.found.pairs
        near = pairs.distances <= radius
        kept = NearPairs(pairs.first[near], pairs.second[near], pairs.distances[near])
        priority = [self.looks[item].pixels if item in self.looks else 0 for item in self.ids.tolist()]
        grouped = group_pairs(self.ids, self.codes, kept, priority=priority)
        return [self._judged([one.kept, *one.others.tolist()]) for one in grouped]

    def _judged(self, ids: list[int]) -> Group:
        ids = sorted(ids)
        place, reason = best_copy([self.looks.get(item) for item in ids])
        codes = self.codes[np.searchsorted(self.ids, ids)]
        apart = codes[[place]].hamming(codes).ravel().tolist()
        others = sorted((distance, item) for item, distance in zip(ids, apart) if item != ids[place])
        return Group(ids[place], reason, tuple((item, distance) for distance, item in others))


def find_duplicates(shard: Shard) -> Duplicates:
    """Compare all items of the newest model with each other: by code, then by pixels where there are pictures.

    Codes that were learned from classes say "same class": there perceptual hashes name the candidates.
    """
    collection, ids = shard.collection, shard.index.ids
    if _method(shard) is not None:
        ids, codes, _ = perceptual_codes(collection, ids)
    else:
        codes = shard.index.codes_of(ids)
    found = find_pairs(collection, ids, codes)
    paired = np.unique(np.concatenate([found.pairs.first, found.pairs.second]))
    looks = look_at(collection, paired.tolist()) if collection.root is not None else {}
    rows = np.searchsorted(ids, paired)
    return Duplicates(collection, len(ids), paired, codes[rows], found, looks, found_by(shard))


def found_by(shard: Shard) -> str:
    """Return which codes name the candidates, in words."""
    method = _method(shard)
    if method is None:
        return "the codes of the collection"
    return f"perceptual hashes, because the codes of {method} tell classes apart, not pictures"


def _method(shard: Shard) -> str | None:
    collection = shard.collection
    return supervised_method(collection, shard.model.column) if collection.root is not None else None


def records(found: Duplicates, radius: int) -> Iterator[dict[str, Any]]:
    """Yield one record a picture: group, path, keep or copy, distance, reason, id."""
    groups = found.groups(radius)
    items = iter(found.collection.items([item for group in groups for item in group.ids], with_hashes=False))
    for number, group in enumerate(groups, 1):
        for place, distance in enumerate((0, *(distance for _, distance in group.copies))):
            item = next(items)
            said = ("copy", "") if place else ("keep", group.reason)
            yield dict(zip(COLUMNS, (number, item.uri, said[0], distance, said[1], item.id)))


def as_csv(found: Duplicates, radius: int) -> str:
    """Return the groups as CSV with a heading."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(COLUMNS)
    for record in records(found, radius):
        path = record["path"]
        writer.writerow((record | {"path": f"'{path}" if path[:1] in FORMULA else path}).values())
    return buffer.getvalue()


def as_jsonl(found: Duplicates, radius: int) -> str:
    """Return the groups as one JSON object a line."""
    return "".join(json.dumps(record, ensure_ascii=False) + "\n" for record in records(found, radius))
