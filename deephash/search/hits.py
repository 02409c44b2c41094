"""What a search returns, and what makes a distance readable: ties and near-duplicates."""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, field
from typing import Any

from deephash.codes import BinaryCodes, hamming_distance
from deephash.numbers import whole


@dataclass(frozen=True, slots=True)
class Hit:
    """One answer.

    Attributes:
        rank: 1 for the best.
        id: the item's number in the collection.
        uri: where the picture is, relative to the collection's root.
        distance: Hamming distance in bits.
        similarity: ``1 - distance / num_bits``; of codes of several levels the cosine of what they stand for, by which
            they are ordered.
        num_bits: K.
        tie_size: how many searched items are at exactly this distance, this one included.
        attributes: label, size and whatever else was stored with the item.
        score: similarity after re-ranking by stored vectors, or None where there was none.
        corrected: distance plus the item's hub bias, by which hits are then ordered; None without correction.
        model_version: number of the model that made its code; distances of hits of other models may not be compared.
        by_chance: probability that an unrelated item lies so near, by which hits of models that cannot be compared are
            merged; None where all hits are of one.
        expected_distance: in bits, the query's being uncertain, by which hits are then ordered; None without.
    """

    rank: int
    id: int
    uri: str
    distance: int
    similarity: float
    num_bits: int
    tie_size: int
    attributes: Mapping[str, Any] = field(default_factory=dict)
    score: float | None = None
    corrected: float | None = None
    model_version: int = 1
    by_chance: float | None = None
    expected_distance: float | None = None

    def to_record(self) -> dict[str, Any]:
        """Return the hit as JSON values."""
        return {
            "rank": self.rank,
            "distance": self.distance,
            "similarity": round(self.similarity, 6),
            "path": self.uri,
            "id": self.id,
            "tie_size": self.tie_size,
            "num_bits": self.num_bits,
            "attributes": dict(self.attributes),
            "score": self.score,
            "corrected": None if self.corrected is None else round(self.corrected, 4),
            "model_version": self.model_version,
            "by_chance": self.by_chance,
            "expected_distance": None if self.expected_distance is None else round(self.expected_distance, 4),
        }


def group_near_duplicates(codes: BinaryCodes, radius: int) -> list[int]:
    """Return, for each code in order, the position of the earliest leader within ``radius`` bits (itself if none).

    A leader is a code that no earlier leader is near to, so a group never chains away from what it shows.
    """
    radius = whole(radius, "the radius of near-duplicates, in bits,")
    leaders: list[int] = []
    belongs: list[int] = []
    distances = hamming_distance(codes, codes)
    for position in range(len(codes)):
        near = [leader for leader in leaders if distances[leader, position] <= radius]
        belongs.append(near[0] if near else position)
        if not near:
            leaders.append(position)
    return belongs


def remarks(
    hits: Sequence[Hit], codes: BinaryCodes, *, copies: Set[tuple[int, int]] = frozenset(), near: int | None = None
) -> list[str]:
    """Say in a few words what is special about each hit: the same code, a near-duplicate, a tie.

    Args:
        hits: the answers, in order.
        codes: their codes, same order.
        copies: pairs of item ids whose pixels were looked at and agree; codes alone make nobody a near-duplicate.
        near: radius in bits within which copies are told; a thirty-second of the code length by default.
    """
    if not hits:
        return []
    groups = group_near_duplicates(codes, hits[0].num_bits // 32 if near is None else near)
    same = [bool((codes.packed[leader] == codes.packed[place]).all()) for place, leader in enumerate(groups)]
    return remarks_on(hits, groups, same, copies)


def remarks_on(
    hits: Sequence[Hit], groups: Sequence[int], same: Sequence[bool], copies: Set[tuple[int, int]]
) -> list[str]:
    """Do what :func:`remarks` does, where hits are grouped already; ``same``: which have their leader's very code."""
    return [_remark(hits, position, hits[leader], same[position], copies) for position, leader in enumerate(groups)]


def _remark(hits: Sequence[Hit], position: int, leader: Hit, same: bool, copies: Set[tuple[int, int]]) -> str:
    hit = hits[position]
    parts = []
    if hit.distance == 0:
        parts.append("same code as the query")
    elif (leader.id, hit.id) in copies:
        parts.append(f"near-duplicate of #{leader.rank}")
    elif leader is not hit and same:
        parts.append(f"same code as #{leader.rank}")
    first_of_tie = position == 0 or hits[position - 1].distance != hit.distance
    if hit.tie_size > 1 and first_of_tie:
        parts.append(f"tie: {hit.tie_size:,} items at {hit.distance}")
    return "; ".join(parts)
