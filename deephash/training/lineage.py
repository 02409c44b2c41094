"""Who a run descends from, and the codes that it takes over: ``train --continue-from``.

A run on a task of a stream keeps a code book (:class:`~deephash.data.codebook.CodeBook`). It begins as a copy of the
ancestor's, bit for bit, and gets the codes of the task's own items when the run is finished.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from deephash.codes import BinaryCodes
from deephash.data.codebook import BOOK_NAME, CodeBook, joined
from deephash.data.datamodule import HashDataModule
from deephash.data.stream_task import StreamTask
from deephash.data.streams import STREAM_NAME, Stream
from deephash.encoding.record import JSON_NAME, read_model_record
from deephash.encoding.targets import TargetTable
from deephash.errors import DataError, UsageError
from deephash.evaluation.codefile import CodeFile
from deephash.foreign import read_json, refused_as
from deephash.models import HashModel, load_model

INHERITED = "deephash.models.warm_start.WarmStart"  # a callback that a descendant has of its own, or not at all
HOOKS = ("deephash.models.compatible.", "deephash.models.lifelong_hook.")  # likewise


@dataclass(frozen=True)
class Ancestor:
    """A finished run on a task of a stream.

    Attributes:
        folder: of the run.
        model: its ``model.json``.
        facts: its ``run.json``.
        task: number of the task that it learned.
        book: what it stored.
    """

    folder: Path
    model: dict[str, Any]
    facts: dict[str, Any]
    task: int
    book: CodeBook

    def record(self) -> dict[str, Any]:
        """Return what a descendant's ``run.json`` says about it."""
        known = {"path": str(self.folder), "fingerprint": self.model["fingerprint"], "task": self.task}
        return known | {"method": self.model["class"], "codes": len(self.book)}

    def configuration(self) -> dict[str, Any]:
        """Return its ``config.yaml`` without what ties it to its own ancestor."""
        content: dict[str, Any] = yaml.safe_load((self.folder / "config.yaml").read_text(encoding="utf8"))
        trainer = content.get("trainer") or {}
        callbacks = trainer.get("callbacks") or []
        callbacks = [callbacks] if isinstance(callbacks, dict) else callbacks
        kept = [each for each in callbacks if not str(each.get("class_path")).startswith((INHERITED, *HOOKS))]
        return content | {"trainer": {**trainer, "callbacks": kept or None}}

    def targets(self) -> TargetTable | None:
        """Return the fixed codes of its classes, where its method has some."""
        return TargetTable.load(self.folder / "model")

    def stream_file(self) -> Path:
        """Return the copy of the stream that it keeps."""
        return self.folder / STREAM_NAME


def read_ancestor(folder: str | Path) -> Ancestor:
    """Read the run that ``--continue-from`` names.

    Raises:
        DataError: it is no run, or not finished.
        UsageError: it was not trained on a stream.
    """
    run = Path(folder)
    if not (run / "model" / JSON_NAME).is_file() or not (run / "config.yaml").is_file():
        raise DataError(f"{run} is no run that can be continued: model/{JSON_NAME} or config.yaml is missing")
    with refused_as(DataError, "it is no record of a run"):
        facts = read_json(run / "run.json", "run", no_numbers=True)
    if "task" not in facts:
        raise UsageError(
            f"{run} was not trained on a task of a stream, so nothing says what is new; make a stream with "
            f"deephash data stream, and train its first task with --stream FILE. Its weights alone: --start-from {run}"
        )
    book = CodeBook.load(run)
    if facts.get("status") != "finished" or book is None:
        raise DataError(
            f"{run} is not finished, so its codes are not stored; go on with: deephash train --resume {run}"
        )
    return Ancestor(run, read_model_record(run / "model"), facts, int(facts["task"]), book)


def require_descendant(ancestor: Ancestor, model: HashModel, data: HashDataModule) -> StreamTask:
    """Return the data of the next task.

    Raises:
        UsageError: codes of another length, a modality less, another stream, or no later task.
    """
    if not isinstance(data, StreamTask):
        raise UsageError(
            f"--continue-from learns the next task of a stream, and {type(data).__name__} is none: --stream FILE "
            "(deephash data stream makes one; --extend adds what is new)"
        )
    bits, levels = ancestor.model["num_bits"], ancestor.model.get("num_levels", 1)
    if (model.num_bits, model.num_levels) != (bits, levels):
        raise UsageError(
            f"{ancestor.folder} stored codes of {bits} bits, which {model.num_bits} bits cannot search; "
            f"use --bits {bits}"
        )
    if lost := [name for name in ancestor.model["modalities"] if name not in model.encoders]:
        raise UsageError(
            f"{ancestor.folder} reads {', '.join(ancestor.model['modalities'])}, and this {type(model).__name__} reads "
            f"{', '.join(model.encoders)}: nothing would ask for the {lost[0]} codes; keep its modalities"
        )
    if data.task <= ancestor.task:
        raise UsageError(
            f"{ancestor.folder} learned task {ancestor.task}; a descendant learns a later one, not {data.task}"
        )
    if ancestor.facts.get("stream") != data.stream.checksum(ancestor.task):
        raise UsageError(
            f"{data.path} is not the stream of {ancestor.folder}: its first {ancestor.task} tasks have other items; "
            f"leave --stream out to take {ancestor.stream_file()}"
        )
    return data


def next_task(ancestor: Ancestor, stream: Stream) -> int:
    """Return the number of the task after the ancestor's. Raises UsageError where there is none."""
    if ancestor.task >= len(stream):
        raise UsageError(
            f"{ancestor.folder} learned task {ancestor.task}, the last of {stream.source}; add what is new with "
            f"deephash data stream --extend {stream.source}"
        )
    return ancestor.task + 1


# Codes -------------------------------------------------------------------------------------------------


def take_over_codes(run: Path, data: StreamTask, ancestor: Ancestor | None) -> dict[str, Any]:
    """Take over what the ancestor stored, into the run's folder; return what ``run.json`` says about it."""
    if data.path.resolve() != (run / STREAM_NAME).resolve():
        shutil.copyfile(data.path, run / STREAM_NAME)
    data.book = None if ancestor is None else ancestor.book
    if data.book is None:
        (run / BOOK_NAME).unlink(missing_ok=True)
    else:
        data.book.save(run)
    known: dict[str, Any] = {"task": data.task, "stream": data.stream.checksum(data.task)}
    return known if ancestor is None else known | {"ancestor": ancestor.record()}


def find_codes_again(run: Path, data: StreamTask) -> None:
    """Find the ancestor's codes again in the folder of an interrupted run."""
    book = CodeBook.load(run)
    data.book = None if book is None else book.before(data.task)


def store_new_codes(run: Path, data: StreamTask) -> CodeBook:
    """Store the codes of the task's items, made by the run's model; return all that is stored now."""
    old = data.book
    data.book = None
    book = joined(old, new_codes(load_model(run / "model"), data))
    book.save(run)
    data.book = book
    return book


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
