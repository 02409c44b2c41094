"""Progress of every long job: total, rate and time left, on stderr, quiet when told so."""

import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sized
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, TypeVar

EVERY = 10.0  # seconds between two lines where no terminal redraws one
Listener = Callable[[str, int, int | None], None]  # told what is being done, how much of it, of how much
_listener: ContextVar[Listener | None] = ContextVar("listener", default=None)

T = TypeVar("T")
B = TypeVar("B", bound=Sized)


def track(items: Iterable[T], label: str, *, total: int | None = None, unit: str = "it") -> Iterator[T]:
    """Yield ``items`` while progress, rate and time left are shown, as :func:`open_bar` does."""
    total = len(items) if total is None and isinstance(items, Sized) else total
    bar = open_bar(label, total=total, unit=unit)
    try:
        for item in items:
            yield item
            bar.update()
    finally:
        bar.close()


def track_batches(batches: Iterable[B], label: str, *, total: int, unit: str = "it") -> Iterator[B]:
    """Yield ``batches`` while a bar counts what is in them, ``total`` in all; empty ones are passed over."""
    parts = ((batch, place) for batch in batches for place in range(len(batch)))
    for batch, place in track(parts, label, total=total, unit=unit) if total else ():
        if place == 0:
            yield batch


def open_bar(label: str, *, total: int | None, unit: str = "it", initial: int = 0) -> Any:
    """Return something with ``update()``, ``set_postfix(figures)`` and ``close()``.

    On a terminal a bar is redrawn; elsewhere a line is printed every ten seconds, without a carriage return, so that
    logs stay readable and short jobs say nothing. ``DEEPHASH_QUIET=1`` (or ``--quiet``) silences both.
    """
    listener = _listener.get()
    if listener is not None:
        return Told(listener, label, total, initial)
    if not sys.stderr.isatty():
        return Lines(label, total, unit, initial)
    from tqdm import tqdm

    quiet = os.environ.get("DEEPHASH_QUIET") == "1"
    return tqdm(
        desc=label, total=total, unit=unit, initial=initial, file=sys.stderr,
        dynamic_ncols=True, mininterval=0.2, disable=quiet,
    )  # fmt: skip


@contextmanager
def told(listener: Listener) -> Iterator[None]:
    """Within this, and in this thread, tell ``listener`` of every step, and print nothing."""
    before = _listener.set(listener)
    try:
        yield
    finally:
        _listener.reset(before)


class Told:
    """A bar that tells somebody else, such as a page."""

    def __init__(self, listener: Listener, label: str, total: int | None, initial: int) -> None:
        self._listener, self._label, self._total, self._done = listener, label, total, initial
        listener(label, initial, total)

    def update(self) -> None:
        """Count a step."""
        self._done += 1
        self._listener(self._label, self._done, self._total)

    def set_postfix(self, figures: Mapping[str, str], refresh: bool = True) -> None:
        """Do nothing: a listener wants steps alone."""

    def close(self) -> None:
        """Do nothing: the next bar is the next thing that is told."""


class Lines:
    """A bar for where there is no terminal.

    Args:
        label: what is being done.
        total: how many steps there are; None where nobody knows.
        unit: what is counted.
        initial: steps that were done before.
    """

    def __init__(self, label: str, total: int | None, unit: str, initial: int = 0) -> None:
        self.label, self.total, self.unit = label, total, unit.strip()
        self.before = self.done = initial
        self.figures: Mapping[str, str] = {}
        self._started = self._said = time.monotonic()

    def update(self) -> None:
        """Count a step, and print a line where the last one is ten seconds old."""
        self.done += 1
        now = time.monotonic()
        if now - self._said >= EVERY and os.environ.get("DEEPHASH_QUIET") != "1":
            self._said = now
            print(self.text(now - self._started), file=sys.stderr, flush=True)

    def set_postfix(self, figures: Mapping[str, str], refresh: bool = True) -> None:
        """Take figures for the next line."""
        self.figures = figures

    def close(self) -> None:
        """Do nothing: what was printed stays."""

    def text(self, seconds: float) -> str:
        """Return the line after so many seconds."""
        rate = (self.done - self.before) / seconds if seconds else 0.0
        parts = [f"{self.done:,}{f' of {self.total:,}' if self.total else ''} {self.unit}", f"{rate:.3g}/s"]
        parts += [f"{_clock((self.total - self.done) / rate)} left"] if self.total and rate else []
        return f"{self.label}: {', '.join([*parts, *(f'{name} {value}' for name, value in self.figures.items())])}"


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
