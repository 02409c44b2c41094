"""Streams: the items of a labelled data set, task after task, as a file that says who comes when.

``stream.json`` names the data set and lists the items of every task by name, each list with its checksum, so that a
stream is the same on every machine and an older model's tasks can be told from those of another stream. Nobody who asks
in one task is learned from or searched in another.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from deephash.data.protocols import split_checksum
from deephash.errors import DataError, DatasetNotFound, UsageError
from deephash.foreign import read_json, refused_as, require_schema, require_version
from deephash.pictures.corruptions import CORRUPTIONS, STRENGTHS
from deephash.version import __version__

FORMAT_VERSION = 1
STREAM_NAME = "stream.json"
LARGEST, MOST_ITEMS = 2**30, 50_000_000  # bytes and values of a stream file
PARTS = ("train", "validation_query", "query", "database")
StreamKind = Literal["class", "domain", "modality"]
MAKE_AGAIN = "make it again: deephash data stream"


@dataclass(frozen=True)
class Task:
    """What comes at once.

    Attributes:
        name: for people: its classes, its domain, its modalities.
        items: part -> names, sorted; ``validation_query`` is a part of ``train``.
        classes: that come with it, in class streams.
        corruption: of its pictures, such as ``rotation:3``; empty for none.
        modalities: that its items have; empty for all.
    """

    name: str
    items: Mapping[str, tuple[str, ...]]
    classes: tuple[str, ...] = ()
    corruption: str = ""
    modalities: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        ordered = {part: tuple(sorted(self.items.get(part, ()))) for part in PARTS}  # a list is a set of names
        object.__setattr__(self, "items", ordered)

    @property
    def checksum(self) -> str:
        """``sha256:...`` of who is query, train and database, and of what is done to them."""
        own = split_checksum(self.items)
        kind = json.dumps([self.corruption, sorted(self.modalities)])
        return f"sha256:{hashlib.sha256(f'{own} {kind}'.encode()).hexdigest()}"

    def every_name(self) -> set[str]:
        """Return the names of all its items."""
        return {name for names in self.items.values() for name in names}


@dataclass(frozen=True)
class Stream:
    """T tasks of one data set.

    Attributes:
        kind: what changes from task to task.
        data: the data set, as ``{"class_path": ..., "init_args": {...}}``.
        protocol: of its split.
        classes: names of all classes, in the order in which they come; a class's number is its place.
        tasks: oldest first.
        seed: of what was drawn.
        source: where it was read from, for messages.
    """

    kind: StreamKind
    data: Mapping[str, Any]
    protocol: str
    classes: tuple[str, ...]
    tasks: tuple[Task, ...]
    seed: int = 0
    source: str = field(default="stream", compare=False)

    def __post_init__(self) -> None:
        _require_sound(self)

    def __len__(self) -> int:
        return len(self.tasks)

    def task(self, number: int) -> Task:
        """Return task ``number``, from 1. Raises UsageError where there is none."""
        if not 1 <= number <= len(self):
            raise UsageError(f"{self.source} has tasks 1 to {len(self)}, not {number}")
        return self.tasks[number - 1]

    def checksum(self, number: int | None = None) -> str:
        """Return ``sha256:...`` of the tasks up to ``number``, of all where it is left out."""
        digest = hashlib.sha256()
        for task in self.tasks[:number]:
            digest.update(f"{task.checksum}\n".encode())
        return f"sha256:{digest.hexdigest()}"

    def save(self, path: str | Path) -> None:
        """Write the file, whole or not at all. Raises UsageError for a folder."""
        target = Path(path)
        if target.is_dir():
            raise UsageError(f"{target} is a folder; name the file to write, for example {target / STREAM_NAME}")
        target.parent.mkdir(parents=True, exist_ok=True)
        partial = target.with_name(f".{target.name}.{os.getpid()}.partial")
        partial.write_text(json.dumps(_record(self), indent=1, ensure_ascii=False) + "\n", encoding="utf8")
        os.replace(partial, target)


def read_stream(path: str | Path) -> Stream:
    """Read a stream file; the data set that it names is not opened.

    Raises:
        DatasetNotFound: no such file.
        DataError: it is damaged or was edited: its lists and checksums disagree, or somebody asks and is learned from.
        FormatTooNew: written by a newer deephash.
    """
    file = Path(path).expanduser()
    try:
        with refused_as(DataError, MAKE_AGAIN):
            record = read_json(file, None, limit=LARGEST, most_values=MOST_ITEMS)
            require_version(record, file, "stream", FORMAT_VERSION)
            require_schema(record, "stream", file)
    except DataError:
        if not file.exists():
            raise DatasetNotFound(f"{file.absolute()}: no such stream; {MAKE_AGAIN}") from None
        raise
    tasks = tuple(_task(each, number, file) for number, each in enumerate(record["tasks"], 1))
    return Stream(
        record["kind"], record["data"], record["protocol"], tuple(record["classes"]), tasks, record["seed"], str(file)
    )


def read_corruption(text: str) -> tuple[str, int]:
    """Return kind and strength of ``rotation:3``; strength 0 for ``clean``. Raises UsageError."""
    kind, _, strength = text.partition(":")
    if kind in ("", "clean"):
        return "", 0
    if kind not in CORRUPTIONS or not strength.isdecimal() or int(strength) not in STRENGTHS:
        raise UsageError(
            f"{text!r} is no change of pictures; give KIND:STRENGTH, KIND one of {', '.join(CORRUPTIONS)}, STRENGTH "
            f"{STRENGTHS[0]} to {STRENGTHS[-1]}, or clean"
        )
    return kind, int(strength)


# Parts -------------------------------------------------------------------------------------------------


def _record(stream: Stream) -> dict[str, Any]:
    return {
        "format_version": FORMAT_VERSION,
        "deephash": __version__,
        "kind": stream.kind,
        "seed": stream.seed,
        "data": dict(stream.data),
        "protocol": stream.protocol,
        "classes": list(stream.classes),
        "checksum": stream.checksum(),
        "tasks": [_task_record(task) for task in stream.tasks],
    }


def _task_record(task: Task) -> dict[str, Any]:
    """Return the entry of a task; an item stands once, under the parts it belongs to, joined by commas."""
    belongs: dict[str, list[str]] = {}
    for part in PARTS:
        for name in task.items.get(part, ()):
            belongs.setdefault(name, []).append(part)
    lists: dict[str, list[str]] = {}
    for name, parts in belongs.items():
        lists.setdefault(",".join(parts), []).append(name)
    more = {"classes": list(task.classes), "corruption": task.corruption, "modalities": list(task.modalities)}
    counts = {part: len(task.items.get(part, ())) for part in PARTS}
    return {
        "name": task.name,
        **{key: value for key, value in more.items() if value},
        "checksum": task.checksum,
        "counts": counts,
        "items": lists,
    }


def _task(record: Mapping[str, Any], number: int, file: Path) -> Task:
    items: dict[str, list[str]] = {part: [] for part in PARTS}
    for parts, names in record["items"].items():
        for part in parts.split(","):
            if part not in items:
                raise DataError(f"{file}: task {number} has items of a part {part!r}; known are {', '.join(PARTS)}")
            items[part] += names
    task = Task(
        record["name"],
        {part: tuple(names) for part, names in items.items()},
        tuple(record.get("classes", ())),
        record.get("corruption", ""),
        tuple(record.get("modalities", ())),
    )
    if task.checksum != record["checksum"]:
        raise DataError(
            f"{file}: the items of task {number} are not those of its checksum: the file was changed; {MAKE_AGAIN}"
        )
    return task


def _require_sound(stream: Stream) -> None:
    """Raise DataError where an item is listed twice, or asks and is learned from or searched."""
    for number, task in enumerate(stream.tasks, 1):
        for part in ("train", "query", "database"):
            if not task.items.get(part):
                raise DataError(f"{stream.source}: task {number} ({task.name}) has no {part} items")
        if stray := set(task.items.get("validation_query", ())) - set(task.items["train"]):
            raise DataError(f"{stream.source}: task {number} holds out {_first(stray)}, which is no training item")
        read_corruption(task.corruption)
    if twice := _repeated(name for task in stream.tasks for name in task.every_name()):
        raise DataError(f"{stream.source}: {_first(twice)} is an item of two tasks")
    queries = {name for task in stream.tasks for name in task.items["query"]}
    others = {name for task in stream.tasks for part in ("train", "database") for name in task.items[part]}
    if both := queries & others:
        raise DataError(
            f"{stream.source}: {_first(both)} asks, and is learned from or searched; a query is never in training"
        )
    if _repeated(stream.classes):
        raise DataError(f"{stream.source}: a class is listed twice")


def _repeated(names: Iterable[str]) -> set[str]:
    seen: set[str] = set()
    return {name for name in names if name in seen or seen.add(name)}  # type: ignore[func-returns-value]


def _first(names: set[str]) -> str:
    shown = sorted(names)
    return repr(shown[0]) + (f" (and {len(shown) - 1:,} more)" if len(shown) > 1 else "")


def sizes_in_words(tasks: Sequence[Task]) -> str:
    """Return e.g. ``5 + 5`` classes, or the names of the tasks."""
    return " + ".join(str(len(task.classes)) if task.classes else task.name for task in tasks)
