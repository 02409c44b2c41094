"""A whole report of 1,000 queries x 1,000,000 items of 64 bits; beside another checkout where one is given.

    python benchmarks/evaluation_report.py
    git worktree add ../before 0.1.0 && python benchmarks/evaluation_report.py --against ../before

Prints the tables of docs/results/evaluation_speed.md. Each run is a fresh process, ours and the other's in turn;
kernels are loaded before the clock starts, codes and labels are synthetic (seed 0) and the same on both sides.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import numpy as np
from evaluation_map import class_task, tag_task

from deephash.codes import BinaryCodes
from deephash.evaluation.metrics import mean_average_precision, ndcg_at, precision_recall_by_rank
from deephash.evaluation.scores import Settings

try:
    from deephash.reports import evaluate_codes
except ImportError:  # as 0.1.0 has it
    from deephash.evaluation.report import evaluate_codes

HERE = Path(__file__).resolve().parent
KINDS = ("10 classes", "24 labels", "100 classes, random codes, named items, R = 1000")
METRICS = ("mAP@all", "NDCG@1000", "PR curve, all ranks")


def measured(kind: str, queries: int, items: int) -> dict[str, float]:
    """Return seconds and CPU seconds of a report and of three metrics, and the peak of the process in MB."""
    settings, names = Settings(), {}
    if kind == KINDS[2]:
        draw = np.random.default_rng(0)
        codes = [BinaryCodes(draw.integers(0, 256, (n, 8), dtype=np.uint8), 64) for n in (queries, items)]
        labels = [draw.integers(0, 100, n) for n in (queries, items)]
        settings = Settings(top_k=1000)
        names["query_names"] = [f"query_{row}.jpg" for row in range(queries)]
        names["database_names"] = [f"pictures/item_{row:08d}.jpg" for row in range(items)]
    else:
        task = (class_task if kind == KINDS[0] else tag_task)(queries, items)
        codes, labels = [task.query, task.database], [task.query_labels, task.database_labels]
    told = {"query_labels": labels[0], "database_labels": labels[1]}
    mean_average_precision(*codes, **told)  # loads the kernels
    few = [side[: max(400, len(side) // 50)] for side in codes]
    evaluate_codes(*few, *(side[: len(part)] for side, part in zip(labels, few, strict=True)), settings=settings)
    runs: dict[str, Callable[[], object]] = {
        "report": lambda: evaluate_codes(*codes, *labels, settings=settings, **names),
        METRICS[0]: lambda: mean_average_precision(*codes, **told),
        METRICS[1]: lambda: ndcg_at(*codes, **told, top_k=1000),
        METRICS[2]: lambda: precision_recall_by_rank(*codes, **told),
    }
    found = {}
    for name, run in runs.items():
        start, used = time.perf_counter(), time.process_time()
        run()
        found[name] = time.perf_counter() - start
        found[f"{name}, CPU-s"] = time.process_time() - used
    return found | {"peak MB": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024}


def run_in(checkout: Path, kind: str, options: argparse.Namespace) -> dict[str, float]:
    """Measure in a fresh process that imports the package of a checkout."""
    command = [sys.executable, __file__, "--kind", kind, f"--queries={options.queries}", f"--items={options.items}"]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(checkout), str(HERE)])}
    ran = subprocess.run(command, env=environment, cwd=checkout, check=True, stdout=subprocess.PIPE, text=True)
    return json.loads(ran.stdout)


def table(kind: str, options: argparse.Namespace) -> str:
    """Return medians of both sides as Markdown."""
    sides = {"now": HERE.parent} | ({} if options.against is None else {"before": options.against.resolve()})
    found: dict[str, list[dict[str, float]]] = {name: [] for name in sides}
    for _ in range(options.repetitions):
        for name, checkout in sides.items():
            found[name].append(run_in(checkout, kind, options))
    lines = [f"| {kind}: seconds | {' | '.join(sides)} |", f"|---|{'---|' * len(sides)}"]
    rows = [row for name in ("report", *METRICS) for row in (name, f"{name}, CPU-s")]
    for row in (*rows, "peak MB"):
        digits = 0 if row == "peak MB" else 2
        cells = [f"{median(run[row] for run in runs):,.{digits}f}" for runs in found.values()]
        lines.append(f"| {row} | {' | '.join(cells)} |")
    return "\n".join(lines)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--queries", type=int, default=1000)
    parser.add_argument("--items", type=int, default=1_000_000)
    parser.add_argument("--repetitions", type=int, default=3)
    parser.add_argument("--against", type=Path, help="another checkout of deephash")
    parser.add_argument("--kind", choices=KINDS, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.kind is not None:
        print(json.dumps(measured(options.kind, options.queries, options.items)))
    else:
        print("\n\n".join(table(kind, options) for kind in KINDS))
