"""Retrieval under attack: t-mAP, mAP drop and attack success, all with the tie-aware metric.

The attacked codes must come from pictures that were clipped, rounded to 8 bits, saved and read again; that is the
business of the attack, here codes are codes.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from deephash.codes import BinaryCodes
from deephash.evaluation.additions import share_label
from deephash.evaluation.knn import knn_accuracy
from deephash.evaluation.metrics import mean_average_precision
from deephash.evaluation.ranking import Normalize


@dataclass(frozen=True, slots=True)
class AttackScores:
    """What an attack did to retrieval.

    Attributes:
        benign_map: mAP of the clean queries with their own labels.
        attacked_map: mAP of the attacked queries with their own labels.
        map_drop: benign_map - attacked_map.
        targeted_map: t-mAP, mAP of the attacked queries with the target labels; None without targets.
        benign_targeted_map: t-mAP of the clean queries, the floor a targeted attack starts from; None without targets.
        target_overlap: share of queries whose target shares a label with them; should be 0. None without targets.
    """

    benign_map: float
    attacked_map: float
    map_drop: float
    targeted_map: float | None
    benign_targeted_map: float | None
    target_overlap: float | None


def attack_scores(
    benign_codes: BinaryCodes | ArrayLike,
    attacked_codes: BinaryCodes | ArrayLike,
    database_codes: BinaryCodes | ArrayLike,
    *,
    query_labels: ArrayLike,
    database_labels: ArrayLike,
    target_labels: ArrayLike | None = None,
    top_k: int | None = None,
    normalize: Normalize = "hits",
    ties: str = "expected",
) -> AttackScores:
    """Score an attack on Q queries.

    Args:
        benign_codes: codes of the clean queries.
        attacked_codes: codes of the same queries after the attack, in the same order.
        database_codes: N codes.
        query_labels: the queries' own labels.
        database_labels: labels of the database.
        target_labels: the label(s) each attack aims at; leave out for an untargeted attack.
        top_k: R of mAP@R, as ``normalize`` and ``ties`` a matter of the protocol.
        normalize: see ``mean_average_precision``.
        ties: see ``mean_average_precision``.
    """

    def score(codes: BinaryCodes | ArrayLike, labels: ArrayLike) -> float:
        return mean_average_precision(
            codes,
            database_codes,
            query_labels=labels,
            database_labels=database_labels,
            top_k=top_k,
            normalize=normalize,
            ties=ties,
        )

    benign, attacked = score(benign_codes, query_labels), score(attacked_codes, query_labels)
    if target_labels is None:
        return AttackScores(benign, attacked, benign - attacked, None, None, None)
    return AttackScores(
        benign_map=benign,
        attacked_map=attacked,
        map_drop=benign - attacked,
        targeted_map=score(attacked_codes, target_labels),
        benign_targeted_map=score(benign_codes, target_labels),
        target_overlap=float(share_label(np.asarray(query_labels), np.asarray(target_labels)).mean()),
    )


def attack_success_rate(
    attacked_codes: BinaryCodes | ArrayLike,
    database_codes: BinaryCodes | ArrayLike,
    *,
    target_labels: ArrayLike,
    database_labels: ArrayLike,
    k: int,
) -> float:
    """ASR@k: share of attacked queries whose k nearest items vote for the target class (class numbers only)."""
    return knn_accuracy(
        attacked_codes, database_codes, query_labels=target_labels, database_labels=database_labels, k=k
    )
