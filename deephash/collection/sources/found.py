"""One picture that was found, wherever it lies, and what a walk found in all."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

from deephash.pictures import read_file

UNKNOWN = -1  # the size of a picture that is not known before it is read


class Skipped(NamedTuple):
    """A file that was left out, and why."""

    path: str
    reason: str


class Extras(NamedTuple):
    """What the source of a picture says of it: attributes, and what could not be read of them."""

    attributes: Mapping[str, Any] = {}
    skipped: tuple[Skipped, ...] = ()


@dataclass(frozen=True)
class KnownRow:
    """What the collection remembers of a file."""

    id: int
    uri: str
    content_hash: str
    size: int | None
    mtime: datetime | None
    shard_size: int | None = None


@dataclass(frozen=True)
class FoundFile:
    """A file that may be a picture.

    Attributes:
        path: where it is.
        uri: its path relative to the collection's root, with ``/``.
        size: bytes.
        mtime: time of the last change, UTC, to the microsecond.
    """

    path: Path
    uri: str
    size: int
    mtime: datetime

    def read(self) -> bytes:
        """Return its content; errors as of :func:`~deephash.pictures.read_file`."""
        return read_file(self.path)

    def extras(self) -> Extras:
        """Return what stands beside the picture in its shard; nothing of a plain file."""
        return Extras()

    def is_as(self, row: KnownRow) -> bool:
        """Say whether the file looks as it did when the row was written; its content is not read."""
        return (row.size, row.mtime) == (self.size, self.mtime)

    def stamp(self) -> dict[str, Any]:
        """Return the attributes by which :meth:`is_as` will know it, beside its size."""
        return {"mtime": self.mtime}

    def place(self) -> dict[str, Any]:
        """Return the attributes that follow from where it lies; ``label`` is the name of its folder below the root."""
        folder, _, _ = self.uri.rpartition("/")
        return {"folder": folder, "label": folder.rpartition("/")[2] or None}


def time_of(nanoseconds: int) -> datetime:
    """Return a time of a file system, UTC to the microsecond; some disks keep years that no calendar has."""
    try:
        return datetime(1970, 1, 1) + timedelta(microseconds=nanoseconds // 1000)
    except OverflowError:
        return datetime.max if nanoseconds > 0 else datetime.min


@dataclass
class Listing:
    """What a walk through a folder found.

    Attributes:
        files: pictures by their names, in a fixed order.
        skipped: what was left out, with reasons.
        kept: uris of files and folders that were not looked at; their rows stay as they are.
    """

    files: list[FoundFile] = field(default_factory=list)
    skipped: list[Skipped] = field(default_factory=list)
    kept: list[str] = field(default_factory=list)

    def leave(self, uri: str, reason: str) -> None:
        """Skip something whose rows, if there are any, stay as they are."""
        self.kept.append(uri)
        self.skipped.append(Skipped(uri, reason))
