"""Compare a folder of pictures with a collection: what is new, changed, renamed, gone. No pixel is decoded here."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from deephash.collection.globs import matches_glob
from deephash.collection.reader import INSIDE, CollectionReader
from deephash.collection.schema import HASH, ID, URI
from deephash.collection.sources import shards
from deephash.collection.sources.extras import SHARD_SIZE
from deephash.collection.sources.found import UNKNOWN, FoundFile, KnownRow, Listing, Skipped, time_of
from deephash.collection.sources.shard import Shard, is_shard
from deephash.errors import DataError, UnreadablePicture, UsageError
from deephash.foreign.names import is_utf8, printable
from deephash.pictures import PictureFacts, content_hash, looks_like_picture, read_file

__all__ = [
    "FolderPlan",
    "FoundFile",
    "KnownRow",
    "Listing",
    "Skipped",
    "file_attributes",
    "found_file",
    "hash_of_file",
    "list_pictures",
    "plan_update",
    "relative_folder",
]


@dataclass
class FolderPlan:
    """What bringing a collection up to date means.

    Attributes:
        new: files to encode.
        suspects: (file, row) whose size or time changed; the content decides.
        renamed: (file, row): the same content under another name; the code is kept.
        removed: rows whose file is gone.
        unchanged: number of rows that stay.
    """

    new: list[FoundFile] = field(default_factory=list)
    suspects: list[tuple[FoundFile, KnownRow]] = field(default_factory=list)
    renamed: list[tuple[FoundFile, KnownRow]] = field(default_factory=list)
    removed: list[KnownRow] = field(default_factory=list)
    unchanged: int = 0


def list_pictures(folder: Path, root: Path, *, exclude: Sequence[str] = (), follow_symlinks: bool = False) -> Listing:
    """Walk through ``folder``; uris are relative to ``root``. Tar and Parquet files are walked through too.

    Hidden files, and collections that lie among the pictures, are passed over in silence.

    Args:
        folder: where to look, ``root`` or below it; or one tar or Parquet file.
        root: of the collection.
        exclude: globs against relative paths (``2019/**``), or against any one name in them (``*.png``, ``thumbs``).
        follow_symlinks: enter linked folders and read linked files; each real folder is entered once.

    Raises:
        DataError: the folder does not exist or cannot be listed.
    """
    listing = Listing()
    if folder.is_file() and is_shard(folder.name):
        found = found_file(folder, folder.relative_to(root).as_posix())
        shards.take(listing, Shard(str(folder), found.uri, found.size, found.mtime), exclude)
        return listing
    if not folder.is_dir():
        raise DataError(f"{folder} is not there; nothing was changed. Is its disk connected?")
    seen: set[tuple[int, int]] = set()
    _walk(folder, root, listing, exclude, follow_symlinks, seen)
    if not folder.is_dir():
        raise DataError(f"{folder} vanished while it was being read; nothing was changed")
    return listing


def plan_update(collection: CollectionReader, listing: Listing, below: str, exclude: Sequence[str] = ()) -> FolderPlan:
    """Compare ``listing`` with the rows whose uri lies ``below`` a relative folder ("" for all).

    Rows that match ``exclude`` stay, whatever became of their files.
    """
    known = {row.uri: row for row in _known_rows(collection) if row.uri.startswith(below)}
    plan = FolderPlan()
    for file in listing.files:
        row = known.pop(file.uri, None)
        if row is None:
            plan.new.append(file)
        elif file.is_as(row):
            plan.unchanged += 1
        else:
            plan.suspects.append((file, row))
    kept = set(listing.kept)
    lost = [row for row in known.values() if not _is_kept(row.uri, kept)]
    plan.removed = [row for row in lost if not any(matches_glob(row.uri, pattern) for pattern in exclude)]
    plan.unchanged += len(known) - len(plan.removed)
    _find_renamed(plan)
    return plan


def file_attributes(file: FoundFile, facts: PictureFacts | None = None) -> dict[str, Any]:
    """Return the attributes that a file gives by itself; ``label`` is the name of its folder below the root."""
    found: dict[str, Any] = {"size": file.size, **file.stamp(), **file.place()}
    if facts is not None:
        found |= {"width": facts.width, "height": facts.height, "taken": facts.taken}
        found["year"] = facts.taken.year if facts.taken else None
    return found


def relative_folder(folder: Path, root: Path) -> str:
    """Return ``folder`` relative to ``root`` as the beginning of uris. Raises UsageError where it lies elsewhere."""
    if not folder.is_relative_to(root):
        raise UsageError(
            f"this collection holds the pictures below {root}, and {folder} is not among them. Index {root} or a "
            "folder in it, make another collection, or, if the pictures have moved there, add --moved"
        )
    inside = folder.relative_to(root).as_posix()
    return "" if inside == "." else inside + "/"


def _walk(
    folder: Path, root: Path, listing: Listing, exclude: Sequence[str], follow: bool, seen: set[tuple[int, int]]
) -> None:
    waiting = [folder]
    while waiting:
        here = waiting.pop()
        below: list[Path] = []
        for entry, uri in _entries(here, root, listing, seen):
            if any(matches_glob(uri, pattern) for pattern in exclude):
                listing.kept.append(uri)
            elif entry.is_symlink() and not follow:
                listing.leave(uri, "a symbolic link; --follow-symlinks reads them")
            else:
                try:
                    below += _consider(entry, uri, listing, exclude)
                except OSError as error:
                    listing.leave(uri, f"cannot be looked at: {error.strerror or error}")
        waiting += reversed(below)


def _entries(
    here: Path, root: Path, listing: Listing, seen: set[tuple[int, int]]
) -> Iterator[tuple[os.DirEntry[str], str]]:
    """Yield what lies in a folder, unless it was entered already (through another link)."""
    try:
        status = here.stat()
        if (status.st_dev, status.st_ino) in seen:
            return
        seen.add((status.st_dev, status.st_ino))
        with os.scandir(here) as entries:
            found = sorted(entries, key=lambda entry: entry.name)
    except OSError as error:  # its rows stay: nobody knows what is in there
        uri = here.relative_to(root).as_posix()
        listing.kept.append("" if uri == "." else uri)
        listing.skipped.append(Skipped(uri, f"the folder cannot be listed: {error.strerror}"))
        return
    for entry in found:
        if entry.name.startswith("."):
            continue
        uri = Path(entry.path).relative_to(root).as_posix()
        if is_utf8(uri):
            yield entry, uri
        else:
            listing.skipped.append(Skipped(printable(uri), "its name is not valid UTF-8; rename it"))


def _consider(entry: os.DirEntry[str], uri: str, listing: Listing, exclude: Sequence[str]) -> list[Path]:
    """Put a file where it belongs, or return a folder. Raises OSError for what cannot be looked at."""
    status = entry.stat()
    if stat.S_ISDIR(status.st_mode):
        return [] if entry.name.endswith(".dh") else [Path(entry.path)]
    if not stat.S_ISREG(status.st_mode):
        listing.skipped.append(Skipped(uri, f"not a regular file but {_kind(status.st_mode)}"))
    elif is_shard(entry.name):
        found = found_file(Path(entry.path), uri, status)
        shards.take(listing, Shard(entry.path, uri, found.size, found.mtime), exclude)
    elif not looks_like_picture(entry.name):
        suffix = os.path.splitext(entry.name)[1]
        listing.skipped.append(Skipped(uri, f"not a picture by its name ({suffix or 'no suffix'})"))
    else:
        listing.files.append(found_file(Path(entry.path), uri, status))
    return []


def found_file(path: Path, uri: str, status: os.stat_result | None = None) -> FoundFile:
    """Return what a file's status says of it. Raises OSError where it is not there."""
    status = path.stat() if status is None else status
    return FoundFile(path, uri, status.st_size, time_of(status.st_mtime_ns))


def _kind(mode: int) -> str:
    kinds = {stat.S_IFIFO: "a pipe", stat.S_IFSOCK: "a socket", stat.S_IFCHR: "a device", stat.S_IFBLK: "a device"}
    return kinds.get(stat.S_IFMT(mode), "something else")


def _known_rows(collection: CollectionReader) -> Iterator[KnownRow]:
    names = [URI, HASH, "size", "mtime"]
    if SHARD_SIZE in collection.attribute_kinds:
        names.append(SHARD_SIZE)
    table = collection.table(names)
    for number, uri, hashed, *facts in zip(*(table.column(name).to_pylist() for name in (ID, *names))):
        if not uri.startswith(INSIDE):
            yield KnownRow(number, uri, hashed or "", *facts)


def _is_kept(uri: str, kept: set[str]) -> bool:
    if not kept:
        return False
    if uri in kept or "" in kept:
        return True
    parts = uri.split("/")
    return any("/".join(parts[:depth]) in kept for depth in range(1, len(parts)))


def _find_renamed(plan: FolderPlan) -> None:
    """Move files from ``new`` to ``renamed`` where a lost row has their content; only files of its size are read."""
    gone = {(row.size, row.content_hash): row for row in plan.removed if row.content_hash}
    sizes = {size for size, _ in gone}
    still_new = []
    for file in plan.new:
        may_be = file.size in sizes and file.size != UNKNOWN
        row = gone.pop((file.size, _hash_of(file) or ""), None) if may_be else None
        if row is None:
            still_new.append(file)
        else:
            plan.renamed.append((file, row))
    plan.new = still_new
    moved = {row.id for _, row in plan.renamed}
    plan.removed = [row for row in plan.removed if row.id not in moved]


def hash_of_file(path: Path) -> str | None:
    """Return the :func:`content_hash` of a picture's file; None where it cannot be read."""
    try:
        return content_hash(read_file(path))
    except (OSError, MemoryError, UnreadablePicture):
        return None


def _hash_of(file: FoundFile) -> str | None:
    try:
        return content_hash(file.read())
    except (OSError, MemoryError, UnreadablePicture):
        return None
