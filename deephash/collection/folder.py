"""Compare a folder of pictures with a collection: what is new, changed, renamed, gone. No pixel is decoded here."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

from deephash.collection.globs import matches_glob
from deephash.collection.reader import INSIDE, CollectionReader
from deephash.collection.schema import HASH, ID, URI
from deephash.errors import DataError, UnreadablePicture, UsageError
from deephash.foreign.names import is_utf8, printable
from deephash.pictures import PictureFacts, content_hash, looks_like_picture, read_file


class Skipped(NamedTuple):
    """A file that was left out, and why."""

    path: str
    reason: str


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


@dataclass(frozen=True)
class KnownRow:
    """What the collection remembers of a file."""

    id: int
    uri: str
    content_hash: str
    size: int | None
    mtime: datetime | None


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
    """Walk through ``folder``; uris are relative to ``root``.

    Hidden files, and collections that lie among the pictures, are passed over in silence.

    Args:
        folder: where to look, ``root`` or below it.
        root: of the collection.
        exclude: globs against relative paths (``2019/**``), or against any one name in them (``*.png``, ``thumbs``).
        follow_symlinks: enter linked folders and read linked files; each real folder is entered once.

    Raises:
        DataError: the folder does not exist or cannot be listed.
    """
    if not folder.is_dir():
        raise DataError(f"{folder} is not there; nothing was changed. Is its disk connected?")
    listing = Listing()
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
        elif (row.size, row.mtime) == (file.size, file.mtime):
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
    folder, _, _ = file.uri.rpartition("/")
    found: dict[str, Any] = {"size": file.size, "mtime": file.mtime, "folder": folder}
    found["label"] = folder.rpartition("/")[2] or None
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
                    below += _consider(entry, uri, listing)
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


def _consider(entry: os.DirEntry[str], uri: str, listing: Listing) -> list[Path]:
    """Put a file where it belongs, or return a folder. Raises OSError for what cannot be looked at."""
    status = entry.stat()
    if stat.S_ISDIR(status.st_mode):
        return [] if entry.name.endswith(".dh") else [Path(entry.path)]
    if not stat.S_ISREG(status.st_mode):
        listing.skipped.append(Skipped(uri, f"not a regular file but {_kind(status.st_mode)}"))
    elif not looks_like_picture(entry.name):
        suffix = os.path.splitext(entry.name)[1]
        listing.skipped.append(Skipped(uri, f"not a picture by its name ({suffix or 'no suffix'})"))
    else:
        listing.files.append(found_file(Path(entry.path), uri, status))
    return []


def found_file(path: Path, uri: str, status: os.stat_result | None = None) -> FoundFile:
    """Return what a file's status says of it. Raises OSError where it is not there."""
    status = path.stat() if status is None else status
    return FoundFile(path, uri, status.st_size, _utc(status.st_mtime_ns))


def _kind(mode: int) -> str:
    kinds = {stat.S_IFIFO: "a pipe", stat.S_IFSOCK: "a socket", stat.S_IFCHR: "a device", stat.S_IFBLK: "a device"}
    return kinds.get(stat.S_IFMT(mode), "something else")


def _utc(nanoseconds: int) -> datetime:
    try:
        return datetime(1970, 1, 1) + timedelta(microseconds=nanoseconds // 1000)
    except OverflowError:  # some disks keep years that no calendar has
        return datetime.max if nanoseconds > 0 else datetime.min


def _known_rows(collection: CollectionReader) -> Iterator[KnownRow]:
    table = collection.table([URI, HASH, "size", "mtime"])
    values = [table.column(name).to_pylist() for name in (ID, URI, HASH, "size", "mtime")]
    for number, uri, hashed, size, mtime in zip(*values):
        if not uri.startswith(INSIDE):
            yield KnownRow(number, uri, hashed or "", size, mtime)


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
        row = gone.pop((file.size, hash_of_file(file.path) or ""), None) if file.size in sizes else None
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
