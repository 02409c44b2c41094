"""One writer at a time in an object store: an object that its holder keeps renewing.

No clock is compared with another one. Who waits watches the object; where it has not changed for as long as a lease
lasts, its holder is taken for dead, and the object is replaced on condition that it is still the one that was watched.
"""

from __future__ import annotations

import os
import socket
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from deephash.collection.sources.store import as_os_errors, store
from deephash.collection.stored.places import address_of
from deephash.errors import CollectionError

LASTS = 30.0  # seconds without a renewal
_NAME = "write.lease"


class Lease:
    """The right to write, while it lasts."""

    def __init__(self, address: str) -> None:
        bucket, _, key = address.partition("://")[2].partition("/")
        self.address = address
        self._where = {"Bucket": bucket, "Key": f"{key}/{_NAME}"}
        self._mark: str | None = None
        self._renewed = 0.0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._renew, name="lease", daemon=True)

    def take(self, patience: float) -> None:
        """Wait for the lease. Raises CollectionError where another writer keeps it for longer than ``patience``."""
        until, seen, since = time.monotonic() + patience, None, time.monotonic()
        while not self._created():
            held = self._held()
            if held != seen:
                seen, since = held, time.monotonic()
            if seen is not None and time.monotonic() - since > LASTS and self._replaced(seen):
                break
            if time.monotonic() > until:
                raise CollectionError(f"{self.address} is being written by {self._holder()}; try again later")
            time.sleep(min(1.0, LASTS / 10))
        self._thread.start()

    def require(self, *, committed: bool = False) -> None:
        """Raise CollectionError where the lease ran out, so that another writer may have begun.

        Args:
            committed: rows were written already, and what would follow was not.
        """
        if time.monotonic() - self._renewed > LASTS:
            silent = f"{self.address}: the object store did not answer for {LASTS:.0f} s"
            if committed:
                raise CollectionError(
                    f"{silent} after rows were written. They are there; what else changed may not be. See: "
                    f"deephash collection info {self.address}"
                )
            raise CollectionError(
                f"{silent}, and another writer may have begun; nothing of this change was kept. Run the same command "
                "again"
            )

    def release(self) -> None:
        """Give the lease back; whoever waits goes on at once."""
        self._stop.set()
        self._thread.join()
        with suppress(OSError):  # it runs out by itself
            self._delete()

    def _delete(self) -> None:
        with as_os_errors():
            if self._held() == self._mark:
                store().call_s3("delete_object", **self._where)

    def _renew(self) -> None:
        while not self._stop.wait(LASTS / 5):
            if self._mark is not None:
                self._replaced(self._mark)  # where that fails it is tried again; require() counts the time

    def _created(self) -> bool:
        try:
            return self._put(IfNoneMatch="*")
        except FileExistsError:
            return False

    def _replaced(self, mark: str) -> bool:
        with suppress(OSError):  # another one was quicker, or the store does not answer
            return self._put(IfMatch=mark)
        return False

    def _put(self, **condition: str) -> bool:
        asked = time.monotonic()
        with as_os_errors():
            sent = store().call_s3("put_object", **self._where, Body=_name().encode(), **condition)
        self._mark, self._renewed = str(sent["ETag"]), asked
        return True

    def _held(self) -> str | None:
        try:
            with as_os_errors():
                return str(store().call_s3("head_object", **self._where)["ETag"])
        except FileNotFoundError:
            return None

    def _holder(self) -> str:
        try:
            with as_os_errors():
                key = f"{self._where['Bucket']}/{self._where['Key']}"
                return str(store().cat_file(key).decode(errors="replace"))[:100].rsplit(" ", 1)[0]
        except OSError:
            return "another process"


@contextmanager
def leased(folder: Path, *, patience: float = 300.0) -> Iterator[Lease | None]:
    """Hold the lease of the collection whose copy ``folder`` is; None for a folder that is itself the collection.

    Raises:
        CollectionError: another writer did not finish in time, or the store does not answer.
    """
    address = address_of(folder)
    if address is None:
        yield None
        return
    lease = Lease(address)
    try:
        lease.take(patience)
    except OSError as error:
        raise CollectionError(f"{address} cannot be written to: {error.strerror or error}") from None
    try:
        yield lease
    finally:
        lease.release()


def _name() -> str:
    """Return who holds it, and a word that makes each renewal another object."""
    return f"process {os.getpid()} on {socket.gethostname()} {uuid.uuid4().hex}"
