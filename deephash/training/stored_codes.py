"""The codes of the items that came with a task, as its model makes them."""

from __future__ import annotations

from typing import Any

import numpy as np

from deephash.codes import BinaryCodes
from deephash.data.codebook import CodeBook
from deephash.data.stream_task import StreamTask
from deephash.errors import DataError
from deephash.evaluation.codefile import CodeFile
from deephash.models import HashModel


def new_codes(model: HashModel, data: StreamTask) -> CodeBook:
    """Return the codes of the items that came with the task, queries left out.

    A model that solved codes for its training items hands them over (:meth:`HashModel.database_codes`); the others'
    are encoded.
    """
    halves = [None] if len(model.encoders) == 1 else list(model.encoders)
    parts = [_new_codes_of(model, data, half) for half in halves]
    whole = CodeFile(
        codes=BinaryCodes.concatenate([part.codes for part in parts]),
        labels=None if parts[0].labels is None else np.concatenate([part.labels for part in parts]),
        names=np.concatenate([part.names for part in parts]),
        class_names=tuple(data.class_names),
        sessions=np.full(sum(map(len, parts)), data.task),
        source=f"the codes of task {data.task}",
    )
    words = None if halves == [None] else np.repeat(np.array(halves, dtype=str), [len(part) for part in parts])
    return CodeBook(whole, words)


def _new_codes_of(model: HashModel, data: StreamTask, half: str | None) -> Any:
    """Return the new items of the database, the training and the held-out split, each once, with codes and labels."""
    known: set[str] = set()
    sides = []
    for name in ("database", "train", "validation_query"):
        if name not in data.splits:
            continue
        split = data.splits[name]
        wanted = data.new_rows(name) & np.array([each not in known for each in split.names])
        if half is not None and half in split.present:
            wanted &= split.present[half]
        known |= set(split.names)
        if not wanted.any():
            continue
        rows = np.flatnonzero(wanted)
        labels = None if split.labels is None else split.labels[rows]
        names = np.asarray(split.names, dtype=str)[rows]
        sides.append(CodeFile(data.codes(model, name, modality=half)[rows], labels=labels, names=names))
    if not sides:
        empty = BinaryCodes.from_bits(np.zeros((0, model.num_bits)))
        return CodeFile(empty, names=np.zeros(0, dtype=str), labels=np.zeros(0, dtype=np.int64))
    side = _one_behind_the_other(sides)
    return _with_solved(model, data, side, half)


def _one_behind_the_other(sides: list[CodeFile]) -> CodeFile:
    def column(name: str) -> Any:
        parts = [getattr(side, name) for side in sides]
        return None if parts[0] is None else np.concatenate(parts)

    codes = BinaryCodes.concatenate([side.codes for side in sides])
    return CodeFile(codes, labels=column("labels"), names=column("names"))


def _with_solved(model: HashModel, data: StreamTask, side: CodeFile, half: str | None) -> CodeFile:
    """Put the codes that the model solved for its training items in the place of encoded ones."""
    solved = model.database_codes(half)
    if solved is None:
        return side
    train = data.splits["train"]
    if len(solved) != len(train):
        raise DataError(f"{type(model).__name__} solved {len(solved):,} codes for {len(train):,} training items")
    place = {name: row for row, name in enumerate(train.names)}
    rows = np.array([place.get(name, -1) for name in side.names.tolist()])  # type: ignore[union-attr]
    packed = np.where(rows[:, None] >= 0, solved.packed[rows], side.codes.packed)
    return CodeFile(BinaryCodes(packed, solved.num_bits, solved.num_levels), side.labels, side.names)
