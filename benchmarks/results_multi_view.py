"""Multi-view hashing inspired by D-MVE-Hash on UCI mfeat, with its ablations: docs/results/multi_view.md.

    OMP_NUM_THREADS=1 python benchmarks/results_multi_view.py --file uci_mfeat.npz --out multi_view.jsonl --seconds 500

1,500 numerals are learned from and searched, 500 ask. The picture is one of the views (pixels, or the weaker Fourier
coefficients), or there is a view of noise besides. Last epoch, nothing chosen on queries; three seeds. Finished runs
are kept in ``--out``; the command may be given again until it prints the tables.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import torch
from lightning import Trainer, seed_everything
from torch import Tensor

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.measured import Row, arguments_of, finished, show, spread
from deephash.backbones import Backbone
from deephash.codes import BinaryCodes
from deephash.data import Mfeat
from deephash.data.mfeat import VIEWS
from deephash.data.protocols import short_checksum
from deephash.data.table import ItemTable
from deephash.evaluation.metrics import mean_average_precision
from deephash.models import DPSH, ITQ, HashModel, MultiViewEnhancementHash, Optimizer
from deephash.reports.protocol import Protocol

SEEDS, EPOCHS = 3, 30
FUSIONS = ("replicate", "viewcode", "probpool")
LEARNS = Optimizer(learning_rate=1e-3)
NOISE = 64
# name -> (the view that is the picture, views in training, code lengths)
SETTINGS: dict[str, tuple[str, dict[str, int], tuple[int, ...]]] = {
    "picture: pixels": ("pixel", VIEWS, (64,)),
    "picture: Fourier": ("fourier", VIEWS, (64,)),
    "picture: pixels, a view of noise": ("pixel", VIEWS | {"noise": NOISE}, (64,)),
}
WAYS = ("all views, both sides", "picture (memory), both sides", "picture asks, all views answer")
Coded = tuple[BinaryCodes, BinaryCodes]


class Pictured(Mfeat):
    """mfeat whose picture is another of its views, with a view of noise."""

    def __init__(self, file: str, picture: str) -> None:
        super().__init__(file, batch_size=128, hold_out=False)
        self.picture = picture

    def read(self) -> ItemTable:
        table = super().read()
        draw = torch.Generator().manual_seed(0)
        noise = torch.randn(len(table), NOISE, generator=draw)
        table.vectors |= {"image": table.vectors[self.picture], "noise": noise}
        return table

    def inputs(self, split: str) -> dict[str, Tensor]:
        """Return the picture and all views of a split."""
        rows = torch.from_numpy(self.splits[split].rows)
        return {f"{name}_features": table[rows] for name, table in self.table.vectors.items()}


def fit(model: HashModel, data: Pictured) -> HashModel:
    """Train for the epochs, and return the model in evaluation mode."""
    model.log = model.log_dict = lambda *_, **__: None  # type: ignore[method-assign,assignment]  # half of the time
    trainer = Trainer(
        max_epochs=EPOCHS, accelerator="cpu", logger=False, enable_checkpointing=False,
        enable_progress_bar=False, enable_model_summary=False,
    )  # fmt: skip
    trainer.fit(model, datamodule=data)
    return model.eval()


def ours(data: Pictured, views: Mapping[str, int], bits: int, **options: Any) -> MultiViewEnhancementHash:
    """Train multi-view hashing."""
    backbone = Backbone(f"features:{data.table.vectors['image'].shape[1]}", None)
    model = MultiViewEnhancementHash(
        bits, backbone, views, hidden=256, memory_hidden=256, optimizer=LEARNS, **options
    )  # fmt: skip
    fit(model, data)
    return model


def joined(data: Pictured, views: Mapping[str, int]) -> Callable[[str], dict[str, Tensor]]:
    """Return what gives all views of a split side by side, standardised by the training split."""
    train = torch.cat([data.inputs("train")[f"{name}_features"] for name in views], dim=1)
    mean, deviation = train.mean(dim=0), train.std(dim=0).clamp(min=1e-6)

    def of(split: str) -> dict[str, Tensor]:
        table = torch.cat([data.inputs(split)[f"{name}_features"] for name in views], dim=1)
        return {"image_features": (table - mean) / deviation}

    return of


def on_joined(kind: type[HashModel], data: Pictured, views: Mapping[str, int], bits: int, seed: int) -> Coded:
    """Return codes of query and database by a method that sees all views as one vector."""
    of = joined(data, views)
    table = of("train")["image_features"]
    backbone = Backbone(f"features:{table.shape[1]}", None)
    if kind is ITQ:
        model: HashModel = ITQ(bits, backbone, seed=seed).fit(table)
    else:
        model = DPSH(bits, backbone, optimizer=Optimizer("adam", 3e-3, weight_decay=1e-4))
        single = Pictured(str(data.file), data.picture)
        single.table.vectors["image"] = _whole(data, views)
        fit(model, single)
    return model.encode(of("query")), model.encode(of("database"))


def _whole(data: Pictured, views: Mapping[str, int]) -> Tensor:
    """Return all views of all items side by side, in the order of the table: database (= training) first."""
    of = joined(data, views)
    table = torch.zeros(len(data.table), sum(views.values()))
    for split in ("train", "query"):
        table[torch.from_numpy(data.splits[split].rows)] = of(split)["image_features"]
    return table


def ways(model: MultiViewEnhancementHash, data: Pictured) -> dict[str, Coded]:
    """Return the codes of query and database with views on both sides, on none, and in the database only."""
    query, database = data.inputs("query"), data.inputs("database")
    whole = model.encode_fused(query), model.encode_fused(database)
    alone = tuple(model.encode({"image_features": side["image_features"]}) for side in (query, database))
    return dict(zip(WAYS, (whole, (alone[0], alone[1]), (alone[0], whole[1]))))


def measure(setting: str, bits: int, seed: int, arm: str, file: str) -> list[Row]:
    """Return the rows of one arm: a way of asking each."""
    picture, views, _ = SETTINGS[setting]
    data = Pictured(file, picture)
    data.setup()
    seed_everything(seed, verbose=False)
    started, more = time.perf_counter(), {}
    if arm in FUSIONS:
        model = ours(data, views, bits, fusion=arm)
        coded = ways(model, data)
        more = {
            "weights": {each["view"]: each["weight"] for each in model.view_facts()},
            "effective": bits - model.view_bits + sum(each["distinct"] for each in model.view_facts()),
        }
    elif arm == "image branch only":
        made = ways(ours(data, views, bits, view_bits=0), data)
        coded = {"picture, one layer (h^c)": made[WAYS[0]], "picture, two layers (its memory)": made[WAYS[1]]}
    else:
        kind = ITQ if "ITQ" in arm else DPSH
        coded = {WAYS[0]: on_joined(kind, data, views, bits, seed)}
    return [
        {"way": way, "mAP": score(data, *codes), "seconds": time.perf_counter() - started,
         "protocol": str(protocol(data, bits)), **more}
        for way, codes in coded.items()
    ]  # fmt: skip


def score(data: Pictured, query: BinaryCodes, database: BinaryCodes) -> float:
    return mean_average_precision(
        query,
        database,
        query_labels=data.splits["query"].labels,
        database_labels=data.splits["database"].labels,
    )


def protocol(data: Pictured, bits: int) -> Protocol:
    return Protocol(
        dataset=data.protocol_name, num_bits=bits, num_queries=500, num_database=1500, backbone=data.picture,
        split=short_checksum(data.split_checksum),
    )  # fmt: skip


ARMS = ("image branch only", "concatenated views + ITQ", "concatenated views + DPSH", *FUSIONS)


def table(rows: list[Row]) -> str:
    """Return the tables as Markdown."""
    lines: list[str] = []
    for setting, (_, _, lengths) in SETTINGS.items():
        lines += [f"**{setting}**, mAP@all", "", f"| | codes of | {' | '.join(f'{bits} bits' for bits in lengths)} |"]
        lines += ["|---" * (len(lengths) + 2) + "|"]
        for arm in ARMS:
            mine = [row for row in rows if (row["setting"], row["arm"]) == (setting, arm)]
            for way in dict.fromkeys(row["way"] for row in mine):
                cells = [
                    spread([row["mAP"] for row in mine if (row["way"], row["bits"]) == (way, bits)], SEEDS)
                    for bits in lengths
                ]
                lines.append(f"| {arm} | {way} | {' | '.join(cells)} |")
        lines.append("")
    return "\n".join([*lines, *_weights(rows), "", f"protocol, e.g. `{rows[0]['protocol']}`"]) if rows else ""


def _weights(rows: list[Row]) -> list[str]:
    """Return the weights of the views after training, and the distinct bits, of the longest codes."""
    names = (*VIEWS, "noise")
    lines = [f"| 64 bits | fusion | {' | '.join(names)} | distinct bits |", "|---" * (len(names) + 3) + "|"]
    for setting in SETTINGS:
        for fusion in FUSIONS:
            mine = [
                row
                for row in rows
                if (row["setting"], row["arm"], row["bits"], row["way"]) == (setting, fusion, 64, WAYS[0])
            ]
            if mine:
                cells = [spread([row["weights"][name] for row in mine if name in row["weights"]], 0) for name in names]
                bits = sum(row["effective"] for row in mine) / len(mine)
                lines.append(f"| {setting} | {fusion} | {' | '.join(cells)} | {bits:.1f} |")
    return lines


def main() -> None:
    parser = arguments_of(__doc__, file="uci_mfeat.npz")
    parser.add_argument("--seeds", nargs="+", type=int, default=list(range(SEEDS)), help="measure these only")
    options = parser.parse_args()
    torch.set_num_threads(1)
    cells = [
        {"setting": setting, "bits": bits, "seed": seed, "arm": arm}
        for seed in options.seeds
        for setting, (_, _, lengths) in SETTINGS.items()
        for bits in lengths
        for arm in ARMS
        if "noise" not in setting or arm not in ("image branch only", *FUSIONS[1:])  # the first is as without it
    ]
    show(options.page, table(finished(options, cells, partial(measure, file=options.file))))


if __name__ == "__main__":
    main()
