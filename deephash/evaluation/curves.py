"""The curves of a report, summed block by block so that no queries x database table is ever kept."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from deephash.evaluation.counts import DistanceCounts
from deephash.evaluation.groups import FloatArray
from deephash.evaluation.radius import curve_by_radius_from_counts, curve_by_rank_from_counts

CURVE_POINTS = 60  # of the P@N curve, evenly spaced on a logarithmic axis


@dataclass(frozen=True, eq=False)
class Curves:
    """What the pictures show; all means over the queries that have an answer.

    Attributes:
        radius: [K + 1], 0..K.
        precision_by_radius: [K + 1], macro average, empty balls count 0.
        recall_by_radius: [K + 1].
        rank: [P], N.
        precision_at_rank: [P], P@N, expected over ties.
        recall_at_rank: [P].
        relevant: [K + 1], share of the relevant pairs at each distance.
        irrelevant: [K + 1], share of the other pairs.
        chance: [K + 1], the same for codes whose bits are fair coins (binomial).
    """

    radius: FloatArray
    precision_by_radius: FloatArray
    recall_by_radius: FloatArray
    rank: FloatArray
    precision_at_rank: FloatArray
    recall_at_rank: FloatArray
    relevant: FloatArray
    irrelevant: FloatArray
    chance: FloatArray


class CurveSums:
    """Adds up curves over blocks of queries.

    Args:
        num_items: N, size of the database.
        max_distance: D, bits times levels.
    """

    def __init__(self, num_items: int, max_distance: int) -> None:
        self._ranks = np.unique(np.geomspace(1, num_items, CURVE_POINTS).round().astype(np.int64))
        self._by_radius = np.zeros((2, max_distance + 1))
        self._by_rank = np.zeros((2, len(self._ranks)))
        self._pairs = np.zeros((2, max_distance + 1), dtype=np.int64)
        self._answered = 0

    def add(self, counts: DistanceCounts) -> None:
        """Add the queries of one block; those without any relevant item are left out."""
        answered = counts.num_relevant > 0
        weight = int(answered.sum())
        if not weight:
            return
        kept = replace(counts, by_gain=counts.by_gain[answered])
        by_radius = curve_by_radius_from_counts(kept)
        by_rank = curve_by_rank_from_counts(kept, ranks=self._ranks)
        self._by_radius += weight * np.stack([by_radius.precision, by_radius.recall])
        self._by_rank += weight * np.stack([by_rank.precision, by_rank.recall])
        self._pairs += np.stack([kept.relevant.sum(axis=0), (kept.items - kept.relevant).sum(axis=0)])
        self._answered += weight

    def curves(self) -> Curves:
        """Return the means over all queries added."""
        precision_r, recall_r = self._by_radius / max(1, self._answered)
        precision_n, recall_n = self._by_rank / max(1, self._answered)
        relevant, irrelevant = self._pairs / np.maximum(1, self._pairs.sum(axis=1, keepdims=True))
        radius = np.arange(self._by_radius.shape[1], dtype=np.float64)
        most = len(radius) - 1
        chance = np.array([math.comb(most, distance) / 2**most for distance in range(most + 1)])
        ranks = self._ranks.astype(np.float64)
        return Curves(radius, precision_r, recall_r, ranks, precision_n, recall_n, relevant, irrelevant, chance)
