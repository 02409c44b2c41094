"""Exact mAP of a model on two splits of a data set: what epochs are chosen by."""

from __future__ import annotations

import warnings

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
    query_labels, database_labels = data.splits[query].labels, data.splits[database].labels
    if query_labels is None or database_labels is None:
        raise UsageError(f"{type(data).__name__} has no labels; mAP needs to know what is relevant")
    scores = {}
    for task, (asking, answering) in retrieval_tasks(model).items():
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UnanswerableQueries)  # told once by the report, not after every epoch
            scores[task] = mean_average_precision(
                data.codes(model, query, modality=asking),
                data.codes(model, database, modality=answering),
                query_labels=query_labels,
                database_labels=database_labels,
                top_k=top_k,
            )
    return scores


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
