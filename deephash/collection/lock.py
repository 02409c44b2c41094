"""One writer at a time: an advisory lock on a file, freed by the kernel when its holder dies."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from deephash.errors import CollectionError


@contextmanager
def write_lock(path: Path, *, patience: float = 300.0) -> Iterator[None]:
    """Hold the lock file ``path`` while the block runs; wait up to ``patience`` seconds for another writer.

    Raises:
        CollectionError: the folder cannot be written to, or the other writer did not finish in time.
    """
    try:
        file = path.open("a+b")
    except OSError as error:
        raise CollectionError(
            f"{path.parent} cannot be written to ({error.strerror}); copy it to a writable place to change it"
        ) from None
    with file:
        deadline = time.monotonic() + patience
        while not _try_lock(file):
            if time.monotonic() > deadline:
                raise CollectionError(
                    f"{path.parent} is being written by another process for more than {patience:.0f} s; try again later"
                )
            time.sleep(0.02)
        try:
            yield
        finally:
            _unlock(file)


def _try_lock(file: IO[bytes]) -> bool:
    try:
        import fcntl
    except ImportError:  # Windows
        return _try_lock_windows(file)
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _unlock(file: IO[bytes]) -> None:
    try:
        import fcntl
    except ImportError:  # Windows frees the lock when the file closes
        return
    fcntl.flock(file, fcntl.LOCK_UN)


def _try_lock_windows(file: IO[bytes]) -> bool:
    import msvcrt

    try:
        file.seek(0)
        msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined]
    except OSError:
        return False
    return True
