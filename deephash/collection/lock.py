"""One writer at a time: an advisory lock on a file, freed by the kernel when its holder dies."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from deephash.errors import CollectionError

_POLL = 0.02  # seconds between two tries


@contextmanager
def write_lock(path: Path, *, patience: float = 300.0) -> Iterator[None]:
    """Hold the lock file ``path`` while the block runs; wait up to ``patience`` seconds for another writer.

    Raises:
        CollectionError: the folder cannot be written to, or the other writer did not finish in time.
    """
    # never a soft lock, which its holder's death would leave behind
    lock = FileLock(path, thread_local=False, poll_interval=_POLL, fallback_to_soft=False)
    try:
        os.stat(os.path.join(path.parent, ""))  # the library would make a folder that is gone
        lock.acquire(timeout=patience)
    except Timeout:
        raise CollectionError(
            f"{path.parent} is being written by another process for more than {patience:.0f} s; try again later"
        ) from None
    except OSError as error:
        raise CollectionError(
            f"{path.parent} cannot be written to ({error.strerror}); copy it to a writable place to change it"
        ) from None
    try:
        yield
    finally:
        lock.release()
