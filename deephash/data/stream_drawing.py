"""How a labelled data set becomes a stream: by its classes, by domains, or by modalities that arrive one by one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from deephash.data.protocols import Splits
from deephash.data.streams import PARTS, Stream, Task, read_corruption
from deephash.data.table import ItemTable, labelled
from deephash.errors import UsageError, did_you_mean

if TYPE_CHECKING:
    from deephash.data.datamodule import HashDataModule

Numbers = NDArray[np.int64]


def class_stream(
    data: HashDataModule,
    description: Mapping[str, Any],
    sizes: Sequence[int],
    *,
    order: Sequence[str] | None = None,
    seed: int = 0,
) -> Stream:
    """Let classes arrive: ``sizes[t]`` of them with task t + 1. An item of several classes comes with its last one.

    Args:
        data: labelled; its own split says who asks, is learned from and searched.
        description: of ``data``, to build it again.
        sizes: classes a task; all classes, or the first so many.
        order: class names in the order of arrival; None draws it by ``seed``.
        seed: of the order.

    Raises:
        UsageError: no labels, too many classes asked for, or names that are no classes.
    """
    table, names = data.table, _class_words(data)
    total = sum(sizes)
    if not sizes or min(sizes) < 1 or total > len(names):
        shown = ",".join(map(str, sizes)) or "nothing"
        raise UsageError(f"--tasks {shown} divides {total} classes, and the data has {len(names)}: 1 to {len(names)}")
    ordered = _ordered(names, order, seed)
    if len(ordered) < total:
        raise UsageError(f"the order names {len(ordered)} classes, and the tasks need {total}")
    arriving = [names.index(word) for word in ordered[:total]]
    place = np.full(len(names), len(sizes) + 1)  # classes that never arrive come after the last task
    place[arriving] = np.repeat(np.arange(1, len(sizes) + 1), sizes)
    ends = np.cumsum([0, *sizes])
    groups = [tuple(ordered[first:last]) for first, last in pairwise(ends)]
    task_of = _task_of_classes(_labels(table), place, len(sizes))
    tasks = [
        Task(" ".join(group), items, classes=group)
        for group, items in zip(groups, _items(data, task_of, len(sizes)), strict=True)
    ]
    return Stream("class", description, data.protocol_name, tuple(ordered[:total]), tuple(tasks), seed)


def domain_stream(
    data: HashDataModule,
    description: Mapping[str, Any],
    *,
    by: str | None = None,
    values: Sequence[str] | None = None,
    corruptions: Sequence[str] | None = None,
    seed: int = 0,
) -> Stream:
    """Let domains arrive, with all classes each.

    Args:
        data: labelled.
        description: of ``data``.
        by: column of the data whose values are the domains; ``values`` is their order (None: by name).
        values: see ``by``.
        corruptions: instead of a column: the items are divided evenly and at random (by class), and those of task t
            have their pictures changed so: ``clean``, ``rotation:3``, ... (:mod:`deephash.pictures.corruptions`).
        seed: of that division.

    Raises:
        UsageError: both or neither are given, or a column that there is not.
    """
    if (by is None) == (corruptions is None):
        raise UsageError("domains come from a column (--by COLUMN) or from changes of the pictures (--corrupt ...)")
    classes = tuple(_class_words(data))
    if by is not None:
        words = np.array(data.attribute(by), dtype=str)
        order = list(values) if values else sorted(set(words.tolist()) - {""})
        if strange := [value for value in order if value not in words]:
            raise UsageError(f"no item has {by} = {strange[0]!r}" + did_you_mean(strange[0], sorted(set(words))))
        task_of = sum((np.where(words == value, number, 0) for number, value in enumerate(order, 1)), np.zeros(1, int))
        kinds = [""] * len(order)
    else:
        order = kinds = list(corruptions or ())
        for text in kinds:
            read_corruption(text)
        if "image" not in data.table.sources:
            raise UsageError("changes of pictures need pictures, and this data has none; use --by COLUMN")
        task_of = _evenly(data, len(order), seed)
    _require_several(order)
    items = _items(data, np.asarray(task_of), len(order))
    tasks = [Task(name, each, corruption=kind) for name, kind, each in zip(order, kinds, items, strict=True)]
    return Stream("domain", description, data.protocol_name, classes, tuple(tasks), seed)


def modality_stream(
    data: HashDataModule, description: Mapping[str, Any], arrivals: Sequence[Sequence[str]], *, seed: int = 0
) -> Stream:
    """Let modalities arrive: the items are divided evenly and at random, those of task t have ``arrivals[t - 1]``.

    Raises:
        UsageError: a modality that the data does not have.
    """
    able = sorted({*data.table.sources, *data.table.vectors})
    for name in (each for group in arrivals for each in group):
        if name not in able:
            raise UsageError(f"this data has {', '.join(able)}, not {name!r}{did_you_mean(name, able)}")
    _require_several(arrivals)
    items = _items(data, _evenly(data, len(arrivals), seed), len(arrivals))
    tasks = [
        Task("+".join(group), each, modalities=tuple(sorted(group)))
        for group, each in zip(arrivals, items, strict=True)
    ]
    return Stream("modality", description, data.protocol_name, tuple(_class_words(data)), tuple(tasks), seed)


def extended(stream: Stream, data: HashDataModule, description: Mapping[str, Any]) -> Stream:
    """Return ``stream`` with one more task: what is in ``data`` and in none of its tasks.

    Earlier tasks stay as they are. New classes are numbered behind the old ones.

    Raises:
        UsageError: nothing is new.
    """
    known = {name for task in stream.tasks for name in task.every_name()}
    table, words = data.table, _class_words(data)
    fresh = np.array([name not in known for name in table.names])
    if not fresh.any():
        raise UsageError(f"every item of the data is in {stream.source} already; there is nothing new to learn")
    (items,) = _items(data, fresh.astype(np.int64), 1)
    labels = _labels(table)[fresh]
    found = labels.any(axis=0) if labels.ndim == 2 else np.isin(np.arange(len(words)), labels)
    arriving = tuple(word for word, there in zip(words, found, strict=True) if there and word not in stream.classes)
    name = " ".join(arriving) or f"{int(fresh.sum()):,} new items"
    task = Task(name, items, classes=arriving)
    return Stream(
        stream.kind, description, stream.protocol, (*stream.classes, *arriving), (*stream.tasks, task), stream.seed
    )


# Parts -------------------------------------------------------------------------------------------------


def _labels(table: ItemTable) -> NDArray[Any]:
    if table.labels is None:
        raise UsageError("a stream needs labels, to say what is right; this data has none")
    return table.labels


def _class_words(data: HashDataModule) -> list[str]:
    _labels(data.table)
    return list(data.class_names) or [str(number) for number in range(data.num_classes)]


def _ordered(names: list[str], order: Sequence[str] | None, seed: int) -> list[str]:
    if order is None:
        return [names[place] for place in np.random.RandomState(seed).permutation(len(names))]
    if strange := [word for word in order if word not in names]:
        raise UsageError(f"{strange[0]!r} is no class of the data{did_you_mean(strange[0], names)}")
    if len(set(order)) < len(order):
        raise UsageError("the order names a class twice")
    return list(order)


def _task_of_classes(labels: NDArray[Any], place: Numbers, last: int) -> Numbers:
    """Return the task of each item, 0 for none: unlabelled ones, and those of a class that never arrives."""
    if labels.ndim == 2:
        task_of = np.where(labels > 0, place, 0).max(axis=1)
    else:
        task_of = np.where(labels >= 0, place[np.maximum(labels, 0)], 0)
    return np.where(task_of > last, 0, task_of)


def _evenly(data: HashDataModule, count: int, seed: int) -> Numbers:
    """Return a task for each labelled item; each part of the split is divided by class."""
    labels, task_of = _labels(data.table), np.zeros(len(data.table), dtype=np.int64)
    draw = np.random.RandomState(seed)
    groups = labels if labels.ndim == 1 else np.where(labels.any(axis=1), 0, -1)
    kinds = _kind_of_row(data.divide(data.table), len(data.table))
    for group in np.unique(groups[groups >= 0]):
        for kind in np.unique(kinds):
            rows = draw.permutation(np.flatnonzero((groups == group) & (kinds == kind)))
            task_of[rows] = np.arange(len(rows)) % count + 1
    return task_of


def _kind_of_row(splits: Splits, count: int) -> Numbers:
    kinds = np.zeros(count, dtype=np.int64)
    for bit, part in enumerate(PARTS):
        kinds[splits.get(part, np.zeros(0, np.int64))] |= 1 << bit
    return kinds


def _items(data: HashDataModule, task_of: Numbers, count: int) -> list[dict[str, tuple[str, ...]]]:
    """Return part -> names for each task; unlabelled items are in none."""
    table = data.table
    splits = data.divide(table)
    task_of = np.where(labelled(_labels(table)), task_of, 0)
    items: list[dict[str, tuple[str, ...]]] = []
    for number in range(1, count + 1):
        rows = {part: splits.get(part, np.zeros(0, np.int64)) for part in PARTS}
        own = {part: each[task_of[each] == number] for part, each in rows.items()}
        items.append({part: tuple(table.names[row] for row in each) for part, each in own.items()})
    return items


def _require_several(tasks: Sequence[object]) -> None:
    if len(tasks) < 2:
        raise UsageError(f"a stream has two tasks or more, not {len(tasks)}")
