"""mAP over 10,000 queries x 50,000 items of 64 bits: ours against the sort-per-query way of public repositories.

    python benchmarks/evaluation_map.py                # everything; the peer takes about a minute of CPU time a run
    python benchmarks/evaluation_map.py --queries 1000 # quicker, same ratios

The peer is written here in our own words: for each query the distances to the whole database by a matrix product of
-1/+1 codes, relevance by a product of multi-hot labels, one sort, then precision at the rank of every relevant item.
Both run in one process on the same codes, in CPU seconds (all threads), the better of the repetitions. Codes are
synthetic: a random centre a class, 12 % of the items with another class's centre, 3 % of the bits flipped, database
sorted by class, as published image lists are.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from deephash.codes import BinaryCodes
from deephash.evaluation.counts import count_blocks
from deephash.evaluation.metrics import mean_average_precision, ndcg_at, precision_recall_by_rank
from deephash.evaluation.relevance import relevance_from_labels


@dataclass(frozen=True)
class Task:
    """Codes and labels of both sides."""

    query: BinaryCodes
    database: BinaryCodes
    query_labels: NDArray[np.int64]
    database_labels: NDArray[np.int64]

    @property
    def labels(self) -> dict[str, NDArray[np.int64]]:
        return {"query_labels": self.query_labels, "database_labels": self.database_labels}


def class_task(queries: int, items: int, bits: int = 64, classes: int = 10, seed: int = 0) -> Task:
    """Single-label codes that look like a supervised CIFAR-10 model's."""
    rng = np.random.default_rng(seed)
    centres = rng.integers(0, 2, (classes, bits)).astype(bool)

    def codes(labels: NDArray[np.int64]) -> BinaryCodes:
        strayed = rng.random(len(labels)) < 0.12
        shown = np.where(strayed, rng.integers(0, classes, len(labels)), labels)
        return BinaryCodes.from_bits(centres[shown] ^ (rng.random((len(labels), bits)) < 0.03))

    query_labels = rng.integers(0, classes, queries)
    database_labels = np.sort(np.arange(items) % classes)
    return Task(codes(query_labels), codes(database_labels), query_labels, database_labels)


def tag_task(queries: int, items: int, bits: int = 64, labels: int = 24, seed: int = 0) -> Task:
    """Multi-label codes, about 3 of 24 labels an item; a bit is the sign of the sum of its labels' directions."""
    rng = np.random.default_rng(seed)
    directions = rng.normal(size=(labels, bits))

    def side(count: int) -> tuple[BinaryCodes, NDArray[np.int64]]:
        tags = rng.random((count, labels)) < 3 / labels
        tags[np.arange(count), rng.integers(0, labels, count)] = True
        noise = rng.normal(size=(count, bits))
        return BinaryCodes.from_continuous(tags @ directions + noise), tags.astype(np.int64)

    (query, query_labels), (database, database_labels) = side(queries), side(items)
    return Task(query, database, query_labels, database_labels)


def sort_per_query(task: Task, kind: str | None) -> float:
    """mAP@all by sorting the whole database for each query; ``kind`` of numpy.argsort, None = its default."""
    query, database = task.query.signs().astype(np.float32), task.database.signs().astype(np.float32)
    query_labels, database_labels = multi_hot(task.query_labels), multi_hot(task.database_labels)
    bits, scores = database.shape[1], []
    for row, code in enumerate(query):
        relevant = database_labels @ query_labels[row] > 0
        order = np.argsort(0.5 * (bits - code @ database.T), kind=kind)  # type: ignore[call-overload]
        ranks = np.flatnonzero(relevant[order]) + 1.0
        if len(ranks):
            scores.append(np.mean(np.arange(1, len(ranks) + 1) / ranks))
    return float(np.mean(scores))


def multi_hot(labels: NDArray[np.int64]) -> NDArray[np.int64]:
    """Class numbers as one-hot rows, which is how public evaluation code takes them."""
    return np.eye(int(labels.max()) + 1, dtype=np.int64)[labels] if labels.ndim == 1 else labels


def cpu_seconds(run: Callable[[], float], repetitions: int) -> tuple[float, float]:
    """Return (fewest CPU seconds, value)."""
    spent = []
    for _ in range(repetitions):
        start = time.process_time()
        value = run()
        spent.append(time.process_time() - start)
    return min(spent), value


def measure(name: str, task: Task, repetitions: int) -> None:
    """Print one table."""
    codes = (task.query, task.database)
    relevance = relevance_from_labels(task.query_labels, task.database_labels)
    mean_average_precision(*codes, **task.labels)  # compiles or loads the kernels
    mean_average_precision(*codes, **task.labels, ties="stable")
    rows = {
        "counting alone": lambda: float(sum(len(c) for _, c in count_blocks(*codes, relevance))),
        "mAP@all, expected": lambda: mean_average_precision(*codes, **task.labels),
        "mAP@all, stable order": lambda: mean_average_precision(*codes, **task.labels, ties="stable"),
        "mAP@1000, expected, norm hits": lambda: mean_average_precision(*codes, **task.labels, top_k=1000),
        "NDCG@1000, expected": lambda: ndcg_at(*codes, **task.labels, top_k=1000),
        "PR curve, all 50,000 ranks": lambda: float(precision_recall_by_rank(*codes, **task.labels).precision.mean()),
    }
    ours = {row: cpu_seconds(run, repetitions) for row, run in rows.items()}
    peers = {
        "peer, stable sort": cpu_seconds(lambda: sort_per_query(task, "stable"), 1),
        "peer, default sort": cpu_seconds(lambda: sort_per_query(task, None), 1),
    }
    print(f"\n{name}: {len(task.query):,} queries x {len(task.database):,} items x {task.query.num_bits} bits")
    for row, (seconds, value) in {**peers, **ours}.items():
        print(f"  {row:32s} {seconds:8.3f} CPU-s   value {value:.12f}")
    expected, stable = ours["mAP@all, expected"], ours["mAP@all, stable order"]
    print(f"  stable peer / ours in the same order    {peers['peer, stable sort'][0] / stable[0]:8.1f} x")
    print(f"  default peer / ours in database order   {peers['peer, default sort'][0] / stable[0]:8.1f} x")
    print(f"  stable peer / ours expected over ties   {peers['peer, stable sort'][0] / expected[0]:8.1f} x")
    print(f"  default peer / ours expected over ties  {peers['peer, default sort'][0] / expected[0]:8.1f} x")
    print(f"  |value - stable peer's value|           {abs(stable[1] - peers['peer, stable sort'][1]):.1e}")
    for row in ("NDCG@1000, expected", "PR curve, all 50,000 ranks"):
        print(f"  {row} / mAP@all: {ours[row][0] / expected[0]:.2f} x")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--queries", type=int, default=10_000)
    parser.add_argument("--items", type=int, default=50_000)
    parser.add_argument("--repetitions", type=int, default=3)
    options = parser.parse_args()
    measure("10 classes", class_task(options.queries, options.items), options.repetitions)
    measure("24 labels", tag_task(options.queries, options.items), options.repetitions)
