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
from deephash.index.milvus.syncing import Changes, apply, changes_to
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
        fitting = [(name, kind) for name, kind in kinds.items() if self._fits(name, kind)]
        return dict(fitting[:MOST_COLUMNS])

    def _fits(self, name: str, kind: str) -> bool:
        """Say whether a server takes every value, and compares them as the collection does: it does not with NaN."""
        column = self._table.column(name)
        if kind == "number":
            return bool(pc.all(pc.is_finite(column), min_count=0).as_py())
        return kind != "text" or (pc.max(pc.binary_length(column)).as_py() or 0) <= LONGEST_TEXT

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

        Every row is compared and upserted by id, so it may be interrupted and run again; what the server has already is
        not sent twice, and what somebody else changed there is mended. A table that another model, or other columns,
        made gives way to a new one: it is filled beside the old one, and the alias, by which other clients know it,
        moves when it is complete. The old one goes at the push after that, when nobody asks it any more.

        Raises:
            EngineUnavailable: the server does not answer, refuses, holds another collection by that name, or a newer
                version of this one.
        """
        before = self.states.all()
        pushed = [self.bring(space) for space in self.collection.spaces]
        self._settle([one.table for one in pushed], before)
        return pushed

    def bring(self, space: ModelVersion, at_most: int | None = None) -> Pushed:
        """Bring one space of codes up to date. Raises EngineUnavailable where more than ``at_most`` rows lack."""
        began = time.monotonic()
        state = self.state_of(space)
        if at_most is not None:
            self._require_few(space, state, at_most)
        contents = CollectionContents(self.collection, space)
        table = self._table(contents.codes.layout, contents.kinds, space)
        changes = self._changes(table, contents)
        if at_most is not None and len(changes) > at_most:
            raise self._behind(len(changes))
        done = self._state(table, contents.kinds)
        if len(changes) or state != done:
            if state is not None and state.table != table.name:  # kept in mind until the alias has moved
                self.states.put(state_key("earlier", state.table), state)
            self._write(self._key(space), table, contents, changes, done)
        return Pushed(table.name, len(changes.places), len(changes.gone), table.count(), time.monotonic() - began)

    def _write(self, key: str, table: Table, contents: CollectionContents, changes: Changes, done: State) -> None:
        begun = replace(done, complete=False)
        self.states.put(key, begun)
        table.create()
        apply(table, contents, changes)
        if self.states.all().get(key) not in (begun, done):
            raise EngineUnavailable(
                f"somebody else pushed to {self.address.name} on {self.address.host} at the same time",
                remedy=f"Compare once more: deephash collection push {self.collection.path} --engine {self.address}",
            )
        self.states.put(key, done)

    def open(self, space: ModelVersion) -> MilvusIndex:
        """Return an index over the codes of ``space``, which are brought up to date where little is missing."""
        state, wanted = self.state_of(space), len(ids_of(self.collection, space))
        current = state is not None and state.complete and state.version == self.collection.version
        if not current or self._held(state, space) != wanted:
            self.bring(space, SOON)
            state = self.state_of(space)
        assert state is not None
        table = self._table_in(state, space)
        table.create()  # loads it, where the server was started anew
        return self.index_over(table, space)

    def _held(self, state: State | None, space: ModelVersion) -> int:
        """Return how many rows the table of a state has; 0 where there is none."""
        table = None if state is None else self._table_in(state, space)
        if table is None or not table.exists():
            return 0
        table.create()  # loads it, where the server was started anew
        return table.count()

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
        return self._table_in(state, space)

    def state_of(self, space: ModelVersion) -> State | None:
        """Return what the server was given of ``space``.

        Raises:
            EngineUnavailable: another collection is there by that name, or a newer version of this one.
        """
        states = self.states.all()
        strangers = [one for one in states.values() if one.name == self.address.name and one.collection != self.owner]
        if strangers:
            other = replace(self.address, name=f"{self.address.name}_2")
            raise EngineUnavailable(
                f"{self.address.name} on {self.address.host} holds another collection than {self.collection.path}",
                remedy=f"Give this one a name of its own: --engine {other}",
            )
        state = states.get(self._key(space))
        if state is not None and state.version > self.collection.version:
            raise EngineUnavailable(
                f"{self.address.name} on {self.address.host} holds version {state.version} of {self.collection.path}, "
                f"and this is version {self.collection.version}",
                remedy="Open the collection again; nothing was changed.",
            )
        return state

    def _require_few(self, space: ModelVersion, state: State | None, at_most: int) -> None:
        """Raise EngineUnavailable where counts alone tell that too much is missing; comparing rows takes long."""
        lacking = abs(len(ids_of(self.collection, space)) - self._held(state, space))
        if lacking > at_most:
            raise self._behind(lacking)

    @property
    def _index(self) -> str:
        return " ".join(map(str, index_of(self.address)))

    def _key(self, space: ModelVersion) -> str:
        return state_key(self.address.name, space.fingerprint, space.column, *index_of(self.address))

    def _state(self, table: Table, columns: Mapping[str, str]) -> State:
        version = self.collection.version
        return State(table.name, self.address.name, self.owner, version, True, dict(columns), self._index)

    def _table(self, layout: CodeLayout, columns: Mapping[str, str], space: ModelVersion) -> Table:
        kind = TableKind(layout, columns, space.fingerprint or "", index_of(self.address), self.address.shards)
        return table_at(self.connection, kind)

    def _table_in(self, state: State, space: ModelVersion) -> Table:
        table = self._table(columns_of(self.collection, space).layout, state.columns, space)
        return Table(self.connection, state.table, table.kind)

    def _changes(self, table: Table, contents: CollectionContents) -> Changes:
        if not table.exists():
            return Changes.all_of(contents)
        table.create()  # loads it, where the server was started anew
        return changes_to(table, contents)

    def _behind(self, rows: int) -> EngineUnavailable:
        return EngineUnavailable(
            f"{rows:,} rows of {self.collection.path} are not on the Milvus server at {self.address.host} yet",
            remedy=f"Bring it up to date: deephash collection push {self.collection.path} --engine {self.address}",
        )

    def _settle(self, tables: Sequence[str], before: Mapping[str, State]) -> None:
        """Let the alias name the current table, and remove those that had given way before this push began."""
        self.connection.call("naming a table", lambda c, timeout: _point(c, self.address.name, tables[0], timeout))
        keys = {self._key(space) for space in self.collection.spaces}
        for key, state in before.items():
            mine = state.name == self.address.name and state.index == self._index and state.table not in tables
            earlier = state_key("earlier", state.table)
            if mine and key == earlier:
                Table(self.connection, state.table, TableKind(CodeLayout(8), {})).drop()
                self.states.drop(key)
            elif mine and key not in keys:  # of a model before this one
                self.states.put(earlier, state)
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
    found = changes_to(table, CollectionContents(collection, space))
    return {"missing": found.missing, "extra": len(found.gone), "different": len(found.places) - found.missing}


def ids_of(collection: CollectionReader, space: ModelVersion) -> Ids:
    """Return the ids of the rows that have a code of ``space``, ascending."""
    return collection.ids() if len(collection.spaces) == 1 else collection.codes(space.column)[0]


def columns_of(collection: CollectionReader, space: ModelVersion) -> CodeColumn:
    """Return what the column of ``space`` holds."""
    return collection.code_columns[space.column]
