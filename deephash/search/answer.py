"""One answered query, with everything that anybody shows about it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from html import escape
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from deephash.codes import BinaryCodes
from deephash.codes.certainty import certainty, within_noise
from deephash.faces import html_bars
from deephash.search.chance import Chance
from deephash.search.hits import Hit, group_near_duplicates, remarks_on
from deephash.search.query import AUTO, Options, Query
from deephash.search.second_look import copies_among, has_class_codes
from deephash.search.showing import Hits
from deephash.search.verdict import Searched, Verdict, verdicts

if TYPE_CHECKING:
    from deephash.search.snapshot import Shard, Snapshot


Space: TypeAlias = "tuple[Shard, BinaryCodes, NDArray[np.int64]]"


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
        itself: the item that asked, where one did and it is among those searched.
        spaces: for each space of codes that was asked, its items, the query's code and the counts there.
        probabilities: float64 [K], how probably each bit of ``code`` is 1; None where it is not known.
        usual: certainty that 95 % of known queries reach; None where not known.
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
    itself: int | None = None
    spaces: tuple[Space, ...] = ()
    probabilities: NDArray[np.float64] | None = None
    usual: float | None = None

    def _repr_html_(self) -> str:
        title = f"how many of {self.total:,} items lie at each distance, 0 to {self.num_bits} bits"
        bars = html_bars(self.counts.tolist(), title=title)
        notes = "".join(f"<p>{escape(note)}</p>" for note in self.notes)
        hits = Hits(self.hits, self.snapshot.collection)._repr_html_()
        return f"<p><b>{escape(self.name)}</b>, {escape(self.model)}</p>{hits}{notes}{bars}<p>{title}</p>"

    @property
    def certainty(self) -> float | None:
        """How sure the query's code is as a whole, 0..1; None where it is not known."""
        return None if self.probabilities is None else float(certainty(self.probabilities))

    @property
    def noisy_bits(self) -> NDArray[np.bool_]:
        """Which bits of the query are within noise, [K]; none where it is not known."""
        return np.zeros(self.num_bits, bool) if self.probabilities is None else within_noise(self.probabilities)

    @property
    def doubt(self) -> str:
        """How uncertain the query's code is, in words; empty where it is as certain as others, or nobody knows."""
        if self.certainty is None or self.usual is None or self.certainty >= self.usual:
            return ""
        return (
            f"uncertain: {self._noise} (certainty {self.certainty:.2f}; 95 % of known queries reach {self.usual:.2f})"
        )

    @property
    def refusal(self) -> str:
        """Why nothing is answered to a query that is less certain than the options ask for; else empty."""
        least = self.options.min_certainty
        if least is None or self.certainty is None or self.certainty >= least:
            return ""
        return f"refused: certainty {self.certainty:.2f} is below {least:g}; {self._noise}"

    @property
    def _noise(self) -> str:
        return f"{int(self.noisy_bits.sum())} of {self.num_bits} bits are within noise"

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
    def radius(self) -> int | None:
        """Distance in bits beyond which hits were left out, None for none; of ``auto`` that of the line."""
        asked = self.options.max_distance
        return self.verdicts[0].cut if asked == AUTO else asked

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
        groups, near = list(range(len(self.hits))), self.options.near
        for shard in self.snapshot:
            mine = self._places_in(shard)
            if mine:
                codes = BinaryCodes.concatenate([self.codes[place] for place in mine])
                radius = codes.layout.total_bits // 32 if near is None else near
                for place, leader in zip(mine, group_near_duplicates(codes, radius)):
                    groups[place] = mine[leader]
        return groups

    @property
    def leaders(self) -> list[int]:
        """For each hit the position of the best with nearly its code, where such hits are asked to be grouped."""
        return self._groups if self.options.group else []

    @cached_property
    def copies(self) -> set[tuple[int, int]]:
        """Pairs of ids, the better one first, of hits with nearly the same code whose pixels agree as well.

        Of class codes none: there nearly all hits have nearly the same code, and it says nothing of their pixels.
        """
        pairs = [
            (self.hits[leader].id, hit.id)
            for hit, leader in zip(self.hits, self._groups)
            if self.hits[leader] is not hit and hit.distance > 0
        ]
        collection = self.snapshot.collection
        if not pairs or has_class_codes(collection, self.shard.model.column):
            return set()
        return copies_among(collection, pairs)

    def folded(self, position: int) -> str:
        """Return how many hits are grouped under the one at ``position``, and as what; empty where none are."""
        others = [place for place, leader in enumerate(self.leaders) if leader == position != place]
        if not others:
            return ""
        sure = all((self.hits[position].id, self.hits[place].id) in self.copies for place in others)
        what = f"near-duplicate{'s' * (len(others) > 1)}" if sure else "of nearly this code"
        return f"+ {len(others)} {what}"

    @cached_property
    def remarks(self) -> list[str]:
        """What is special about each hit: the same code, a near-duplicate, a tie."""
        same = [bool(self.codes[leader] == self.codes[place]) for place, leader in enumerate(self._groups)]
        return remarks_on(self.hits, self._groups, same, self.copies)

    # What the distances mean -------------------------------------------------------------------------

    @cached_property
    def verdicts(self) -> list[Verdict]:
        """What each distance means in each of ``spaces``; measured without the item that asked."""
        kind = None if self.query.only is None else self.query.only.kind
        modality = {"item": "image", "image": "image", "text": "text"}.get(kind or "")
        return verdicts([self._searched(*space, modality) for space in self.spaces])

    def _searched(self, shard: Shard, code: BinaryCodes, counts: NDArray[np.int64], modality: str | None) -> Searched:
        everywhere = shard.index.counts(code) if self.options.where else counts
        if self.itself is None or self.itself not in shard:
            return Searched(shard, counts, everywhere, modality, self._worded)
        own = (np.arange(len(counts)) == 0).astype(np.int64)
        return Searched(shard, np.maximum(counts - own, 0), np.maximum(everywhere - own, 0), modality, self._worded)

    @property
    def _worded(self) -> bool:
        return any(part.kind == "text" for part in self.query.parts)

    def verdict_on(self, hit: Hit) -> Verdict:
        """Return what the distances of the hit's own space of codes mean."""
        alone = len(self.spaces) == 1
        places = (place for place, (shard, _, _) in enumerate(self.spaces) if alone or hit.id in shard)
        return self.verdicts[next(places)]

    def is_above(self, hit: Hit) -> bool:
        """Say whether a hit lies above the line; the item that asked always does."""
        return hit.id == self.itself or self.verdict_on(hit).is_above(hit.distance)

    @property
    def is_match(self) -> bool:
        """Whether any hit lies above the line."""
        return any(map(self.is_above, self.hits))

    @property
    def line(self) -> int | None:
        """Behind how many hits the line is drawn; None where all are above it, or nothing can be said."""
        above = [place for place, hit in enumerate(self.hits) if self.is_above(hit)]
        place = above[-1] + 1 if above else 0
        return place if place < len(self.hits) else None

    def word(self, hit: Hit) -> str:
        """Return what a hit is, in a word and a number, such as ``likely, 97 %``; empty where nothing can be said."""
        if hit.id == self.itself:
            return "the query itself"
        verdict = self.verdict_on(hit)
        return ", ".join(filter(None, [verdict.word(hit.distance), verdict.number(hit.distance)]))

    def as_far_as_the_line(self) -> Answer:
        """Return the same answer without the hits beyond the line."""
        return replace(self, hits=[hit for hit in self.hits if self.is_above(hit)])

    @property
    def beyond(self) -> str:
        """What is said of the hits beyond the line."""
        by_pairs = self.verdicts[0].basis == "relevance"
        return "not likely from here on" if by_pairs else "no nearer than chance from here on"

    @property
    def headline(self) -> str:
        """``no match`` and why, where hits were found and none lies above the line; else empty."""
        if self.is_match or not self.hits:
            return ""
        first = self.hits[0]
        verdict = self.verdict_on(first)
        why = f"the nearest, at {first.distance} of {first.num_bits} bits, is "
        if verdict.relevance is not None:
            return f"no match: {why}unlikely ({verdict.number(first.distance)})"
        return f"no match: {why}no nearer than chance ({verdict.number(first.distance)} so near)"

    def hit_record(self, hit: Hit) -> dict[str, Any]:
        """Return one hit as JSON values, with what its distance means."""
        verdict = self.verdict_on(hit)
        said = verdict.basis != "none" and hit.id != self.itself
        relevance = verdict.relevance if said else None
        return hit.to_record() | {
            "word": verdict.word(hit.distance) if said else None,
            "probability": None if relevance is None else round(float(relevance[hit.distance]), 4),
            "expected": float(f"{verdict.expected[hit.distance]:.3g}") if said else None,
        }

    def to_record(self) -> dict[str, Any]:
        """Return the answer as JSON values."""
        chance, verdict = self.chance, self.verdicts[0]
        return {
            "collection": self.name,
            "query": {"kind": self.query.kind, "label": self.query.label, "hex": self.code.hex()[0]},
            "num_bits": self.num_bits,
            "total": self.total,
            "nearest": self.nearest,
            "chance": None if chance is None else {"mean": chance.mean, "sd": chance.deviation},
            "verdict": {
                "basis": verdict.basis,
                "cut": verdict.cut if verdict.basis != "none" else None,
                "match": self.is_match,
                "headline": self.headline,
                "why": verdict.why,
                "source": verdict.source,
            },
            "encode_ms": round(self.encode_ms, 3),
            "search_ms": round(self.search_ms, 3),
            "certainty": None if self.certainty is None else round(self.certainty, 4),
            "notes": list(self.notes),
            "hits": [self.hit_record(hit) for hit in self.hits],
        }
