"""Columns that need more than codes and labels: hits of the own pair, and queries under attack.

Instance level ("find the caption of this picture") and label level ("find something of this class") are different
questions, so the figures here carry another ``rel`` in their protocol than those of :mod:`deephash.evaluation.scores`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deephash.codes import BinaryCodes
from deephash.errors import UsageError
from deephash.evaluation.engine import average_precisions, score_queries
from deephash.evaluation.groups import FloatArray
from deephash.evaluation.knn import knn_correct
from deephash.evaluation.ranking import hit
from deephash.evaluation.relevance import relevance_from_labels
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
                values[rows] = _hits(query[rows], database[items], asking[rows], answering[items], ranks, ties)
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

    def precision(codes: BinaryCodes, wanted: NDArray[Any]) -> list[FloatArray]:
        relevance = relevance_from_labels(wanted, labels[1])
        options = {"top_k": settings.top_k, "normalize": settings.normalize}
        policies = (settings.ties, "optimistic", "pessimistic")
        return [average_precisions(codes, database, relevance, ties=ties, **options)[:, 0] for ties in policies]  # type: ignore[arg-type]

    def column(metric: str, values: list[FloatArray]) -> Column:
        given, best, worst = (QueryScores(each) for each in values)
        return Column(metric, settings.normalize, given, best, worst)

    name = f"mAP@{settings.top_k or 'all'}"
    clean, attacked = precision(query, labels[0]), precision(attack.codes, labels[0])
    yield column(f"attacked {name}", attacked), OWN
    drops = [clean[0] - attacked[0], clean[1] - attacked[2], clean[2] - attacked[1]]
    yield column(f"drop of {name}", drops), OWN
    if attack.targets is None:
        return
    aimed = precision(attack.codes, attack.targets)
    if np.isnan(aimed[0]).all():
        raise UsageError("no target label of the attack is in the database, so nothing can be aimed at")
    yield column(f"t-{name}", aimed), TARGET
    yield column(f"clean t-{name}", precision(query, attack.targets)), TARGET
    if attack.targets.ndim == 1 and len(database) >= NEIGHBOURS:
        policies = (settings.ties, "optimistic", "pessimistic")
        votes = knn_correct(attack.codes, database, attack.targets, labels[1], NEIGHBOURS, policies=policies)
        yield column(f"ASR@{NEIGHBOURS}", list(votes.T)), TARGET


def share_label(labels: NDArray[Any], targets: NDArray[Any]) -> NDArray[np.bool_]:
    """Return whether each query shares a label with its target, [Q]; none should."""
    shared = (labels == targets) & (labels >= 0) if labels.ndim == 1 else ((labels > 0) & (targets > 0)).any(axis=1)
    return np.asarray(shared)


def _hits(
    query: BinaryCodes,
    database: BinaryCodes,
    asking: NDArray[np.int64],
    answering: NDArray[np.int64],
    ranks: list[int],
    ties: str,
) -> FloatArray:
    relevance = relevance_from_labels(asking, answering)
    of_groups: Callable[..., FloatArray] = lambda groups: np.stack([hit(groups, rank) for rank in ranks], axis=1)  # noqa: E731
    return score_queries(query, database, relevance, of_groups, ties=ties, top_k=max(ranks))
