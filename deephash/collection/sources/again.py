"""The picture of an item that is in a collection already: found again, wherever it lies, to be read once more."""

from __future__ import annotations

import os
from pathlib import Path

from deephash.collection.reader import INSIDE, CollectionReader, Item
from deephash.collection.sources import shards
from deephash.collection.sources.found import FoundFile, time_of
from deephash.collection.sources.shard import Shard, holder_of, split_uri
from deephash.collection.sources.store import StoredPicture, is_address, object_at
from deephash.errors import UnreadablePicture, UsageError


def picture_of(collection: CollectionReader, item: Item) -> FoundFile:
    """Return the picture of an item; it is read by its ``read``.

    Raises:
        UsageError: the collection has no pictures, or the uri leads out of its root.
        OSError: it is no longer there.
        UnreadablePicture: its shard is damaged.
    """
    root = collection.card.root
    if root is not None and is_address(root) and not item.uri.startswith(INSIDE):
        return _stored(root, item)
    path = collection.picture_path(item)
    holder = holder_of(path)
    status = os.stat(holder)
    changed = time_of(status.st_mtime_ns)
    if holder == path:
        return FoundFile(path, item.uri, status.st_size, changed)
    name = path.relative_to(holder).as_posix()
    shard_uri = item.uri.removesuffix(name).rstrip("/")
    return shards.find(Shard(str(holder), shard_uri, status.st_size, changed), name)


def source_of(collection: CollectionReader, item: Item) -> Path | bytes:
    """Return what a decoder opens: the path of a file, or the bytes of a picture that is no file of its own.

    Raises:
        UsageError: the collection has no pictures, or the uri leads out of its root.
        UnreadablePicture: it is no longer there, or cannot be read.
    """
    try:
        if not is_elsewhere(collection, item):
            return collection.picture_path(item)
        return picture_of(collection, item).read()
    except OSError as error:
        raise UnreadablePicture(f"{item.uri}: {error.strerror or error}") from None


def where_is(collection: CollectionReader, item: Item) -> str:
    """Return where the picture of an item lies, for people: a path or an address. Raises UsageError."""
    root = collection.card.root
    if root is not None and is_address(root) and not item.uri.startswith(INSIDE):
        return f"{root}/{item.uri}"
    return str(collection.picture_path(item))


def is_elsewhere(collection: CollectionReader, item: Item) -> bool:
    """Say whether an item's picture is no file of its own: it lies in a shard or in an object store."""
    root = collection.card.root
    if root is None or item.uri.startswith(INSIDE):
        return False
    if is_address(root):
        return True
    if split_uri(item.uri) is None:
        return False
    path = collection.picture_path(item)
    return holder_of(path) != path


def _stored(root: str, item: Item) -> FoundFile:
    if any(part in ("", ".", "..") for part in item.uri.split("/")):
        raise UsageError(f"{item.uri!r:.200} leads out of {root}; such a picture is not shown")
    inside = split_uri(item.uri)
    found = object_at(f"{root}/{inside[0] if inside else item.uri}")
    if inside is None:
        return StoredPicture(Path(item.uri), item.uri, found.size, found.mtime, found.address)
    return shards.find(Shard(found.address, inside[0], found.size, found.mtime), inside[1])
