"""What a server was given of each collection: a small table of its own, so that whoever opens one can tell."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from hashlib import sha256
from typing import Any

from deephash.index.milvus.connection import Connection, client_module
from deephash.index.milvus.table import PAGE

TABLE = "deephash_tables"
_LONGEST = 65_535


@dataclass(frozen=True)
class State:
    """What a table was given.

    Attributes:
        table: on the server.
        name: of the address that it was pushed to.
        collection: whose rows they are; two collections never share a table.
        version: of the collection.
        complete: whether all of that version is there; if not, a push was interrupted.
        columns: {attribute: kind} that the table has.
        index: what Milvus calls the index, with its lists.
    """

    table: str
    name: str
    collection: str
    version: int
    complete: bool
    columns: dict[str, str]
    index: str


def state_key(*facts: object) -> str:
    """Return the key under which the state of what ``facts`` tell is kept."""
    return sha256(json.dumps(facts).encode()).hexdigest()[:32]


class States:
    """Reads and writes the states of one server's tables."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def all(self) -> dict[str, State]:
        """Return {key: state} of everything that was pushed to the server."""
        if not self._connection.call("looking for tables", lambda c, timeout: c.has_collection(TABLE, timeout=timeout)):
            return {}
        rows = self._connection.call("reading what was pushed", self._read)
        return {row["key"]: State(**json.loads(row["state"])) for row in rows}

    def put(self, key: str, state: State) -> None:
        """Write a state."""
        self._connection.call("noting what was pushed", self._made)
        row = {"key": key, "state": json.dumps(asdict(state)), "unused": b"\0"}
        self._connection.call("noting what was pushed", lambda c, timeout: c.upsert(TABLE, [row], timeout=timeout))

    def drop(self, key: str) -> None:
        """Forget a state."""
        self._connection.call("forgetting a table", lambda c, timeout: c.delete(TABLE, ids=[key], timeout=timeout))

    def _read(self, client: Any, timeout: float) -> list[dict[str, Any]]:
        self._made(client, timeout)
        fields = ["key", "state"]
        found = client.query(
            TABLE, filter='key != ""', output_fields=fields, limit=PAGE, consistency_level="Strong", timeout=timeout
        )
        return list(found)

    def _made(self, client: Any, timeout: float) -> None:
        """Make the table; each step alone, so that one that was interrupted goes on."""
        if not client.has_collection(TABLE, timeout=timeout):
            kinds = client_module().DataType
            schema = client.create_schema(auto_id=False, enable_dynamic_field=False, description="what deephash pushed")
            schema.add_field("key", kinds.VARCHAR, is_primary=True, max_length=255)
            schema.add_field("state", kinds.VARCHAR, max_length=_LONGEST)
            schema.add_field("unused", kinds.BINARY_VECTOR, dim=8)  # a table without a vector is refused
            client.create_collection(TABLE, schema=schema, num_shards=1, consistency_level="Strong", timeout=timeout)
        if not client.list_indexes(TABLE, timeout=timeout):
            index = client.prepare_index_params()
            index.add_index("unused", index_type="BIN_FLAT", metric_type="HAMMING")
            client.create_index(TABLE, index, timeout=10 * timeout)
        client.load_collection(TABLE, timeout=10 * timeout)
