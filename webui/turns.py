"""How many may search at once, and how many may wait for it."""

from __future__ import annotations

import threading
from types import TracebackType

from deephash.errors import DeephashError

CONCURRENT = 4  # searches at once; more only wait for the same cores
WAITING = 64
PATIENCE = 60.0  # seconds


class ServerBusy(DeephashError):
    """Too many searches at once; the same one may succeed in a moment."""


class Turns:
    """A context manager that lets a few through at a time; others wait, and the rest are told to come back.

    Args:
        at_once: so many run.
        waiting: so many wait; whoever comes then gets :class:`ServerBusy`.
        patience: seconds after which a waiting one gets it too.

    Attributes:
        turned_away: how many got it so far.
    """

    def __init__(self, at_once: int = CONCURRENT, waiting: int = WAITING, patience: float = PATIENCE) -> None:
        self._places = threading.Semaphore(at_once)
        self._seats = threading.Semaphore(at_once + waiting)
        self._patience = patience
        self._counting = threading.Lock()
        self.turned_away = 0

    def __enter__(self) -> None:
        if not self._seats.acquire(blocking=False):
            raise self._turn_away("too many searches are waiting already")
        if not self._places.acquire(timeout=self._patience):
            self._seats.release()
            raise self._turn_away("the searches before yours take too long")

    def _turn_away(self, why: str) -> ServerBusy:
        with self._counting:
            self.turned_away += 1
        return ServerBusy(f"the server is busy: {why}; try again in a moment")

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._places.release()
        self._seats.release()
