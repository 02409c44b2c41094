"""Recall against bytes of codes of float vectors: BEBR of one, two and four levels beside signs, PQ and RaBitQ.

    python benchmarks/vector_codes.py --vectors X.npz --out vector_codes.jsonl --seconds 500

``X.npz`` or ``.npy`` is read as ``deephash.data.Vectors`` reads it. Of 500 vectors that no method has learned from, the
ten nearest others by cosine are looked for (``IndexFlatIP``, 4 bytes a number, finds them all by definition); the score
is the share found among the ten nearest by code. Finished cells are kept in ``--out``.
"""

from __future__ import annotations

from collections.abc import Callable

import faiss
import numpy as np
import torch
from measured import Row, arguments_of, finished, show, spread
from numpy.typing import NDArray

from deephash.backbones import Backbone
from deephash.codes import BinaryCodes
from deephash.data import Vectors
from deephash.index.symmetric import SymmetricIndex
from deephash.models import BEBR, ITQ, HashingBaseline, HashModel, Optimizer

Floats = NDArray[np.float32]
BYTES, SEEDS, NEAR, STEPS, BATCH = (16, 32, 64), (0, 1, 2), 10, 150, 256
ADAM = Optimizer("adam", 1e-3, 1.0, 1e-4, milestones=())


def bebr(levels: int) -> Callable[[Floats, Floats, Floats, int, int], NDArray[np.int64]]:
    """Return what finds neighbours by BEBR codes of ``levels``, trained on neighbours for STEPS steps."""

    def found(train: Floats, base: Floats, queries: Floats, size: int, seed: int) -> NDArray[np.int64]:
        torch.manual_seed(seed)
        bits = 8 * size // levels
        model = BEBR(bits, Backbone(f"features:{train.shape[1]}", None), levels=levels, hidden=512, optimizer=ADAM)
        table = torch.from_numpy(train)
        model.prepare(table)
        optimizer = torch.optim.Adam(model.parameters(), 1e-3, weight_decay=1e-4)
        model.train()
        for _ in range(STEPS):
            index = torch.randint(len(table), (min(BATCH, len(table)),))
            loss = model.compute_losses({"image_features": table[index], "index": index})["contrast"]
            optimizer.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 5.0)
            optimizer.step()
        return by_codes(model, base, queries)

    return found


def fitted(method: type[ITQ] | type[HashingBaseline]) -> Callable[..., NDArray[np.int64]]:
    """Return what finds neighbours by signs of a training-free method."""

    def found(train: Floats, base: Floats, queries: Floats, size: int, seed: int) -> NDArray[np.int64]:
        model = method(8 * size, Backbone(f"features:{train.shape[1]}", None), seed)
        return by_codes(model.fit(torch.from_numpy(train)), base, queries)

    return found


def by_codes(model: HashModel, base: Floats, queries: Floats) -> NDArray[np.int64]:
    codes: list[BinaryCodes] = [model.encode({"image_features": torch.from_numpy(each)}) for each in (base, queries)]
    return SymmetricIndex(np.arange(len(base)), codes[0]).search(codes[1], NEAR).ids


def product(train: Floats, base: Floats, queries: Floats, size: int, seed: int) -> NDArray[np.int64]:
    """PQ of one byte a part, asymmetric: the query stays float."""
    index = faiss.IndexPQ(train.shape[1], size, 8, faiss.METRIC_INNER_PRODUCT)
    index.pq.cp.seed = 1234 + seed
    index.train(train)
    index.add(base)
    return np.asarray(index.search(queries, NEAR)[1], np.int64)


def rabitq(train: Floats, base: Floats, queries: Floats, size: int, seed: int) -> NDArray[np.int64]:
    """RaBitQ of one bit a dimension, after PCA to as many dimensions as the bytes leave; asymmetric."""
    dims = 8 * (size - 8)  # eight bytes of factors
    mean = train.mean(axis=0)
    _, _, axes = np.linalg.svd(train - mean, full_matrices=False)
    turned = np.linalg.qr(np.random.default_rng(seed).normal(size=(dims, dims)))[0]
    one, two = (np.ascontiguousarray((each - mean) @ axes[:dims].T @ turned, np.float32) for each in (base, queries))
    index = faiss.IndexRaBitQ(dims, faiss.METRIC_L2)
    index.train(one)
    index.add(one)
    return np.asarray(index.search(two, NEAR)[1], np.int64)


METHODS: dict[str, Callable[..., NDArray[np.int64]]] = {
    "BEBR, 1 level": bebr(1),
    "BEBR, 2 levels": bebr(2),
    "BEBR, 4 levels": bebr(4),
    "ITQ": fitted(ITQ),
    "Hashing-Baseline": fitted(HashingBaseline),
    "PQ (query float)": product,
    "RaBitQ (query float)": rabitq,
}


def main() -> None:
    """Do what is missing, for at most ``--seconds``; then print the table."""
    options = arguments_of(__doc__, vectors="vectors (.npy, .npz, .parquet)").parse_args()
    data = Vectors(options.vectors, queries=500)
    data.setup()
    table = data.table.vectors["image"].numpy()
    unit = table / np.linalg.norm(table, axis=1, keepdims=True)
    base, queries = (np.ascontiguousarray(unit[data.splits[name].rows]) for name in ("database", "query"))
    exact = faiss.IndexFlatIP(unit.shape[1])
    exact.add(base)
    right = exact.search(queries, NEAR)[1]
    cells = [{"method": name, "bytes": size, "seed": seed} for seed in SEEDS for size in BYTES for name in METHODS]

    def measured(method: str, bytes: int, seed: int) -> Row:
        found = METHODS[method](base, base, queries, bytes, seed)
        share = np.mean([len(set(a) & set(b)) / NEAR for a, b in zip(found.tolist(), right.tolist())])
        return {"recall": float(share), "vectors": len(table), "dims": unit.shape[1]}

    show(options.page, markdown(finished(options, cells, measured)))


def markdown(rows: list[Row]) -> str:
    """Return the table: recall@10 by bytes an item, mean and spread over seeds."""
    lines = [f"| recall@{NEAR} | {' | '.join(f'{size} bytes' for size in BYTES)} |", "|---" * (len(BYTES) + 1) + "|"]
    for name in METHODS:
        cells = [[row["recall"] for row in rows if (row["method"], row["bytes"]) == (name, size)] for size in BYTES]
        lines.append(f"| {name} | {' | '.join(spread(each, len(SEEDS)) if each else '-' for each in cells)} |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
