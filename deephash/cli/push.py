"""``deephash collection push``: bring a server up to date."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from deephash.cli.engines import server_of
from deephash.cli.output import print_json
from deephash.collection import Collection


def push(collection: Path, /, *, engine: str, json: Annotated[bool, Parameter(negative="")] = False) -> None:
    """Copy codes and attributes to a Milvus server, or bring what it has up to date; the collection stays the truth.

    It may be interrupted and run again: rows that the server has already are not sent twice.

    $ deephash collection push pictures.dh --engine milvus:http://localhost:19530
    $ deephash search pictures.dh cat.jpg --engine milvus:http://localhost:19530

    Args:
        collection: the folder.
        engine: the server and the name of the table, ``milvus:http://HOST:PORT/NAME``; the name is the collection's
            where it is left out. After ``?``: ``kind=ivf``, ``num_lists``, ``nprobe``, ``consistency``, ``shards``,
            ``database``. A user and a password, or a token, come from DEEPHASH_MILVUS_TOKEN.
        json: print one JSON object.
    """
    server = server_of(engine)
    assert server is not None
    pushed = push_to(collection, server)
    if json:
        print_json({"collection": collection, "tables": pushed})
        return
    for one in pushed:
        print(told(collection, one))


def told(collection: Path, pushed: dict[str, Any]) -> str:
    """Say in a line what was done."""
    counts = f"{pushed['written']:,} rows written, {pushed['removed']:,} removed, {pushed['rows']:,} there now"
    return f"{collection}: {counts}; table {pushed['table']} ({pushed['seconds']:.1f} s)"


def push_to(collection: Path, server: str) -> list[dict[str, Any]]:
    """Bring a server up to date, and say what was done."""
    from dataclasses import asdict

    from deephash.collection.milvus_push import Pusher
    from deephash.index.milvus import MilvusAddress

    return [asdict(one) for one in Pusher(Collection.open(collection), MilvusAddress.parse(server)).push()]
