"""Why methods rank as they do on CIFAR-10 with frozen features: the rows of docs/results/cifar10_ablations.md.

    DEEPHASH_WEIGHTS=WEIGHTS OMP_NUM_THREADS=1 python benchmarks/results_cifar10_ablations.py \\
        --file cifar10_jpeg.npz --cache CACHE --out cifar10_ablations.jsonl --seconds 500

Set-up and optimiser are those of results_cifar10.py; one code length, three seeds. Finished runs are kept in ``--out``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from statistics import mean
from typing import Any

import torch
from lightning import seed_everything
from measured import Row, arguments_of, finished, show, spread
from results_cifar10 import ADAM, FEATURES, PLANS, SEEDS, STEPS, CachedSplits, load, measure, train

from deephash.evaluation.metrics import mean_average_precision
from deephash.models import (
    CSQ,
    DPN,
    DPSH,
    DTSH,
    BiHalf,
    GreedyHash,
    GreedyHashUnsupervised,
    HashModel,
    HashNet,
    OrthoHash,
)

BITS = 32


@dataclass(frozen=True)
class Trial:
    """One variant: how to make the model from a seed, for how many steps it is trained."""

    make: Callable[[int], HashModel]
    steps: int = STEPS


def ortho(**options: Any) -> Callable[[int], HashModel]:
    """Return OrthoHash with changed options."""
    chosen: dict[str, Any] = {"margin": 0.3, "optimizer": ADAM} | options
    return lambda seed: OrthoHash(BITS, 10, FEATURES, target_seed=seed, **chosen)


def csq(**options: Any) -> Callable[[int], HashModel]:
    """Return CSQ with changed options."""
    return lambda seed: CSQ(BITS, 10, FEATURES, ADAM, centre_seed=seed, **options)


def plain(cls: Callable[..., HashModel], **options: Any) -> Callable[[int], HashModel]:
    """Return a method without classes or seeds of its own."""
    return lambda seed: cls(BITS, FEATURES, ADAM, **options)


def centring() -> dict[str, Trial]:
    """Every method whose hash layer has no batch norm, with and without the training mean."""
    methods: dict[str, Callable[[bool, int], HashModel]] = {
        "HashNet (paper)": lambda centre, seed: HashNet(BITS, FEATURES, ADAM, centre=centre),
        "HashNet (release)": lambda centre, seed: HashNet(BITS, FEATURES, ADAM, preset="release", centre=centre),
        "DPSH": lambda centre, seed: DPSH(BITS, FEATURES, ADAM, centre=centre),
        "DTSH": lambda centre, seed: DTSH(BITS, FEATURES, ADAM, centre=centre),
        "GreedyHash": lambda centre, seed: GreedyHash(BITS, 10, FEATURES, ADAM, centre=centre),
        "CSQ": lambda centre, seed: CSQ(BITS, 10, FEATURES, ADAM, centre_seed=seed, centre=centre),
        "DPN": lambda centre, seed: DPN(BITS, 10, FEATURES, ADAM, target_seed=seed, centre=centre),
        "BiHalf": lambda centre, seed: BiHalf(BITS, FEATURES, ADAM, centre=centre),
        "GreedyHash-unsupervised": lambda centre, seed: GreedyHashUnsupervised(BITS, FEATURES, ADAM, centre=centre),
    }
    return {
        f"{name}, {'centred' if centre else 'as they are'}": Trial(lambda seed, c=centre, m=make: m(c, seed))
        for name, make in methods.items()
        for centre in (False, True)
    }


def steps(make: Callable[[int], HashModel], name: str, counts: tuple[int, ...]) -> dict[str, Trial]:
    """One model after different numbers of steps."""
    return {f"{name}, {count:,} steps": Trial(make, count) for count in counts}


# title -> (protocol, variants)
GROUPS: dict[str, tuple[str, dict[str, Trial]]] = {
    "Features as they are, or without the training mean": ("cifar10-i", centring()),
    "OrthoHash and CSQ by steps": (
        "cifar10-i",
        steps(ortho(), "OrthoHash", (80, 150, 300, 1200)) | steps(csq(), "CSQ", (80, 150, 300, 1200)),
    ),
    "OrthoHash and CSQ by targets, margin and scale": (
        "cifar10-i",
        {
            "OrthoHash, Hadamard targets": Trial(ortho(targets="hadamard")),
            "OrthoHash, MaxHD targets": Trial(ortho(targets="maxhd")),
            "OrthoHash, MaxHD targets, 150 steps": Trial(ortho(targets="maxhd"), 150),
            "CSQ, Bernoulli centres": Trial(csq(centres="bernoulli")),
            "OrthoHash, margin 0": Trial(ortho(margin=0.0)),
            "OrthoHash, margin 0.6": Trial(ortho(margin=0.6)),
            "OrthoHash, scale 8, margin 0.2": Trial(ortho(scale=8.0, margin=0.2)),
            "OrthoHash, scale 2": Trial(ortho(scale=2.0)),
            "OrthoHash, scale adacos": Trial(ortho(scale="adacos")),
            "OrthoHash, scale adacos, MaxHD targets": Trial(ortho(scale="adacos", targets="maxhd")),
            "OrthoHash, scale 2, MaxHD targets": Trial(ortho(scale=2.0, targets="maxhd")),
            "OrthoHash, quantisation term 1": Trial(ortho(quantization=1.0)),
            "OrthoHash, no batch norm": Trial(ortho(batch_norm=False)),
        },
    ),
    "BiHalf and GreedyHash-unsupervised for longer": (
        "cifar10-ii",
        steps(plain(BiHalf), "BiHalf", (300, 3000))
        | steps(plain(BiHalf, centre=True), "BiHalf, centred", (300, 3000))
        | steps(plain(GreedyHashUnsupervised), "GreedyHash-unsupervised", (300, 3000))
        | steps(plain(GreedyHashUnsupervised, centre=True), "GreedyHash-unsupervised, centred", (300, 3000)),
    ),
}


def run(trial: Trial, seed: int, splits: CachedSplits, top_k: int | None) -> dict[str, Any]:
    """Train and measure one variant."""
    seed_everything(seed, verbose=False)
    model = trial.make(seed)
    seconds = train(model, splits, trial.steps)
    return {"seconds": seconds, "seen": seen(model, splits)} | measure(model, splits, top_k)


def seen(model: HashModel, splits: CachedSplits) -> float:
    """Return mAP@all of 1,000 training pictures among 5,000; far above the queries where the model over-fits."""
    split = splits.splits["train"]
    assert split.labels is not None
    codes = model.encode({"image_features": split.features["image"][:5000]})
    labels = split.labels[: len(codes)]
    return mean_average_precision(codes[:1000], codes, query_labels=labels[:1000], database_labels=labels)


def table(rows: list[dict[str, Any]]) -> str:
    """Return Markdown: mean and spread over seeds."""
    lines = [
        "| variant | mAP | P@H<=2 | mAP of pictures trained on | bits that differ within / between classes | CPU s |",
        "|---|---|---|---|---|---|",
    ]
    for name in dict.fromkeys(row["variant"] for row in rows):
        same = [row for row in rows if row["variant"] == name]
        cells = [spread([row[metric] for row in same], len(SEEDS)) for metric in ("mAP", "P@H<=2", "seen")]
        distances = " / ".join(
            f"{mean(row[kind] for row in same):.1f}" for kind in ("intra_distance", "inter_distance")
        )
        lines.append(f"| {name} | {' | '.join(cells)} | {distances} | {mean(row['seconds'] for row in same):.1f} |")
    return "\n".join(lines)


def report(rows: list[dict[str, Any]]) -> str:
    """Return a section a group."""
    parts = []
    for title in GROUPS:
        own = [row for row in rows if row["group"] == title]
        if own:
            parts.append(f"### {title}\n\n`{own[0]['protocol']}`\n\n{table(own)}")
    return "\n\n".join(parts)


def main() -> None:
    """Do what is missing, for at most ``--seconds``; then print the tables."""
    options = arguments_of(__doc__, file="cifar10_jpeg.npz", cache="folder of cached features").parse_args()
    loaded = cache(lambda name: load(name, options.file, options.cache, PLANS[name][1]))

    def measured(group: str, variant: str, seed: int) -> Row:
        name, trials = GROUPS[group]
        splits, protocol = loaded(name)
        text = protocol.replace("K=bits of the row", f"K={BITS}")
        return run(trials[variant], seed, splits, PLANS[name][1]) | {"protocol": text}

    cells = [
        {"group": title, "variant": variant, "seed": seed}
        for seed in SEEDS
        for title, (_, trials) in GROUPS.items()
        for variant in trials
    ]
    show(options.page, report(finished(options, cells, measured)))


if __name__ == "__main__":
    torch.set_num_threads(1)
    main()
