"""Rows: the Lance data set of a collection. Nothing else in deephash speaks to Lance."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Self, cast

import lance
import numpy as np
import pyarrow as pa
from numpy.typing import ArrayLike, NDArray

from deephash.collection.schema import ID, code_columns, is_vectors, require_columns
from deephash.collection.stored.copying import sizes_of_rows
from deephash.collection.stored.places import address_of
from deephash.collection.stored.places import options as storage_options
from deephash.errors import CollectionDamaged, CollectionError, FormatTooNew, UsageError
from deephash.foreign import refused_as, require_plausible
from deephash.foreign.names import is_utf8, printable

Ids = NDArray[np.int64]
_RECAST = "recast__"  # prefix of a column that is about to take its old one's place
_BROKEN = (ValueError, OSError, RuntimeError, pa.ArrowException)


@dataclass(frozen=True)
class CollectionVersion:
    """One commit: its number, local time, and how many rows it has."""

    version: int
    time: datetime
    num_rows: int


class Rows:
    """One version of the rows; writing moves on to the new version.

    Every write is one atomic commit: a reader, or whoever opens the folder after a crash, sees all of it or nothing.
    """

    def __init__(self, path: Path, data: lance.LanceDataset) -> None:
        self.before_commit: Callable[[], None] | None = None  # what has to be in place before a change is seen
        self._path = path
        self._data = data
        self._places: tuple[Ids, Ids | None] | None = None

    @classmethod
    def create(cls, path: Path, schema: pa.Schema) -> Self:
        """Write an empty data set. Raises UsageError where rows lie already."""
        uri, options = _place(path)
        mode = "create"
        if options is not None and (left := _left_behind(uri, options)) is not None:
            if left.count_rows():
                raise UsageError(f"{uri} holds rows already, without the card of a collection; choose another name")
            mode = "overwrite"  # somebody was interrupted while making it
        return cls(path, lance.write_dataset(schema.empty_table(), uri, mode=mode, storage_options=options))

    @classmethod
    def open(cls, path: Path, version: int | None = None) -> Self:
        """Open the latest version, or an earlier one. Raises CollectionDamaged, FormatTooNew or UsageError."""
        require_utf8(path.parent)
        uri, options = _place(path)
        if options is None and not path.is_dir():
            raise CollectionDamaged(f"{path} is missing: the rows of the collection. Restore it from a copy")
        data = _guarded(path, lambda: lance.dataset(uri, storage_options=options))
        if version is not None:
            known = [int(entry["version"]) for entry in _guarded(path, data.versions)]
            if version not in known:
                raise UsageError(f"{path.parent} has no version {version}; it keeps {_spans(known)}")
            data = _guarded(path, lambda: data.checkout_version(version))
        _guarded(path, lambda: _require_sound(data, path))
        return cls(path, data)

    # Reading ---------------------------------------------------------------------------------------

    def __len__(self) -> int:
        return int(self._data.count_rows())

    @property
    def schema(self) -> pa.Schema:
        """The columns."""
        return self._data.schema

    @property
    def version(self) -> int:
        """Number of this version."""
        return int(self._data.version)

    @property
    def stamp(self) -> tuple[int, str]:
        """What no other version has, even of a collection that was made anew in this place: files have random names."""
        files = [file.path for fragment in self._data.get_fragments()[-1:] for file in fragment.metadata.files]
        return self.version, " ".join(files)

    def is_latest(self) -> bool:
        """Say whether nobody has committed anything since; reads the names of the versions, and no rows."""
        return int(_guarded(self._path, lambda: self._data.latest_version)) == self.version

    @property
    def num_files(self) -> int:
        """Fragments, each of one commit, until they are compacted."""
        return len(self._data.get_fragments())

    def read(self, names: Sequence[str], where: str | None = None) -> pa.Table:
        """Return columns of all rows, or of those that pass the SQL of a filter, in the order they lie on disk."""
        return _guarded(self._path, lambda: self._data.to_table(columns=list(names), filter=where))

    def batches(self, names: Sequence[str]) -> Iterator[pa.RecordBatch]:
        """Yield columns of all rows, a few thousand at a time."""
        source = _guarded(self._path, lambda: iter(self._data.to_batches(columns=list(names))))
        while (batch := _guarded(self._path, lambda: next(source, None))) is not None:
            yield batch

    def ids(self) -> Ids:
        """Return all ids, ascending."""
        return self._sorted_ids()[0]

    def take(self, ids: ArrayLike, names: Sequence[str]) -> pa.Table:
        """Return columns of the rows with these ids, in the order given. Raises UsageError for an unknown id."""
        wanted = np.atleast_1d(np.asarray(ids, dtype=np.int64))
        known, order = self._sorted_ids()
        places = np.searchsorted(known, wanted)
        found = places < len(known)
        found[found] = known[places[found]] == wanted[found]
        if not found.all():
            raise UsageError(f"no row with id {wanted[~found][0]} in {self._path.parent} ({len(known):,} rows)")
        offsets, back = np.unique(places if order is None else order[places], return_inverse=True)
        if not len(offsets):
            return self.schema.empty_table().select(list(names))
        table = _guarded(self._path, lambda: self._data.take(offsets, columns=list(names)))
        return table.take(pa.array(back.reshape(-1)))

    def versions(self) -> list[CollectionVersion]:
        """Return every version that is kept, oldest first."""
        return [
            CollectionVersion(entry["version"], entry["timestamp"], int(entry["metadata"].get("total_rows", 0)))
            for entry in cast("list[dict[str, Any]]", _guarded(self._path, self._data.versions))
        ]

    def copy_to(self, path: Path) -> None:
        """Write the rows of this version, and nothing of earlier ones, as a data set in a new folder."""
        batches = pa.RecordBatchReader.from_batches(self.schema, self.batches(self.schema.names))
        _guarded(self._path, lambda: lance.write_dataset(batches, str(path), mode="create"))

    def check(self) -> None:
        """Read every column of every row. Raises CollectionDamaged at the first thing that cannot be read."""
        _guarded(self._path, self._data.validate)
        for batch in self.batches(self.schema.names):
            batch.validate()

    def _sorted_ids(self) -> tuple[Ids, Ids | None]:
        """Return ids ascending, and where each lies on disk (None where they lie in that order)."""
        if self._places is None:
            column = self.read([ID]).column(ID)
            ids, order = column.to_numpy(), None
            if not bool((ids[1:] > ids[:-1]).all()):
                order = np.argsort(ids, kind="stable")
                ids = ids[order]
            if column.null_count or (ids[1:] == ids[:-1]).any() or (len(ids) and ids[0] < 0):
                raise CollectionDamaged(
                    f"{self._path.parent} holds an id twice, below 0, or not at all; restore an earlier version"
                )
            self._places = ids, order
        return self._places

    def remember(self, earlier: Rows) -> None:
        """Take over where the ids are from rows that were opened before, if these are the same version."""
        if self._places is None and earlier._places is not None and earlier.stamp == self.stamp:
            self._places = earlier._places

    # Writing ---------------------------------------------------------------------------------------

    def insert(self, table: pa.Table) -> None:
        """Add rows; columns that are not in ``table`` stay empty."""
        places, new = self._places, table.column(ID).to_numpy()
        self._commit(lambda: lance.write_dataset(table, self._data, mode="append"))
        if places is not None and places[1] is None and _go_on(places[0], new):
            self._places = np.concatenate([places[0], new]), None

    def merge(self, table: pa.Table) -> None:
        """Replace, by id, the values of the columns in ``table``; add rows with new ids if every column is there."""

        def write() -> None:
            builder = self._data.merge_insert(ID).when_matched_update_all()
            if set(table.column_names) == set(self.schema.names):
                builder = builder.when_not_matched_insert_all()
            builder.execute(table)

        self._commit(write)

    def delete(self, ids: Ids) -> None:
        """Remove rows by id."""
        table = pa.table({ID: pa.array(ids, pa.int64())}, pa.schema([self.schema.field(ID)]))
        self._commit(lambda: self._data.merge_insert(ID).when_matched_delete().execute(table))

    def add_columns(self, fields: Sequence[pa.Field]) -> None:
        """Add empty columns."""
        if fields:
            self._commit(lambda: self._data.add_columns(pa.schema(fields)))

    def fill_column(self, name: str, value: int) -> None:
        """Add a column of integers that says the same of every row there is; rows that come may leave it empty."""
        kind = pa.schema([pa.field(name, pa.int64())])

        @lance.batch_udf(output_schema=kind)
        def filled(batch: pa.RecordBatch) -> pa.RecordBatch:
            return pa.record_batch([pa.array(np.full(batch.num_rows, value, np.int64))], schema=kind)

        self._commit(lambda: self._data.add_columns(filled, read_columns=[ID]))

    def note(self, facts: dict[str, str]) -> None:
        """Set metadata of the schema; it is of this version, like the rows."""
        self._commit(lambda: self._data.update_schema_metadata({**facts}))

    def drop_column(self, name: str) -> None:
        """Forget a column; earlier versions keep it."""
        self._commit(lambda: self._data.drop_columns([name]))

    def recast(self, name: str, kind: pa.DataType) -> None:
        """Cast a column to another type. Lance cannot in one commit: a copy is made, and takes the old one's name."""
        kept = _RECAST + name
        sql = {pa.string(): "string", pa.float64(): "double"}[kind]
        self._commit(lambda: self._data.add_columns({kept: f"cast({name} as {sql})"}))
        self.finish_recasting()

    def finish_recasting(self) -> None:
        """Let copies of columns take their place; a writer that was killed may have left one."""
        for kept in [name for name in self.schema.names if name.startswith(_RECAST)]:
            name = kept.removeprefix(_RECAST)
            if name in self.schema.names:
                self.drop_column(name)
            self.rename_column(kept, name)

    def rename_column(self, old: str, new: str) -> None:
        """Give a column another name."""
        change = cast("Any", {"path": old, "name": new})
        self._commit(lambda: self._data.alter_columns(change))

    def compact(self, forget_older_than: timedelta | None) -> None:
        """Join small files and drop removed rows from them; optionally delete old versions and what only they used."""
        self._commit(self._data.optimize.compact_files)
        if forget_older_than is not None:
            self._commit(lambda: self._data.cleanup_old_versions(older_than=forget_older_than))

    def restore(self, version: int) -> None:
        """Make an earlier version the latest, as a new commit."""
        self._commit(lambda: Rows.open(self._path, version)._data.restore())

    def _commit(self, write: Callable[[], Any]) -> None:
        uri, options = _place(self._path)
        if self.before_commit is not None:
            self.before_commit()
        try:
            write()
        except (OSError, RuntimeError) as error:
            raise CollectionError(f"{self._path.parent}: nothing of this change was kept: {_cause(error)}") from error
        finally:
            self._data, self._places = lance.dataset(uri, storage_options=options), None


def _place(path: Path) -> tuple[str, dict[str, str] | None]:
    """Return where the rows are, and what Lance is to know of the object store; None for a folder."""
    address = address_of(path.parent)
    return (str(path), None) if address is None else (f"{address}/{path.name}", storage_options())


def _left_behind(uri: str, options: dict[str, str]) -> lance.LanceDataset | None:
    try:
        return lance.dataset(uri, storage_options=options)
    except ValueError:  # there is nothing
        return None


def _go_on(ids: Ids, new: Ids) -> bool:
    """Say whether ``new`` ids ascend, and from above ``ids``, which do."""
    return bool((new[1:] > new[:-1]).all()) and (not len(ids) or not len(new) or bool(new[0] > ids[-1]))


def require_utf8(collection: Path) -> None:
    """Raise UsageError for a path that Lance can neither write nor read."""
    if not is_utf8(str(collection.absolute())):
        raise UsageError(
            f"{printable(collection)}: no collection can lie below a name that is not valid UTF-8; choose another place"
        )


def _guarded(path: Path, read: Callable[[], Any]) -> Any:
    """Run ``read`` and turn what Lance raises about broken files into our errors."""
    try:
        return read()
    except BaseException as error:
        if not isinstance(error, _BROKEN) and type(error).__name__ != "PanicException":  # how Rust's panics arrive
            raise
        text = str(error)
        if "feature" in text.lower() and "support" in text.lower():
            raise FormatTooNew(
                f"{path} was written by a newer Lance: {text}. Upgrade: pip install --upgrade pylance"
            ) from error
        raise CollectionDamaged(
            f"{path} cannot be read: {_cause(error)}. See which versions still open with: deephash collection versions "
            f"{path.parent}, and go back with: deephash collection restore {path.parent} VERSION"
        ) from error


def _require_sound(data: lance.LanceDataset, path: Path) -> None:
    """Raise CollectionDamaged where rows lie outside their folder, or are more than their files can hold."""
    require_columns(data.schema, path)
    files = [file for fragment in data.get_fragments() for file in fragment.metadata.files]
    if data.base_paths() or any(Path(file.path).name != file.path for file in files):
        raise CollectionDamaged(f"{path} names files outside of itself; export the collection where it was made")
    widths = [8] + [each.layout.width for each in code_columns(data.schema).values()]
    widths += [2 * int(each.type.list_size) for each in data.schema if is_vectors(each)]
    on_disk = _bytes_of([file.path for file in files], path)
    with refused_as(CollectionDamaged, "restore an earlier version, or the folder from a copy"):
        require_plausible(int(data.count_rows()) * sum(widths), on_disk, path, expansion=20)


def _bytes_of(names: Sequence[str], path: Path) -> int:
    address = address_of(path.parent)
    if address is None:
        return sum((path / "data" / name).stat().st_size for name in names)
    sizes = sizes_of_rows(address)
    return sum(sizes.get(name, 0) for name in names)


def _cause(error: BaseException) -> str:
    text = str(error)
    return (
        "the disk is full; free some space and run it again"
        if "No space left" in text
        else " ".join(text.split(", /")[0].split())[:300]
    )


def _spans(numbers: list[int]) -> str:
    return f"versions {numbers[0]} to {numbers[-1]} ({len(numbers)} of them)" if numbers else "no versions"
