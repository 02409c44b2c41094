"""Folders of Hugging Face ``datasets``, read by pyarrow alone: saved by ``save_to_disk``, or the hub's Parquet files.

``save_to_disk`` writes streams of Arrow batches (``data-00000-of-00001.arrow``), ``state.json`` and
``dataset_info.json``; a ``DatasetDict`` is a folder a split under ``dataset_dict.json``. The hub keeps
``data/train-00000-of-00001.parquet``, or ``train/0000.parquet``. A picture is a struct {bytes, path}: only the bytes
are read, as the path names a file of another machine.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import pyarrow as pa

from deephash.collection import tables
from deephash.collection.sources import parquet
from deephash.collection.sources.found import UNKNOWN, FoundFile, time_of
from deephash.collection.sources.shard import Shard, require_readable
from deephash.data.items.item_list import ItemList, checksum_of_files, joined, told_apart
from deephash.data.split_words import split_of_name
from deephash.errors import DataError, UnreadablePicture, UsageError

ARROW, PARQUET = ".arrow", ".parquet"
_ERRORS = (pa.ArrowException, OSError, ValueError)


def arrow_files(path: Path) -> list[Path]:
    """Return the Arrow or Parquet files of a data set's folder (or the one file), in order; none if it is no such."""
    if path.is_file():
        return [path] if path.suffix.lower() in (ARROW, PARQUET) else []
    for ending in (ARROW, PARQUET):
        found = [file for file in path.rglob(f"*{ending}") if not file.name.startswith(("cache-", "."))]
        if found:
            return sorted(found)
    return []


def has_pictures(path: Path) -> bool:
    """Say whether a Parquet file has a column of pictures, and none of paths. Raises DataError if it is damaged."""
    schema = _schema(path)
    column, paths = _picture_column(schema), _heading(schema.names, tables.PATH)
    if column is None or pa.types.is_struct(schema.field(column).type):
        return column is not None
    return paths is None or not _is_text(schema.field(paths).type)


def read_hugging_face(path: Path) -> ItemList:
    """Read the data set in a folder (or in one file of it).

    Raises:
        DataError: a file that cannot be read, or a class number that has no name.
        UsageError: neither pictures nor texts, or both ``label`` and ``labels``.
    """
    files = arrow_files(path)
    parts = [_Part(file, path) for file in files]
    if not parts:
        raise DataError(f"{path} holds no Arrow and no Parquet files")
    split = [part.split for part in parts for _ in range(part.count)]
    pictures = [picture for part in parts for picture in part.pictures()]
    texts = [text for part in parts for text in part.texts()]
    labels = [word for part in parts for word in part.labels()]
    if not any(pictures) and not any(texts):
        kinds = ", ".join(parts[0].schema.names)
        raise UsageError(f"{path} has neither pictures nor a column {' or '.join(tables.TEXT)}; it has: {kinds}")
    return ItemList(
        source=str(path),
        names=[f"{part.uri}/{row}" for part in parts for row in range(part.count)],
        checksum=checksum_of_files(files),
        pictures=pictures if any(pictures) else None,
        texts=texts if any(part.text for part in parts) else None,
        labels=labels if any(part.label for part in parts) else None,
        split=told_apart(split),
        notes=tuple(dict.fromkeys(note for part in parts for note in part.notes)),
    )


@dataclass(frozen=True)
class ArrowPicture(FoundFile):
    """A picture in a file of Arrow batches, which is mapped and not read as a whole."""

    column: str
    row: int

    def read(self) -> bytes:
        """Return its content. Raises UnreadablePicture."""
        try:
            value = _arrow_table(self.path)[self.column][self.row].as_py()
        except _ERRORS as error:
            raise UnreadablePicture(f"the row cannot be read: {' '.join(str(error).split())[:160]}") from None
        data = value.get("bytes") if isinstance(value, dict) else value
        if data is None:
            raise UnreadablePicture("the row holds no bytes")
        require_readable(len(data))
        return bytes(data)


class _Part:
    """One file: its columns of text and labels; pictures stay where they are."""

    def __init__(self, file: Path, base: Path) -> None:
        self.file, self.schema = file, _schema(file)
        self.uri = file.relative_to(base).as_posix() if base.is_dir() else file.name
        self.split = split_of_name(file.name) or _split_of_folders(file, base)
        self.image = _picture_column(self.schema)
        names = {role: _heading(self.schema.names, known) for role, known in _ROLES.items()}
        self.text, self.notes = names["text"], list[str]()
        self.classes = class_names(_features(file, self.schema))
        self.label = names["label"] or self._only_classes()
        if {"label", "labels"} <= set(self.schema.names):
            raise UsageError(f"{file} has both 'label' and 'labels'; keep the one that is meant")
        wanted = [name for name in (self.text, self.label) if name]
        self._rows, self.count = _columns(file, wanted)

    def pictures(self) -> Iterator[FoundFile | None]:
        if self.image is None:
            yield from [None] * self.count
            return
        status = self.file.stat()
        changed = time_of(status.st_mtime_ns)
        if self.file.suffix.lower() == PARQUET:
            yield from parquet.pictures_of(Shard(str(self.file), self.uri, status.st_size, changed))
            return
        for row in range(self.count):
            yield ArrowPicture(self.file, f"{self.uri}/{row}", UNKNOWN, changed, self.image, row)

    def texts(self) -> Iterator[str]:
        for value in self._rows[self.text] if self.text else [""] * self.count:
            parts = value if isinstance(value, list) else [value]
            yield " ".join(" ".join(str(part) for part in parts if part is not None).split())

    def labels(self) -> Iterator[str]:
        for row, value in enumerate(self._rows[self.label] if self.label else [""] * self.count):
            yield joined([self._word(each, row) for each in (value if isinstance(value, list) else [value])])

    def _word(self, value: Any, row: int) -> str:
        names = self.classes.get(self.label or "")
        if value is None or value == -1:
            return ""
        if names is None:
            return str(value)
        if not isinstance(value, int) or not 0 <= value < len(names):
            raise DataError(
                f"{self.file}, row {row}: {self.label} is {value}, but its {len(names)} classes are numbered from 0 to "
                f"{len(names) - 1} (-1 is no label)"
            )
        return names[value]

    def _only_classes(self) -> str | None:
        found = list(self.classes)
        if len(found) > 1:
            self.notes.append(f"labels are taken from {found[0]}; also there: {', '.join(found[1:])}")
        return found[0] if found else None


_ROLES = {"label": tables.LABELS, "text": tables.TEXT}


def class_names(features: Mapping[str, Any]) -> dict[str, list[str]]:
    """Return the class names of every column that is a ClassLabel, or a list of such."""
    found = {}
    for name, one in features.items():
        inner = one[0] if isinstance(one, list) and one else one
        if isinstance(inner, dict) and isinstance(inner.get("feature"), dict):
            inner = inner["feature"]
        names = inner.get("names") if isinstance(inner, dict) and inner.get("_type") == "ClassLabel" else None
        if isinstance(names, list):
            found[name] = [str(each) for each in names]
    return found


def _features(file: Path, schema: pa.Schema) -> dict[str, Any]:
    """Return what the file's own head says of its columns, or else the ``dataset_info.json`` beside it."""
    try:
        found = json.loads((schema.metadata or {})[b"huggingface"])["info"]["features"]
    except (KeyError, ValueError, TypeError, RecursionError):
        try:
            found = json.loads(file.with_name("dataset_info.json").read_bytes()[: 1 << 24])["features"]
        except (OSError, KeyError, ValueError, TypeError, RecursionError):
            return {}
    return {name: one for name, one in found.items() if name in schema.names} if isinstance(found, dict) else {}


def _heading(columns: Sequence[str], names: Sequence[str]) -> str | None:
    spelt = {column.lower(): column for column in reversed(columns)}
    return next((spelt[name] for name in names if name in spelt), None)


def _is_text(kind: pa.DataType) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind))


def _split_of_folders(file: Path, base: Path) -> str:
    parents = file.relative_to(base).parts[-2::-1] if base.is_dir() else ()
    return next((word for word in map(split_of_name, parents) if word), "")


def _picture_column(schema: pa.Schema) -> str | None:
    try:
        return parquet.columns_of(schema).picture
    except UnreadablePicture:
        return None


def _schema(file: Path) -> pa.Schema:
    from pyarrow import parquet as pq

    try:
        return _arrow_table(file).schema if file.suffix.lower() == ARROW else pq.read_schema(file)
    except _ERRORS as error:
        raise DataError(f"{file} cannot be read: {' '.join(str(error).split())[:160]}") from None


def _columns(file: Path, names: Sequence[str]) -> tuple[dict[str, list[Any]], int]:
    from pyarrow import parquet as pq

    try:
        if file.suffix.lower() == ARROW:
            table = _arrow_table(file)
            return {name: table[name].to_pylist() for name in names}, table.num_rows
        count = pq.read_metadata(file).num_rows
        return {name: pq.read_table(file, columns=[name])[name].to_pylist() for name in names}, count
    except _ERRORS as error:
        raise DataError(f"{file} cannot be read: {' '.join(str(error).split())[:160]}") from None


def _arrow_table(file: Path) -> pa.Table:
    facts = file.stat()
    return _mapped(str(file), facts.st_size, facts.st_mtime_ns)  # a file that changed is another one


@lru_cache(maxsize=256)
def _mapped(file: str, size: int, changed: int) -> pa.Table:
    """Map a file of Arrow batches, a stream as ``datasets`` writes them or a file with an index.

    Offsets are held against the bytes that are there, since a stranger's would lead anywhere.
    """
    source = pa.memory_map(file)
    try:
        table = pa.ipc.open_stream(source).read_all()
    except pa.ArrowInvalid:
        source.seek(0)
        table = pa.ipc.open_file(source).read_all()
    table.validate(full=True)
    return table
