"""A model's codes of the splits of a data set: who asks, who answers, and under which protocol.

Training scores its epochs with this and `deephash evaluate` its reports, so both print the same number.
"""

from __future__ import annotations

import hashlib
import json
import warnings
from dataclasses import replace
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from deephash.codes import BinaryCodes
from deephash.data.datamodule import HashDataModule
from deephash.data.protocols import short_checksum
from deephash.errors import UsageError, did_you_mean
from deephash.evaluation.codefile import CodeFile
from deephash.evaluation.metrics import UnanswerableQueries, mean_average_precision
from deephash.models import HashModel
from deephash.reports.protocol import Protocol
from deephash.scoring.sides import TASKS

SAME_SIDE = "same-side"
ACROSS = ("i2t", "t2i")

Rows: TypeAlias = NDArray[np.int64] | slice
Direction = tuple[str | None, str | None]
"""(modality of the query, modality of the database); None is all that the model reads."""


def direction_of(model: HashModel, task: str | None = None) -> tuple[str, Direction]:
    """Return the word for the protocol and the modalities of a task; a cross-modal model does ``i2t`` when left out.

    Raises:
        UsageError: a task that the model cannot do.
    """
    encoders = list(model.encoders)
    if set(encoders) != {"image", "text"}:
        if task is not None:
            raise UsageError(f"this {type(model).__name__} reads {', '.join(encoders)} only; leave the task out")
        return SAME_SIDE, (None, None)
    if task is not None and task not in TASKS:
        raise UsageError(f"no task is called {task!r}{did_you_mean(task, list(TASKS))}")
    chosen = task or ACROSS[0]
    return chosen, TASKS[chosen]


def tasks_of(model: HashModel) -> tuple[str, ...]:
    """Return the tasks a model is judged by: both ways across modalities, or one without a name."""
    return ("",) if direction_of(model)[0] == SAME_SIDE else ACROSS


def encoded_side(model: HashModel, data: HashDataModule, split_name: str, modality: str | None) -> CodeFile:
    """Encode those items of a split that have ``modality``; half-paired data lack some halves."""
    codes, rows = _encoded(model, data, split_name, modality)
    return described_side(data, split_name, codes, modality, rows)


def _encoded(model: HashModel, data: HashDataModule, split_name: str, modality: str | None) -> tuple[BinaryCodes, Rows]:
    """Return the codes of the items that have the modality, and their rows in the split."""
    codes, present = data.codes(model, split_name, modality=modality), data.splits[split_name].present
    if modality not in present:
        return codes, slice(None)
    rows = np.flatnonzero(present[modality])
    return codes[rows], rows


def described_side(
    data: HashDataModule, split_name: str, codes: BinaryCodes, modality: str | None, rows: Rows
) -> CodeFile:
    """Put labels, names and cached features of ``rows`` of a split beside their codes."""
    split = data.splits[split_name]
    features = split.features.get(modality or "image")
    return CodeFile(
        codes=codes,
        labels=None if split.labels is None else split.labels[rows],
        names=np.asarray(split.names, dtype=str)[rows],
        features=None if features is None else features.cpu().numpy()[rows],
        class_names=tuple(data.class_names),
        sessions=None if split.sessions is None else split.sessions[rows],
        source=f"split {split_name} of {data.protocol_name}",
    )


def mean_average_precision_of(
    model: HashModel,
    data: HashDataModule,
    *,
    query: str = "query",
    database: str = "database",
    top_k: int | None = None,
) -> dict[str, float]:
    """Return task -> exact mAP@R (ties by expectation); the same-side task has the empty name.

    A direction in which nobody asks or nothing is searched, as before texts arrive in a stream, is left out.

    Raises:
        UsageError: the splits have no labels, so that nothing says what is relevant.
    """
    scores = {}
    for task in tasks_of(model):
        sides = zip((query, database), direction_of(model, task or None)[1], strict=True)
        (asking, asked), (answering, searched) = (labelled_codes(model, data, *side) for side in sides)
        if not len(asking) or not len(answering):
            continue
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UnanswerableQueries)  # told once by the report, not after every epoch
            scores[task] = mean_average_precision(
                asking, answering, query_labels=asked, database_labels=searched, top_k=top_k
            )
    return scores


def labelled_codes(
    model: HashModel, data: HashDataModule, split_name: str, modality: str | None
) -> tuple[BinaryCodes, NDArray[Any]]:
    """Return codes and labels alone: this runs after every epoch, and a feature table takes a second to copy."""
    codes, rows = _encoded(model, data, split_name, modality)
    labels = data.splits[split_name].labels
    if labels is None:
        raise UsageError(f"{type(data).__name__} has no labels; mAP needs to know what is relevant")
    return codes, np.asarray(labels[rows])


def protocol_of_test(model: HashModel, data: HashDataModule) -> Protocol:
    """Return what :func:`mean_average_precision_of` means on the test queries."""
    return replace(
        known_protocol(model, data, " + ".join(tasks_of(model)) or SAME_SIDE),
        num_bits=model.num_bits,
        levels=model.num_levels,
        distance="hamming" if model.num_levels == 1 else "symmetric",
        num_queries=len(data.splits["query"]),
        num_database=len(data.splits["database"]),
    )


def known_protocol(model: HashModel, data: HashDataModule, task: str = SAME_SIDE) -> Protocol:
    """Return what model and data say about a figure; metric and counts are filled in by who scores."""
    return Protocol(
        dataset=data.protocol_name,
        split=short_checksum(data.split_checksum),
        task=task,
        backbone=" + ".join(encoder.spec.name for encoder in model.encoders.values()),
        transform=_transform_of(model),
        pictures=data.pictures,
    )


def _transform_of(model: HashModel) -> str:
    """Return size and fingerprint of the test-time picture transform; ``unknown`` where no pictures are read."""
    for encoder in model.encoders.values():
        settings = encoder.spec.transform
        if settings and "size" in settings:
            text = json.dumps(dict(settings), sort_keys=True, default=str)
            return f"{settings['size']}px:{hashlib.sha256(text.encode()).hexdigest()[:8]}"
    return Protocol().transform
