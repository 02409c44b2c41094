"""One progress bar for every long job: total, rate and time left, on stderr, quiet when told so."""

import os
import sys
from collections.abc import Iterable, Iterator, Sized
from typing import TypeVar

T = TypeVar("T")
B = TypeVar("B", bound=Sized)


def track(items: Iterable[T], label: str, *, total: int | None = None, unit: str = "it") -> Iterator[T]:
    """Yield ``items`` while a bar shows progress, rate and time left.

    On a terminal the bar is redrawn; elsewhere a line is printed every ten seconds, so that logs stay readable.
    ``DEEPHASH_QUIET=1`` (or ``--quiet``) silences it.
    """
    from tqdm import tqdm

    live = sys.stderr.isatty()
    yield from tqdm(
        items,
        desc=label,
        total=total,
        unit=unit,
        file=sys.stderr,
        dynamic_ncols=live,
        mininterval=0.2 if live else 10.0,
        disable=os.environ.get("DEEPHASH_QUIET") == "1",
        leave=live,
    )


def track_batches(batches: Iterable[B], label: str, *, total: int, unit: str = "it") -> Iterator[B]:
    """Yield ``batches`` while a bar counts what is in them, ``total`` in all; empty ones are passed over."""
    parts = ((batch, place) for batch in batches for place in range(len(batch)))
    for batch, place in track(parts, label, total=total, unit=unit) if total else ():
        if place == 0:
            yield batch
