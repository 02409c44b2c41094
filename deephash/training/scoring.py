"""Exact mAP of a model on two splits of a data set: what epochs are chosen by."""

from __future__ import annotations

import warnings
from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from deephash.codes import BinaryCodes
from deephash.data.datamodule import HashDataModule
from deephash.data.protocols import short_checksum
from deephash.errors import UsageError
from deephash.evaluation.metrics import UnanswerableQueries, mean_average_precision
from deephash.evaluation.protocol import Protocol
from deephash.models import HashModel

Task = tuple[str | None, str | None]


def retrieval_tasks(model: HashModel) -> dict[str, Task]:
    """Return name -> (modality of the query, modality of the database); one unnamed task for a same-side model."""
    if tuple(model.modalities) == ("image", "text"):
        return {"i2t": ("image", "text"), "t2i": ("text", "image")}
    return {"": (None, None)}


def mean_average_precision_of(
    model: HashModel,
    data: HashDataModule,
    *,
    query: str = "query",
    database: str = "database",
    top_k: int | None = None,
) -> dict[str, float]:
    """Return task -> exact mAP@R (ties by expectation); the same-side task has the empty name.

    Raises:
        UsageError: the splits have no labels, so that nothing says what is relevant.
    """
    scores = {}
    for task, (asking, answering) in retrieval_tasks(model).items():
        query_codes, query_labels = codes_and_labels(model, data, query, asking)
        database_codes, database_labels = codes_and_labels(model, data, database, answering)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UnanswerableQueries)  # told once by the report, not after every epoch
            scores[task] = mean_average_precision(
                query_codes,
                database_codes,
                query_labels=query_labels,
                database_labels=database_labels,
                top_k=top_k,
            )
    return scores


def codes_and_labels(
    model: HashModel, data: HashDataModule, split_name: str, modality: str | None
) -> tuple[BinaryCodes, NDArray[Any]]:
    """Return codes and labels of those items of a split that have ``modality``; half-paired data lack some halves."""
    split = data.splits[split_name]
    if split.labels is None:
        raise UsageError(f"{type(data).__name__} has no labels; mAP needs to know what is relevant")
    codes, present = data.codes(model, split_name, modality=modality), split.present.get(modality or "")
    if present is None or present.all():
        return codes, split.labels
    return codes[present], split.labels[present]


def protocol_of(model: HashModel, data: HashDataModule, *, metric: str = "mAP@all") -> Protocol:
    """Return what exactly a figure of ``model`` on the test queries of ``data`` means."""
    encoder = next(iter(model.encoders.values()))
    return Protocol(
        dataset=data.protocol_name,
        metric=metric,
        num_bits=model.num_bits,
        num_queries=len(data.splits["query"]),
        num_database=len(data.splits["database"]),
        split=short_checksum(data.split_checksum),
        backbone=encoder.spec.name,
        pictures=data.pictures,
    )


@torch.inference_mode()
def float_mean_average_precision(data: HashDataModule, modality: str = "image", *, block: int = 64) -> float:
    """Return mAP@all of cosine similarity between cached float features: what codes of any length are measured against.

    Equal similarities keep database order (they are rare among real values).

    Raises:
        UsageError: features are not cached, or there are no labels.
    """
    query, database = data.splits["query"], data.splits["database"]
    if modality not in query.features or query.labels is None or database.labels is None:
        raise UsageError("a float comparison needs cached features and labels; use a frozen backbone")
    asking, answering = (F.normalize(split.features[modality], dim=1) for split in (query, database))
    ranks = torch.arange(1, len(database) + 1, dtype=torch.float64)
    precisions = []
    for start in range(0, len(query), block):
        rows = slice(start, start + block)
        order = (asking[rows] @ answering.T).argsort(dim=1, descending=True, stable=True)
        relevant = _share_label(query.labels[rows], database.labels).gather(1, order).double()
        hits = relevant.sum(dim=1)
        sums = (relevant.cumsum(dim=1) / ranks * relevant).sum(dim=1)
        precisions.append((sums / hits)[hits > 0])
    return float(torch.cat(precisions).mean())


def _share_label(query_labels: NDArray[Any], database_labels: NDArray[Any]) -> Tensor:
    if query_labels.ndim == 2:
        return torch.from_numpy(query_labels).float() @ torch.from_numpy(database_labels).float().T > 0
    query, database = torch.from_numpy(query_labels), torch.from_numpy(database_labels)
    return (query[:, None] == database[None, :]) & (query[:, None] >= 0)
