"""Files as such: regular ones only, so that nothing blocks or never ends, and no more bytes than a limit."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from deephash.errors import DataError, DeephashError

MIB = 2**20
EXPANSION = 100  # times its bytes on disk that a compressed file may hold, beyond SLACK
SLACK = 256 * MIB


class Unfit(DataError):
    """A file is not what it should be; :func:`refused_as` adds what to do about it."""


class Absent(Unfit):
    """There is no such file."""


@contextmanager
def refused_as(kind: type[DeephashError], advice: str) -> Iterator[None]:
    """Turn :class:`Unfit` into an error of ``kind`` whose sentence ends with ``advice``."""
    try:
        yield
    except Unfit as error:
        raise kind(f"{error}; {advice}") from None


@contextmanager
def open_regular(path: str | Path) -> Iterator[BinaryIO]:
    """Open a regular file, or a link to one, for reading; without waiting for the other end of a pipe.

    Raises:
        Absent: nothing is there.
        Unfit: a folder, pipe, device or socket, or a file that cannot be opened.
    """
    try:
        number = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_NOCTTY", 0))
    except FileNotFoundError:
        raise Absent(f"{path}: no such file") from None
    except (OSError, ValueError) as error:  # ValueError: a name with a NUL
        raise Unfit(f"{path} cannot be read: {getattr(error, 'strerror', None) or error}") from None
    mode = os.fstat(number).st_mode
    if not stat.S_ISREG(mode):
        os.close(number)
        raise Unfit(f"{path} cannot be read: it is a {_kind_of(mode)}, not a file")
    with os.fdopen(number, "rb") as file:
        yield file


def require_regular(path: str | Path) -> int:
    """Return the size of a regular file in bytes. Raises as :func:`open_regular` does."""
    with open_regular(path) as file:
        return os.fstat(file.fileno()).st_size


def read_bytes(path: str | Path, limit: int) -> bytes:
    """Return what is in a regular file. Raises Absent, or Unfit where it is longer than ``limit`` bytes."""
    with open_regular(path) as file:
        try:
            content = _first_bytes(file, limit + 1)
        except OSError as error:
            raise Unfit(f"{path} cannot be read: {error.strerror or error}") from None
    if len(content) > limit:
        raise Unfit(f"{path} cannot be read: it is longer than {in_words(limit)}, the most of its kind")
    return content


def _first_bytes(file: BinaryIO, most: int) -> bytes:
    """Return at most so many bytes, without reserving memory for more than there are."""
    parts = []
    while most > 0 and (part := file.read(min(most, MIB))):
        parts.append(part)
        most -= len(part)
    return b"".join(parts)


def require_plausible(expanded: int, on_disk: int, path: str | Path, *, expansion: int = EXPANSION) -> None:
    """Raise Unfit where ``on_disk`` bytes claim to hold far more than such files do: a bomb."""
    if expanded > max(SLACK, expansion * on_disk):
        raise Unfit(
            f"{path} cannot be read: it would take {in_words(expanded)} and is {in_words(on_disk)} on disk; what "
            "shrinks so much is refused (np.savez, without compression, is not)"
        )


def in_words(size: int) -> str:
    """Return e.g. ``2.1 GB``."""
    number = float(size)
    for unit in ("bytes", "kB", "MB", "GB"):
        if number < 1000:
            return f"{number:.3g} {unit}"
        number /= 1000
    return f"{number:,.3g} TB"


def _kind_of(mode: int) -> str:
    kinds = ((stat.S_ISDIR, "folder"), (stat.S_ISFIFO, "pipe"), (stat.S_ISSOCK, "socket"))
    return next((name for test, name in kinds if test(mode)), "device")
