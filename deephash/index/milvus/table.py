"""A table on the server: what its fields are, how rows are written, and how they are counted and read again."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deephash.codes import BinaryCodes, CodeLayout
from deephash.index.milvus.connection import Connection, client_module

ID, CODE, DRAW, STAMP = "id", "code", "draw", "stamp"
DRAWS = 1 << 30  # each row has a number below it, drawn by its id, so that a share of any selection can be read
LONGEST_TEXT = 65_535  # bytes, what Milvus takes
PAGE = 16_384  # rows of one answer at most
Ids = NDArray[np.int64]


@dataclass(frozen=True)
class TableKind:
    """What a table holds; two that differ have different names on the server.

    Attributes:
        layout: of the codes; one level.
        attributes: {column: text, integer, number, yes/no or time} that can be filtered by.
        made_by: fingerprint of the model.
        index: what Milvus calls the index, with its options.
        shards: parts that the server spreads the rows of a new table over.
    """

    layout: CodeLayout
    attributes: Mapping[str, str]
    made_by: str = ""
    index: tuple[str, int] = ("BIN_FLAT", 0)
    shards: int = 1

    def __post_init__(self) -> None:
        self.layout.require_flat("an index on a Milvus server")

    @property
    def key(self) -> str:
        """Digits that change with what rows hold, and with the index."""
        facts = [self.layout.num_bits, sorted(self.attributes.items()), self.made_by, self.index]
        return sha256(json.dumps(facts).encode()).hexdigest()[:12]


def value_field(column: str) -> str:
    """Return the field that holds an attribute; Milvus has words of its own that no field may be called."""
    return f"at_{column}"


def set_field(column: str) -> str:
    """Return the field that says whether a row has the attribute: servers before 2.5 know no missing values."""
    return f"has_{column}"


class Table:
    """One table on the server.

    Args:
        connection: to the server.
        name: of the table itself, not of an alias.
        kind: what it holds.
    """

    def __init__(self, connection: Connection, name: str, kind: TableKind) -> None:
        self._connection, self.name, self.kind = connection, name, kind

    def exists(self) -> bool:
        """Say whether the server has it."""
        return bool(
            self._connection.call(
                "looking for a table", lambda c, timeout: c.has_collection(self.name, timeout=timeout)
            )
        )

    def create(self) -> None:
        """Make it, empty and ready to be searched; what is there already is only loaded."""
        if not self.exists():
            self._connection.call("making a table", self._create)
        self._connection.call("making an index", self._index)
        self._connection.call("loading a table", lambda c, timeout: c.load_collection(self.name, timeout=10 * timeout))

    def drop(self) -> None:
        """Remove it from the server."""
        self._connection.call("removing a table", lambda c, timeout: c.drop_collection(self.name, timeout=timeout))

    def _create(self, client: Any, timeout: float) -> None:
        kinds = client_module().DataType
        schema = client.create_schema(auto_id=False, enable_dynamic_field=False, description="codes of deephash")
        schema.add_field(ID, kinds.INT64, is_primary=True)
        schema.add_field(CODE, kinds.BINARY_VECTOR, dim=8 * self.kind.layout.width)
        schema.add_field(DRAW, kinds.INT64)
        schema.add_field(STAMP, kinds.INT64)
        types = {"text": kinds.VARCHAR, "integer": kinds.INT64, "number": kinds.DOUBLE}
        types |= {"yes/no": kinds.BOOL, "time": kinds.INT64}
        for column, kind in self.kind.attributes.items():
            options = {"max_length": LONGEST_TEXT} if kind == "text" else {}
            schema.add_field(value_field(column), types[kind], **options)
            schema.add_field(set_field(column), kinds.BOOL)
        client.create_collection(
            self.name, schema=schema, num_shards=self.kind.shards, consistency_level="Strong", timeout=timeout
        )

    def _index(self, client: Any, timeout: float) -> None:
        if client.list_indexes(self.name, timeout=timeout):
            return
        name, lists = self.kind.index
        wanted = client.prepare_index_params()
        wanted.add_index(CODE, index_type=name, metric_type="HAMMING", params={"nlist": lists} if lists else {})
        client.create_index(self.name, wanted, timeout=10 * timeout)

    # Rows ------------------------------------------------------------------------------------------

    def put(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Write rows; one whose id is known is replaced."""
        self._connection.call("writing rows", lambda c, timeout: c.upsert(self.name, list(rows), timeout=timeout))

    def remove(self, ids: Ids) -> None:
        """Remove rows; ids that are not there are passed over."""
        for start in range(0, len(ids), PAGE):
            gone = ids[start : start + PAGE].tolist()
            self._connection.call(
                "removing rows", lambda c, timeout, gone=gone: c.delete(self.name, ids=gone, timeout=timeout)
            )

    def count(self, where: str = "") -> int:
        """Return how many rows pass an expression; all by default."""
        found = self._query(where, ["count(*)"], "Strong")
        return int(found[0]["count(*)"])

    def read(self, where: str, fields: Sequence[str], *, consistency: str = "Strong") -> list[dict[str, Any]]:
        """Return fields of the rows that pass an expression, at most ``PAGE`` of them."""
        return self._query(where, list(fields), consistency, limit=PAGE)

    def pages(self, fields: Sequence[str]) -> Iterator[list[dict[str, Any]]]:
        """Yield fields of all rows, by ascending id, ``PAGE`` at a time."""
        rows = self._connection.call(
            "reading rows",
            lambda c, timeout: c.query_iterator(
                self.name,
                batch_size=PAGE,
                filter="",
                output_fields=[ID, *fields],
                timeout=timeout,
                consistency_level="Strong",
            ),
        )
        try:
            while page := self._connection.call("reading rows", lambda c, timeout: rows.next()):
                yield list(page)
        finally:
            rows.close()

    def _query(self, where: str, fields: list[str], consistency: str, **options: Any) -> list[dict[str, Any]]:
        return list(
            self._connection.call(
                "reading rows",
                lambda c, timeout: c.query(
                    self.name,
                    filter=where,
                    output_fields=fields,
                    consistency_level=consistency,
                    timeout=timeout,
                    **options,
                ),
            )
        )

    def codes_of(self, ids: Ids) -> tuple[Ids, BinaryCodes]:
        """Return (ids that are there, ascending; their codes)."""
        found: list[dict[str, Any]] = []
        for start in range(0, len(ids), PAGE // 4):
            listed = ", ".join(map(str, ids[start : start + PAGE // 4].tolist()))
            found += self.read(f"{ID} in [{listed}]", [ID, CODE])
        return _as_codes(found, self.kind.layout)


def _as_codes(rows: Sequence[Mapping[str, Any]], layout: CodeLayout) -> tuple[Ids, BinaryCodes]:
    ids = np.array([row[ID] for row in rows], np.int64)
    packed = np.frombuffer(b"".join(code_of(row) for row in rows), np.uint8).reshape(-1, layout.width)
    order = np.argsort(ids, kind="stable")
    return ids[order], BinaryCodes(packed[order], layout.num_bits)


def code_of(row: Mapping[str, Any]) -> bytes:
    """Return the code of a row as it came from the server."""
    value = row[CODE]
    return bytes(value[0] if isinstance(value, list) else value)


def draw_of(ids: Ids) -> NDArray[np.int64]:
    """Return a number below ``DRAWS`` for each id, spread evenly, and always the same."""
    return (mixed(ids.astype(np.uint64)) % np.uint64(DRAWS)).astype(np.int64)


def mixed(words: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Mix the bits of 64-bit words (the finalizer of MurmurHash3)."""
    with np.errstate(over="ignore"):
        words = (words ^ (words >> np.uint64(33))) * np.uint64(0xFF51AFD7ED558CCD)
        words = (words ^ (words >> np.uint64(33))) * np.uint64(0xC4CEB9FE1A85EC53)
        return words ^ (words >> np.uint64(33))
