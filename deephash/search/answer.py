"""One answered query, with everything that anybody shows about it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from deephash.codes import BinaryCodes
from deephash.search.chance import Chance
from deephash.search.hits import Hit, group_near_duplicates, remarks_on
from deephash.search.query import Options, Query

if TYPE_CHECKING:
    from deephash.search.snapshot import Shard, Snapshot


@dataclass(frozen=True, eq=False)
class Answer:
    """What was asked, and what was found, of one version of a collection.

    Attributes:
        name: of the collection.
        query: what was asked.
        options: how.
        code: the query's code, one row.
        hits: best first.
        counts: int64 [K + 1], how many of the searched items of the query's own model lie at each distance.
        snapshot: the version that answered.
        shard: whose codes ``code`` and ``counts`` are of: the current model's, where any item has such codes.
        model: the model in words.
        engine: which engine answered, how the filter was applied, and why.
        encode_ms: time for the code; near 0 where it was known.
        search_ms: time for everything after it.
        notes: what the person should know about this answer, such as whose codes were left out.
    """

    name: str
    query: Query
    options: Options
    code: BinaryCodes
    hits: list[Hit]
    counts: NDArray[np.int64]
    snapshot: Snapshot
    shard: Shard
    model: str
    engine: str
    encode_ms: float
    search_ms: float
    notes: tuple[str, ...] = ()

    @property
    def is_merged(self) -> bool:
        """Whether codes of models that cannot be compared were searched, each with its own, and the hits merged."""
        return any(hit.by_chance is not None for hit in self.hits)

    def is_comparable(self, hit: Hit) -> bool:
        """Whether a hit's code is of the same model as ``code``, so that their bits can be compared."""
        return len(self.snapshot.shards) == 1 or hit.id in self.shard

    @property
    def total(self) -> int:
        """Items of the collection."""
        return len(self.snapshot)

    @property
    def num_bits(self) -> int:
        """Bits compared."""
        return self.code.layout.total_bits

    @property
    def reranked(self) -> bool:
        """Whether the order is that of stored vectors."""
        return self.options.rerank > 0

    @property
    def nearest(self) -> int | None:
        """Distance of the nearest item that passes the filter, or None where none passes."""
        occupied = np.flatnonzero(self.counts)
        return int(occupied[0]) if len(occupied) else None

    @property
    def chance(self) -> Chance | None:
        """How far apart unrelated items of the collection are; None for fewer than two items."""
        return self.shard.chance

    @cached_property
    def codes(self) -> list[BinaryCodes]:
        """The code of each hit, one row each, in their order; of its own model."""
        found: dict[int, BinaryCodes] = {}
        for shard in self.snapshot:
            mine = self._places_in(shard)
            codes = shard.codes_of([self.hits[place].id for place in mine])
            found |= {place: codes[row : row + 1] for row, place in enumerate(mine)}
        return [found[place] for place in range(len(self.hits))]

    def _places_in(self, shard: Shard) -> list[int]:
        alone = len(self.snapshot.shards) == 1
        return [place for place, hit in enumerate(self.hits) if alone or hit.id in shard]

    @cached_property
    def _groups(self) -> list[int]:
        """For each hit the position of the best of its near-duplicates, among those of its own model."""
        groups = list(range(len(self.hits)))
        for shard in self.snapshot:
            mine = self._places_in(shard)
            if mine:
                codes = BinaryCodes.concatenate([self.codes[place] for place in mine])
                for place, leader in zip(mine, group_near_duplicates(codes, codes.layout.total_bits // 32)):
                    groups[place] = mine[leader]
        return groups

    @property
    def leaders(self) -> list[int]:
        """For each hit the position of the best of its near-duplicates, where they are asked to be grouped."""
        return self._groups if self.options.group else []

    @cached_property
    def remarks(self) -> list[str]:
        """What is special about each hit: the same code, a near-duplicate, a tie."""
        return remarks_on(self.hits, self._groups)

    def to_record(self) -> dict[str, Any]:
        """Return the answer as JSON values."""
        chance = self.chance
        return {
            "collection": self.name,
            "query": {"kind": self.query.kind, "label": self.query.label, "hex": self.code.hex()[0]},
            "num_bits": self.num_bits,
            "total": self.total,
            "nearest": self.nearest,
            "chance": None
            if chance is None
            else {"mean": chance.mean, "sd": chance.deviation, "cutoff": chance.cutoff},
            "encode_ms": round(self.encode_ms, 3),
            "search_ms": round(self.search_ms, 3),
            "notes": list(self.notes),
            "hits": [hit.to_record() for hit in self.hits],
        }
