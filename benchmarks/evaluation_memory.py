"""Memory of evaluating 10,000 queries against 1,000,000 items of 64 bits: the target is below 2 GB.

    python benchmarks/evaluation_memory.py

A queries x database matrix of one byte a pair would take 10 GB. Prints the peak of the whole process, Python, NumPy and
Numba included, and what it was before evaluation started (codes and labels already made).
"""

from __future__ import annotations

import argparse
import resource
import time

import numpy as np

from deephash.codes import BinaryCodes
from deephash.evaluation.metrics import mean_average_precision, ndcg_at, precision_recall_by_rank


def peak_megabytes() -> float:
    """Peak resident memory of this process so far (Linux counts kilobytes)."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def random_codes(rng: np.random.Generator, count: int, bits: int) -> BinaryCodes:
    """Uniform codes, made without unpacked bits."""
    return BinaryCodes(rng.integers(0, 256, (count, bits // 8), dtype=np.uint8), bits)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--queries", type=int, default=10_000)
    parser.add_argument("--items", type=int, default=1_000_000)
    options = parser.parse_args()
    rng = np.random.default_rng(0)
    query, database = random_codes(rng, options.queries, 64), random_codes(rng, options.items, 64)
    labels = {
        "query_labels": rng.integers(0, 100, options.queries),
        "database_labels": rng.integers(0, 100, options.items),
    }
    print(f"{options.queries:,} x {options.items:,}, 64 bits; before evaluation: {peak_megabytes():,.0f} MB at peak")
    runs = {
        "mAP@all, expected": lambda: mean_average_precision(query, database, **labels),
        "mAP@1000, expected": lambda: mean_average_precision(query, database, **labels, top_k=1000),
        "mAP@all, stable order": lambda: mean_average_precision(query, database, **labels, ties="stable"),
        "NDCG@1000": lambda: ndcg_at(query, database, **labels, top_k=1000),
        "PR curve by rank": lambda: float(precision_recall_by_rank(query, database, **labels).precision.mean()),
    }
    for name, run in runs.items():
        start = time.process_time()
        value = run()
        spent = time.process_time() - start
        print(f"  {name:24s} {value:.6f}   {spent:6.1f} CPU-s   peak so far {peak_megabytes():,.0f} MB")
