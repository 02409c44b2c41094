"""Which hits mean something: precision, recall and reliability of the line, beside the cut-off of 0.1.0.

    python benchmarks/results_relevance.py --data DATA --runs RUNS --out relevance.jsonl --seconds 500 \\
        --page docs/results/relevance.md

Each run is trained by ``deephash train``, which counts known pairs in its validation part. Then every test query asks
the database: as it is, rotated by 18 degrees, drawn (digits: two levels on a sheet, fitted as the page does), and 200
pictures of noise. The line is the one that ``search`` and the page draw (:mod:`deephash.search.verdict`).
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
from measured import Row, arguments_of, finished, show, spread
from numpy.typing import NDArray
from PIL import Image, ImageOps

from deephash.codes import BinaryCodes
from deephash.collection.pair_counts import load_pair_counts
from deephash.search.chance import Chance, chance_level, unexplained
from deephash.search.verdict import Searched, Verdict, verdicts

SEEDS, NOISE, ANGLE, BINS = (0, 1, 2), 200, 18, 10
LINES = ("0.1.0", "chance", "offered")
CACHE = "--data.init_args.cache_dir={runs}/features"
RESNET = "name: 'cifar_resnet:20', image_size: 32, weights: '{data}/weights/cifar10_resnet20.safetensors'"
CIFAR = ["--data.init_args.file={data}/cifar10/cifar10_jpeg.npz", CACHE]
CIFAR += [f"--model.init_args.backbone={{{{{RESNET}, options: {{{{}}}}, transform: null}}}}"]
FLOWERS = ["--data.init_args.root={data}/flowers17", CACHE, "--backbone", "timm:mobilenetv2_100"]
FLOWERS += ["--weights", "{data}/weights/mobilenetv2_100_imagenet.safetensors"]
FLOWERS += ["--model.init_args.backbone.image_size=128", "--model.init_args.backbone.options={{pad_type: same}}"]
RUNS = {
    "digits, OrthoHash": (["--config", "orthohash/digits_64"], ("clean", "rotated", "drawn", "noise")),
    "CIFAR-10, OrthoHash": (["--config", "orthohash/cifar10_jpeg_64", *CIFAR], ("clean", "rotated", "noise")),
    "CIFAR-10, ITQ": (["--config", "itq/cifar10_jpeg_64", *CIFAR], ("clean", "rotated", "noise")),
    "Wiki, CCA-ITQ": (["--config", "cca/wiki_32", "--data.init_args.file={data}/wiki/wiki_features.npz"], ("words",)),
    "Flowers-17, OrthoHash": (["--config", "orthohash/folder_64", *FLOWERS], ("clean", "rotated", "noise")),
}
Bools = NDArray[np.bool_]


@dataclass(frozen=True)
class Asked:
    """Queries of one kind: their distances to the database [Q, N], and which items are right [Q, N]."""

    distances: NDArray[np.int32]
    right: Bools
    max_distance: int

    def counts(self) -> Iterator[NDArray[np.int64]]:
        """Yield the items at each distance from each query."""
        return (np.bincount(row, minlength=self.max_distance + 1) for row in self.distances)


def trained(options: argparse.Namespace, data: str, seed: int) -> Path:
    """Train a run unless it is there."""
    folder = options.runs / f"{data.replace(', ', '_')}_{seed}"
    if not (folder / "model").is_dir():
        words = [word.format(data=options.data, runs=options.runs.resolve()) for word in RUNS[data][0]]
        program = str(Path(sys.executable).with_name("deephash"))
        command = [program, "train", *words, "--seed", str(seed), "--out", str(folder), "--trainer.accelerator=cpu"]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, env={**os.environ, "DEEPHASH_QUIET": "1"})
    return folder


def drawn(pictures: Sequence[Image.Image], paper: Any) -> list[Image.Image]:
    """Return pictures as somebody might draw them: their shape in two levels, dark on a white sheet, then fitted."""
    from deephash.webui.sketch import fit_to_paper

    sheets = [ImageOps.grayscale(each).resize((336, 336), Image.Resampling.BICUBIC) for each in pictures]
    strokes = [ImageOps.invert(sheet.point(lambda grey: 255 * (grey > 127))) for sheet in sheets]
    return [fit_to_paper(sheet.convert("RGB"), paper) for sheet in strokes]


def pictures_of(kind: str, given: Sequence[Image.Image], searched: Sequence[Image.Image]) -> list[Image.Image]:
    """Return the queries of a kind, made of the test pictures."""
    from deephash.webui.sketch import guess_paper

    if kind == "rotated":
        return [each.rotate(ANGLE, Image.Resampling.BICUBIC) for each in given]
    if kind == "drawn":
        return drawn(given, guess_paper(searched))
    noise = np.random.default_rng(0).integers(0, 256, (NOISE, 32, 32, 3), dtype=np.uint8)
    return [Image.fromarray(each) for each in noise]


def asked(model: Any, data: Any, kind: str, database: BinaryCodes) -> Asked:
    """Encode the queries of a kind and hold them against the database."""
    query, searched = data.splits["query"], data.splits["database"]
    if kind in ("clean", "words"):
        codes = data.codes(model, "query", modality="text" if kind == "words" else "image")
    else:
        source = data.table.sources["image"]
        some = [source(int(row)) for row in searched.rows[:64]]
        codes = model.encode_images(pictures_of(kind, [source(int(row)) for row in query.rows], some))
    labels = np.full(len(codes), -1) if kind == "noise" else np.asarray(query.labels)
    right = labels[:, None] == np.asarray(searched.labels)[None]
    return Asked(codes.hamming(database), right, codes.layout.max_distance)


def old_cut(chance: Chance, total: int) -> int:
    """Return the cut-off of 0.1.0: the rim of a group of *indexed* items, or 1 % of random pairs."""
    below, together = np.cumsum(chance.share), chance.related
    if not together:
        return max(-1, min(int(np.searchsorted(below, 0.01, side="right")) - 1, unexplained(chance.share, total)))
    rim = int(np.searchsorted(below, 0.95 * together, side="right"))
    return max(-1, min(rim, unexplained(chance.share, 1 / together)))


def figures(those: Asked, cuts: Sequence[int]) -> Row:
    """Return precision and recall over all pairs, and the share of queries that nothing is kept of."""
    kept = those.distances <= np.asarray(cuts)[:, None]
    found = int((kept & those.right).sum())
    row = {"refused": float((~kept.any(axis=1)).mean())}
    if those.right.any():
        row |= {"precision": found / max(1, int(kept.sum())), "recall": found / int(those.right.sum())}
    return row


def reliability(those: Asked, found: Sequence[Verdict]) -> Row:
    """Return the expected calibration error over pairs, 10 bins, of the queries that are told probabilities."""
    sure = [place for place, verdict in enumerate(found) if verdict.relevance is not None]
    pairs, right, said = np.zeros(BINS), np.zeros(BINS), np.zeros(BINS)
    for place in sure:
        chances = found[place].relevance[those.distances[place]]  # type: ignore[index]
        bins = np.minimum((chances * BINS).astype(int), BINS - 1)
        pairs += np.bincount(bins, minlength=BINS)
        said += np.bincount(bins, weights=chances, minlength=BINS)
        right += np.bincount(bins, weights=those.right[place], minlength=BINS)
    error = float(np.abs(said - right).sum() / max(1, pairs.sum()))
    return {"ECE": error, "told": len(sure) / len(found), "bins": [pairs.tolist(), said.tolist(), right.tolist()]}


def measure(options: argparse.Namespace) -> Callable[..., list[Row]]:
    """Return what measures all kinds of query of one run."""

    def one(data: str, seed: int) -> list[Row]:
        from deephash.scoring.runs import model_and_data

        folder = trained(options, data, seed)
        model, module = model_and_data(folder, None)
        module.setup()
        module.attach(model)
        database = module.codes(model, "database", modality="image")
        chance = chance_level(database)
        assert chance is not None
        shard: Any = SimpleNamespace(chance=chance, null=chance.null(), known_pairs=load_pair_counts(folder / "model"))
        rows = []
        for kind in RUNS[data][1]:
            those = asked(model, module, kind, database)
            lines = {"0.1.0": [old_cut(chance, len(database))] * len(those.distances)}
            across = kind == "words"
            alone = [verdicts([Searched(shard, each, each, None, across)])[0] for each in those.counts()]
            asks = "text" if across else "image"
            offered = [verdicts([Searched(shard, each, each, asks, across)])[0] for each in those.counts()]
            lines |= {"chance": [each.cut for each in alone], "offered": [each.cut for each in offered]}
            more = {"queries": len(those.distances), "items": len(database), **reliability(those, offered)}
            rows += [
                {"kind": kind, "line": name, **figures(those, cuts), **(more if name == "offered" else {})}
                for name, cuts in lines.items()
            ]
        return rows

    return one


def table(rows: list[Row]) -> str:
    """Return the tables as Markdown."""
    lines = [
        "| data | queries | line | precision | recall | refused | ECE | told |",
        "|---|---|---|---|---|---|---|---|",
    ]
    names = {"0.1.0": "cut-off of 0.1.0", "chance": "nearer than chance", "offered": "offered: likely, else chance"}
    for data, (_, kinds) in RUNS.items():
        for kind in kinds:
            for name in LINES:
                same = [row for row in rows if (row["data"], row["kind"], row["line"]) == (data, kind, name)]
                if same:
                    cells = [_cell(same, metric) for metric in ("precision", "recall", "refused", "ECE", "told")]
                    lines.append(f"| {data} | {kind} | {names[name]} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n\n" + _reliability(rows)


def _cell(rows: list[Row], metric: str) -> str:
    values = [row[metric] for row in rows if metric in row]
    return spread(values, len(SEEDS)) if values else "–"


def _reliability(rows: list[Row]) -> str:
    """Return how often hits of a said probability were right, all seeds together."""
    lines = ["Of pairs with a probability of ... so many were right:", ""]
    lines += ["| data | queries | " + " | ".join(f"{10 * place}-{10 * place + 10} %" for place in range(BINS)) + " |"]
    lines += ["|---" * (BINS + 2) + "|"]
    for data, (_, kinds) in RUNS.items():
        for kind in kinds:
            told = [row["bins"] for row in rows if (row["data"], row["kind"]) == (data, kind) and "bins" in row]
            if told and kind != "noise":
                pairs, _, right = np.sum(told, axis=0)
                cells = [f"{100 * each / count:.1f}" if count >= 100 else "–" for count, each in zip(pairs, right)]
                lines.append(f"| {data} | {kind} | {' | '.join(cells)} |")
    return "\n".join(lines)


def main() -> None:
    """Measure what is missing, and show the tables."""
    parser = arguments_of(__doc__, data="folder of the data sets and weights")
    parser.add_argument("--runs", type=Path, required=True, help="where runs are trained, or were")
    parser.add_argument("--only", nargs="+", default=list(RUNS), help="these data sets")
    options = parser.parse_args()
    cells = [{"data": data, "seed": seed} for data in options.only for seed in SEEDS]
    show(options.page, table(finished(options, cells, measure(options))))


if __name__ == "__main__":
    main()
