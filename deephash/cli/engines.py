"""``--engine``: what encodes, or the server that holds the codes; both are words a person types there."""

from __future__ import annotations

from typing import cast, get_args

from deephash.encoding.port import Engine
from deephash.errors import UsageError, did_you_mean
from deephash.index.engines import is_milvus


def server_of(engine: str | None) -> str | None:
    """Return the address of a Milvus server. Raises UsageError for what is none."""
    if engine is None:
        return None
    if not is_milvus(engine):
        raise UsageError(f"--engine takes the address of a server here, milvus:http://HOST:PORT/NAME, not {engine!r}")
    from deephash.index.milvus import MilvusAddress

    MilvusAddress.parse(engine)
    return engine


def encoder_and_server(engine: str) -> tuple[Engine, str | None]:
    """Return (what encodes, the server that searches or None). Raises UsageError for any other word."""
    if is_milvus(engine):
        return "auto", server_of(engine)
    known = list(get_args(Engine))
    if engine not in known:
        raise UsageError(f"no engine {engine!r}{did_you_mean(engine, [*known, 'milvus:http://HOST:PORT/NAME'])}")
    return cast(Engine, engine), None
