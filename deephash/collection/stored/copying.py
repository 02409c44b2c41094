"""The small files of a collection in an object store: fetched when they changed there, sent when they changed here.

What a copy held when it was last compared is noted in it (``.copy.json``): the store's mark of each object, and the
file's size and time. The rows, locks, logs and what can be computed again are never copied.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple

from deephash.collection.card import CARD_FILE, replace_file
from deephash.collection.lock import write_lock
from deephash.collection.sources.store import as_os_errors, store
from deephash.collection.stored.places import address_of
from deephash.errors import CollectionDamaged, CollectionError
from deephash.foreign.names import is_utf8, printable

ROWS = "rows.lance"
_NOTED = ".copy.json"
_STAYS_HERE = (".lock", ".kept", ".log")


class _Known(NamedTuple):
    """A file when the copy and the store were last compared."""

    mark: str  # of the object
    size: int  # of the file
    time: int  # ns


_UNKNOWN = _Known("", 0, 0)


def pull(folder: Path) -> None:
    """Bring the copy up to date; nothing is done for a folder that is itself the collection.

    What was changed here and not sent yet stays, unless the store changed it too.

    A collection that is no longer in the store has no copy afterwards.

    Raises:
        CollectionError: the store does not answer, or refuses.
        CollectionDamaged: an object's name leads out of the collection.
    """
    address = address_of(folder)
    if address is None:
        return
    folder.parent.mkdir(parents=True, exist_ok=True)
    with _told(address), write_lock(folder.with_name(f".{folder.name}.lock")):
        there = _objects(address)
        if CARD_FILE not in there:
            shutil.rmtree(folder, ignore_errors=True)
            return
        known = _noted(folder)
        for name in sorted(there, key=lambda each: each == CARD_FILE):  # the card last: it makes a folder a collection
            if known.get(name, _UNKNOWN).mark != there[name] or not (folder / name).is_file():
                _fetch(f"{address}/{name}", folder / name)
                known[name] = _now(folder / name, there[name])
        for name in known.keys() - there.keys():
            (folder / name).unlink(missing_ok=True)
        _note(folder, {name: known[name] for name in there})


def push(folder: Path) -> None:
    """Send what changed in the copy, the card last; what is missing here stays there.

    Raises:
        CollectionError: the store does not answer, or refuses; it keeps what it had.
    """
    address = address_of(folder)
    if address is None:
        return
    known, here = _noted(folder), dict(_files(folder))
    changed = [name for name, file in here.items() if known.get(name, _UNKNOWN)[1:] != file]
    if not changed:
        return
    with _told(address):
        for name in sorted(changed, key=lambda each: each == CARD_FILE):
            store().put_file(str(folder / name), f"{address}/{name}")
            known[name] = _Known(str(store().info(f"{address}/{name}", refresh=True)["ETag"]), *here[name])
        _note(folder, known)


def remove_file(folder: Path, name: str) -> None:
    """Remove a file of a collection, here and in the store. Raises CollectionError as :func:`push` does."""
    address = address_of(folder)
    if address is not None:
        with _told(address), suppress(FileNotFoundError):
            store().rm_file(f"{address}/{name}")
    (folder / name).unlink(missing_ok=True)


def remove_stored(folder: Path) -> None:
    """Remove a collection, rows and all, from the store; its copy stays."""
    address = address_of(folder)
    if address is not None:
        with _told(address):
            store().rm(address, recursive=True)


def sizes_of_rows(address: str) -> dict[str, int]:
    """Return {file name: bytes} of the rows' data files."""
    with _told(address):
        found: Mapping[str, Mapping[str, Any]] = store().find(f"{address}/{ROWS}/data", detail=True)
    return {name.rsplit("/", 1)[-1]: int(facts.get("size") or 0) for name, facts in found.items()}


@contextmanager
def _told(address: str) -> Iterator[None]:
    """Say of a failure which collection it was, and what may be missing."""
    try:
        with as_os_errors():
            yield
    except OSError as error:
        raise CollectionError(
            f"{address}: {error.strerror or error}. Nothing was lost. Are AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, "
            "AWS_REGION and, of a store of your own, AWS_ENDPOINT_URL set?"
        ) from None


def _objects(address: str) -> dict[str, str]:
    """Return {relative name: mark} of the small files in the store."""
    prefix = address.partition("://")[2]
    try:
        top = store().ls(prefix, detail=True, refresh=True)
    except FileNotFoundError:
        return {}
    found = [facts for facts in top if facts["type"] == "file"]
    for folder in (facts["name"] for facts in top if facts["type"] == "directory"):
        if folder.rsplit("/", 1)[-1] != ROWS:
            found += [facts for facts in store().find(folder, detail=True).values() if facts["type"] == "file"]
    marks = {str(facts["name"]).removeprefix(prefix).lstrip("/"): str(facts["ETag"]) for facts in found}
    return {_checked(name, address): mark for name, mark in marks.items() if name and _travels(name)}


def _checked(name: str, address: str) -> str:
    parts = name.split("/")
    if any(part in ("", ".", "..") for part in parts) or not is_utf8(name) or any(c in name for c in "\\:\0"):
        raise CollectionDamaged(
            f"{address} holds an object {printable(name)!r}, which cannot be a file of a collection"
        )
    return name


def _travels(name: str) -> bool:
    parts = name.split("/")
    return parts[0] != ROWS and not any(p.startswith(".") for p in parts) and not name.endswith(_STAYS_HERE)


def _files(folder: Path) -> Iterator[tuple[str, tuple[int, int]]]:
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if _travels(name) and path.is_file() and not path.is_symlink():
            status = path.stat()
            yield name, (status.st_size, status.st_mtime_ns)


def _fetch(address: str, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        store().get_file(address, str(fresh))
        fresh.replace(path)
    finally:
        fresh.unlink(missing_ok=True)


def _now(path: Path, mark: str) -> _Known:
    status = path.stat()
    return _Known(mark, status.st_size, status.st_mtime_ns)


def _noted(folder: Path) -> dict[str, _Known]:
    try:
        raw = json.loads((folder / _NOTED).read_text(encoding="utf-8"))
        return {str(name): _Known(str(known[0]), int(known[1]), int(known[2])) for name, known in raw.items()}
    except (OSError, ValueError, TypeError, AttributeError, LookupError):
        return {}  # everything is fetched again


def _note(folder: Path, known: Mapping[str, _Known]) -> None:
    replace_file(folder / _NOTED, json.dumps(known))
