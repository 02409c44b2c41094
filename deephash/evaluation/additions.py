"""Columns that need more than codes and labels: hits of the own pair, and queries under attack.

Instance level ("find the caption of this picture") and label level ("find something of this class") are different
questions, so the figures here carry another ``rel`` in their protocol than those of :mod:`deephash.evaluation.scores`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deephash.codes import BinaryCodes
from deephash.errors import UsageError
from deephash.evaluation.crossmodal import pair_hits
from deephash.evaluation.groups import FloatArray
from deephash.evaluation.knn import knn_correct
from deephash.evaluation.robustness import attack_precisions
from deephash.evaluation.scores import NEIGHBOURS, Column, QueryScores, Settings

PAIR_RANKS = (1, 5, 10)  # "R@1, R@5, R@10" of caption retrieval
PAIRS, TARGET, OWN, LISTED = "pairs", "target-label", "any-shared-label", "explicit"


@dataclass(frozen=True, eq=False)
class Attack:
    """The same queries after an attack.

    Attributes:
        codes: Q codes, in the order of the queries. They should come from pictures that were clipped, rounded to 8
            bits, saved and read again; that is the business of the attack.
        targets: labels that were aimed at, like the queries' own; None for an untargeted attack.
    """

    codes: BinaryCodes
    targets: NDArray[Any] | None = None

    def rows(self, kept: NDArray[np.int64]) -> Attack:
        """Keep some queries."""
        return Attack(self.codes[kept], None if self.targets is None else self.targets[kept])


def pair_columns(
    query: BinaryCodes,
    database: BinaryCodes,
    pairs: tuple[NDArray[np.int64], NDArray[np.int64]],
    settings: Settings,
) -> list[Column]:
    """Return hit@1, hit@5 and hit@10 at instance level; NaN for queries without a partner in the database.

    With ``settings.folds`` the pairs are cut into that many parts by ascending number, and a query searches the items
    of its own part only ("COCO 1K": five folds of 1,000 pictures).

    Raises:
        UsageError: more folds than pairs.
    """
    asking, answering = pairs
    known = np.unique(answering[answering >= 0])
    if not 1 <= settings.folds <= len(known):
        raise UsageError(f"folds is 1..{len(known)}, the number of pairs, not {settings.folds}")
    parts = np.array_split(known, settings.folds)
    places = [(np.flatnonzero(np.isin(asking, part)), np.flatnonzero(np.isin(answering, part))) for part in parts]
    ranks = [rank for rank in PAIR_RANKS if rank <= min(len(items) for _, items in places)]
    tables = []
    for ties in (settings.ties, "optimistic", "pessimistic"):
        values = np.full((len(query), len(ranks)), np.nan)
        for rows, items in places:
            if len(rows):
                values[rows] = pair_hits(query[rows], database[items], asking[rows], answering[items], ranks, ties)
        tables.append([QueryScores(column) for column in values.T])
    return [
        Column(f"hit@{rank}", settings.normalize, *scores)
        for rank, scores in zip(ranks, zip(*tables, strict=True), strict=True)
    ]


def attack_columns(
    query: BinaryCodes,
    database: BinaryCodes,
    labels: tuple[NDArray[Any], NDArray[Any]],
    attack: Attack,
    settings: Settings,
) -> Iterator[tuple[Column, str]]:
    """Yield (column, relevance) of every figure of an attack.

    ``attacked mAP@R`` and ``drop of mAP@R`` are judged by the queries' own labels; ``t-mAP@R``, the t-mAP of the clean
    queries (the floor from which a targeted attack starts) and the success rate ``ASR@k`` by the targets. The range of
    the drop is that of two independent rankings.

    Raises:
        UsageError: targets of another kind than the labels, or none of them in the database.
    """

    policies = (settings.ties, "optimistic", "pessimistic")
    given, best, worst = (
        attack_precisions(
            query,
            attack.codes,
            database,
            query_labels=labels[0],
            database_labels=labels[1],
            target_labels=attack.targets,
            top_k=settings.top_k,
            normalize=settings.normalize,
            ties=ties,
        )
        for ties in policies
    )

    def column(metric: str, *values: FloatArray | None) -> Column:
        in_order, optimistic, pessimistic = (QueryScores(np.asarray(each)) for each in values)
        return Column(metric, settings.normalize, in_order, optimistic, pessimistic)

    name = f"mAP@{settings.top_k or 'all'}"
    yield column(f"attacked {name}", given.attacked, best.attacked, worst.attacked), OWN
    drops = given.benign - given.attacked, best.benign - worst.attacked, worst.benign - best.attacked
    yield column(f"drop of {name}", *drops), OWN
    if attack.targets is None or given.targeted is None:
        return
    if np.isnan(given.targeted).all():
        raise UsageError("no target label of the attack is in the database, so nothing can be aimed at")
    yield column(f"t-{name}", given.targeted, best.targeted, worst.targeted), TARGET
    yield column(f"clean t-{name}", given.benign_targeted, best.benign_targeted, worst.benign_targeted), TARGET
    if attack.targets.ndim == 1 and len(database) >= NEIGHBOURS:
        votes = knn_correct(attack.codes, database, attack.targets, labels[1], NEIGHBOURS, policies=policies)
        yield column(f"ASR@{NEIGHBOURS}", *votes.T), TARGET
