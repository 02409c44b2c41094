"""Pictures in an object store, ``s3://bucket/prefix``, through fsspec and s3fs (the extra ``s3``).

Who asks, and where the store is, comes from the environment only, as every program of AWS reads it:
``AWS_ACCESS_KEY_ID``, ``AWS_SECRET_ACCESS_KEY``, ``AWS_SESSION_TOKEN``, ``AWS_REGION``, ``AWS_ENDPOINT_URL``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, cast

from deephash.collection.sources.found import FoundFile
from deephash.errors import DataError, DeephashError, UnreadablePicture, UsageError
from deephash.foreign.extras import install
from deephash.pictures.decode_budget import MIB, decode_limit

SCHEME = "s3://"
_BLOCK = 1 << 20  # bytes fetched at once while a shard's headers are read


class StoredObject(NamedTuple):
    """An object, and how it looks without being read."""

    address: str
    size: int
    mtime: datetime


@dataclass(frozen=True)
class StoredPicture(FoundFile):
    """A picture that is an object of its own."""

    address: str

    def read(self) -> bytes:
        """Return its content. Raises UnreadablePicture, OSError."""
        limit = decode_limit()
        if self.size > limit:
            raise UnreadablePicture(f"the object is larger than the {limit // MIB:,} MiB that decoding may take")
        with as_os_errors():
            return cast(bytes, store().cat_file(self.address, start=0, end=limit))


def is_address(where: str | Path) -> bool:
    """Say whether a text is the address of something in an object store."""
    return str(where).startswith(SCHEME)


def checked_address(where: str) -> str:
    """Return an address without a slash at its end. Raises UsageError where it names no bucket or holds a secret."""
    bucket, _, prefix = where.removeprefix(SCHEME).partition("/")
    if not bucket or "@" in bucket or ":" in bucket:
        raise UsageError("an address is s3://BUCKET/PREFIX; keys and the endpoint come from the environment (AWS_...)")
    if any(part in ("", ".", "..") for part in prefix.rstrip("/").split("/")[: None if prefix else 0]):
        raise UsageError(f"{where}: a prefix has no empty parts and no '..'")
    return where.rstrip("/")


@cache
def store() -> Any:
    """Return the file system. Raises UsageError where s3fs is not installed."""
    try:
        import s3fs
    except ImportError:
        raise UsageError(f"s3:// needs s3fs, which is not installed: {install('s3')}") from None
    return s3fs.S3FileSystem(use_listings_cache=False, default_block_size=_BLOCK)


def objects_below(address: str) -> list[StoredObject]:
    """Return the objects below an address, or the one that it names, in the order of their names.

    Raises:
        DataError: the bucket is not there, or the store refuses or does not answer.
    """
    try:
        with as_os_errors():
            found: Mapping[str, Mapping[str, Any]] = store().find(address, detail=True)
    except OSError as error:
        raise DataError(
            f"{address} cannot be listed: {error}. Nothing was changed. Are AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, "
            "AWS_REGION and, of a store of your own, AWS_ENDPOINT_URL set?"
        ) from None
    return [_object(facts) for _, facts in sorted(found.items()) if facts.get("type") == "file"]


def object_at(address: str) -> StoredObject:
    """Return one object. Raises OSError where it is not there."""
    with as_os_errors():
        return _object(store().info(address))


def open_object(address: str) -> BinaryIO:
    """Open an object to read parts of it. Raises OSError."""
    with as_os_errors():
        return cast(BinaryIO, store().open(address, "rb", cache_type="readahead"))


def _object(facts: Mapping[str, Any]) -> StoredObject:
    changed = facts.get("LastModified")
    mtime = changed.astimezone(UTC).replace(tzinfo=None) if isinstance(changed, datetime) else datetime.min
    return StoredObject(SCHEME + str(facts["name"]), int(facts.get("size") or 0), mtime)


@contextmanager
def as_os_errors() -> Iterator[None]:
    """Turn what botocore raises, which is no OSError, into one, in one line."""
    try:
        yield
    except (OSError, DeephashError):
        raise
    except Exception as error:  # botocore's, aiohttp's and s3fs's have no common base
        raise OSError(5, " ".join(str(error).split())[:200] or type(error).__name__) from None
