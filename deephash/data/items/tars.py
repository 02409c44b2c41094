"""WebDataset shards as a list of items: pictures in tars, ``.cls``, ``.txt`` and ``.json`` beside them say the rest."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from deephash.collection import tables
from deephash.collection.sources import tar
from deephash.collection.sources.found import time_of
from deephash.collection.sources.shard import Shard
from deephash.data.items.item_list import ItemList, checksum_of_files, joined, told_apart
from deephash.data.split_words import split_of_name
from deephash.errors import DataError, DatasetNotFound
from deephash.progress import track

_RANGE = re.compile(r"\{(\d+)\.\.(\d+)\}")
_MOST_SHARDS = 100_000


def tar_files(path: Path) -> list[Path]:
    """Return the shards that ``path`` means: one, those of a folder, or ``train-{000..009}.tar`` and ``train-*.tar``.

    Raises DatasetNotFound where a named one is not there.
    """
    if path.is_dir():
        return sorted(file for file in path.rglob("*.tar") if file.is_file())
    if "*" in path.name:
        return sorted(path.parent.glob(path.name))
    files = [path.with_name(name) for name in _expanded(path.name)]
    absent = [file for file in files if not file.is_file()]
    if absent:
        raise DatasetNotFound(f"{absent[0].absolute()}: no such file")
    return files


def _expanded(name: str) -> list[str]:
    found = _RANGE.search(name)
    if found is None:
        return [name]
    first, last, width = int(found[1]), int(found[2]), len(found[1])
    if last - first >= _MOST_SHARDS:
        raise DataError(f"{name} means {last - first + 1:,} shards; at most {_MOST_SHARDS:,} are read")
    return [name[: found.start()] + f"{each:0{width}}" + name[found.end() :] for each in range(first, last + 1)]


def read_tars(path: Path) -> ItemList:
    """Read the shards at ``path``; a shard called ``train-...``, ``val-...`` or ``test-...`` says the split.

    Raises:
        DatasetNotFound: no such shards.
        DataError: one that cannot be read, or no pictures.
    """
    files = tar_files(path)
    found = [picture for file in files for picture in _pictures(file, path)]
    if not found:
        raise DataError(f"{path} holds no pictures: {len(files):,} tar files were looked at")
    said = [picture.beside() for picture in track(found, "reading captions and labels", unit="item")]
    values = [each for each, _ in said]
    unread = [skip for _, skips in said for skip in skips]
    split = [_first(each, tables.SPLIT) or split_of_name(at.path.name) for each, at in zip(values, found, strict=True)]
    texts = [_text(_first(each, tables.TEXT)) for each in values]
    labels = [_label(_first(each, tables.LABELS)) for each in values]
    notes = [f"{len(unread):,} files beside pictures cannot be read; the first: {unread[0].path}"] if unread else []
    return ItemList(
        source=str(path),
        names=[picture.uri for picture in found],
        checksum=checksum_of_files(files),
        pictures=found,
        texts=texts if any(texts) else None,
        labels=labels if any(labels) else None,
        split=told_apart(split),
        columns={name: [_text(each.get(name)) for each in values] for name in _columns(values)},
        notes=tuple(notes),
    )


def _pictures(file: Path, base: Path) -> Sequence[tar.TarPicture]:
    try:
        status = file.stat()
        uri = file.relative_to(base).as_posix() if base.is_dir() else file.name
        found, _, torn = tar.pictures_of(Shard(str(file), uri, status.st_size, time_of(status.st_mtime_ns)))
    except OSError as error:
        raise DataError(f"{file} cannot be read: {error.strerror or error}") from None
    if torn is not None:
        raise DataError(f"{file} is {torn.partition(';')[0]}; copy it again: training on a part would not be noticed")
    return found


def _columns(values: Sequence[dict[str, Any]]) -> list[str]:
    return sorted({name for each in values[:1000] for name in each})[:64]


def _first(values: dict[str, Any], names: Sequence[str]) -> Any:
    return next((values[name] for name in names if values.get(name) not in (None, "")), "")


def _text(value: Any) -> str:
    parts = value if isinstance(value, list) else [value]
    return " ".join(" ".join("" if part is None else str(part) for part in parts).split())


def _label(value: Any) -> str:
    return joined(value if isinstance(value, list) else [value])
