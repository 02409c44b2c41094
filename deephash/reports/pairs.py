"""The section of own pairs: is *the* caption of a picture found, not just one of its class?

Instance level and label level are different questions, so these figures carry another ``rel`` in their protocol.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from deephash.evaluation.crossmodal import pair_hits, rows_of_folds
from deephash.evaluation.scores import Column, QueryScores
from deephash.reports.sections import Case, Section
from deephash.reports.sides import PAIRS

PAIR_RANKS = (1, 5, 10)  # "R@1, R@5, R@10" of caption retrieval
Pairs: TypeAlias = tuple[NDArray[np.int64], NDArray[np.int64]]
"""Pair numbers of the queries that were given [Q] and of the database [N]; -1: none."""


class PairHits(Section):
    """hit@1, hit@5 and hit@10 at instance level; NaN for queries without a partner in the database.

    With ``settings.folds`` the pairs are cut into that many parts by ascending number, and a query searches the items
    of its own part only ("COCO 1K": five folds of 1,000 pictures).

    Raises:
        UsageError: not one number for each query and item, or more folds than pairs.
    """

    def __init__(self, case: Case, pairs: Pairs) -> None:
        super().__init__(case)
        case.sides.require_one_each({"pair numbers of queries": pairs[0]})
        case.sides.require_one_each({"pair numbers of database items": pairs[1]}, of_queries=False)
        self.asking, self.answering = pairs[0][case.sides.query_rows], pairs[1]

    def columns(self) -> Iterator[tuple[Column, str]]:
        """Hits within each rank."""
        sides, settings = self.case.sides, self.case.settings
        places = rows_of_folds(self.asking, self.answering, settings.folds)
        ranks = [rank for rank in PAIR_RANKS if rank <= min(len(items) for _, items in places)]
        tables = []
        for ties in (settings.ties, "optimistic", "pessimistic"):
            values = np.full((len(sides.query), len(ranks)), np.nan)
            for rows, items in places:
                if len(rows):
                    numbers = self.asking[rows], self.answering[items]
                    values[rows] = pair_hits(sides.query[rows], sides.database[items], *numbers, ranks, ties)
            tables.append([QueryScores(column) for column in values.T])
        for rank, scores in zip(ranks, zip(*tables, strict=True), strict=True):
            yield Column(f"hit@{rank}", settings.normalize, *scores), PAIRS
