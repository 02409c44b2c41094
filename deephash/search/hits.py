"""What a search returns, and what makes a distance readable: ties, near-duplicates, the chance level."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deephash.codes import BinaryCodes, hamming_distance
from deephash.errors import UsageError

CHANCE_PAIRS = 20_000  # the 1 % point of 20,000 pairs has a standard error of 0.07 percentage points
CHANCE_TAIL = 0.01
SHORTEST = 16  # so many independent bits have their 1 % point at 3; a 0 comes from groups, or from shorter codes


@dataclass(frozen=True, slots=True)
class Hit:
    """One answer.

    Attributes:
        rank: 1 for the best.
        id: the item's number in the collection.
        uri: where the picture is, relative to the collection's root.
        distance: Hamming distance in bits.
        similarity: ``1 - distance / num_bits``.
        num_bits: K.
        tie_size: how many searched items are at exactly this distance, this one included.
        attributes: label, size and whatever else was stored with the item.
        score: similarity after re-ranking by stored vectors, or None where there was none.
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


@dataclass(frozen=True, slots=True)
class Chance:
    """How far apart two unrelated items of a collection are.

    Attributes:
        mean: mean distance of random pairs, in bits.
        deviation: its standard deviation.
        cutoff: below the distances of unrelated pairs; -1 where there is none, as when most items share one code.
            Usually the largest distance that at most 1 % of random pairs reach or stay below. Where the collection
            falls into groups of nearly one code each (:attr:`grouped`), that point says nothing, and the cut-off is
            read off the far side of the curve, which related pairs do not touch, or is half the median.
        share: float64 [K + 1], the share of random pairs at each distance.
    """

    mean: float
    deviation: float
    cutoff: int
    share: NDArray[np.float64]

    @property
    def nearer(self) -> float:
        """Share of random pairs that reach the cut-off or stay below it."""
        return float(self.share[: self.cutoff + 1].sum())

    @property
    def grouped(self) -> bool:
        """Whether more pairs are near than chance leaves, as with codes of classes."""
        return self.nearer > CHANCE_TAIL

    def __str__(self) -> str:
        level = f"chance level for this collection: {self.mean:.0f} +- {self.deviation:.0f} bits"
        if self.cutoff < 0:
            return f"{level}; no cut-off: most random pairs share one code"
        if self.grouped:
            return (
                f"{level}; cut-off {self.cutoff} (between groups: {100 * self.nearer:.0f} % of random pairs are nearer)"
            )
        return f"{level}; cut-off {self.cutoff} (99 % of random pairs are farther)"


def chance_level(codes: BinaryCodes, *, pairs: int = CHANCE_PAIRS, seed: int = 0) -> Chance | None:
    """Measure random pairs of ``codes`` [N]; all pairs where N is small; None for fewer than two items."""
    total = len(codes)
    if total < 2:
        return None
    if total * (total - 1) // 2 <= pairs:
        first, second = np.triu_indices(total, 1)
    else:
        generator = np.random.default_rng(seed)
        first = generator.integers(0, total, pairs)
        second = (first + generator.integers(1, total, pairs)) % total  # never the item itself
    differing = np.bitwise_count(codes.packed[first] ^ codes.packed[second]).sum(axis=1, dtype=np.int64)
    share = np.bincount(differing, minlength=codes.num_bits + 1) / len(differing)
    return Chance(float(differing.mean()), float(differing.std()), _cutoff(share), share)


def _cutoff(share: NDArray[np.float64]) -> int:
    """Return the 1 % point, or the mirrored 99 % point where the near tail is more than twice as long as the far one.

    Unrelated pairs alone are about symmetric around their median, so their far tail tells how long their near one is.
    Where both are long and the 1 % point is 0, half the median lies between pairs of one group and the others.
    """
    below = np.cumsum(share)
    cutoff = int(np.searchsorted(below, CHANCE_TAIL, side="right")) - 1
    median, far = (int(np.searchsorted(below, level - 1e-9)) for level in (0.5, 1 - CHANCE_TAIL))
    if median - cutoff - 1 > 2 * (far - median):
        return max(-1, 2 * median - far - 1)
    if cutoff < 1 and len(share) > SHORTEST and median > 1:
        return median // 2
    return cutoff


def group_near_duplicates(codes: BinaryCodes, radius: int) -> list[int]:
    """Return, for each code in order, the position of the earliest leader within ``radius`` bits (itself if none).

    A leader is a code that no earlier leader is near to, so a group never chains away from what it shows.
    """
    if radius < 0:
        raise UsageError(f"the radius of near-duplicates is at least 0 bits, not {radius}")
    leaders: list[int] = []
    belongs: list[int] = []
    distances = hamming_distance(codes, codes)
    for position in range(len(codes)):
        near = [leader for leader in leaders if distances[leader, position] <= radius]
        belongs.append(near[0] if near else position)
        if not near:
            leaders.append(position)
    return belongs


def remarks(hits: Sequence[Hit], codes: BinaryCodes, *, near: int | None = None) -> list[str]:
    """Say in a few words what is special about each hit: the same code, a near-duplicate, a tie.

    Args:
        hits: the answers, in order.
        codes: their codes, same order.
        near: radius in bits of a near-duplicate; a thirty-second of the code length by default.
    """
    if not hits:
        return []
    radius = hits[0].num_bits // 32 if near is None else near
    groups = group_near_duplicates(codes, radius)
    return [_remark(hits, groups, position) for position in range(len(hits))]


def _remark(hits: Sequence[Hit], groups: Sequence[int], position: int) -> str:
    hit, leader = hits[position], groups[position]
    parts = []
    if hit.distance == 0:
        parts.append("same code as the query")
    elif leader != position:
        parts.append(f"near-duplicate of #{hits[leader].rank}")
    first_of_tie = position == 0 or hits[position - 1].distance != hit.distance
    if hit.tie_size > 1 and first_of_tie:
        parts.append(f"tie: {hit.tie_size:,} items at {hit.distance}")
    return "; ".join(parts)
