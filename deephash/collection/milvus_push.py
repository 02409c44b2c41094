"""Bring a Milvus server up to date with a collection, which stays the truth."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from hashlib import blake2b
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from deephash.codes import BinaryCodes, CodeLayout
from deephash.collection.filters import Filter
from deephash.collection.milvus_filters import microseconds, to_milvus
from deephash.collection.model_versions import ModelVersion
from deephash.collection.reader import CollectionReader
from deephash.collection.schema import CodeColumn
from deephash.errors import EngineUnavailable
from deephash.index.milvus import Connection, MilvusAddress, MilvusIndex
from deephash.index.milvus.contents import code_stamps, joined_stamps
from deephash.index.milvus.opening import index_of, table_at
from deephash.index.milvus.states import State, States, state_key
from deephash.index.milvus.syncing import Changes, apply, changes_to, stamps_on
from deephash.index.milvus.table import LONGEST_TEXT, Table, TableKind

MOST_COLUMNS = 30  # attributes: a server takes 64 fields in a table, of which each attribute has two
SOON = 10_000  # changed rows that a search brings to the server by itself
Ids = NDArray[np.int64]


@dataclass(frozen=True)
class Pushed:
    """What a push did.

    Attributes:
        table: on the server.
        written: rows that were new or changed.
        removed: rows that are gone.
        rows: now on the server.
        seconds: it took.
    """

    table: str
    written: int
    removed: int
    rows: int
    seconds: float


class CollectionContents:
    """Ids, codes and attributes of one model's rows, read once a version.

    Args:
        collection: at one version.
        space: whose codes.
    """

    def __init__(self, collection: CollectionReader, space: ModelVersion) -> None:
        self._collection = collection
        self.ids: Ids
        self.codes: BinaryCodes
        self.ids, self.codes = collection.codes(space.column)
        self._table = self._read(list(collection.attribute_kinds))
        self.kinds: Mapping[str, str] = self._told()

    def _read(self, names: list[str]) -> pa.Table:
        table = self._collection.table(names)
        held = table.column("id").to_numpy()
        return table if len(held) == len(self.ids) else table.filter(pa.array(np.isin(held, self.ids)))

    def _told(self) -> dict[str, str]:
        kinds = self._collection.attribute_kinds
        fitting = {name: kind for name, kind in kinds.items() if kind != "text" or self._longest(name) <= LONGEST_TEXT}
        return dict(list(fitting.items())[:MOST_COLUMNS])

    def _longest(self, name: str) -> int:
        return pc.max(pc.binary_length(self._table.column(name))).as_py() or 0

    def values(self, column: str, places: Ids) -> Sequence[Any]:
        """Return an attribute of the rows at ``places``; None where there is none, times in microseconds."""
        cells = self._table.column(column).take(pa.array(places)).to_pylist()
        if self.kinds[column] == "time":
            return [None if cell is None else microseconds(cell) for cell in cells]
        return list(cells)

    def stamps(self) -> NDArray[np.int64]:
        """Return a number for each row that changes with its code and every attribute."""
        return self._stamps

    @cached_property
    def _stamps(self) -> NDArray[np.int64]:
        words = [code_stamps(self.codes).view(np.uint64)]
        words += [_words(self._table.column(name)) for name in self.kinds]
        return joined_stamps(words, len(self.ids))


def _words(column: pa.ChunkedArray) -> NDArray[np.uint64]:
    """Return a number for each cell that changes with its value, and with whether it has one."""
    coded = column.combine_chunks().dictionary_encode()
    coded = coded.combine_chunks() if isinstance(coded, pa.ChunkedArray) else coded
    texts = [repr(value).encode("utf-8", "surrogatepass") for value in coded.dictionary.to_pylist()]
    hashes = np.array([*(int.from_bytes(blake2b(text, digest_size=8).digest()) for text in texts), 0], np.uint64)
    return hashes[np.asarray(coded.indices.fill_null(len(texts)), np.int64)]


# Pushing -------------------------------------------------------------------------------------------


class Pusher:
    """Brings one server up to date with one version of a collection.

    Args:
        collection: at the version wanted.
        address: of the server; named like the collection where it has no name.
    """

    def __init__(self, collection: CollectionReader, address: MilvusAddress) -> None:
        self.collection, self.address = collection, address.named(collection.path.stem)
        self.connection = Connection(self.address)
        self.states = States(self.connection)
        self.owner = f"{collection.card.created} {collection.card.created_by}"

    def push(self) -> list[Pushed]:
        """Make the tables of the address hold this version: one for each space of codes.

        Rows are upserted by id, so it may be interrupted and run again; what the server has already is not sent twice.
        A table that another model, or other columns, made gives way to a new one: it is filled beside the old one, and
        the alias, by which other clients know it, moves when it is complete.

        Raises:
            EngineUnavailable: the server does not answer, refuses, or holds another collection by that name.
        """
        pushed = [self.bring(space) for space in self.collection.spaces]
        self._settle([one.table for one in pushed])
        return pushed

    def bring(self, space: ModelVersion, at_most: int | None = None) -> Pushed:
        """Bring one space of codes up to date. Raises EngineUnavailable where more than ``at_most`` rows lack."""
        began = time.monotonic()
        state = self.state_of(space)
        contents = CollectionContents(self.collection, space)
        table = self._table(contents.codes.layout, contents.kinds, space)
        changes = self._changes(table, contents, state)
        if at_most is not None and len(changes) > at_most:
            raise self._behind(len(changes))
        done = self._state(table, contents.kinds)
        if len(changes) or state != done:
            if state is not None and state.table != table.name:  # kept in mind until the alias has moved
                self.states.put(state_key("earlier", state.table), state)
            self.states.put(self._key(space), replace(done, complete=False))
            table.create()
            apply(table, contents, changes)
            self.states.put(self._key(space), done)
        return Pushed(table.name, len(changes.places), len(changes.gone), len(contents.ids), time.monotonic() - began)

    def open(self, space: ModelVersion) -> MilvusIndex:
        """Return an index over the codes of ``space``, which are brought up to date where little is missing."""
        state = self.state_of(space)
        if state is None or not state.complete or state.version != self.collection.version:
            self.bring(space, SOON)
            state = self.state_of(space)
        assert state is not None
        table = self._table(columns_of(self.collection, space).layout, state.columns, space)
        table.create()  # loads it, where the server was started anew
        return self.index_over(table, space)

    def index_over(self, table: Table, space: ModelVersion) -> MilvusIndex:
        """Return an index over the codes of ``space`` as they stand in ``table``."""
        columns, kinds = table.kind.attributes, self.collection.attribute_kinds
        return MilvusIndex(
            self.connection,
            self.address,
            table,
            translate=lambda rule: to_milvus(rule, kinds, columns) if isinstance(rule, Filter) else None,
            ids=lambda: ids_of(self.collection, space),
        )

    def table_of(self, space: ModelVersion) -> Table:
        """Return the table that was pushed. Raises EngineUnavailable where nothing was."""
        state = self.state_of(space)
        if state is None:
            raise self._behind(len(self.collection))
        return self._table(columns_of(self.collection, space).layout, state.columns, space)

    def state_of(self, space: ModelVersion) -> State | None:
        """Return what the server was given of ``space``. Raises EngineUnavailable where another collection is there."""
        states = self.states.all()
        strangers = [one for one in states.values() if one.name == self.address.name and one.collection != self.owner]
        if strangers:
            raise EngineUnavailable(
                f"{self.address.name} on {self.address.host} holds another collection than {self.collection.path}",
                remedy=f"Give this one a name of its own: --engine {self.address}_2",
            )
        return states.get(self._key(space))

    def _key(self, space: ModelVersion) -> str:
        return state_key(self.address.name, space.fingerprint, space.column, *index_of(self.address))

    def _state(self, table: Table, columns: Mapping[str, str]) -> State:
        return State(table.name, self.address.name, self.owner, self.collection.version, True, dict(columns))

    def _table(self, layout: CodeLayout, columns: Mapping[str, str], space: ModelVersion) -> Table:
        kind = TableKind(layout, columns, space.fingerprint or "", index_of(self.address), self.address.shards)
        return table_at(self.connection, kind)

    def _changes(self, table: Table, contents: CollectionContents, state: State | None) -> Changes:
        if not table.exists():
            return Changes(np.arange(len(contents.ids)), np.empty(0, np.int64))
        if state == self._state(table, contents.kinds):
            return Changes(np.empty(0, np.int64), np.empty(0, np.int64))
        table.create()  # loads it, where the server was started anew
        return changes_to(table, contents)

    def _behind(self, rows: int) -> EngineUnavailable:
        return EngineUnavailable(
            f"{rows:,} rows of {self.collection.path} are not on the Milvus server at {self.address.host} yet",
            remedy=f"Bring it up to date: deephash collection push {self.collection.path} --engine {self.address}",
        )

    def _settle(self, tables: Sequence[str]) -> None:
        """Let the alias name the current table, and remove those of earlier models and columns."""
        self.connection.call("naming a table", lambda c, timeout: _point(c, self.address.name, tables[0], timeout))
        for key, state in self.states.all().items():
            if state.name == self.address.name and state.table not in tables:
                Table(self.connection, state.table, TableKind(CodeLayout(8), {})).drop()
                self.states.drop(key)


def _point(client: Any, alias: str, table: str, timeout: float) -> None:
    held = client.list_aliases(table, timeout=timeout)["aliases"]
    if alias in held:
        return
    try:
        client.alter_alias(table, alias, timeout=timeout)
    except Exception:  # there is none yet; whatever else is wrong, making one says it
        client.create_alias(table, alias, timeout=timeout)


def audit(table: Table, collection: CollectionReader, space: ModelVersion) -> dict[str, int]:
    """Return how many rows a table lacks (``missing``), has too much (``extra``), or has otherwise (``different``)."""
    contents = CollectionContents(collection, space)
    changes = changes_to(table, contents)
    held = stamps_on(table)[0]
    missing = len(contents.ids) - len(np.intersect1d(contents.ids, held, assume_unique=True))
    return {"missing": missing, "extra": len(changes.gone), "different": len(changes.places) - missing}


def ids_of(collection: CollectionReader, space: ModelVersion) -> Ids:
    """Return the ids of the rows that have a code of ``space``, ascending."""
    return collection.ids() if len(collection.spaces) == 1 else collection.codes(space.column)[0]


def columns_of(collection: CollectionReader, space: ModelVersion) -> CodeColumn:
    """Return what the column of ``space`` holds."""
    return collection.code_columns[space.column]
