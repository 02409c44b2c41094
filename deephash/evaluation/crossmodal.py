"""Cross-modal retrieval: the four directions, at label level and at instance level.

Label level (relevant = shares a label) and instance level (relevant = belongs to the same picture-caption pair) answer
different questions and are never mixed: the first takes any metric of `metrics`, the second has functions of its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import ArrayLike

from deephash.errors import UsageError
from deephash.evaluation.arrays import as_codes
from deephash.evaluation.averaging import mean_over_queries
from deephash.evaluation.engine import Codes, score_queries
from deephash.evaluation.groups import FloatArray, IntArray, RankedGroups
from deephash.evaluation.ranking import hit
from deephash.evaluation.relevance import relevance_from_labels


class TwoCodeMetric(Protocol):
    """A metric with the face of `metrics`, its options already bound (``functools.partial``)."""

    def __call__(
        self,
        query_codes: Codes,
        database_codes: Codes,
        *,
        query_labels: ArrayLike,
        database_labels: ArrayLike,
    ) -> float:
        """Return one number."""


@dataclass(frozen=True, slots=True, eq=False)
class PairedCodes:
    """The same items seen through both modalities.

    Attributes:
        image: codes [N, K].
        text: codes [N, K].
        labels: class numbers [N] or multi-hot [N, C].
    """

    image: Codes
    text: Codes
    labels: ArrayLike


@dataclass(frozen=True, slots=True)
class Directions:
    """One number for each direction: query modality, then database modality."""

    i2t: float
    t2i: float
    i2i: float
    t2t: float

    @property
    def cross_modal_mean(self) -> float:
        """Mean of i2t and t2i."""
        return (self.i2t + self.t2i) / 2


def by_direction(metric: TwoCodeMetric, query: PairedCodes, database: PairedCodes) -> Directions:
    """Evaluate ``metric`` in all four directions, e.g. ``by_direction(mean_average_precision, queries, database)``."""

    def score(query_codes: Codes, database_codes: Codes) -> float:
        return metric(query_codes, database_codes, query_labels=query.labels, database_labels=database.labels)

    return Directions(
        i2t=score(query.image, database.text),
        t2i=score(query.text, database.image),
        i2i=score(query.image, database.image),
        t2t=score(query.text, database.text),
    )


def instance_hits(
    query_codes: Codes,
    database_codes: Codes,
    *,
    query_pairs: ArrayLike,
    database_pairs: ArrayLike,
    ks: Sequence[int] = (1, 5, 10),
) -> dict[int, float]:
    """Instance-level hit@k ("R@k" of caption retrieval), expected over ties.

    Args:
        query_codes: Q codes of one modality.
        database_codes: N codes of the other.
        query_pairs: int [Q], the number of the pair each query belongs to.
        database_pairs: int [N]; several items may belong to one pair (five captions of a picture).
        ks: depths.

    Returns:
        ``{k: share of queries with an item of their pair among the top k}``.
    """
    hits = pair_hits(query_codes, database_codes, query_pairs, database_pairs, ks)
    return {k: mean_over_queries(hits[:, column]) for column, k in enumerate(ks)}


def pair_hits(
    query_codes: Codes,
    database_codes: Codes,
    query_pairs: ArrayLike,
    database_pairs: ArrayLike,
    ks: Sequence[int],
    ties: str = "expected",
) -> FloatArray:
    """Return the chance that an item of its pair is among the first k of each query, [Q, len(ks)]; NaN without any."""

    def of_groups(groups: RankedGroups) -> FloatArray:
        return np.stack([hit(groups, k) for k in ks], axis=1)

    relevance = relevance_from_labels(query_pairs, database_pairs)
    return score_queries(query_codes, database_codes, relevance, of_groups, ties=ties, top_k=max(ks))


def folded_instance_hits(
    query_codes: Codes,
    database_codes: Codes,
    *,
    query_pairs: ArrayLike,
    database_pairs: ArrayLike,
    folds: int = 5,
    ks: Sequence[int] = (1, 5, 10),
) -> dict[int, float]:
    """Mean of ``instance_hits`` over the folds of :func:`rows_of_folds` ("COCO 1K": five folds of 1,000).

    Raises:
        UsageError: fewer pairs than folds.
    """
    queries, database = as_codes(query_codes, "query codes"), as_codes(database_codes, "database codes")
    left, right = np.asarray(query_pairs), np.asarray(database_pairs)
    scores = [
        instance_hits(queries[rows], database[items], query_pairs=left[rows], database_pairs=right[items], ks=ks)
        for rows, items in rows_of_folds(left, right, folds)
    ]
    return {k: float(np.mean([score[k] for score in scores])) for k in ks}


def rows_of_folds(query_pairs: ArrayLike, database_pairs: ArrayLike, folds: int) -> list[tuple[IntArray, IntArray]]:
    """Cut the pairs into folds by ascending number, and return the rows of queries and of items of each.

    Pair -1 is none: such queries and items are in no fold.

    Raises:
        UsageError: fewer pairs than folds.
    """
    left, right = np.asarray(query_pairs), np.asarray(database_pairs)
    pairs = np.unique(right[right >= 0])
    if not 1 <= folds <= len(pairs):
        raise UsageError(f"folds is 1..{len(pairs)}, the number of pairs, not {folds!r}")
    parts = np.array_split(pairs, folds)
    return [(np.flatnonzero(np.isin(left, part)), np.flatnonzero(np.isin(right, part))) for part in parts]
