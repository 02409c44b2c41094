"""Upgrades: the rows of docs/results/upgrades.md.

    OMP_WAIT_POLICY=PASSIVE python benchmarks/results_upgrade.py --runs RUNS --out upgrades.jsonl \\
        --flowers flowers17 --weights WEIGHTS --page docs/results/upgrades.md

A collection of Flowers-17 made with a small network trained from the start is upgraded to a head on a pretrained
MobileNetV2: once with the targets of the old model, once with targets of its own. Models are trained by the command
line, and judged by ``deephash upgrade`` on pictures that neither has seen; three seeds of everything.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
from pathlib import Path

from measured import Row, arguments_of, finished, show, spread

SEEDS = (0, 1, 2)
TARGETS = ("shared", "own")
CELLS = ("old/old", "new/old", "new/new")
SMALL = ("--backbone", "small_cnn:32", "--epochs", "30", "--model.init_args.backbone.image_size=48",
         "--model.init_args.backbone.frozen=false", "--model.init_args.backbone.weights=null")  # fmt: skip


def deephash(*words: object) -> str:
    """Run a command as anybody would; return what it prints."""
    program = Path(sys.executable).with_name("deephash")
    done = subprocess.run([program, *map(str, words), "--quiet"], capture_output=True, text=True, check=False)
    if done.returncode > 1:
        raise SystemExit(done.stderr)
    return done.stdout


def trained(options: argparse.Namespace, name: str, seed: int, *words: object) -> Path:
    """Return the run of a model; train it where it is not there."""
    folder = Path(options.runs) / f"{name}-{seed}"
    if not (folder / "model").is_dir():
        shutil.rmtree(folder, ignore_errors=True)
        root = f"--data.init_args.root={options.flowers}"
        cache = f"--data.init_args.cache_dir={options.runs}/features"
        deephash("train", "--config", "orthohash/folder_64", root, cache, "--seed", seed, "--out", folder, *words)
    return folder


def measure(targets: str, seed: int, options: argparse.Namespace) -> Row:
    """Return what the gate measures of one upgrade."""
    old = trained(options, "small", seed, *SMALL)
    network = (
        "--backbone",
        "timm:mobilenetv2_100",
        "--weights",
        options.weights / "mobilenetv2_100_imagenet.safetensors",
    )
    if targets == "shared":
        new = trained(options, "shared", seed, *network, "--epochs", 60, "--targets", old)
    else:  # drawn anew, as for any model that was trained by itself
        new = trained(options, "own", seed + 100, *network, "--epochs", 60)
    path = Path(options.runs) / f"{targets}-{seed}.dh"
    shutil.rmtree(path, ignore_errors=True)
    deephash("index", options.flowers, "--out", path, "--model", old)
    found = json.loads(deephash("upgrade", path, "--model", new, "--dry-run", "--json"))
    row = {name: found["figures"][name] for name in CELLS} | {"keep": found["keep"], "compatible": found["compatible"]}
    row["protocol"] = found["protocol"]
    return row


def table(rows: list[Row]) -> str:
    """Return the table of the page."""
    head = (
        "targets of the new model",
        *(f"{cell} (queries/codes)" for cell in CELLS),
        "difference, lowest end",
        "verdict",
    )
    lines = [head, ["---"] * len(head)]
    for targets in TARGETS:
        own = [row for row in rows if row["targets"] == targets]
        if own:
            figures = [spread([row[cell] for row in own], len(SEEDS)) for cell in CELLS]
            gain = spread([row["keep"][0] for row in own], len(SEEDS))
            low = min(row["keep"][1] for row in own)
            passed = sum(row["compatible"] for row in own)
            lines.append([targets, *figures, f"{gain}, {low:+.3f}", f"published in {passed} of {len(own)}"])
    text = "\n".join(f"| {' | '.join(line)} |" for line in lines)
    return f"{text}\n\nProtocol, of one cell: `{rows[0]['protocol']}`"


def main() -> None:
    """Measure what is missing and print the table."""
    parser = arguments_of(__doc__, runs="folder of the runs and collections")
    parser.add_argument("--flowers", type=Path, required=True, help="Flowers-17, one folder a class")
    parser.add_argument("--weights", type=Path, required=True, help="folder of mobilenetv2_100_imagenet.safetensors")
    options = parser.parse_args()
    cells = [{"targets": targets, "seed": seed} for seed in SEEDS for targets in TARGETS]
    rows = finished(options, cells, lambda **cell: measure(**cell, options=options))
    show(options.page, table(rows))


if __name__ == "__main__":
    main()
