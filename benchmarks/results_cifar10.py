"""Every image method on CIFAR-10 over one frozen backbone: the rows of docs/results/cifar10_methods.md.

    DEEPHASH_WEIGHTS=WEIGHTS OMP_NUM_THREADS=1 python benchmarks/results_cifar10.py \\
        --file cifar10_jpeg.npz --cache CACHE --out cifar10_methods.jsonl --seconds 500

Finished runs are kept in ``--out`` and not repeated, so the command may be given again until it prints the table. One
optimiser for all (300 steps of Adam at rate 1e-3 and decay 1e-4, batches of 128), nothing chosen on the queries.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import asdict
from functools import cache, cached_property
from pathlib import Path
from statistics import mean
from typing import Any

import numpy as np
import torch
from lightning import LightningDataModule, Trainer, seed_everything
from measured import Row, arguments_of, finished, show, spread
from torch import Tensor

from deephash.backbones import Backbone
from deephash.data import Cifar10
from deephash.data.batch import SlicedBatches
from deephash.data.protocols import short_checksum
from deephash.data.table import Split
from deephash.evaluation.health import code_health
from deephash.evaluation.metrics import mean_average_precision, precision_within_radius
from deephash.models import (
    CSQ,
    DPN,
    DPSH,
    DTSH,
    ITQ,
    LSH,
    SDC,
    TLDR,
    AlternatingHashModel,
    BiHalf,
    CIBHash,
    CroVCA,
    GreedyHash,
    GreedyHashUnsupervised,
    HashingBaseline,
    HashModel,
    HashNet,
    Optimizer,
    OrthoHash,
    PCASign,
)
from deephash.models.tldr import nearest_neighbours
from deephash.reports.protocol import Protocol

NETWORK = Backbone(
    "timm:mobilenetv2_100",
    "mobilenetv2_100_imagenet.safetensors",
    image_size=128,
    options={"pad_type": "same"},
    transform={"mean": [0.5] * 3, "std": [0.5] * 3, "resize": 128},
)
FEATURES = Backbone("features:1280", weights=None)
ADAM = Optimizer("adam", learning_rate=1e-3, weight_decay=1e-4, milestones=())
Factory = Callable[[int, int], HashModel]

SUPERVISED: dict[str, Factory] = {
    "OrthoHash": lambda bits, seed: OrthoHash(bits, 10, FEATURES, margin=0.3, target_seed=seed, optimizer=ADAM),
    "HashNet (paper)": lambda bits, seed: HashNet(bits, FEATURES, ADAM),
    "HashNet (release)": lambda bits, seed: HashNet(bits, FEATURES, ADAM, preset="release"),
    "DPSH": lambda bits, seed: DPSH(bits, FEATURES, ADAM),
    "DPSH, centred features": lambda bits, seed: DPSH(bits, FEATURES, ADAM, centre=True),
    "DTSH": lambda bits, seed: DTSH(bits, FEATURES, ADAM),
    "GreedyHash": lambda bits, seed: GreedyHash(bits, 10, FEATURES, ADAM),
    "CSQ": lambda bits, seed: CSQ(bits, 10, FEATURES, ADAM),
    "DPN": lambda bits, seed: DPN(bits, 10, FEATURES, ADAM, target_seed=seed),
}
UNSUPERVISED: dict[str, Factory] = {
    "SDC (release)": lambda bits, seed: SDC(bits, FEATURES, ADAM),
    "SDC (release_simclr)": lambda bits, seed: SDC(bits, FEATURES, ADAM, preset="release_simclr"),
    "CroVCA": lambda bits, seed: CroVCA(bits, FEATURES, ADAM),
    "CIBHash": lambda bits, seed: CIBHash(bits, FEATURES, ADAM),
    "BiHalf": lambda bits, seed: BiHalf(bits, FEATURES, ADAM),
    "GreedyHash-unsupervised": lambda bits, seed: GreedyHashUnsupervised(bits, FEATURES, ADAM),
    "TLDR, straight-through": lambda bits, seed: TLDR(bits, FEATURES, ADAM, projector_width=1024),
    "TLDR + ITQ": lambda bits, seed: TLDR(bits, FEATURES, ADAM, binarize="itq", projector_width=1024),
    "ITQ": lambda bits, seed: ITQ(bits, FEATURES, seed),
    "Hashing-Baseline": lambda bits, seed: HashingBaseline(bits, FEATURES, seed),
    "PCA-sign": lambda bits, seed: PCASign(bits, FEATURES),
    "LSH": lambda bits, seed: LSH(bits, FEATURES, seed=seed),
}
# protocol -> methods, R of mAP@R
PLANS: dict[str, tuple[dict[str, Factory], int | None]] = {
    "cifar10-i": (SUPERVISED | UNSUPERVISED, None),
    "cifar10-ii": (UNSUPERVISED, 1000),
}
BATCH_SIZE, STEPS = 128, 300
BITS, SEEDS = (16, 32, 64), (0, 1, 2)
HEALTH = {"unique_codes": 0, "dead_bits": 1, "imbalance": 3, "mean_correlation": 3, "seconds": 1}


class CachedSplits(LightningDataModule):
    """Features of a data set's splits, computed once for all methods; training batches are slices."""

    def __init__(self, splits: Mapping[str, Split], neighbours_file: Path) -> None:
        super().__init__()
        self.splits, self.neighbours_file = splits, neighbours_file

    @cached_property
    def neighbours(self) -> Tensor:
        """Five nearest neighbours of each training picture, kept on disk; not part of the seconds of TLDR."""
        if not self.neighbours_file.exists():
            found = nearest_neighbours(self.splits["train"].features["image"], 5, similarity="cosine")
            np.save(self.neighbours_file, found.numpy())
        return torch.from_numpy(np.load(self.neighbours_file))

    def train_dataloader(self) -> Any:
        """Return shuffled slices."""
        return SlicedBatches(self.splits["train"].columns(), BATCH_SIZE, shuffle=True, drop_last=True)


def train(model: HashModel, splits: CachedSplits, steps: int = STEPS) -> float:
    """Train and return CPU seconds."""
    table = splits.splits["train"].features["image"]
    if isinstance(model, TLDR):
        model.prepare(table, splits.neighbours)
    start = time.process_time()
    if isinstance(model, AlternatingHashModel):
        model.fit(table)
    else:
        quiet = {"logger": False, "enable_progress_bar": False, "enable_checkpointing": False}
        Trainer(max_steps=steps, accelerator="cpu", enable_model_summary=False, **quiet).fit(model, datamodule=splits)
    return time.process_time() - start


def measure(model: HashModel, splits: CachedSplits, top_k: int | None) -> dict[str, float]:
    """Return the figures of one trained model."""
    query, database = splits.splits["query"], splits.splits["database"]
    codes = [model.encode({"image_features": split.features["image"]}) for split in (query, database)]
    labels = {"query_labels": query.labels, "database_labels": database.labels}
    health = code_health(codes[1], labels=database.labels)
    return {
        "mAP": mean_average_precision(*codes, **labels, top_k=top_k),
        "P@H<=2": precision_within_radius(*codes, **labels, radius=2),
        **{name: value for name, value in asdict(health).items() if value is not None},
    }


def run(factory: Factory, bits: int, seed: int, splits: CachedSplits, top_k: int | None) -> Row:
    """Train and measure one model."""
    seed_everything(seed, verbose=False)
    model = factory(bits, seed)
    seconds = train(model, splits)
    return {"seconds": seconds} | measure(model, splits, top_k)


def wanted(only: str | None) -> list[Row]:
    """Return the cells of all runs, a seed of a protocol before its next seed."""
    return [
        {"dataset": name, "method": method, "bits": bits, "seed": seed}
        for name, (methods, _) in PLANS.items()
        for seed in SEEDS
        for bits in BITS
        for method in methods
        if only is None or only in method
    ]


def load(name: str, file: str, folder: str, top_k: int | None) -> tuple[CachedSplits, str]:
    """Return the cached splits of a protocol and its protocol string."""
    data = Cifar10(file=file, cache_dir=folder, protocol=name, hold_out=False)
    data.attach(LSH(16, NETWORK))
    key = data.split_checksum.removeprefix("sha256:")[:12]
    return CachedSplits(data.splits, Path(folder, f"neighbours-{key}.npy")), protocol(data, top_k)


def protocol(data: Cifar10, top_k: int | None) -> str:
    """Return the protocol string; the number of bits stands in each row."""
    sizes = {"num_queries": len(data.splits["query"]), "num_database": len(data.splits["database"])}
    text = str(
        Protocol(
            data.protocol_name,
            f"mAP@{top_k or 'all'}",
            split=short_checksum(data.split_checksum),
            backbone=NETWORK.name,
            pictures=data.pictures,
            **sizes,
        )
    )
    return text.replace("K=0", "K=bits of the row")


def table(rows: list[dict[str, Any]]) -> str:
    """Return Markdown: precision within radius 2, code health and seconds, mean and spread over seeds."""
    lines = [
        "| method | bits | P@H<=2 | different codes | dead bits | bit imbalance | bit correlation | CPU s |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for key in dict.fromkeys((row["method"], row["bits"]) for row in rows):
        same = [row for row in rows if (row["method"], row["bits"]) == key]
        cells = [spread([row["P@H<=2"] for row in same], len(SEEDS))]
        cells += [f"{mean(row[name] for row in same):,.{digits}f}" for name, digits in HEALTH.items()]
        lines.append(f"| {key[0]} | {key[1]} | {' | '.join(cells)} |")
    return "\n".join(lines)


def ranking(rows: list[dict[str, Any]]) -> str:
    """Return Markdown: mAP alone, a row a method, the best at the longest codes first."""
    found: dict[str, dict[int, list[float]]] = {row["method"]: {bits: [] for bits in BITS} for row in rows}
    for row in rows:
        found[row["method"]][row["bits"]].append(row["mAP"])
    order = sorted(found, key=lambda name: -mean(found[name][BITS[-1]] or [0.0]))
    lines = [f"| mAP | {' | '.join(f'{bits} bits' for bits in BITS)} |", "|---" * (len(BITS) + 1) + "|"]
    lines += [f"| {name} | {' | '.join(spread(found[name][bits], len(SEEDS)) for bits in BITS)} |" for name in order]
    return "\n".join(lines)


def section(rows: list[dict[str, Any]], text: str) -> str:
    """Return the part of the page about one protocol."""
    own = [row for row in rows if row["protocol"] == text]
    return f"### {own[0]['dataset']}\n\n`{text}`\n\n{ranking(own)}\n\nCodes of the database, and times:\n\n{table(own)}"


def main() -> None:
    """Do what is missing, for at most ``--seconds``; then print the tables that are complete."""
    parser = arguments_of(__doc__, file="cifar10_jpeg.npz", cache="folder of cached features")
    parser.add_argument("--only", help="methods whose name holds this")
    options = parser.parse_args()
    loaded = cache(lambda name: load(name, options.file, options.cache, PLANS[name][1]))

    def measured(dataset: str, method: str, bits: int, seed: int) -> Row:
        (methods, top_k), (splits, text) = PLANS[dataset], loaded(dataset)
        return run(methods[method], bits, seed, splits, top_k) | {"protocol": text}

    rows = finished(options, wanted(options.only), measured)
    show(options.page, "\n\n".join(section(rows, text) for text in dict.fromkeys(row["protocol"] for row in rows)))


if __name__ == "__main__":
    torch.set_num_threads(1)
    main()
