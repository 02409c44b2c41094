"""The symmetric distance of codes of two levels against Faiss's product quantiser on the same level grid.

    python benchmarks/symmetric_distance.py [--items 1000000] [--bits 512] [--queries 50] [--k 10]

The centroids of ``IndexPQ`` and ``IndexPQFastScan`` are set to the grid, so that all three hold the same bytes an item
and mean the same inner products. ``IndexPQ`` is exact in floats, the fast scan rounds its tables to 8 bits, ours is
exact in whole numbers and divides by the norm as well. All use every core; milliseconds a query of wall time, and CPU
time in brackets, which other processes disturb less; the ratio is of CPU time to ours.
"""

from __future__ import annotations

import argparse
import os
import platform
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import faiss
import numpy as np

from deephash.codes import BinaryCodes
from deephash.codes.levels import inner_products, level_values
from deephash.index.symmetric import SymmetricIndex

BLOCK = 20_000
CENTROIDS = (2 * ((np.arange(16)[:, None] >> np.array([2, 0])) & 3) - 3) / 2  # of two dimensions of two bits


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, usual in (("items", 1_000_000), ("bits", 512), ("queries", 50), ("k", 10)):
        parser.add_argument(f"--{name}", type=int, default=usual)
    options = parser.parse_args()
    rows = np.random.default_rng(0).integers(0, 256, (options.items, options.bits // 4), np.uint8)
    codes = BinaryCodes(rows, options.bits, 2)
    queries = codes[: options.queries]
    values = level_values(queries)
    print(f"{options.items:,} codes of {codes.layout.describe()}, k={options.k}; {cpu()}, {os.cpu_count()} cores\n")
    print("| | batch | ms a query (CPU) | ours is faster | of the k best found |\n|---|---|---|---|---|")
    ours = {way: SymmetricIndex(np.arange(len(codes)), codes, way=way) for way in ("popcount", "look_up")}
    best = min(ours.values(), key=lambda index: timed(lambda: index.search(queries, options.k), options.queries)[1])
    right = exact_products(codes, queries[:4], options.k)
    faiss_ones = {"IndexPQFastScan": faiss.IndexPQFastScan, "IndexPQ": faiss.IndexPQ}
    theirs = {name: filled(make, codes) for name, make in faiss_ones.items()}
    found = {name: agreement(index, values[:4], right) for name, index in theirs.items()}
    for batch in (options.queries, 1):
        own = timed(partial(best.search, queries[:batch], options.k), batch)
        for way, index in ours.items():
            took = timed(partial(index.search, queries[:batch], options.k), batch)
            shown(f"deephash, {way}", batch, took, own, "100 %")
        for name, index in theirs.items():
            some = min(batch, 4) if name == "IndexPQ" else batch  # it takes a third of a second each
            shown(name, batch, timed(partial(index.search, values[:some], options.k), some), own, found[name])


def filled(make: Callable[..., faiss.Index], codes: BinaryCodes) -> faiss.Index:
    """Return a product quantiser of nibbles whose centroids are the level grid, with all codes in it."""
    parts = codes.num_bits // 2
    index = make(codes.num_bits, parts, 4, faiss.METRIC_INNER_PRODUCT)
    faiss.copy_array_to_vector(np.tile(CENTROIDS.astype(np.float32), (parts, 1)).ravel(), index.pq.centroids)
    index.is_trained = True
    for first in range(0, len(codes), BLOCK):
        index.add(level_values(codes[first : first + BLOCK]))
    return index


def exact_products(codes: BinaryCodes, queries: BinaryCodes, k: int) -> np.ndarray:
    """Return the k largest inner products of each query."""
    return np.sort(inner_products(queries, codes), axis=1)[:, -k:] / 4


def agreement(index: faiss.Index, values: np.ndarray, right: np.ndarray) -> str:
    """Return how many of the k best products the index finds, by its scores recomputed exactly."""
    _, ids = index.search(values, right.shape[1])
    found = np.stack(
        [np.array([value @ index.reconstruct(int(row)) for row in rows]) for value, rows in zip(values, ids)]
    )
    return f"{100 * (found >= right[:, :1] - 1e-3).mean():.0f} %"


def timed(run: Callable[[], object], number: int) -> tuple[float, float]:
    """Return milliseconds a query, wall and CPU: the least of three runs after one to warm up."""
    run()
    found = []
    for _ in range(3):
        wall, cpu_time = time.perf_counter(), time.process_time()
        run()
        found.append(((time.perf_counter() - wall) * 1000 / number, (time.process_time() - cpu_time) * 1000 / number))
    return min(each[0] for each in found), min(each[1] for each in found)


def shown(name: str, batch: int, took: tuple[float, float], own: tuple[float, float], same: str) -> None:
    print(f"| {name} | {batch} | {took[0]:.1f} ({took[1]:.1f}) | {took[1] / own[1]:.1f}x | {same} |", flush=True)


def cpu() -> str:
    """Return the processor's name, and the instructions that matter here."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf8")
    except OSError:
        return platform.processor() or platform.machine()
    name = next((line.partition(":")[2].strip() for line in lines.splitlines() if line.startswith("model name")), "?")
    flags = [flag for flag in ("avx2", "avx512f", "avx512_vpopcntdq") if f" {flag} " in lines.replace("\n", " ")]
    return f"{name} with {', '.join(flags) or 'none of AVX'}"


if __name__ == "__main__":
    main()
