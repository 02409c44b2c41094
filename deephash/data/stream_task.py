"""StreamTask: one task of a stream as a data set, with replay of earlier ones and the codes that are stored."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from deephash.codes import BinaryCodes
from deephash.data.building import build_data, class_paths
from deephash.data.codebook import CodeBook
from deephash.data.datamodule import Augment, HashDataModule
from deephash.data.learner import Learner
from deephash.data.protocols import Splits
from deephash.data.streams import Stream, Task, read_corruption, read_stream
from deephash.data.table import ItemTable, Split
from deephash.errors import DataError, UsageError
from deephash.pictures.corruptions import corrupted

Rows = NDArray[np.int64]
SEARCHED = ("database", "validation_database")  # splits whose stored codes are not made again


class StreamTask(HashDataModule):
    """What a model learns at one task of a stream, and what it is then asked.

    Training items are those of the task and ``replay`` of earlier ones, told apart by ``session`` in the batch.
    Queries, database and validation items are those of all tasks so far. Class numbers are those of the whole stream.

    Where a code book is given (``book``), what is searched keeps the codes that are stored there.

    Args:
        stream: file written by ``deephash data stream``.
        task: number of the task, from 1.
        replay: earlier training items that are learned again, drawn at random; ``all`` of them for a full retraining.
        seed: of that draw.
        batch_size: None takes that of the stream's data set, as the others.
        hold_out: see :class:`HashDataModule`.
        augment: see :class:`HashDataModule`.
        cache_dir: see :class:`HashDataModule`; features of all tasks are cached at once, and found again by the next.
        num_workers: see :class:`HashDataModule`.
    """

    by_name: ClassVar[bool] = True

    def __init__(
        self,
        stream: str,
        task: int = 1,
        replay: int | Literal["all"] = 0,
        seed: int = 0,
        batch_size: int | None = None,
        hold_out: bool | None = None,
        augment: Augment | None = None,
        cache_dir: str | None = None,
        num_workers: int | None = None,
    ) -> None:
        self.path, self.task, self.replay, self.seed = Path(stream).expanduser(), task, replay, seed
        if replay != "all" and replay < 0:
            raise UsageError(f"replay is how many earlier training items are learned again, 0 or more, not {replay}")
        self.stream: Stream = read_stream(self.path)
        self.stream.task(task)
        if any(name.endswith(".StreamTask") for name in class_paths(dict(self.stream.data))):
            raise UsageError(f"{self.path} is a stream of a stream; make it of the data set itself")
        self.base = build_data(dict(self.stream.data), self.path)
        given: dict[str, Any] = {
            "batch_size": batch_size,
            "hold_out": hold_out,
            "augment": augment,
            "num_workers": num_workers,
        }
        own = {name: getattr(self.base, name) if value is None else value for name, value in given.items()}
        super().__init__(**own, cache_dir=cache_dir, encode_batch_size=self.base.encode_batch_size)
        self.cache_dir = self.cache_dir or self.base.cache_dir
        self.book: CodeBook | None = None

    @property
    def protocol_name(self) -> str:
        """The base's name with kind and task; its lists are told by the checksum."""
        name, _, version = self.base.protocol_name.partition("/")
        return f"{name}-{self.stream.kind}-{self.task}of{len(self.stream)}/{version or 'v1'}"

    @property
    def pictures(self) -> str:
        """As the base's, with the changes that the domains make."""
        kinds = [task.corruption for task in self.stream.tasks[: self.task]]
        return self.base.pictures if not any(kinds) else f"{self.base.pictures} {','.join(k or 'clean' for k in kinds)}"

    def attribute(self, name: str) -> list[str]:
        """As the base does."""
        return self.base.attribute(name)

    def read(self) -> ItemTable:
        """Return the base's items, numbered and changed as the stream says."""
        base = self.base.table
        row_of = {name: row for row, name in enumerate(base.names)}
        self._rows = [_rows_of_task(task, row_of, self.path) for task in self.stream.tasks]
        sessions = np.zeros(len(base), dtype=np.int64)
        for number, parts in enumerate(self._rows, 1):
            for rows in parts.values():
                sessions[rows] = number
        changed = any(task.corruption for task in self.stream.tasks)
        table = replace(
            base,
            labels=_renumbered(base, self.base.class_names, self.stream.classes),
            class_names=list(self.stream.classes),
            checksum=f"{base.checksum}:{self.stream.checksum()}" if changed else base.checksum,
            sources={**base.sources, **self._changed_pictures(base, sessions)} if changed else base.sources,
            vectors={name: v for name, v in base.vectors.items() if not (changed and name == "image")},
            present=base.present | _arrived(self.stream, base, sessions),
            sessions=sessions,
            notes=[],
        )
        table.notes = list(base.notes)  # those of the whole data set; unlabelled items are counted there
        return table

    def divide(self, table: ItemTable) -> Splits:
        """Follow the stream's lists; what is replayed is drawn from the training items of earlier tasks."""
        so_far = self._rows[: self.task]
        parts = {part: _joined(rows[part] for rows in so_far) for part in so_far[0]}
        own = so_far[-1]["train"]
        return {
            "train": np.union1d(own, self._replayed(so_far[:-1])),
            "query": parts["query"],
            "database": parts["database"],
            "validation_query": parts["validation_query"],
            "validation_database": np.setdiff1d(parts["train"], parts["validation_query"]),
        }

    def _make_splits(self, rows: Splits) -> None:
        learned = np.setdiff1d(rows["train"], rows["validation_query"])
        super()._make_splits(rows | {"validation_database": learned})
        if "validation_database" in self.splits:  # what is searched is more than what is learned
            self.splits["validation_database"] = Split.of(self.table, rows["validation_database"])

    def _replayed(self, earlier: list[dict[str, Rows]]) -> Rows:
        known = _joined(rows["train"] for rows in earlier)
        if self.hold_out:
            known = np.setdiff1d(known, _joined(rows["validation_query"] for rows in earlier))
        if self.replay == "all":
            return known
        draw = np.random.RandomState([self.seed, self.task])  # its stream is frozen for good
        return np.sort(draw.permutation(known)[: self.replay])

    def _rows_of(self, modality: str) -> Rows:
        """Return, where features are kept on disk, the rows of all tasks: one cache serves all of them."""
        if self.cache_dir is None:
            return super()._rows_of(modality)
        assert self.table.sessions is not None
        rows = np.flatnonzero(self.table.sessions)
        present = self.table.present.get(modality)
        return rows if present is None else rows[present[rows]]

    def _changed_pictures(self, base: ItemTable, sessions: Rows) -> dict[str, Callable[[int], Any]]:
        changes = [("", 0), *(read_corruption(task.corruption) for task in self.stream.tasks)]
        source, names = base.sources["image"], base.names

        def picture(row: int) -> Any:
            kind, strength = changes[sessions[row]]
            opened = source(row)
            return corrupted(opened.convert("RGB"), kind, strength, names[row]) if strength else opened

        return {"image": picture}

    # Codes -----------------------------------------------------------------------------------------

    def codes(self, model: Learner, split_name: str, *, modality: str | None = None) -> BinaryCodes:
        """Return the model's codes of a split; what is searched keeps the code that is stored."""
        made = super().codes(model, split_name, modality=modality)
        if self.book is None or split_name not in SEARCHED:
            return made
        return self.book.over(made, self.splits[split_name].names, modality)

    def new_rows(self, split_name: str) -> NDArray[np.bool_]:
        """Say which items of a split came with this task, bool [n]."""
        sessions = self.splits[split_name].sessions
        assert sessions is not None
        return np.asarray(sessions == self.task)


# Parts -------------------------------------------------------------------------------------------------


def _rows_of_task(task: Task, row_of: dict[str, int], path: Path) -> dict[str, Rows]:
    missing = [name for names in task.items.values() for name in names if name not in row_of]
    if missing:
        raise DataError(
            f"{path}: {len(missing):,} items of the task {task.name!r} are not in the data any more, the first "
            f"{missing[0]!r}; bring them back, or make the stream again: deephash data stream"
        )
    return {part: np.sort(np.array([row_of[name] for name in names], np.int64)) for part, names in task.items.items()}


def _joined(parts: Iterable[Rows]) -> Rows:
    return np.unique(np.concatenate([np.zeros(0, dtype=np.int64), *parts]))


def _renumbered(table: ItemTable, names: list[str], classes: tuple[str, ...]) -> NDArray[Any] | None:
    """Return labels by place in ``classes``; a class that is not among them is no label."""
    if table.labels is None:
        return None
    words = names or [str(number) for number in range(table.num_classes)]
    places = {name: place for place, name in enumerate(classes)}
    if table.labels.ndim == 1:
        number = np.array([*(places.get(word, -1) for word in words), -1], dtype=np.int64)
        return np.asarray(number[table.labels])  # -1 is the last one
    columns = [words.index(name) for name in classes if name in words]
    labels = np.zeros((len(table), len(classes)), dtype=table.labels.dtype)
    labels[:, [places[words[column]] for column in columns]] = table.labels[:, columns]
    return labels


def _arrived(stream: Stream, table: ItemTable, sessions: Rows) -> dict[str, NDArray[np.bool_]]:
    """Return modality -> which items have it, where the tasks differ in that."""
    named = [task.modalities for task in stream.tasks]
    if not any(named):
        return {}
    able = {name for group in named for name in group}
    return {
        name: table.present.get(name, np.ones(len(table), bool))
        & np.array([True, *(not group or name in group for group in named)])[sessions]
        for name in sorted(able)
    }
