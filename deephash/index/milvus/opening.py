"""``open_index("milvus:...")``: a table on a server that holds these codes, made or brought up to date."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deephash.codes import BinaryCodes
from deephash.errors import UsageError, did_you_mean
from deephash.index.milvus.address import MilvusAddress
from deephash.index.milvus.connection import Connection
from deephash.index.milvus.contents import PlainContents
from deephash.index.milvus.index import MilvusIndex
from deephash.index.milvus.syncing import apply, changes_to
from deephash.index.milvus.table import Table, TableKind
from deephash.numbers import whole


def open_milvus(kind: str, ids: NDArray[np.int64], codes: BinaryCodes, **options: Any) -> MilvusIndex:
    """Make the table that ``kind`` names hold exactly these codes, and return an index over it.

    Args:
        kind: ``milvus:http://HOST:PORT/NAME``, see :class:`MilvusAddress`.
        ids: int64 [N], distinct, at least 0; any order.
        codes: N codes of one level.
        options: ``nprobe`` and ``num_lists``, instead of those in the address.

    Raises:
        UsageError: an address without a name, or codes that do not fit.
        EngineUnavailable: the server does not answer, or refuses.
    """
    address = with_options(MilvusAddress.parse(kind), options)
    if not address.name:
        raise UsageError(f"{kind} names no table; write {address.uri.rstrip('/')}/NAME")
    connection = Connection(address)
    table = table_at(connection, TableKind(codes.layout, {}, "", index_of(address), address.shards))
    table.create()
    contents = PlainContents.of(ids, codes, codes.layout)
    apply(table, contents, changes_to(table, contents))
    return MilvusIndex(connection, address, table)


def with_options(address: MilvusAddress, options: dict[str, Any]) -> MilvusAddress:
    """Lay options of ``open_index`` over those of the address. Raises UsageError for those of other engines."""
    given = {name: value for name, value in options.items() if value is not None}
    for name, value in given.items():
        if name not in ("nprobe", "num_lists"):
            raise UsageError(
                f"an index on a Milvus server has no option {name!r}{did_you_mean(name, ['nprobe', 'num_lists'])}"
            )
        whole(value, name, least=1)
    return replace(address, **given)


def index_of(address: MilvusAddress) -> tuple[str, int]:
    """Return what Milvus calls the index, and its number of lists."""
    return address.index_type, 0 if address.is_exact else address.num_lists


def table_at(connection: Connection, kind: TableKind) -> Table:
    """Return the table of the connection's address that holds such rows; it need not be there yet."""
    return Table(connection, f"{connection.address.name}_{kind.key}", kind)
