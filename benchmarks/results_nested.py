"""One nested model against separately trained lengths and random bit subsets: the rows of docs/results/nested.md.

    DEEPHASH_WEIGHTS=WEIGHTS OMP_NUM_THREADS=1 python benchmarks/results_nested.py \\
        --file cifar10_jpeg.npz --cache CACHE --out nested.jsonl
"""

from __future__ import annotations

from functools import partial
from statistics import mean
from typing import Any

import numpy as np
import torch
from lightning import seed_everything
from measured import arguments_of, finished, show, spread
from results_cifar10 import ADAM, FEATURES, CachedSplits, load, train

from deephash.codes import BinaryCodes
from deephash.evaluation.metrics import mean_average_precision
from deephash.models import CSQ, HashModel, OrthoHash
from deephash.objectives.nested import Nested

LENGTHS, SEEDS = (16, 32, 64, 128), (0, 1, 2)
VARIANTS = {
    "nested (dominance weights, distillation)": Nested(LENGTHS),
    "nested, equal weights": Nested(LENGTHS, weighting="equal"),
    "nested, no distillation": Nested(LENGTHS, distillation=0.0),
}


def make(method: str, bits: int, seed: int, nested: Nested | None = None) -> HashModel:
    """Return a fresh model."""
    if method == "CSQ":
        return CSQ(bits, 10, FEATURES, ADAM, centre_seed=seed, nested=nested)
    return OrthoHash(bits, 10, FEATURES, margin=0.3, target_seed=seed, optimizer=ADAM, nested=nested)


def encode(model: HashModel, splits: CachedSplits) -> list[BinaryCodes]:
    """Return codes of queries and database."""
    return [model.encode({"image_features": splits.splits[name].features["image"]}) for name in ("query", "database")]


def score(codes: list[BinaryCodes], splits: CachedSplits) -> float:
    """Return mAP@all."""
    labels = {f"{name}_labels": splits.splits[name].labels for name in ("query", "database")}
    return mean_average_precision(codes[0], codes[1], **labels)


def random_bits(codes: list[BinaryCodes], length: int, seed: int) -> list[BinaryCodes]:
    """Return the same random ``length`` bits of both sides."""
    chosen = np.random.default_rng(seed).permutation(codes[0].num_bits)[:length]
    return [BinaryCodes.from_bits(each.bits()[:, chosen]) for each in codes]


def measure(method: str, seed: int, splits: CachedSplits) -> list[dict[str, Any]]:
    """Return the rows of one method and seed."""
    rows: list[dict[str, Any]] = []

    def note(kind: str, length: int, codes: list[BinaryCodes], seconds: float) -> None:
        figure = {"mAP": score(codes, splits), "seconds": seconds}
        rows.append({"kind": kind, "bits": length} | figure)

    for kind, nested in VARIANTS.items():
        seed_everything(seed, verbose=False)
        model = make(method, LENGTHS[-1], seed, nested)
        seconds, codes = train(model, splits), encode(model, splits)
        for length in LENGTHS:
            note(kind, length, [each.prefix(length) for each in codes], seconds)
    for length in LENGTHS:
        seed_everything(seed, verbose=False)
        model = make(method, length, seed)
        seconds, codes = train(model, splits), encode(model, splits)
        note("trained for this length alone", length, codes, seconds)
    for length in LENGTHS[:-1]:
        note("random bits of the 128-bit model", length, random_bits(codes, length, seed), 0.0)
    return rows


def table(rows: list[dict[str, Any]]) -> str:
    """Return Markdown: a row a kind of code, a column a length."""
    lines = [f"| | {' | '.join(f'{m} bits' for m in LENGTHS)} | CPU s |", "|---" * (len(LENGTHS) + 2) + "|"]
    for kind in dict.fromkeys((row["method"], row["kind"]) for row in rows):
        same = [row for row in rows if (row["method"], row["kind"]) == kind]
        cells = [
            spread([r["mAP"] for r in same if r["bits"] == m], len(SEEDS)) if m in {r["bits"] for r in same} else ""
            for m in LENGTHS
        ]
        alone = "alone" in kind[1]
        seconds = sum(mean(r["seconds"] for r in same if r["bits"] == m) for m in (LENGTHS if alone else LENGTHS[:1]))
        lines.append(f"| {kind[0]}, {kind[1]} | {' | '.join(cells)} | {seconds:.1f} |")
    return "\n".join(lines)


def main() -> None:
    """Measure what is missing and print the table."""
    options = arguments_of(__doc__, file="cifar10_jpeg.npz", cache="folder of cached features").parse_args()
    splits, protocol = load("cifar10-i", options.file, options.cache, None)
    cells = [{"method": method, "seed": seed} for seed in SEEDS for method in ("OrthoHash", "CSQ")]
    rows = finished(options, cells, partial(measure, splits=splits))
    show(options.page, f"`{protocol}`\n\n{table(rows)}")


if __name__ == "__main__":
    torch.set_num_threads(1)
    main()
