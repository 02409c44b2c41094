"""Pictures by words and words by pictures on real data: a page of results.

    DEEPHASH_WEIGHTS=WEIGHTS OMP_NUM_THREADS=1 python benchmarks/results_cross_retrieval.py \\
        --data DATA --cache CACHE --out retrieval.jsonl --seconds 500

Flickr8k (1,000 pictures, joined captions in training, single captions as queries) and fashion items (titles). Picture
features: MobileNetV2 trained on ImageNet; texts: TF-IDF. Each model scores as float (cosine of its continuous codes),
as codes (Hamming), and as codes whose first 100 are re-ranked by float; each plain and with the inverted softmax
(QB-Norm), whose bank are the training queries. Three seeds (initial weights and, for Flickr8k, the split).
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning import Trainer, seed_everything
from numpy.typing import NDArray

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.measured import arguments_of, finished, show, spread
from deephash.backbones import Backbone
from deephash.codes import BinaryCodes
from deephash.data import FashionItems, Flickr8k, HashDataModule
from deephash.data.batch import SlicedBatches
from deephash.data.protocols import short_checksum
from deephash.evaluation.hubness_measures import measures_of_occurrence
from deephash.index.querybank import hub_biases, inverted_softmax
from deephash.models import AlternatingHashModel, CCAHash, CrossModalInfoNCE, CrossModalOrthoHash, HashModel
from deephash.reports.protocol import Protocol

BITS, SEEDS, SHORTLIST, BETA = 128, 3, 100, 20.0
NETWORK = "mobilenetv2_100_imagenet.safetensors"
Matrix = NDArray[np.floating]
MODELS: dict[str, Callable[[dict[str, Backbone], int, int], HashModel]] = {
    "CCA-ITQ": lambda b, c, s: CCAHash(BITS, b["image"], b["text"], unit_norm=True, seed=s),
    "InfoNCE": lambda b, c, s: CrossModalInfoNCE(BITS, b["image"], b["text"]),
    "OrthoHash": lambda b, c, s: CrossModalOrthoHash(BITS, c, b["image"], b["text"]),
}
RUNS = [("flickr8k", "CCA-ITQ"), ("flickr8k", "InfoNCE"), *[("fashion", name) for name in MODELS]]


@dataclass
class Side:
    """Continuous codes of queries, gallery and bank; ``own`` says which gallery row is a query's partner."""

    query: torch.Tensor
    gallery: torch.Tensor
    bank: torch.Tensor
    own: NDArray[np.int64]
    query_labels: NDArray[np.int64] | None
    gallery_labels: NDArray[np.int64] | None


def data_set(name: str, root: Path, cache: Path, seed: int) -> HashDataModule:
    if name == "flickr8k":
        return Flickr8k(str(root / "flickr8k_1000"), seed=seed, cache_dir=str(cache))
    return FashionItems(str(root / "fashion"), hold_out=False, cache_dir=str(cache))


def fitted(name: str, method: str, seed: int, options: argparse.Namespace) -> tuple[HashModel, HashDataModule]:
    seed_everything(seed, verbose=False)
    data = data_set(name, options.data, options.cache, seed)
    data.encode_batch_size = 16  # the fastest on one core
    data.setup()
    side = 224 if name == "flickr8k" else 128
    transform = {"mean": [0.5] * 3, "std": [0.5] * 3, "resize": side}  # what these weights were trained with
    network = Backbone(
        "timm:mobilenetv2_100", NETWORK, image_size=side, options={"pad_type": "same"}, transform=transform
    )
    backbones = {"image": network, "text": Backbone("tfidf:2000", None, options={"min_documents": 2})}
    model = MODELS[method](backbones, max(data.num_classes, 2), seed)
    data.attach(model)
    columns = data.splits["train"].columns()
    if isinstance(model, AlternatingHashModel):
        model.fit(columns, max_sweeps=30)
    else:
        model.log = lambda *_, **__: None  # nobody reads the losses, and Lightning's book of them is half of the time
        trainer = Trainer(
            max_epochs=40, accelerator="cpu", logger=False, enable_checkpointing=False,
            enable_progress_bar=False, enable_model_summary=False,
        )  # fmt: skip
        trainer.fit(model, SlicedBatches(columns, 256, shuffle=True, drop_last=True))
    return model.eval(), data


@torch.inference_mode()
def sides(model: HashModel, data: HashDataModule) -> dict[str, Side]:
    """Return what is compared, a direction each. The partner of every query is in the gallery, hashed on its own."""
    query, database = data.splits["query"], data.splits["database"]
    codes = {
        (kind, name): model({f"{kind}_features": data.splits[name].features[kind]})
        for kind in ("image", "text")
        for name in ("query", "train", "database")
    }
    if isinstance(data, Flickr8k):  # each single caption asks; a picture's texts in the gallery are joined
        encoder = model.encoders["text"]
        lists = {part: [data.captions(int(row)) for row in data.splits[part].rows] for part in ("query", "train")}
        counts = {
            part: torch.stack([encoder.preprocess_data()(text) for row in rows for text in row])
            for part, rows in lists.items()
        }
        single = {part: model({"text_features": encoder(rows)}) for part, rows in counts.items()}
        own = np.repeat(np.arange(len(query)), 5)
        return {
            "t2i": Side(single["query"], codes["image", "query"], single["train"], own, None, None),
            "i2t": Side(
                codes["image", "query"],
                codes["text", "query"],
                codes["image", "train"],
                np.arange(len(query)),
                None,
                None,
            ),
        }
    labels = np.concatenate([query.labels, database.labels])
    found = {}
    for task, asked, searched in (("t2i", "text", "image"), ("i2t", "image", "text")):
        gallery = torch.cat([codes[searched, "query"], codes[searched, "database"]])
        own = np.arange(len(query))
        found[task] = Side(codes[asked, "query"], gallery, codes[asked, "train"], own, query.labels, labels)
    return found


def distances(side: Side) -> dict[str, tuple[Matrix, Matrix]]:
    """Return (float, codes) distances, plain and corrected."""
    unit = [
        torch.nn.functional.normalize(rows, dim=1).double().numpy() for rows in (side.query, side.gallery, side.bank)
    ]
    cosine, probe = unit[0] @ unit[1].T, unit[2] @ unit[1].T
    query, gallery, bank = (BinaryCodes.from_continuous(rows.numpy()) for rows in (side.query, side.gallery, side.bank))
    hamming = query.hamming(gallery).astype(float)
    return {
        "plain": (-cosine, hamming),
        "QB-Norm": (-inverted_softmax(cosine, probe, beta=BETA), hamming + hub_biases(gallery, bank, beta=BETA)),
    }


def reranked(by_float: Matrix, by_code: Matrix) -> Matrix:
    """Return distances whose first SHORTLIST items by code come first, in the order of the float distances."""
    result = by_code + by_float.max() - by_float.min() + 1e6
    for row in range(len(result)):
        first = np.argpartition(by_code[row], SHORTLIST)[:SHORTLIST]
        result[row, first] = by_float[row, first]
    return result


def figures(matrix: Matrix, side: Side) -> dict[str, float]:
    """Return hit@1/5/10 of the partner (expected over ties), label mAP@all, and skewness of 10-occurrences."""
    own = matrix[np.arange(len(matrix)), side.own][:, None]
    nearer, tied = (matrix < own).sum(axis=1), (matrix == own).sum(axis=1)
    found = {f"hit@{k}": float(np.clip((k - nearer) / tied, 0, 1).mean()) for k in (1, 5, 10)}
    shuffle = np.random.default_rng(0).permutation(matrix.shape[1])
    order = shuffle[np.argsort(matrix[:, shuffle], axis=1, kind="stable")]
    occurrence = np.bincount(order[:, :10].ravel(), minlength=matrix.shape[1]).astype(float)
    found["skewness"] = measures_of_occurrence(occurrence, 10).skewness
    if side.query_labels is not None and side.gallery_labels is not None:
        relevant = side.gallery_labels[order] == side.query_labels[:, None]
        precision = np.cumsum(relevant, axis=1) / np.arange(1, matrix.shape[1] + 1)
        found["mAP"] = float(((precision * relevant).sum(axis=1) / relevant.sum(axis=1)).mean())
    return found


def one_run(data: str, method: str, seed: int, options: argparse.Namespace) -> dict[str, Any]:
    model, items = fitted(data, method, seed, options)
    rows: dict[str, Any] = {}
    for task, side in sides(model, items).items():
        for correction, (by_float, by_code) in distances(side).items():
            kinds = {"float": by_float, "codes": by_code, "codes + re-rank": reranked(by_float, by_code)}
            for kind, matrix in kinds.items():
                rows[f"{task}|{kind}|{correction}"] = figures(matrix, side)
        rows[f"{task}|protocol"] = str(
            Protocol(
                dataset=items.protocol_name, metric="hit@10", relevance="pairs", num_bits=BITS, task=task,
                text="tfidf-2000",
                num_queries=len(side.query), num_database=len(side.gallery), backbone="timm:mobilenetv2_100",
                split=short_checksum(items.split_checksum),
            )
        )  # fmt: skip
    return rows


def main() -> None:
    options = arguments_of(__doc__, data="folder of the data sets", cache="folder of cached features").parse_args()
    cells = [{"data": name, "method": method, "seed": seed} for seed in range(SEEDS) for name, method in RUNS]
    rows = finished(options, cells, lambda **cell: {"figures": one_run(**cell, options=options)})
    show(options.page, report({(row["data"], row["method"], row["seed"]): row["figures"] for row in rows}))


def report(done: dict[tuple[Any, ...], dict[str, Any]]) -> str:
    lines = []
    for name, method in RUNS:
        runs = [done[key] for seed in range(SEEDS) if (key := (name, method, seed)) in done]
        if not runs:
            continue
        columns = ["hit@1", "hit@5", "hit@10", *(["mAP"] if name == "fashion" else []), "skewness"]
        lines += [f"**{name}, {method}, {BITS} bits**: `{runs[0]['t2i|protocol']}`", ""]
        lines += [
            "| direction | scored by | correction | " + " | ".join(columns) + " |",
            "|---" * (3 + len(columns)) + "|",
        ]
        for row in [key for key in runs[0] if not key.endswith("protocol")]:
            cells = [spread([run[row][column] for run in runs], SEEDS) for column in columns]
            lines.append(f"| {row.replace('|', ' | ')} | " + " | ".join(cells) + " |")
        lines.append("")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
