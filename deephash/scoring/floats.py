"""Exact cosine ranking by float features: what codes of any length are measured against."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from deephash.data.datamodule import HashDataModule
from deephash.errors import UsageError
from deephash.evaluation.ranking import Normalize, average_precision
from deephash.evaluation.rankings import groups_of_one
from deephash.evaluation.relevance import Relevance, relevance_from_labels
from deephash.evaluation.scores import QueryScores

Floats: TypeAlias = NDArray[np.floating]

BLOCK_PAIRS = 4_000_000  # similarities held at once


def float_mean_average_precision(data: HashDataModule, modality: str = "image") -> float:
    """Return mAP@all of cosine similarity between the cached float features of query and database.

    Raises:
        UsageError: features are not cached, or there are no labels.
    """
    query, database = data.splits["query"], data.splits["database"]
    if modality not in query.features or query.labels is None or database.labels is None:
        raise UsageError("a float comparison needs cached features and labels; use a frozen backbone")
    relevance = relevance_from_labels(query.labels, database.labels)
    asking, searched = (split.features[modality].cpu().numpy() for split in (query, database))
    return cosine_mean_average_precisions(asking, searched, relevance, [(None, "hits")])[0]


def cosine_mean_average_precisions(
    query: Floats, database: Floats, relevance: Relevance, kinds: Sequence[tuple[int | None, Normalize]]
) -> list[float]:
    """Return mAP@R of the cosine ranking for each (R, denominator) of ``kinds``.

    Equal similarities keep database order; they are rare among real values.

    Args:
        query: features [Q, D].
        database: features [N, D].
        relevance: of both sides.
        kinds: R (None: all) and denominator of each figure.
    """
    asking, searched = _unit(query), _unit(database)
    blocks = []
    step = max(1, BLOCK_PAIRS // max(1, len(searched)))
    for start in range(0, len(asking), step):
        rows = slice(start, min(start + step, len(asking)))
        order = np.argsort(-(asking[rows] @ searched.T), axis=1, kind="stable")
        groups = groups_of_one(relevance.rows(rows).gains(), order, relevance.max_gain)
        blocks.append(np.stack([average_precision(groups, top_k, normalize) for top_k, normalize in kinds]))
    return [QueryScores(values).mean() for values in np.concatenate(blocks, axis=1)]


def _unit(features: Floats) -> Floats:
    table = np.asarray(features, dtype=np.float32)
    length = np.linalg.norm(table, axis=1, keepdims=True)
    return np.asarray(table / np.maximum(length, np.finfo(np.float32).tiny))
