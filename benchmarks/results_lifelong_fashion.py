"""Pictures and titles whose types arrive 20 + 10 + 10: the rows of docs/results/lifelong_fashion.md.

    DEEPHASH_WEIGHTS=WEIGHTS OMP_NUM_THREADS=1 python benchmarks/results_lifelong_fashion.py \\
        --root fashion --runs RUNS --out lifelong_fashion.jsonl --seconds 3000

A cell is one way to go on after the first 20 types, and one seed: both later tasks, trained by the command line as
anybody would. DLCH learns the first task for all of them. Both towers are frozen, so that a cell takes a minute.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from measured import Row, arguments_of, finished, show, spread

SEEDS, TASKS, REPLAY, ROUNDS, LATER_ROUNDS, BATCH = (0, 1, 2), 3, 2000, 30, 20, 256
ALL = "full retraining"
DLCH = "DLCH"
_TUNE = ("--model.init_args.fine_tune=true", "--epochs", str(3 * ROUNDS))
_LATER = ("--replay", str(REPLAY), "--epochs", str(2 * LATER_ROUNDS))
_RELEASE = "--model.init_args.preset=release"
# name -> what is said beside --continue-from; full retraining begins afresh
WAYS: dict[str, tuple[str, ...]] = {
    "frozen": ("--epochs", "0"),
    "fine-tuning on new items": _TUNE,
    "fine-tuning with replay": (*_TUNE, "--replay", str(REPLAY)),
    DLCH: _LATER,
    "DLCH, replay 500": ("--replay", "500", *_LATER[2:]),
    "DLCH, codes of halves apart": (*_LATER, "--model.init_args.lifelong.shared=false"),
    "DLCH, release": (*_LATER, _RELEASE),
    "DLCH, release at our rate": (*_LATER, _RELEASE, "--model.init_args.lifelong_rate=0.001"),
    ALL: ("--replay", "all", "--epochs", str(3 * ROUNDS)),
}
GALLERIES = ("stored", "unseen")
PARTS = {"i2t": ("image", "text"), "t2i": ("text", "image")}


def cells(options: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """Yield seed after seed, so that a stopped table is a whole one of fewer seeds."""
    yield from ({"seed": seed, "way": way} for seed in SEEDS[: options.seeds] for way in WAYS)


# Training ------------------------------------------------------------------------------------------------


def deephash(*words: object) -> None:
    """Give a command."""
    program = [str(Path(sys.executable).with_name("deephash")), *map(str, words)]
    subprocess.run(program, check=True, stdout=subprocess.DEVNULL, env={**os.environ, "DEEPHASH_QUIET": "1"})


def stream_of(options: argparse.Namespace) -> Path:
    """Return the stream: the order of the types is drawn once, by seed 0."""
    path: Path = options.runs / "fashion.json"
    if not path.exists():
        options.runs.mkdir(parents=True, exist_ok=True)
        data = ("--option", f"root={options.root}", "--option", f"cache_dir={options.runs / 'features'}")
        deephash("data", "stream", "dlch/fashion_64", *data, "--tasks", "20,10,10", "--out", path)
    return path


def run_of(options: argparse.Namespace, way: str, seed: int, task: int) -> Path:
    """Return the run of a way at a task; train it, and those that it goes on from, where it is not there."""
    name = "first" if task == 1 else f"{way.replace(', ', ' ').replace(' ', '-')}-{task}"
    folder: Path = options.runs / f"{name}-{seed}"
    record = folder / "run.json"
    if record.is_file() and json.loads(record.read_text()).get("test_scores"):
        return folder
    fresh = ("--config", "dlch/fashion_64", "--stream", stream_of(options), "--task", task)
    if task == 1:
        words: tuple[object, ...] = (*fresh, "--epochs", 3 * ROUNDS)
    elif way == ALL:
        words = (*fresh, *WAYS[way])
    else:
        words = ("--continue-from", run_of(options, way, seed, task - 1), *WAYS[way])
    if (folder / "last.ckpt").is_file():
        words = ("--resume", folder)
        deephash("train", *words)
    else:
        deephash("train", *words, "--seed", seed, "--out", folder)
    return folder


# Figures --------------------------------------------------------------------------------------------------


def measure(seed: int, way: str, options: argparse.Namespace) -> list[Row]:
    """Return a row a task and a gallery: mAP of the queries of each task so far, either way."""
    return [row for task in range(1, TASKS + 1) for row in _rows(run_of(options, way, seed, task), task)]


def _rows(folder: Path, task: int) -> list[Row]:
    """Return mAP against all that is stored, and against what no model was trained on, whose codes are encoded."""
    from deephash.evaluation.metrics import mean_average_precision
    from deephash.scoring.encoding import protocol_of_test
    from deephash.scoring.runs import model_and_data

    model, data = model_and_data(folder, None)
    data.setup()
    query, database = data.splits["query"], data.splits["database"]
    learned = {name for each in data.stream.tasks[:task] for name in each.items["train"]}
    galleries = {"stored": np.arange(len(database)), "unseen": _not_among(database.names, learned)}
    facts = json.loads((folder / "run.json").read_text())
    shared = {
        "task": task,
        "seconds": facts["seconds"],
        "rows": rows_of(folder),
        "protocol": str(protocol_of_test(model, data)),
    }
    rows = []
    for gallery, chosen in galleries.items():
        figures = {}
        for way, (asking, answering) in PARTS.items():
            asked = data.codes(model, "query", modality=asking)
            searched = data.codes(model, "database", modality=answering)[chosen]
            figures[way] = [
                mean_average_precision(
                    asked[own],
                    searched,
                    query_labels=query.labels[own],
                    database_labels=database.labels[chosen],
                )
                for own in (np.flatnonzero(query.sessions == number) for number in range(1, task + 1))
            ]
        rows.append({**shared, "gallery": gallery, **figures})
    return rows


def rows_of(folder: Path) -> int:
    """Return how many items the steps of a run looked at, which does not depend on who else is at work."""
    counts = json.loads((folder / "splits.json").read_text())["counts"]
    epochs = json.loads((folder / "run.json").read_text())["epochs"]
    return int(epochs * (counts["train"] // BATCH) * BATCH)


def _not_among(names: list[str], known: set[str]) -> Any:
    return np.flatnonzero([name not in known for name in names])


# Tables ---------------------------------------------------------------------------------------------------


def tables(rows: list[Row]) -> str:
    """Return the tables of the page."""
    seeds = len({row["seed"] for row in rows})
    blocks = [_table(rows, gallery, seeds) for gallery in GALLERIES]
    last = next(row for row in rows if row["task"] == TASKS)
    return "\n\n".join([*blocks, _claims(rows, seeds), f"Protocol, after the last task: `{last['protocol']}`"])


def _table(rows: list[Row], gallery: str, seeds: int) -> str:
    from deephash.evaluation.lifelong import lifelong_scores

    says = {
        "stored": "All stored codes are searched: solved ones of items that were learned, encoded ones of the others",
        "unseen": "Only items that no model was trained on are searched",
    }
    head = [
        "",
        "task 2: old",
        "new",
        "task 3: old",
        "new",
        "average",
        "forgetting",
        "seconds",
        "of full",
        "rows, of full",
    ]
    lines = [head, ["---"] * len(head)]
    for way in WAYS:
        own = [row for row in rows if (row["way"], row["gallery"]) == (way, gallery)]
        found = {seed: _matrix([row for row in own if row["seed"] == seed]) for seed in SEEDS}
        whole = [matrix for matrix in found.values() if matrix is not None]
        if not whole:
            continue
        summary = [lifelong_scores(matrix) for matrix in whole]
        cells = [
            spread([matrix[task - 1, :task][:-1].mean() if part == "old" else matrix[task - 1, task - 1]
                    for matrix in whole], seeds)
            for task in (2, 3) for part in ("old", "new")
        ]  # fmt: skip
        cells.append(spread([each.final_average for each in summary], seeds))
        cells.append(spread([each.forgetting for each in summary], seeds))
        shares = [spread(_shares(rows, way, what), seeds) for what in ("seconds", "rows")]
        lines.append([way, *cells, f"{np.mean(list(_sums(rows, way, 'seconds').values())):.0f}", *shares])
    return f"{says[gallery]}; mAP@all, mean of both directions\n\n" + "\n".join(
        f"| {' | '.join(line)} |" for line in lines
    )


def _matrix(rows: list[Row]) -> Any:
    """Return R[t][s], mean of both directions; None where a task is missing."""
    found = {row["task"]: np.mean([row[way] for way in PARTS], axis=0) for row in rows}
    if set(found) != set(range(1, TASKS + 1)):
        return None
    matrix = np.full((TASKS, TASKS), np.nan)
    for task, scores in found.items():
        matrix[task - 1, :task] = scores
    return matrix


def _shares(rows: list[Row], way: str, what: str) -> list[float]:
    """Return the share of full retraining's seconds or rows, a seed each."""
    mine, full = _sums(rows, way, what), _sums(rows, ALL, what)
    return [mine[seed] / full[seed] for seed in full if seed in mine]


def _sums(rows: list[Row], way: str, what: str) -> dict[int, float]:
    """Return by seed the seconds, or rows, of both later tasks; features were cached before."""
    own = [row for row in rows if row["way"] == way and row["gallery"] == "stored" and row["task"] > 1]
    found: dict[int, float] = {}
    for row in own:
        found[row["seed"]] = found.get(row["seed"], 0.0) + row[what]
    return found


def _claims(rows: list[Row], seeds: int) -> str:
    """Return the two claims of the paper's abstract beside what was measured."""
    less = {way: [1 - each for each in _shares(rows, way, "seconds")] for way in (DLCH, "DLCH, replay 500")}
    said = "; ".join(f"{way}: {spread(values, seeds)}" for way, values in less.items())
    lines = [f"Less time than full retraining: {said} (the paper claims more than 0.8)."]
    for gallery in GALLERIES:
        gains = []
        for seed in SEEDS:
            pair = [
                _matrix([row for row in rows if (row["way"], row["seed"], row["gallery"]) == (way, seed, gallery)])
                for way in (DLCH, "fine-tuning on new items")
            ]
            if all(each is not None for each in pair):
                gains.append(pair[0][-1].mean() / pair[1][-1].mean() - 1)
        lines.append(
            f"Final average against fine-tuning on new items, {gallery} codes: {spread(gains, seeds)} more, relative "
            "(the paper claims more than 0.2)."
        )
    return "\n\n".join(lines)


def main() -> None:
    """Measure what is missing, and print the tables."""
    parser = arguments_of(__doc__, root="folder of the fashion items", runs="where runs are kept")
    parser.add_argument("--seeds", type=int, default=len(SEEDS), help="how many of the three")
    options = parser.parse_args()
    options.root, options.runs = Path(options.root).resolve(), Path(options.runs).resolve()
    rows = finished(options, cells(options), lambda **cell: measure(**cell, options=options))
    if rows:
        show(options.page, tables([row for row in rows if row["seed"] in SEEDS[: options.seeds]]))


if __name__ == "__main__":
    main()
