"""Temporary files of killed writers, swept by the next writer while it holds the lock."""

from __future__ import annotations

import os
import re
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

from deephash.collection.reader import UPLOADS

_OF_A_PROCESS = re.compile(r"\.(?P<name>.+)\.(?P<process>\d+)(\.[a-z0-9_]{8})?")  # what new files and models are under
_OF_LANCE = re.compile(r"\.tmp.*|.+#\d+")  # what it moves into place when it is whole
_UPLOAD = re.compile(r"\.[0-9a-f]{16}")
_OLD = 24 * 3600.0  # seconds after which nobody still writes, whatever process has the number now
_UPLOAD_OLD = 3600.0  # uploads are written without the lock, and under names that tell no process


def sweep_unfinished(target: Path) -> None:
    """Remove the collections that killed processes began to make as ``target``."""
    for path in _hidden(target.parent):
        match = _OF_A_PROCESS.fullmatch(path.name)
        if match and match["name"] == target.name and path.is_dir() and not _is_running(int(match["process"])):
            shutil.rmtree(path, ignore_errors=True)


def sweep_leftovers(collection: Path) -> list[Path]:
    """Remove what killed writers left in a collection and return the paths; the caller holds the write lock.

    Files of a process are removed where it is gone; those of Lance, which writes under the lock only, always. What
    cannot be removed stays: it is only in the way of nobody.
    """
    swept = []
    for path in [*_of_processes(collection), *_of_lance(collection), *_of_uploads(collection)]:
        try:
            shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
            swept.append(path)
        except OSError:
            continue
    return swept


def _of_processes(collection: Path) -> Iterator[Path]:
    for path in [*_hidden(collection), *_hidden(collection / "models")]:
        match = _OF_A_PROCESS.fullmatch(path.name)
        if match and (not _is_running(int(match["process"])) or _age(path) > _OLD):
            yield path


def _of_lance(collection: Path) -> Iterator[Path]:
    for folder in ("_transactions", "_versions", "_deletions", "data"):
        yield from (path for path in _entries(collection / "rows.lance" / folder) if _OF_LANCE.fullmatch(path.name))


def _of_uploads(collection: Path) -> Iterator[Path]:
    for path in _hidden(collection / UPLOADS):
        if _UPLOAD.fullmatch(path.name) and _age(path) > _UPLOAD_OLD:
            yield path


def _hidden(folder: Path) -> list[Path]:
    return [path for path in _entries(folder) if path.name.startswith(".")]


def _entries(folder: Path) -> list[Path]:
    try:
        with os.scandir(folder) as entries:
            return [Path(entry.path) for entry in entries]
    except OSError:
        return []


def _age(path: Path) -> float:
    try:
        return time.time() - path.lstat().st_mtime
    except OSError:
        return 0.0


def _is_running(process: int) -> bool:
    """Say whether a process of that number lives; where that cannot be asked, it is taken to."""
    if os.name != "posix":
        return True
    try:
        os.kill(process, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except OSError:  # somebody else's
        return True
    return True
