"""WebDataset shards: pictures, and ``.json``, ``.txt`` and ``.cls`` beside them, read in place by their offsets.

A tar has no directory: one pass over its headers finds all members. Nothing is ever unpacked, so that a member's name
is only a name; names that lead out of the shard are refused all the same, as nobody could ask for such a picture again.
"""

from __future__ import annotations

import json
import os
import tarfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

from deephash.collection.sources.extras import as_attributes
from deephash.collection.sources.found import Extras, Skipped
from deephash.collection.sources.shard import Shard, ShardPicture, require_readable
from deephash.errors import UnreadablePicture
from deephash.foreign.names import is_utf8, printable
from deephash.pictures import looks_like_picture

SIBLINGS = ("json", "txt", "cls")
_LONGEST = 1 << 20  # of a sibling, in bytes
_BLOCK = 512  # a tar is made of such
_NAMED = 20  # refused members of one shard that are listed by name


class Span(NamedTuple):
    """Where the content of a member lies."""

    offset: int
    size: int


@dataclass
class TarIndex:
    """What one pass over a shard's headers found.

    Attributes:
        pictures: by name, in the order of the shard.
        siblings: {key: {suffix: span}}; the key of a member is its name up to the first dot.
        skipped: (name, reason) of members that are not taken.
        torn: why reading stopped before the end; None of a whole shard.
    """

    pictures: dict[str, Span] = field(default_factory=dict)
    siblings: dict[str, dict[str, Span]] = field(default_factory=dict)
    skipped: list[Skipped] = field(default_factory=list)
    torn: str | None = None


@dataclass(frozen=True)
class TarPicture(ShardPicture):
    """A member of a tar shard."""

    span: Span
    siblings: tuple[tuple[str, Span], ...] = ()

    def read(self) -> bytes:
        """Return its content. Raises UnreadablePicture, OSError."""
        require_readable(self.span.size)
        data = _read(self.shard, self.span)
        if len(data) < self.span.size:
            raise UnreadablePicture("the shard ends within it")
        return data

    def extras(self) -> Extras:
        """Return the attributes that its siblings hold: those of ``.json``, ``.txt`` (caption), ``.cls`` (label)."""
        given, skipped = self.beside()
        return Extras(as_attributes(given), skipped)

    def beside(self) -> tuple[dict[str, Any], tuple[Skipped, ...]]:
        """Return the same as it stands there, lists included, and what could not be read."""
        given: dict[str, Any] = {}
        skipped = []
        for suffix, span in sorted(self.siblings):  # cls, json, txt
            name = f"{_key(self.uri)}.{suffix}"
            try:
                given = _sibling(suffix, _read(self.shard, span) if span.size <= _LONGEST else b"") | given
            except (OSError, ValueError, RecursionError) as error:
                skipped.append(Skipped(name, f"its values are left out: {' '.join(str(error).split())[:120]}"))
        return given, tuple(skipped)


def pictures_of(shard: Shard) -> tuple[list[TarPicture], list[Skipped], str | None]:
    """Return the pictures of a shard, what was left out, and why the rest could not be read, if so."""
    index = index_of(shard)
    found = [_picture(shard, name, index) for name in index.pictures]
    return found, [Skipped(f"{shard.uri}/{name}", reason) for name, reason in index.skipped], index.torn


def find_picture(shard: Shard, name: str) -> TarPicture:
    """Return one picture of a shard by its name. Raises FileNotFoundError."""
    index = index_of(shard)
    if name not in index.pictures:
        raise FileNotFoundError(2, f"no such member of {Path(shard.where).name}")
    return _picture(shard, name, index)


@lru_cache(maxsize=32)  # as a page asks for many pictures of few shards; a shard that changed is another key
def index_of(shard: Shard) -> TarIndex:
    """Return what lies where in a shard. Raises OSError where it cannot be opened."""
    index, others = TarIndex(), Counter[str]()
    with shard.open() as file:
        try:
            for member in _members(file):
                _take(member, index, others, shard.size)
        except _Torn as error:
            index.torn = f"torn after {len(index.pictures):,} pictures ({error}); those were taken"
    for suffix, number in sorted(others.items()):
        index.skipped.append(Skipped(f"*{suffix}", f"{number:,} members are no pictures by their names"))
    return index


class _Torn(Exception):
    """A header that cannot be, or an end that comes too early."""


def _members(file: Any) -> Iterator[tarfile.TarInfo]:
    """Yield the headers, of members whose content begins behind the last one's. Raises _Torn."""
    last = -1
    try:
        for member in _headers(file):
            if member.size < 0 or member.offset_data <= last:  # a hostile header leads back
                raise _Torn("a header that leads back")
            last = member.offset_data
            yield member
    except (tarfile.TarError, ValueError, OverflowError, EOFError, MemoryError, RecursionError) as error:
        raise _Torn(" ".join(str(error).split()) or type(error).__name__) from None


def _headers(file: Any) -> Iterator[tarfile.TarInfo]:
    """Yield plain headers by ourselves, which is several times faster, and all from the first other one by tarfile."""
    offset = 0
    while (member := _plain(file.read(_BLOCK))) is not None:
        member.offset_data = offset + _BLOCK
        yield member
        offset = member.offset_data + -(-member.size // _BLOCK) * _BLOCK
        file.seek(offset)
    file.seek(offset)
    if offset and not file.read(1).strip(b"\0"):  # the end, with zeros or without
        return
    file.seek(offset)
    with tarfile.open(fileobj=file, mode="r:") as archive:
        while (found := archive.next()) is not None:
            archive.members = []  # type: ignore[attr-defined]  # else it keeps them all
            yield found


def _plain(header: bytes) -> tarfile.TarInfo | None:
    """Return a regular file with a short name and an octal size; None for whatever else a header may be."""
    if len(header) < _BLOCK or header[156:157] not in b"0\0" or header[345] or header[257:262] != b"ustar":
        return None
    try:
        size, told = int(header[124:136].strip(b"\0 "), 8), int(header[148:156].strip(b"\0 "), 8)
        member = tarfile.TarInfo(header[:100].partition(b"\0")[0].decode())
    except ValueError:
        return None
    if size < 0 or told != sum(header) - sum(header[148:156]) + 8 * ord(" ") or member.name.endswith("/"):
        return None
    member.size = size
    return member


def _take(member: tarfile.TarInfo, index: TarIndex, others: Counter[str], end: int) -> None:
    name, span = member.name.removeprefix("./"), Span(member.offset_data, member.size)
    base = name.rpartition("/")[2]
    if member.isdir() or base.startswith("."):
        return
    if span.offset + span.size > end:
        raise _Torn(f"{printable(name)[:80]} reaches beyond the end")
    suffix = _suffix(name)
    if member.isreg() and suffix in SIBLINGS:
        index.siblings.setdefault(_key(name), {}).setdefault(suffix, span)
    elif not looks_like_picture(base):
        others[os.path.splitext(base)[1][:20]] += 1
    elif reason := _refused(member, name, index):
        if len(index.skipped) < _NAMED:
            index.skipped.append(Skipped(printable(name)[:200], reason))
    else:
        index.pictures[name] = span


def _refused(member: tarfile.TarInfo, name: str, index: TarIndex) -> str | None:
    if not member.isreg() or member.issparse():
        return "not a regular file"
    if not is_utf8(name) or not name.isprintable() or "\\" in name:
        return "its name is not printable UTF-8"
    if any(part in ("", ".", "..") for part in name.split("/")):
        return "its name leads out of the shard"
    return "a second member of this name; the first is taken" if name in index.pictures else None


def _key(name: str) -> str:
    folder, slash, base = name.rpartition("/")
    return folder + slash + base.partition(".")[0]


def _suffix(name: str) -> str:
    return name.rpartition("/")[2].partition(".")[2].lower()


def _picture(shard: Shard, name: str, index: TarIndex) -> TarPicture:
    span = index.pictures[name]
    beside = tuple(index.siblings.get(_key(name), {}).items())
    return TarPicture(Path(shard.where), f"{shard.uri}/{name}", span.size, shard.mtime, shard, span, beside)


def _read(shard: Shard, span: Span) -> bytes:
    with shard.open() as file:
        file.seek(span.offset)
        return file.read(span.size)


def _sibling(suffix: str, data: bytes) -> dict[str, Any]:
    """Return the values of a sibling. Raises ValueError."""
    if not data:
        raise ValueError("empty, or longer than 1 MiB")
    text = data.decode("utf-8", "replace").strip()
    if suffix != "json":
        return {"label" if suffix == "cls" else "caption": text}
    values = json.loads(text)
    if not isinstance(values, dict):
        raise ValueError("no JSON object")
    return values
