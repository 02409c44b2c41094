"""Threads for loops that release the GIL: one pool a thread count, kept for the life of the process.

Numba's own threads are not used: their portable layer must not be entered by two Python threads at once, and a web
server does exactly that.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import TypeVar

T = TypeVar("T")


def usable_threads(threads: int | None) -> int:
    """Return ``threads``, or for None the number of cores this process may run on."""
    if threads is not None:
        return threads
    affinity = getattr(os, "sched_getaffinity", None)  # Linux only
    return len(affinity(0)) if affinity else os.cpu_count() or 1


def in_parts(size: int, threads: int, work: Callable[[int, int], T], *, at_least: int = 1) -> list[T]:
    """Split 0..size into at most ``threads`` ranges of ``at_least`` items and return ``work(first, last)`` of each."""
    parts = max(1, min(threads, size // max(1, at_least)))
    if parts == 1:
        return [work(0, size)]
    bounds = [size * part // parts for part in range(parts + 1)]
    return list(_pool(threads).map(work, bounds[:-1], bounds[1:]))


@cache
def _pool(threads: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(threads, thread_name_prefix="deephash-scan")
