"""mAP over 10,000 queries x 50,000 items of 64 bits: ours against the sort-per-query way of public repositories.

    python benchmarks/evaluation_map.py                # everything; a peer takes about half a minute of CPU time a run
    python benchmarks/evaluation_map.py --queries 1000 # quicker, same ratios

Prints the two tables of docs/results/evaluation_speed.md (--out FILE writes them too) and its progress on stderr.

The peer is written here in our own words: for each query the distances to the whole database by a matrix product of
-1/+1 codes, relevance by a product of multi-hot labels, one sort, then precision at the rank of every relevant item.
Both run in one process on the same codes, in turn; figures are medians of CPU seconds (all threads). Codes are
synthetic: a random centre a class, 12 % of the items with another class's centre, 3 % of the bits flipped, database
sorted by class, as published image lists are.
"""

from __future__ import annotations

import argparse
import platform
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import numpy as np
from numpy.typing import NDArray

from deephash.codes import BinaryCodes
from deephash.evaluation.counts import count_blocks
from deephash.evaluation.metrics import mean_average_precision, ndcg_at, precision_at, precision_recall_by_rank
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


def sort_per_query(task: Task, kind: str | None, *, one_hot: bool = True) -> float:
    """mAP@all by sorting the whole database for each query; ``kind`` of numpy.argsort, None = its default.

    ``one_hot`` takes class numbers as one-hot rows and their product, which is how public code does it; otherwise they
    are compared, which is cheaper.
    """
    query, database = task.query.signs().astype(np.float32), task.database.signs().astype(np.float32)
    query_labels, database_labels = task.query_labels, task.database_labels
    if one_hot or query_labels.ndim == 2:
        query_labels, database_labels = multi_hot(query_labels), multi_hot(database_labels)
    bits, scores = database.shape[1], []
    for row, code in enumerate(query):
        is_product = database_labels.ndim == 2
        relevant = database_labels @ query_labels[row] > 0 if is_product else database_labels == query_labels[row]
        order = np.argsort(0.5 * (bits - code @ database.T), kind=kind)  # type: ignore[call-overload]
        ranks = np.flatnonzero(relevant[order]) + 1.0
        if len(ranks):
            scores.append(np.mean(np.arange(1, len(ranks) + 1) / ranks))
    return float(np.mean(scores))


def multi_hot(labels: NDArray[np.int64]) -> NDArray[np.int64]:
    """Class numbers as one-hot rows."""
    return np.eye(int(labels.max()) + 1, dtype=np.int64)[labels] if labels.ndim == 1 else labels


@dataclass(frozen=True)
class Timing:
    """Median CPU seconds of the repetitions, and the value."""

    seconds: float
    value: float


def timings(runs: dict[str, Callable[[], float]], repetitions: int) -> dict[str, Timing]:
    """Run everything in turn, ``repetitions`` rounds, so that a busy spell of the machine falls on all alike."""
    spent: dict[str, list[float]] = {name: [] for name in runs}
    values: dict[str, float] = {}
    for round_number in range(repetitions):
        for name, run in runs.items():
            start = time.process_time()
            values[name] = run()
            spent[name].append(time.process_time() - start)
            print(f"  round {round_number + 1}: {name}: {spent[name][-1]:.3f} CPU-s", file=sys.stderr, flush=True)
    return {name: Timing(median(seconds), values[name]) for name, seconds in spent.items()}


def runs_of(task: Task) -> dict[str, Callable[[], float]]:
    """Everything that is timed, by the name of its row."""
    codes, labels = (task.query, task.database), task.labels
    relevance = relevance_from_labels(task.query_labels, task.database_labels)
    peers: dict[str, Callable[[], float]] = {
        STABLE_PEER: lambda: sort_per_query(task, "stable"),
        DEFAULT_PEER: lambda: sort_per_query(task, None),
    }
    if task.query_labels.ndim == 1:
        peers[NUMBERS_PEER] = lambda: sort_per_query(task, "stable", one_hot=False)
    return peers | {
        "counting alone": lambda: float(sum(len(counts) for _, counts in count_blocks(*codes, relevance))),
        EXPECTED: lambda: mean_average_precision(*codes, **labels),
        STABLE: lambda: mean_average_precision(*codes, **labels, ties="stable"),
        "mAP@1000, expected, norm=hits": lambda: mean_average_precision(*codes, **labels, top_k=1000),
        NDCG: lambda: ndcg_at(*codes, **labels, top_k=1000),
        CURVE: lambda: float(precision_recall_by_rank(*codes, **labels).precision.mean()),
        "P@100, stable order": lambda: precision_at(*codes, **labels, top_k=100, ties="stable"),
    }


STABLE_PEER, DEFAULT_PEER = "peer, stable sort", "peer, NumPy's default sort"
NUMBERS_PEER = "peer, stable sort, class numbers"
EXPECTED, STABLE = "mAP@all, expected over ties", "mAP@all, stable order"
NDCG, CURVE = "NDCG@1000, expected", "PR curve, all ranks"


def ratios(found: dict[str, Timing]) -> dict[str, str]:
    """The ratios of the results page."""

    def times(above: str, below: str) -> str:
        return f"{found[above].seconds / found[below].seconds:.2f} x"

    rows = {"stable peer / ours in the same order": times(STABLE_PEER, STABLE)}
    if NUMBERS_PEER in found:
        rows["stable peer with class numbers / ours in the same order"] = times(NUMBERS_PEER, STABLE)
    return rows | {
        "stable peer / ours, expected": times(STABLE_PEER, EXPECTED),
        "default peer / ours, expected": times(DEFAULT_PEER, EXPECTED),
        "NDCG@1000 / mAP@all": times(NDCG, EXPECTED),
        "PR curve / mAP@all": times(CURVE, EXPECTED),
        "difference to the stable peer's value": f"{abs(found[STABLE].value - found[STABLE_PEER].value):.1e}",
    }


def report(tables: dict[str, dict[str, Timing]]) -> str:
    """Two Markdown tables, one column a task: CPU seconds, and ratios."""
    heads = f"| {' | '.join(tables)} |\n|---|{'---|' * len(tables)}"
    names = list(dict.fromkeys(name for found in tables.values() for name in found))
    seconds = [[f"{found[name].seconds:.3f}" if name in found else "-" for found in tables.values()] for name in names]
    columns = [ratios(found) for found in tables.values()]
    kinds = list(dict.fromkeys(name for column in columns for name in column))
    shares = [[column.get(name, "-") for column in columns] for name in kinds]
    lines = [f"| CPU-s {heads}", *_rows(names, seconds), "", f"| ratio {heads}", *_rows(kinds, shares)]
    return "\n".join(lines)


def _rows(names: list[str], cells: list[list[str]]) -> list[str]:
    return [f"| {name} | {' | '.join(row)} |" for name, row in zip(names, cells, strict=True)]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--queries", type=int, default=10_000)
    parser.add_argument("--items", type=int, default=50_000)
    parser.add_argument("--repetitions", type=int, default=3)
    parser.add_argument("--out", type=Path, help="also write the tables to this file")
    options = parser.parse_args()
    tables = {}
    for name, make in (("10 classes", class_task), ("24 labels", tag_task)):
        task = make(options.queries, options.items)
        runs = runs_of(task)
        for row in (EXPECTED, STABLE):
            runs[row]()  # compiles or loads the kernels
        tables[name] = timings(runs, options.repetitions)
    head = f"{options.queries:,} queries x {options.items:,} items x 64 bits, median of {options.repetitions} rounds"
    text = f"{head}, NumPy {np.__version__}, Python {platform.python_version()}\n\n{report(tables)}\n"
    print(text)
    if options.out is not None:
        options.out.write_text(text, encoding="utf-8")
