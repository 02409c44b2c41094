"""Runs that were trained before there was a stream: their items are its first task."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from deephash.data.building import build_data, read_configuration
from deephash.data.codebook import CodeBook
from deephash.data.datamodule import HashDataModule
from deephash.data.protocols import split_checksum
from deephash.data.stream_task import StreamTask
from deephash.data.streams import Stream, Task
from deephash.data.table import ItemTable
from deephash.errors import DataError, UsageError
from deephash.foreign import read_json, refused_as
from deephash.models import load_model
from deephash.training.stored_codes import new_codes

SPLITS_NAME = "splits.json"
LARGEST, MOST_ITEMS = 2**30, 50_000_000


def data_description(run: Path) -> dict[str, Any]:
    """Return the data set of a run, as its configuration describes it. Raises DataError."""
    try:
        found: dict[str, Any] = read_configuration(run / "config.yaml")["data"]
    except (KeyError, TypeError) as error:
        raise DataError(f"{run / 'config.yaml'} names no data set: {type(error).__name__} {error}") from None
    return found


def stream_of_run(run: Path) -> Stream:
    """Return a stream of one task: the items that a run asked, learned and searched, by today's names.

    Raises:
        DataError: no run, or items that the data set does not have any more.
    """
    description = data_description(run)
    data = build_data(description, run / "config.yaml")
    names = data.table.names
    lists = _lists(run)
    try:
        items = {part: tuple(str(each) if data.by_name else names[each] for each in lists[part]) for part in lists}
    except (IndexError, TypeError):
        raise DataError(f"{run / SPLITS_NAME} lists items that the data set does not have; make a new stream") from None
    held = items.get("validation_query", ())
    parts = {"train": (*items["train"], *held), "validation_query": held}
    task = Task("what the run learned", {**parts, "query": items["query"], "database": items["database"]})
    return Stream("class", description, data.protocol_name, _classes_of(data, task), (task,), source=str(run))


def _lists(run: Path) -> dict[str, list[Any]]:
    with refused_as(DataError, "it is no record of a run's items"):
        record = read_json(run / SPLITS_NAME, None, limit=LARGEST, most_values=MOST_ITEMS)
    lists: dict[str, list[Any]] = record.get("splits", {})
    if not {"train", "query", "database"} <= lists.keys():
        raise DataError(f"{run / SPLITS_NAME} lists no items; it is no record of a run")
    return lists


def _classes_of(data: HashDataModule, task: Task) -> tuple[str, ...]:
    """Return the classes that items of the task have, in the order of the data set."""
    table, known = data.table, task.every_name()
    if table.labels is None:
        raise UsageError("a stream needs labels, to say what is right; this data has none")
    labels = table.labels[[name in known for name in table.names]]
    there = np.asarray(labels.any(axis=0) if labels.ndim == 2 else np.isin(np.arange(data.num_classes), labels))
    words = data.class_names or [str(number) for number in range(data.num_classes)]
    return tuple(word for word, found in zip(words, there.tolist(), strict=True) if found)


def plain_book(run: Path, facts: dict[str, Any], stream: Path) -> CodeBook:
    """Return the codes that a run's model gives its items, which are the first task of ``stream``.

    Raises:
        UsageError: the first task of the stream has other items.
    """
    data = StreamTask(str(stream))
    data.setup()
    if facts.get("split_checksum") not in _checksums(data.stream.tasks[0], data.table):
        raise UsageError(
            f"the first task of {stream} has other items than {run} was trained on; "
            f"deephash data stream --extend {run} --out FILE makes a stream that begins with those"
        )
    return new_codes(load_model(run), data)


def _checksums(task: Task, table: ItemTable) -> set[str]:
    """Return the checksum of the items by name, and by row, as data sets without names have it."""
    row_of = {name: row for row, name in enumerate(table.names)}
    rows = {part: [row_of[name] for name in names] for part, names in task.items.items()}
    return {split_checksum(task.items), split_checksum(rows)}
