"""Codes and clocks shared by the search benchmarks."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from numpy.typing import NDArray

from deephash.codes import BinaryCodes


def clustered_codes(number: int, num_bits: int, *, seed: int = 0, centres: int = 2000, dims: int = 64) -> BinaryCodes:
    """Signs of random projections of a Gaussian mixture: what learned codes look like."""
    return (
        BinaryCodes.from_continuous(np.zeros((0, num_bits)))
        if not number
        else BinaryCodes(np.concatenate(list(_blocks(number, num_bits, seed, centres, dims))), num_bits)
    )


def _blocks(number: int, num_bits: int, seed: int, centres: int, dims: int):
    random = np.random.default_rng(seed)
    middles = random.standard_normal((centres, dims), dtype=np.float32)
    directions = random.standard_normal((dims, num_bits), dtype=np.float32)
    for first in range(0, number, 100_000):
        size = min(100_000, number - first)
        points = middles[random.integers(0, centres, size)] + 0.5 * random.standard_normal((size, dims), np.float32)
        yield np.packbits(points @ directions >= 0, axis=1)


def random_codes(number: int, num_bits: int, *, seed: int = 0) -> BinaryCodes:
    """Uniform bits (``num_bits`` a multiple of 8)."""
    return BinaryCodes(np.random.default_rng(seed).integers(0, 256, (number, num_bits // 8), dtype=np.uint8), num_bits)


def in_turn(ways: dict[str, Callable[[], object]], rounds: int = 7, *, threads: int = 1) -> dict[str, float]:
    """Run the ways one after another, ``rounds`` times after one warm-up; return the median seconds of each.

    Each round has its own order: a way that always came after the same other one would always find the caches as that
    one leaves them. One thread is timed by processor time, which other programs hardly disturb; several threads by the
    clock.
    """
    order = np.random.default_rng(0)
    names = list(ways)
    clock = time.process_time if threads == 1 else time.perf_counter
    times: dict[str, list[float]] = {name: [] for name in ways}
    for turn in range(rounds + 1):
        for name in order.permutation(names).tolist():
            begin = clock()
            ways[name]()
            if turn:
                times[name].append(clock() - begin)
    return {name: float(np.median(each)) for name, each in times.items()}


def read_seconds(codes: BinaryCodes, threads: int) -> float:
    """Measure how long merely reading the codes takes with ``threads`` threads: the limit for one query."""
    import numba

    @numba.njit(nogil=True)
    def total(words):
        result = np.uint64(0)
        for i in range(words.size):
            result += words[i]
        return result

    words: NDArray[np.uint64] = codes.packed.reshape(-1).view(np.uint64)
    parts = np.array_split(words, threads)
    total(words[:8])
    with ThreadPoolExecutor(threads) as pool:
        return in_turn({"read": lambda: list(pool.map(total, parts))}, threads=threads)["read"]
