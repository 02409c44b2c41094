"""CSCE-Net against OrthoHash on Flowers-17 over one frozen network: the rows of docs/results/flowers17.md.

    DEEPHASH_WEIGHTS=WEIGHTS OMP_NUM_THREADS=1 python benchmarks/results_flowers17.py \\
        --root flowers17 --cache CACHE --out flowers17.jsonl --seconds 500

CSCE-Net reads the cached maps of the last two stages; OrthoHash reads the pooled features of the same network, and for
a fair footing the pooled maps of the same two stages. One optimiser for all; the last step counts.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from statistics import mean
from typing import Any

import torch
from lightning import LightningDataModule, Trainer, seed_everything
from measured import arguments_of, finished, show, spread
from torch import Tensor

from deephash.backbones import Backbone
from deephash.backbones.stages import TimmStages, split_stages
from deephash.data import PictureFolder
from deephash.data.batch import SlicedBatches
from deephash.data.protocols import short_checksum
from deephash.data.table import Split
from deephash.evaluation.metrics import mean_average_precision, precision_at
from deephash.models import LSH, CSCENet, HashModel, Optimizer, OrthoHash
from deephash.reports.protocol import Protocol

NETWORK = Backbone(
    "timm:mobilenetv2_100",
    "mobilenetv2_100_imagenet.safetensors",
    image_size=128,
    options={"pad_type": "same"},
    transform={"mean": [0.5] * 3, "std": [0.5] * 3, "resize": 128},
)
STAGES = replace(NETWORK, name="timm-stages:mobilenetv2_100")
BLANK = replace(STAGES, weights=None)  # the maps are cached, so the network itself stays unused
ADAM = Optimizer("adam", learning_rate=1e-3, weight_decay=1e-4, milestones=())
BATCH_SIZE, STEPS, BITS, SEEDS, NUM_CLASSES = 50, 400, (16, 32, 64), (0, 1, 2), 17
Factory = Callable[[int, int], HashModel]


def ortho(width: int) -> Factory:
    """Return OrthoHash on vectors of ``width`` numbers."""
    backbone = Backbone(f"features:{width}", weights=None)
    return lambda bits, seed: OrthoHash(bits, NUM_CLASSES, backbone, target_seed=seed, optimizer=ADAM)


def csce(**options: Any) -> Factory:
    """Return CSCE-Net on cached maps."""
    return lambda bits, seed: CSCENet(bits, NUM_CLASSES, BLANK, ADAM, centre_seed=seed, **options)


# name -> which cached features, and the model
METHODS: dict[str, tuple[str, Factory]] = {
    "OrthoHash, pooled features (1280)": ("pooled", ortho(1280)),
    "OrthoHash, pooled maps of both stages (416)": ("pooled maps", ortho(416)),
    "CSCE-Net, paper": ("maps", csce()),
    "CSCE-Net, release": ("maps", csce(preset="release")),
    "CSCE-Net, paper, exact projection": ("maps", csce(projection="exact")),
}


class Table(LightningDataModule):
    """Splits whose features are at hand."""

    def __init__(self, splits: dict[str, Split]) -> None:
        super().__init__()
        self.splits = splits

    def train_dataloader(self) -> Any:
        """Return shuffled slices."""
        return SlicedBatches(self.splits["train"].columns(), BATCH_SIZE, shuffle=True, drop_last=True)


def load(root: str, cache: str) -> tuple[dict[str, Table], str]:
    """Return the splits with each kind of features, and the protocol string."""
    tables: dict[str, Table] = {}
    for kind, backbone in (("pooled", NETWORK), ("maps", STAGES)):
        data = PictureFolder(root, cache_dir=cache, hold_out=False)
        model = LSH(16, backbone)
        data.attach(model)
        tables[kind] = Table(data.splits)
    encoder = model.encoders["image"]
    assert isinstance(encoder, TimmStages)
    pooled = {name: with_features(split, pool(split, encoder)) for name, split in data.splits.items()}
    return tables | {"pooled maps": Table(pooled)}, protocol(data)


def protocol(data: PictureFolder) -> str:
    """Return the protocol string; the number of bits stands in each row."""
    sizes = {"num_queries": len(data.splits["query"]), "num_database": len(data.splits["database"])}
    split = short_checksum(data.split_checksum)
    text = str(Protocol(data.protocol_name, split=split, backbone=NETWORK.name, **sizes))
    return text.replace("K=0", "K=bits of the row")


def pool(split: Split, encoder: TimmStages) -> Tensor:
    """Return the spatial means of both maps, [n, C3 + C4]."""
    maps = split_stages(split.features["image"], encoder.stage_shapes)
    return torch.cat([each.mean(dim=(2, 3)) for each in maps], dim=1)


def with_features(split: Split, features: Tensor) -> Split:
    """Return the split with other features."""
    return replace(split, features={"image": features})


def run(method: str, bits: int, seed: int, tables: dict[str, Table]) -> dict[str, Any]:
    """Train and measure one model."""
    kind, factory = METHODS[method]
    seed_everything(seed, verbose=False)
    model, splits = factory(bits, seed), tables[kind].splits
    quiet = {"logger": False, "enable_progress_bar": False, "enable_checkpointing": False}
    start = time.process_time()
    Trainer(max_steps=STEPS, accelerator="cpu", enable_model_summary=False, **quiet).fit(model, datamodule=tables[kind])
    seconds = time.process_time() - start
    query, database = splits["query"], splits["database"]
    codes = [model.encode({"image_features": split.features["image"]}) for split in (query, database)]
    labels = {"query_labels": query.labels, "database_labels": database.labels}
    figures = {"mAP": mean_average_precision(*codes, **labels), "P@10": precision_at(*codes, **labels, top_k=10)}
    return {"seconds": seconds} | figures


def table(rows: list[dict[str, Any]]) -> str:
    """Return Markdown: mean and spread over seeds."""
    lines = ["| method | bits | mAP@all | P@10 | CPU s |", "|---|---|---|---|---|"]
    for key in dict.fromkeys((row["method"], row["bits"]) for row in rows):
        same = [row for row in rows if (row["method"], row["bits"]) == key]
        cells = [spread([row[metric] for row in same], len(SEEDS)) for metric in ("mAP", "P@10")]
        seconds = mean(row["seconds"] for row in same)
        lines.append(f"| {key[0]} | {key[1]} | {' | '.join(cells)} | {seconds:.1f} |")
    return "\n".join(lines)


def main() -> None:
    """Do what is missing, for at most ``--seconds``; then print the table."""
    says = {"root": "folder with one folder a class", "cache": "folder of cached features"}
    options = arguments_of(__doc__, **says).parse_args()
    tables, text = load(options.root, options.cache)
    cells = [{"method": name, "bits": bits, "seed": seed} for seed in SEEDS for bits in BITS for name in METHODS]
    rows = finished(options, cells, partial(run, tables=tables))
    show(options.page, f"`{text}`\n\n{table(rows)}")


if __name__ == "__main__":
    torch.set_num_threads(1)
    main()
