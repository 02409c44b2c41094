"""The stages of a lifelong series from runs on the tasks of a stream: new queries, and codes as they were stored."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeGuard

import numpy as np

from deephash.data import HashDataModule, StreamTask
from deephash.data.codebook import CodeBook
from deephash.errors import DataError, UsageError
from deephash.evaluation.codefile import CodeFile
from deephash.foreign import read_json, refused_as
from deephash.models import HashModel
from deephash.scoring.encoding import Direction, direction_of, encoded_side, known_protocol
from deephash.scoring.sides import CodePair, Stage

Run = tuple[HashModel, HashDataModule]


def is_task(data: HashDataModule) -> TypeGuard[StreamTask]:
    """Say whether a run's data are a task of a stream."""
    return isinstance(data, StreamTask)


def stream_stages(
    folders: Sequence[str | Path], runs: Sequence[Run], *, task: str | None, reencoded: bool
) -> Iterator[Stage]:
    """Return the stages, oldest first.

    Args:
        folders: of the runs.
        runs: their models and data.
        task: of a cross-modal model.
        reencoded: the database of a stage is encoded by its own model.

    Raises:
        UsageError: runs of several streams, or not on tasks 1 to T in this order.
        DataError: a run without the codes that it should have stored.
    """
    tasks = _in_order(folders, runs)
    facts = [_facts(folder) for folder in folders]
    for number, (model, _) in enumerate(runs):
        data = tasks[number]
        word, direction = direction_of(model, task)
        book = data.book
        if book is None and not reencoded:
            raise DataError(f"{folders[number]} has stored no codes; finish it, or score it with --reencoded")
        data.book = None
        query = encoded_side(model, data, "query", direction[0])
        searched = (
            encoded_side(model, data, "database", direction[1]) if reencoded else _stored(data, book, direction[1])
        )
        _require_both(data, query, searched, direction)
        following = tasks[number + 1] if number + 1 < len(tasks) else None
        yield Stage(
            query,
            searched,
            Path(folders[number]).name,
            known_protocol(model, data, word),
            warnings=() if reencoded or not number else _warnings(folders, facts, runs[number - 1][0], number),
            ahead=None if following is None else _before_learning(model, following, direction),
            seconds=facts[number].get("seconds"),
        )
        data.book = book


def _in_order(folders: Sequence[str | Path], runs: Sequence[Run]) -> list[StreamTask]:
    tasks = []
    for place, (folder, (_, data)) in enumerate(zip(folders, runs, strict=True), 1):
        if not is_task(data):
            raise UsageError(f"{folder} is of no task of a stream, and others are; give runs of one stream")
        if data.task != place:
            raise UsageError(
                f"{folder} learned task {data.task} and stands in place {place}; give the runs of tasks 1 to "
                f"{len(runs)}, oldest first"
            )
        tasks.append(data)
    for folder, data in zip(folders, tasks, strict=True):
        if data.stream.checksum(data.task) != tasks[-1].stream.checksum(data.task):
            raise UsageError(f"{folder} and {folders[-1]} are of different streams; their tasks have other items")
    return tasks


def _facts(folder: str | Path) -> dict[str, Any]:
    with refused_as(DataError, "it is no record of a run"):
        return read_json(Path(folder) / "run.json", "run", no_numbers=True)


def _stored(data: StreamTask, book: CodeBook | None, modality: str | None) -> CodeFile:
    """Return what the task added to the database, with the codes that were stored."""
    assert book is not None
    searched = set(data.splits["database"].names)
    names = [] if book.side.names is None else book.side.names.tolist()
    wanted = (book.sessions == data.task) & np.array([name in searched for name in names], dtype=bool)
    if book.modalities is not None:
        wanted &= book.modalities == (modality or "image")
    return book.take(wanted).side


def _require_both(data: StreamTask, query: CodeFile, searched: CodeFile, direction: Direction) -> None:
    """Raise UsageError where a task has nobody who asks, or nothing that is searched, as before a modality arrives."""
    asking = set() if query.sessions is None else set(query.sessions.tolist())
    silent = [number for number in range(1, data.task + 1) if number not in asking]
    half = direction[0] if silent else direction[1]
    if silent or not len(searched):
        raise UsageError(
            f"task {silent[0] if silent else data.task} of {data.path} has no {half or 'item'} that "
            f"{'asks' if silent else 'is searched'}; score a direction that is there from the first task on, such as "
            "--task i2i"
        )


def _before_learning(model: HashModel, data: StreamTask, direction: Direction) -> CodePair:
    """Return queries and items of a task as a model encodes them that has not learned it."""
    book, data.book = data.book, None
    query = _of_task(encoded_side(model, data, "query", direction[0]), data.task)
    database = _of_task(encoded_side(model, data, "database", direction[1]), data.task)
    data.book = book
    return CodePair(query, database, type(model).__name__)


def _of_task(side: CodeFile, task: int) -> CodeFile:
    assert side.sessions is not None
    own = side.take(np.flatnonzero(side.sessions == task))
    return replace(own, sessions=None)


def _warnings(
    folders: Sequence[str | Path], facts: Sequence[dict[str, Any]], before: HashModel, number: int
) -> tuple[str, ...]:
    ancestor = facts[number].get("ancestor") or {}
    if ancestor.get("fingerprint") == before.fingerprint():
        return ()
    return (
        f"{folders[number]} does not descend from {folders[number - 1]} (train --continue-from): codes that are stored "
        "and codes that ask may be of different spaces; --reencoded makes all of them anew",
    )
