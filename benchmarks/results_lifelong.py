"""Lifelong hashing: the rows of docs/results/lifelong.md.

    OMP_NUM_THREADS=1 OMP_WAIT_POLICY=PASSIVE python benchmarks/results_lifelong.py --runs RUNS --out lifelong.jsonl \\
        --cifar cifar10_jpeg.npz --flowers flowers17 --weights WEIGHTS --seconds 3600 --page docs/results/lifelong.md

Streams of classes: CIFAR-10 (the lossy JPEG copy) as 5 + 5 and 5 x 2 classes on features of a pretrained ResNet-20,
Flowers-17 as 9 + 4 + 4 on features of a pretrained MobileNetV2. The features are cached once and never learn, so a cell
takes seconds. A cell is one way to go on with a model, over all tasks of a stream; the command goes on where it
stopped. Models are trained by the command line as anybody would, and scored as `deephash evaluate --lifelong` does.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

import numpy as np
from measured import Row, arguments_of, finished, show, spread

SEEDS = (0, 1, 2)
STREAMS = {"cifar 5+5": ("cifar", "5,5"), "flowers 9+4+4": ("flowers", "9,4,4"), "cifar 5x2": ("cifar", "2,2,2,2,2")}
REPLAY = {"cifar": 500, "flowers": 100}
SHAPE = {"cifar": (64, 20, 128), "flowers": (1280, 30, 64)}  # features, epochs, batch
BITS = 64
WAYS = {  # how a run goes on, as words of `deephash train`
    "frozen": ["--epochs", "0"],
    "fine-tuned": [],
    "replay": ["--replay", "R"],
    "replay + HOC": ["--replay", "R", "--compatible", "hoc"],
    "replay + HOC, as the paper": ["--replay", "R", "--compatible", "hoc:9", "--compatible.new_items=true"],
    "replay + BCT": ["--replay", "R", "--compatible", "bct"],
    "replay + BEBR": ["--replay", "R", "--compatible", "bebr"],
    "replay + DLCH's loss": ["--replay", "R", "--compatible", "dlch"],
    "HOC without replay": ["--compatible", "hoc", "--compatible.new_items=true"],
    "new model, codes kept": ["--replay", "all", "--from-scratch"],
    "full retraining": ["--replay", "all"],
}
DLCH_WAYS = {  # of the method that has phases of its own: its stored codes are solved, and know their items' labels
    "frozen": ["--epochs", "0"],
    "fine-tuned": ["--model.init_args.fine_tune=true"],
    "its later phase, replay": ["--replay", "R"],
    "its later phase as released, replay": ["--replay", "R", "--model.init_args.preset=release"],
    "full retraining": ["--replay", "all"],
}
FRESH = ("new model, codes kept", "full retraining")  # which learn everything from fresh weights
METHODS = {"GreedyHash": WAYS, "OrthoHash": WAYS, "DLCH": DLCH_WAYS}  # OrthoHash has stationary targets
SPLITS = ("query", "train", "database")


def cells(options: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """Yield the streams one by one, each seed by seed; DLCH, whose cells take longer, last."""
    for methods in (("GreedyHash", "OrthoHash"), ("DLCH",)):
        for stream in STREAMS:
            for seed in SEEDS[: options.seeds]:
                for method in methods:
                    for way in METHODS[method]:
                        yield {"stream": stream, "method": method, "way": way, "seed": seed}


# Data -------------------------------------------------------------------------------------------------


def stream_file(stream: str, seed: int, options: argparse.Namespace) -> Path:
    """Return the file of a stream; make it, and the features below it, where they are not there."""
    data, sizes = STREAMS[stream]
    file: Path = options.runs / f"{stream.replace(' ', '_')}_{seed}.json"
    if not file.is_file():
        features = options.runs / f"{data}.npz"
        if not features.is_file():
            {"cifar": cifar_features, "flowers": flower_features}[data](features, options)
        deephash("data", "stream", features, "--tasks", sizes, "--seed", seed, "--out", file)
    return file


def cifar_features(file: Path, options: argparse.Namespace) -> None:
    """50 queries, 500 training items and a database of 1,000 a class, of the lists cifar10-i of seed 0."""
    from deephash.backbones import Backbone
    from deephash.data import Cifar10

    data = Cifar10(file=str(options.cifar), hold_out=False)
    data.setup()
    labels, draw = data.table.labels, np.random.RandomState(0)

    def some(part: str, count: int, without: Any = ()) -> Any:
        rows = np.setdiff1d(data.splits[part].rows, without)
        return np.concatenate([draw.permutation(rows[labels[rows] == number])[:count] for number in range(10)])

    train = data.splits["train"].rows
    parts = {"query": some("query", 50), "train": train, "database": np.union1d(train, some("database", 500, train))}
    backbone = Backbone("cifar_resnet:20", weights=str(options.weights / "cifar10_resnet20.safetensors"))
    write_features(file, data, parts, backbone)


def flower_features(file: Path, options: argparse.Namespace) -> None:
    """Of each class 20 queries and 60 items that are learned and searched: the first 60 of 80 by name."""
    from deephash.backbones import Backbone
    from deephash.data import PictureFolder

    data = PictureFolder(str(options.flowers), hold_out=False)
    last = np.array([(int(Path(name).stem[-4:]) - 1) % 80 >= 60 for name in data.table.names])
    rest = np.flatnonzero(~last)
    parts = {"query": np.flatnonzero(last), "train": rest, "database": rest}
    weights = str(options.weights / "mobilenetv2_100_imagenet.safetensors")
    backbone = Backbone("timm:mobilenetv2_100", weights=weights, options={"pad_type": "same"})
    write_features(file, data, parts, backbone)


def write_features(file: Path, data: Any, parts: dict[str, Any], backbone: Any) -> None:
    """Write what :class:`~deephash.data.FeatureFile` reads."""
    from deephash.data.feature_cache import FeatureCache

    encoder = backbone.build()
    rows = np.unique(np.concatenate(list(parts.values())))
    cache_of = FeatureCache(encoder, data.table.sources["image"], rows, data.table.checksum, folder=None)
    words = [",".join(part for part in SPLITS if row in set(parts[part].tolist())) for row in rows.tolist()]
    np.savez(
        file,
        image_features=cache_of.features("features").numpy(),
        labels=data.table.labels[rows],
        class_names=np.array(data.class_names),
        names=np.array([data.table.names[row] for row in rows]),
        split=np.array(words),
    )


# Runs -------------------------------------------------------------------------------------------------


class Diverged(RuntimeError):
    """A run that could not be finished; its cell says so, and has no figures."""


def deephash(*words: Any) -> None:
    """Run a command in this process; it fails loudly."""
    from deephash.cli.main import main

    os.environ["DEEPHASH_QUIET"] = "1"
    with open(os.devnull, "w") as nowhere, redirect_stdout(nowhere):
        code = main([str(word) for word in words])
    if code:
        raise Diverged(f"deephash {' '.join(map(str, words))} ended with {code}")


def base_words(
    stream: str, method: str, seed: int, options: argparse.Namespace, weights: int | None = None
) -> list[Any]:
    """Return what a run from fresh weights is told; ``weights`` is their seed, by default that of the stream."""
    width, epochs, batch = SHAPE[STREAMS[stream][0]]
    words = ["--stream", stream_file(stream, seed, options), "--bits", BITS]
    words += ["--seed", seed if weights is None else weights]
    words += ["--data.init_args.batch_size", batch, "--trainer.accelerator=cpu", "--data.init_args.hold_out=false"]
    if method == "DLCH":  # an epoch is a pass of one of its two networks
        words += ["--epochs", 2 * epochs, f"--model.init_args.image_backbone.name=features:{width}"]
        return ["train", "--config", "dlch/digits_32", *words]
    words = ["train", "--config", "orthohash/digits_64", "--method", method, *words, "--epochs", epochs]
    words += ["--backbone", f"features:{width}"]
    words += ["--model.init_args.optimizer.learning_rate=0.001", "--model.init_args.backbone.frozen=true"]
    return words + (["--reserve", 20] if method == "OrthoHash" and weights is None else [])


def series(stream: str, method: str, way: str, seed: int, options: argparse.Namespace) -> list[Path]:
    """Return the runs of all tasks; train those that are not there."""
    data, sizes = STREAMS[stream]
    name = f"{stream}-{method}-{seed}".replace(" ", "_")
    fresh, folders = base_words(stream, method, seed, options), [options.runs / f"{name}-1"]
    if not is_finished(folders[0]):
        deephash(*fresh, "--out", folders[0])
    others = base_words(stream, method, seed, options, weights=seed + 100)
    told = [str(REPLAY[data]) if word == "R" else word for word in METHODS[method][way]]
    for task in range(2, sizes.count(",") + 2):
        folder = options.runs / f"{name}-{way.replace(' ', '_')}-{task}"
        if not is_finished(folder):
            follow = ["--continue-from", folders[-1], "--task", task]
            if way == "full retraining":
                deephash(*fresh, *told, "--task", task, "--out", folder)
            elif way in FRESH:  # another seed, as another network has other weights; targets are those of the table
                deephash(*others, *follow, *told, "--out", folder)
            else:
                deephash("train", *follow, *told, "--seed", seed, "--out", folder)
        folders.append(folder)
    return folders


def is_finished(folder: Path) -> bool:
    """Say whether a run is there and whole."""
    record = folder / "run.json"
    if record.is_file() and json.loads(record.read_text()).get("status") == "finished":
        return True
    if folder.exists():  # it was killed on the way
        shutil.rmtree(folder)
    return False


def measure(stream: str, method: str, way: str, seed: int, options: argparse.Namespace) -> Row:
    """Return the figures of one way over a stream."""
    from deephash.evaluation.settings import Settings
    from deephash.scoring.series import evaluate_lifelong
    from deephash.scoring.stages import lifelong_stages

    try:
        folders = series(stream, method, way, seed, options)
    except Diverged as error:
        print(error, flush=True)
        return {"failed": True}
    reencoded = way == "full retraining"
    report = evaluate_lifelong(
        lifelong_stages(folders, reencoded=reencoded), settings=Settings(resamples=0), reencoded=reencoded
    )
    figures = {
        each.metric.removesuffix(" of mAP@all"): each.value for each in report.figures if "mAP@all" in each.metric
    }
    last = report.series.scores[-1]
    figures |= {"old": float(np.mean(last[:-1])), "new": last[-1], "rows": rows_learned(folders[1:])}
    figures["seconds"] = sum(report.series.seconds[1:])
    return {name: round(value, 5) for name, value in figures.items()} | {"protocol": str(report.protocol)}


def rows_learned(folders: list[Path]) -> int:
    """Return how many training rows all epochs of some runs saw: what a run costs, whoever else uses the machine."""
    total = 0
    for folder in folders:
        facts, splits = (json.loads((folder / name).read_text()) for name in ("run.json", "splits.json"))
        total += facts["epochs"] * splits["counts"]["train"]
    return total


# The page ---------------------------------------------------------------------------------------------

COLUMNS = {
    "mAP@all": "mAP", "old": "mAP old", "new": "mAP new", "forgetting": "forgetting", "forward transfer": "forward",
    "AC": "AC", "AC (equal is compatible)": "AC (=)", "AM": "AM",
}  # fmt: skip


def tables(rows: list[Row]) -> str:
    """Return a table a stream: mean and spread over seeds, and the rows learned against full retraining."""
    blocks = []
    for stream in dict.fromkeys(row["stream"] for row in rows):
        mine = [row for row in rows if row["stream"] == stream]
        seeds = len({row["seed"] for row in mine})
        head = ["method", "way", *COLUMNS.values(), "rows"]
        lines = [head, ["---"] * len(head)]
        for method, ways in METHODS.items():
            whole = _rows(mine, method, "full retraining")
            for way in ways:
                found = [row for row in mine if (row["method"], row["way"]) == (method, way)]
                if found:
                    shown = [spread([row[name] for row in found if name in row], seeds) for name in COLUMNS]
                    cost = _rows(mine, method, way)
                    lines.append([method, way, *shown, f"{cost / whole:.2f}" if whole and cost is not None else "–"])
        protocol = next(row["protocol"] for row in mine if "protocol" in row)
        blocks += [
            f"### {stream}, {seeds} seeds",
            "\n".join(f"| {' | '.join(line)} |" for line in lines),
            f"`{protocol}`",
        ]
    return "\n\n".join(blocks)


def _rows(rows: list[Row], method: str, way: str) -> float | None:
    """Return the training rows that a way sees, mean over seeds; None where it was not measured."""
    found = [row["rows"] for row in rows if (row["method"], row["way"]) == (method, way) and "rows" in row]
    return sum(found) / len(found) if found else None


def main() -> None:
    """Measure, and write the page."""
    parser = arguments_of(__doc__, runs="folder of the runs", weights="folder of weight files")
    parser.add_argument("--cifar", type=Path, required=True, help="cifar10_jpeg.npz")
    parser.add_argument("--flowers", type=Path, required=True, help="folder of Flowers-17")
    parser.add_argument("--seeds", type=int, default=len(SEEDS))
    options = parser.parse_args()
    options.runs, options.weights = Path(options.runs), Path(options.weights)
    options.runs.mkdir(parents=True, exist_ok=True)
    rows = finished(options, cells(options), lambda **cell: measure(**cell, options=options))
    show(options.page, tables(rows))


if __name__ == "__main__":
    main()
