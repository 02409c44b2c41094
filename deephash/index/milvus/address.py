"""MilvusAddress: where a server is, what the table is called, and how it is searched, in one word."""

from __future__ import annotations

import re
from dataclasses import dataclass, fields, replace
from typing import Any, Literal, Self
from urllib.parse import parse_qsl, urlencode, urlsplit

from deephash.errors import UsageError, did_you_mean
from deephash.index.engines import MILVUS
from deephash.numbers import whole

KINDS = {"flat": "BIN_FLAT", "ivf": "BIN_IVF_FLAT"}
CONSISTENCY = ("strong", "bounded", "session", "eventually")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,199}")  # Milvus takes 255 characters; ours follow it
_HELP = "for example milvus:http://localhost:19530/pictures"


@dataclass(frozen=True, slots=True)
class MilvusAddress:
    """Where codes lie on a Milvus server, and how they are searched there.

    Written ``milvus:http://HOST:PORT/NAME?option=value&...``; the options are the last six attributes. A user, a
    password or a token never stands in it, since addresses are printed: they come from the environment, see
    :class:`~deephash.index.milvus.connection.Connection`.

    Attributes:
        uri: ``http://host:port``, or https, with which everything is encrypted.
        name: of the table, which other clients of the server find as an alias; empty where it was left out.
        database: of the server.
        kind: ``flat`` is exact; ``ivf`` looks at some of its lists only.
        num_lists: lists of ``ivf``.
        nprobe: lists that a search looks at.
        consistency: ``strong`` sees every change that was made before; the others answer sooner.
        shards: parts that the server spreads new rows over.
    """

    uri: str
    name: str = ""
    database: str = ""
    kind: Literal["flat", "ivf"] = "flat"
    num_lists: int = 1024
    nprobe: int = 16
    consistency: Literal["strong", "bounded", "session", "eventually"] = "strong"
    shards: int = 1

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read an address. Raises UsageError, which never repeats what may be a password."""
        parts = urlsplit(text.removeprefix(MILVUS))
        if "@" in text:  # wherever it stands: what is before it may be a password
            raise UsageError(
                "an address of Milvus holds no user and no password, since it is printed; set DEEPHASH_MILVUS_TOKEN to "
                "user:password, or to a token"
            )
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise UsageError(f"{text!r:.200} is no address of a Milvus server; {_HELP}")
        name = parts.path.strip("/")
        if name and not _NAME.fullmatch(name):
            raise UsageError(f"{name!r} cannot name a table of Milvus: letters, digits and _; {_HELP}")
        return cls(f"{parts.scheme}://{parts.netloc}", name, **_options(dict(parse_qsl(parts.query))))

    def named(self, name: str) -> Self:
        """Return the address with a name, made of ``name`` where it has none, as a collection's folder gives it."""
        fitting = re.sub(r"[^A-Za-z0-9_]", "_", name)[:200]
        return self if self.name else replace(self, name=fitting if _NAME.fullmatch(fitting) else f"_{fitting}"[:200])

    @property
    def host(self) -> str:
        """The server, for messages."""
        return self.uri.split("://", 1)[1]

    @property
    def index_type(self) -> str:
        """What Milvus calls the kind."""
        return KINDS[self.kind]

    @property
    def is_exact(self) -> bool:
        """Whether every answer is the one that exact search gives."""
        return self.kind == "flat"

    def __str__(self) -> str:
        given = [(name, getattr(self, name)) for name in _OPTIONS if getattr(self, name) != _DEFAULTS[name]]
        return f"{MILVUS}{self.uri}/{self.name}" + (f"?{urlencode(given)}" if given else "")


_OPTIONS = ("database", "kind", "num_lists", "nprobe", "consistency", "shards")
_DEFAULTS = {each.name: each.default for each in fields(MilvusAddress)}


def _options(given: dict[str, str]) -> dict[str, Any]:
    known = list(_OPTIONS)
    found: dict[str, Any] = {}
    for name, value in given.items():
        if name not in known:
            raise UsageError(f"an address of Milvus has no option {name!r}{did_you_mean(name, known)}")
        if name in ("num_lists", "nprobe", "shards"):
            found[name] = whole(int(value) if value.isdecimal() else value, name, least=1, most=65536)
            continue
        allowed = {"kind": list(KINDS), "consistency": list(CONSISTENCY)}.get(name)
        if allowed is not None and value not in allowed:
            raise UsageError(f"{name} is one of {', '.join(allowed)}, not {value!r}")
        found[name] = value
    return found
