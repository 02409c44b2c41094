"""Where pictures are taken from: a folder, one shard, or an address of an object store; and what lies there."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from deephash.collection import Collection
from deephash.collection.folder import Listing, list_pictures, relative_folder
from deephash.collection.sources.listing import list_stored
from deephash.collection.sources.shard import is_shard
from deephash.collection.sources.store import checked_address, is_address
from deephash.errors import UsageError


class Looked(NamedTuple):
    """What was found, and where.

    Attributes:
        root: of the collection, a folder or an address.
        below: the beginning of the uris of what was looked at; "" for all.
        listing: what lies there.
        source: what was asked for, absolute.
    """

    root: str
    below: str
    listing: Listing
    source: str


def look_through(
    folder: str | Path,
    target: Path,
    collection: Collection | None,
    *,
    moved: bool,
    exclude: Sequence[str],
    follow_symlinks: bool,
) -> Looked:
    """List the pictures of ``folder`` for a collection, or for a new one at ``target``.

    Raises:
        DataError: it is not there.
        UsageError: the collection holds pictures of another place, or none.
    """
    known = None if collection is None or moved else _root_of(collection, target)
    if is_address(folder):
        address = checked_address(str(folder))
        return _stored(address, address if known is None else known, exclude)
    source = Path(folder).resolve()
    own = source.parent if source.is_file() and is_shard(source.name) else source
    if known is not None and is_address(known):
        raise UsageError(f"this collection holds the pictures below {known}, and {source} is not among them")
    root = own if known is None else Path(known)
    below = relative_folder(source, root)
    listing = list_pictures(source, root, exclude=exclude, follow_symlinks=follow_symlinks)
    return Looked(str(root), below, listing, str(source))


def _root_of(collection: Collection, target: Path) -> str:
    root = collection.card.root
    if root is None:
        raise UsageError(f"{target} holds codes from elsewhere, without pictures; choose another --out")
    return root


def _stored(address: str, root: str, exclude: Sequence[str]) -> Looked:
    if address != root and not address.startswith(f"{root}/"):
        raise UsageError(f"this collection holds the pictures below {root}, and {address} is not among them")
    if is_shard(address) and address == root:
        root = address.rpartition("/")[0]
    inside = address.removeprefix(root).removeprefix("/")
    return Looked(root, f"{inside}/" if inside else "", list_stored(address, root, exclude=exclude), address)
