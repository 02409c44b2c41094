"""What lies below an address of an object store, as a listing; shards among it are walked through."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from deephash.collection.globs import matches_glob
from deephash.collection.sources import shards
from deephash.collection.sources.found import Listing, Skipped
from deephash.collection.sources.shard import Shard, is_shard
from deephash.collection.sources.store import StoredObject, StoredPicture, objects_below
from deephash.foreign.names import printable
from deephash.pictures import looks_like_picture

_NO_PATH = "its name is no path: an empty part, '..' or a control character"


def list_stored(address: str, root: str, *, exclude: Sequence[str] = ()) -> Listing:
    """Return the pictures below ``address``; uris are relative to ``root``. No object is read but the heads of shards.

    Raises:
        DataError: the store does not answer or refuses.
    """
    listing = Listing()
    for found in objects_below(address):
        uri = found.address.removeprefix(root).removeprefix("/")
        parts = uri.split("/")
        if any(part in ("", ".", "..") for part in parts) or not uri.isprintable():
            listing.skipped.append(Skipped(printable(uri), _NO_PATH))
        elif any(part.startswith(".") for part in parts) or any(part.endswith(".dh") for part in parts[:-1]):
            continue
        elif any(_is_excluded(uri, pattern) for pattern in exclude):
            listing.kept.append(uri)
        else:
            _consider(found, uri, listing, exclude)
    return listing


def _is_excluded(uri: str, pattern: str) -> bool:
    """Say whether a glob matches an object or a folder that it lies in."""
    parts = uri.split("/")
    return any(matches_glob("/".join(parts[:depth]), pattern) for depth in range(1, len(parts) + 1))


def _consider(found: StoredObject, uri: str, listing: Listing, exclude: Sequence[str]) -> None:
    if is_shard(uri):
        shards.take(listing, Shard(found.address, uri, found.size, found.mtime), exclude)
    elif looks_like_picture(name := uri.rpartition("/")[2]):
        listing.files.append(StoredPicture(Path(uri), uri, found.size, found.mtime, found.address))
    else:
        suffix = name.rpartition(".")[2] if "." in name else "no suffix"
        listing.skipped.append(Skipped(uri, f"not a picture by its name (.{suffix})"))
