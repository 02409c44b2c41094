"""How sure a code is: does certainty tell wrong answers, and do spoilt pictures get less of it?

    python benchmarks/results_certainty.py --runs RUNS --out certainty.jsonl --seconds 500 \\
        --page docs/results/certainty.md

Each run is trained by ``deephash train`` on pictures of digits, which writes ``certainty.json`` from its validation
part. Then every test query asks the database as it is, blurred, with a grey square over it, and with noise. An answer
is wrong where the nearest item, the first of equally near ones, is of another class.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
from measured import Row, arguments_of, finished, show, spread
from numpy.typing import NDArray
from PIL import Image

from deephash.codes.certainty import certainty, expected_hamming, within_noise
from deephash.pictures.corruptions import corrupted

SEEDS = (0, 1, 2)
BETA = "--model.init_args.divergence_weight={}"
RUNS = {
    "HIB, β 1e-3": ["--config", "hib/digits_64", BETA.format(1e-3)],
    "HIB, β 1e-2": ["--config", "hib/digits_64", BETA.format(1e-2)],
    "OrthoHash, margins": ["--config", "orthohash/digits_64"],
}
SPOILT: dict[str, Callable[[Image.Image, int], Image.Image]] = {
    "clean": lambda picture, row: picture,
    "blur 3": lambda picture, row: corrupted(picture, "blur", 3),
    "blur 5": lambda picture, row: corrupted(picture, "blur", 5),
    "noise 5": lambda picture, row: corrupted(picture, "noise", 5, str(row)),
    "occlusion 1/3": lambda picture, row: covered(picture, 1 / 3, row),
    "occlusion 1/2": lambda picture, row: covered(picture, 1 / 2, row),
}
COVERAGES = (1.0, 0.9, 0.8, 0.6, 0.4)
ALL = "all together"
Floats = NDArray[np.float64]


def covered(picture: Image.Image, share: float, seed: int) -> Image.Image:
    """Return a picture with a grey square of ``share`` of its side somewhere."""
    copy, side = picture.copy(), round(share * picture.width)
    left, top = np.random.default_rng(seed).integers(0, picture.width - side + 1, 2).tolist()
    copy.paste((128, 128, 128), (left, top, left + side, top + side))
    return copy


def trained(options: argparse.Namespace, run: str, seed: int) -> Path:
    """Train a run unless it is there."""
    folder: Path = options.runs / f"{run.replace(', ', '_').replace(' ', '_')}_{seed}"
    if not (folder / "model").is_dir():
        from deephash.cli.main import main as deephash

        words = ["train", *RUNS[run], "--seed", str(seed), "--out", str(folder), "--trainer.accelerator=cpu"]
        with redirect_stdout(StringIO()):
            deephash(words)
    return folder


def auroc(sure: Floats, wrong: NDArray[np.bool_]) -> float | None:
    """Return how probably a right answer is surer than a wrong one; None where all are of one kind."""
    from sklearn.metrics import roc_auc_score

    return float(roc_auc_score(~wrong, sure)) if 0 < wrong.sum() < len(wrong) else None


def figures(sure: Floats, wrong: NDArray[np.bool_], nearest: NDArray[np.integer]) -> Row:
    """Return what one kind of query gives; ``nearest`` is the distance of the answer, the plain rival of certainty."""
    order = np.argsort(-sure, kind="stable")
    risk = {f"risk {share:g}": float(wrong[order[: max(1, round(share * len(order)))]].mean()) for share in COVERAGES}
    row: Row = {"certainty": float(sure.mean()), "wrong": float(wrong.mean()), "queries": len(sure), **risk}
    scores = {"AUROC": auroc(sure, wrong), "AUROC of the distance": auroc(-nearest.astype(float), wrong)}
    return row | {name: value for name, value in scores.items() if value is not None}


def measure(options: argparse.Namespace) -> Callable[..., list[Row]]:
    """Return what measures all kinds of query of one run."""

    def one(run: str, seed: int) -> list[Row]:
        import torch

        from deephash.scoring.encoding import mean_average_precision_of, protocol_of_test
        from deephash.scoring.runs import model_and_data

        model, data = model_and_data(trained(options, run, seed), None)
        data.setup()
        data.attach(model)
        database, query, searched = data.codes(model, "database"), data.splits["query"], data.splits["database"]
        labels, theirs = np.asarray(query.labels), np.asarray(searched.labels)
        source, prepare = data.table.sources["image"], model.preprocess()
        whole = {"protocol": str(protocol_of_test(model, data)), "mAP": mean_average_precision_of(model, data)[""]}
        rows, parts = [], []
        for kind, spoil in SPOILT.items():
            inputs = {"image": torch.stack([prepare(spoil(source(int(row)), int(row))) for row in query.rows])}
            distances, p = model.encode(inputs).hamming(database), model.bit_probabilities(inputs).numpy()
            first = distances.argmin(axis=1)
            wrong, nearest = theirs[first] != labels, distances.min(axis=1)
            parts.append((certainty(p), wrong, nearest))
            noisy = {"noisy bits": float(within_noise(p).sum(axis=1).mean())}
            rows.append(
                {"kind": kind, **figures(*parts[-1]), **noisy, **orders(p, distances, database, labels, theirs)}
            )
        together = [np.concatenate(each) for each in zip(*parts)]
        return [*rows, {"kind": ALL, **figures(*together), **whole}]

    return one


def orders(p: Floats, distances: Any, database: Any, labels: Any, theirs: Any) -> Row:
    """Return precision at 10 by the plain distance and by the expected one, over a shortlist of 100."""
    bits, found = database.bits(), {"by distance": [], "by expected": []}  # type: ignore[var-annotated]
    for row, label in enumerate(labels):
        near = np.argsort(distances[row], kind="stable")[:100]
        best = near[np.argsort(expected_hamming(bits[near], p[row]), kind="stable")]
        found["by distance"].append((theirs[near[:10]] == label).mean())
        found["by expected"].append((theirs[best[:10]] == label).mean())
    return {f"P@10 {name}": float(np.mean(values)) for name, values in found.items()}


def table(rows: list[Row]) -> str:
    """Return the tables as Markdown."""
    protocols = sorted({row["protocol"] for row in rows if "protocol" in row})
    columns = [
        "certainty",
        "noisy bits",
        "wrong",
        "AUROC",
        "AUROC of the distance",
        "P@10 by distance",
        "P@10 by expected",
    ]
    lines = [*(f"`{each}`" for each in protocols), "", "| model | queries | " + " | ".join(columns) + " |"]
    lines.append("|---" * (len(columns) + 2) + "|")
    for run in RUNS:
        for kind in (*SPOILT, ALL):
            lines.append(f"| {run} | {kind} | {_cells(rows, run, kind, columns)} |")
    risks = [f"risk {share:g}" for share in COVERAGES]
    lines += ["", "Risk: share of wrong answers among the surest so many queries, all kinds together.", ""]
    heads = [f"{100 * share:.0f} % answered" for share in COVERAGES]
    lines += ["| model | mAP@all | " + " | ".join(heads) + " |", "|---" * (len(heads) + 2) + "|"]
    lines += [f"| {run} | {_cells(rows, run, ALL, ['mAP', *risks])} |" for run in RUNS]
    return "\n".join(lines)


def _cells(rows: list[Row], run: str, kind: str, columns: Sequence[str]) -> str:
    same = [row for row in rows if (row["run"], row["kind"]) == (run, kind)]
    return " | ".join(spread([row[name] for row in same if name in row], len(SEEDS)) for name in columns)


def main() -> None:
    """Measure what is missing, and show the tables."""
    parser = arguments_of(__doc__)
    parser.add_argument("--runs", type=Path, required=True, help="where runs are trained, or were")
    options = parser.parse_args()
    cells = [{"run": run, "seed": seed} for seed in SEEDS for run in RUNS]
    show(options.page, table(finished(options, cells, measure(options))))


if __name__ == "__main__":
    main()
