"""Who a run descends from, and the codes that it takes over: ``train --continue-from``.

A run on a task of a stream keeps a code book (:class:`~deephash.data.codebook.CodeBook`). It begins as a copy of the
ancestor's, bit for bit, and gets the codes of the task's own items when the run is finished.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from deephash.data.codebook import BOOK_NAME, CodeBook, joined
from deephash.data.datamodule import HashDataModule
from deephash.data.stream_task import StreamTask
from deephash.data.streams import STREAM_NAME, Stream, read_stream
from deephash.encoding.record import JSON_NAME, read_model_record
from deephash.encoding.targets import TargetTable
from deephash.errors import DataError, UsageError
from deephash.foreign import read_json, refused_as
from deephash.models import HashModel, load_model
from deephash.training.plain_runs import plain_book
from deephash.training.stored_codes import new_codes

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


def read_ancestor(folder: str | Path, stream: Path | None = None) -> Ancestor:
    """Read the run that ``--continue-from`` names.

    Args:
        folder: of the run.
        stream: whose next task is learned; None takes that of the run. A run on other data than a stream's counts as
            one on the first task, where that has its items.

    Raises:
        DataError: it is no run, or not finished.
        UsageError: it was not trained on a stream, and is not its first task either.
    """
    run = Path(folder)
    if not (run / "model" / JSON_NAME).is_file() or not (run / "config.yaml").is_file():
        raise DataError(f"{run} is no run that can be continued: model/{JSON_NAME} or config.yaml is missing")
    with refused_as(DataError, "it is no record of a run"):
        facts = read_json(run / "run.json", "run", no_numbers=True)
    if "task" not in facts and stream is None:
        raise UsageError(
            f"{run} was not trained on a task of a stream, so nothing says what is new: deephash data stream --extend "
            f"{run} --out FILE adds what its data have gained, then give --stream FILE. Its weights alone: "
            f"--start-from {run}"
        )
    if "task" not in facts and stream is not None:
        known = facts | {"stream": read_stream(stream).checksum(1)}
        return Ancestor(run, read_model_record(run / "model"), known, 1, plain_book(run, facts, stream))
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
