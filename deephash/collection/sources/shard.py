"""A file that holds many pictures, on disk or in an object store; it is read in place."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, BinaryIO

from deephash.collection.sources.extras import SHARD_SIZE
from deephash.collection.sources.found import FoundFile, KnownRow
from deephash.collection.sources.store import is_address, open_object
from deephash.errors import UnreadablePicture
from deephash.pictures.decode_budget import MIB, decode_limit

TAR, PARQUET = ".tar", ".parquet"


@dataclass(frozen=True)
class Shard:
    """A tar or Parquet file.

    Attributes:
        where: its path, or its address ``s3://...``.
        uri: its path relative to the collection's root.
        size: bytes.
        mtime: of its last change, UTC.
    """

    where: str
    uri: str
    size: int
    mtime: datetime

    def open(self) -> BinaryIO:
        """Open it for reading. Raises OSError."""
        return open_object(self.where) if is_address(self.where) else open(self.where, "rb")


@dataclass(frozen=True)
class ShardPicture(FoundFile):
    """A picture in a shard; ``path`` is the shard's, ``mtime`` too."""

    shard: Shard

    def is_as(self, row: KnownRow) -> bool:
        """Say whether the shard has the size and time that it had when the row was written."""
        return (row.shard_size, row.mtime) == (self.shard.size, self.mtime)

    def stamp(self) -> dict[str, Any]:
        """Return time and size of the shard."""
        return {"mtime": self.mtime, SHARD_SIZE: self.shard.size}

    def place(self) -> dict[str, Any]:
        """Return the folder, shard included; the label is a folder's name inside the shard, if there is one."""
        folder, _, _ = self.uri.rpartition("/")
        inside = folder.removeprefix(self.shard.uri).strip("/")
        return {"folder": folder, "label": inside.rpartition("/")[2] or None}

    @abstractmethod
    def read(self) -> bytes:
        """Return the picture's content."""


def is_shard(name: str) -> bool:
    """Say whether a file's name ends as that of a shard does."""
    return name.lower().endswith((TAR, PARQUET))


def split_uri(uri: str) -> tuple[str, str] | None:
    """Return (uri of the shard, name inside it) for a uri that may lie in a shard, else None."""
    parts = uri.split("/")
    for depth, part in enumerate(parts[:-1], start=1):
        if is_shard(part):
            return "/".join(parts[:depth]), "/".join(parts[depth:])
    return None


def holder_of(path: Path) -> Path:
    """Return the file on disk that holds a picture: its own, or the shard in which ``path`` leads."""
    return next((each for each in path.parents if is_shard(each.name) and each.is_file()), path)


def require_readable(size: int) -> None:
    """Raise UnreadablePicture for a picture that decoding has no memory for."""
    if size > decode_limit():
        raise UnreadablePicture(f"the file is larger than the {decode_limit() // MIB:,} MiB that decoding may take")
