"""Parquet files with pictures in a column: those of img2dataset (bytes) and of Hugging Face datasets (bytes and path).

Only bytes are read; the ``path`` beside them names a file of another machine and is never opened.
"""

from __future__ import annotations

import json
import threading
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa

from deephash.collection.sources.extras import as_attributes
from deephash.collection.sources.found import UNKNOWN, Extras
from deephash.collection.sources.shard import Shard, ShardPicture, require_readable
from deephash.collection.sources.store import is_address
from deephash.errors import UnreadablePicture

NAMES = ("image", "jpg", "jpeg", "png", "webp", "img", "picture", "image_bytes", "bytes", "content")
WINDOW = 16  # rows read at once
KEPT = 96 << 20  # bytes of pictures of a file that are kept: threads ask for rows that lie apart by a few batches
_ERRORS = (pa.ArrowException, OSError, ValueError, KeyError, IndexError, OverflowError)


class Columns(NamedTuple):
    """Which columns of a file are read.

    Attributes:
        picture: the column of pictures.
        nested: it is a struct with a field ``bytes``.
        others: columns of plain values.
        classes: {column: names of its numbers}, as Hugging Face datasets note them.
    """

    picture: str
    nested: bool
    others: tuple[str, ...]
    classes: Mapping[str, list[str]]


@dataclass(frozen=True)
class ParquetPicture(ShardPicture):
    """A row of a Parquet file; its size is known once it was read."""

    row: int

    def read(self) -> bytes:
        """Return the picture's content. Raises UnreadablePicture."""
        data = self._values()[0]
        if data is None:
            raise UnreadablePicture("the row holds no bytes")
        require_readable(len(data))
        return data

    def extras(self) -> Extras:
        """Return the values of the other columns."""
        return Extras(as_attributes(self._values()[1]))

    def _values(self) -> Values:
        try:
            return reader_of(self.shard).row(self.row)
        except _ERRORS as error:
            raise UnreadablePicture(f"the row cannot be read: {' '.join(str(error).split())[:160]}") from None


Values = tuple[bytes | None, dict[str, Any]]


def pictures_of(shard: Shard) -> list[ParquetPicture]:
    """Return one for each row of a file; no row is read. Raises UnreadablePicture with the reason."""
    rows = reader_of(shard).rows
    return [_picture(shard, row) for row in range(rows)]


def find_picture(shard: Shard, name: str) -> ParquetPicture:
    """Return the picture of one row. Raises FileNotFoundError, UnreadablePicture."""
    if not (name.isascii() and name.isdecimal() and str(int(name)) == name and int(name) < reader_of(shard).rows):
        raise FileNotFoundError(2, f"no such row of {Path(shard.where).name}")
    return _picture(shard, int(name))


@lru_cache(maxsize=8)
def reader_of(shard: Shard) -> ParquetReader:
    """Return the open file. Raises UnreadablePicture where it holds no pictures or cannot be read."""
    try:
        return ParquetReader(shard)
    except _ERRORS as error:
        raise UnreadablePicture(f"no Parquet file that can be read: {' '.join(str(error).split())[:160]}") from None


class ParquetReader:
    """Rows by number, read forwards in windows; a row before the last ones starts its row group anew.

    Several threads may ask at once; they mostly ask for rows that lie near each other.
    """

    def __init__(self, shard: Shard) -> None:
        import pyarrow.parquet as pq  # most collections have no such file

        source = shard.open() if is_address(shard.where) else shard.where
        self._file = pq.ParquetFile(source, pre_buffer=False, buffer_size=1 << 20)
        facts = self._file.metadata
        groups = [facts.row_group(group).num_rows for group in range(facts.num_row_groups)]
        self.rows = sum(groups)
        if min(groups, default=0) < 0 or self.rows > shard.size:  # a picture takes a byte at least
            raise ValueError(f"it says that it has {self.rows:,} rows in {shard.size:,} bytes")
        self.columns = columns_of(self._file.schema_arrow)
        self._starts = [sum(groups[:group]) for group in range(len(groups) + 1)]
        self._windows: OrderedDict[int, list[Values]] = OrderedDict()
        self._ahead: Iterator[tuple[int, list[Values]]] = iter(())
        self._group, self._next = -1, 0
        self._lock = threading.Lock()

    def row(self, number: int) -> Values:
        """Return bytes and further values of a row. Raises what Arrow raises for damaged pages."""
        with self._lock:
            while (found := self._kept(number)) is None:
                group = max(at for at, start in enumerate(self._starts[:-1]) if start <= number)
                if self._group != group or self._next > number:
                    self._ahead, self._group, self._next = self._windows_of(group), group, self._starts[group]
                start, rows = next(self._ahead, (-1, []))
                if not rows:
                    self._group = -1
                    raise ValueError("the row group ends before it")
                self._windows[start], self._next = rows, start + len(rows)
                self._forget()
            return found

    def _forget(self) -> None:
        sizes = [sum(len(data or b"") for data, _ in rows) for rows in self._windows.values()]
        while len(sizes) > 2 and sum(sizes) > KEPT:
            self._windows.popitem(last=False)
            sizes.pop(0)

    def _kept(self, number: int) -> Values | None:
        for start, rows in self._windows.items():
            if start <= number < start + len(rows):
                return rows[number - start]
        return None

    def _windows_of(self, group: int) -> Iterator[tuple[int, list[Values]]]:
        start, wanted = self._starts[group], [self.columns.picture, *self.columns.others]
        for batch in self._file.iter_batches(WINDOW, row_groups=[group], columns=wanted):
            yield start, [self._values(row) for row in batch.to_pylist()]
            start += batch.num_rows

    def _values(self, row: dict[str, Any]) -> Values:
        picture = row.pop(self.columns.picture, None)
        data = (picture or {}).get("bytes") if self.columns.nested else picture
        for name, names in self.columns.classes.items():
            place = row.get(name)
            row[name] = names[place] if isinstance(place, int) and 0 <= place < len(names) else place
        return data, row


def columns_of(schema: pa.Schema) -> Columns:
    """Return which columns hold the pictures and what is said of them. Raises UnreadablePicture for none."""
    kinds = {field.name: field.type for field in schema}
    nested = [name for name, kind in kinds.items() if pa.types.is_struct(kind) and _has_bytes(kind)]
    plain = [name for name in NAMES if name in kinds and _is_bytes(kinds[name])]
    if not nested and not plain:
        raise UnreadablePicture(f"no column of pictures (it has: {', '.join(kinds)[:120]})")
    picture = sorted(nested, key=lambda name: (name not in NAMES, name))[0] if nested else plain[0]
    others = tuple(name for name, kind in kinds.items() if name != picture and _is_plain(kind))
    return Columns(picture, bool(nested), others, _classes(schema))


def _has_bytes(kind: pa.StructType) -> bool:
    place = kind.get_field_index("bytes")
    return place >= 0 and _is_bytes(kind.field(place).type)


def _is_bytes(kind: pa.DataType) -> bool:
    return bool(pa.types.is_binary(kind) or pa.types.is_large_binary(kind))


def _is_plain(kind: pa.DataType) -> bool:
    types = pa.types
    tests = (types.is_integer, types.is_floating, types.is_boolean, types.is_string, types.is_large_string)
    return any(test(kind) for test in (*tests, types.is_timestamp))


def _classes(schema: pa.Schema) -> dict[str, list[str]]:
    """Return the names of classes that Hugging Face datasets write into the schema; nothing where they are not."""
    try:
        features = json.loads((schema.metadata or {})[b"huggingface"])["info"]["features"]
        found = {name: one["names"] for name, one in features.items() if one.get("_type") == "ClassLabel"}
    except (KeyError, ValueError, TypeError, AttributeError, RecursionError):
        return {}
    return {
        name: [str(each) for each in names]
        for name, names in found.items()
        if isinstance(names, list) and name in schema.names
    }


def _picture(shard: Shard, row: int) -> ParquetPicture:
    return ParquetPicture(Path(shard.where), f"{shard.uri}/{row}", UNKNOWN, shard.mtime, shard, row)
