"""Recall against bytes of codes of float vectors: BEBR and Poeem beside signs, PQ and RaBitQ.

    python benchmarks/vector_codes.py --vectors X.npz --out vector_codes.jsonl --seconds 500

``X.npz`` or ``.npy`` is read as ``deephash.data.Vectors`` reads it. Of 500 vectors that no method has learned from, the
ten nearest others by cosine are looked for (``IndexFlatIP``, 4 bytes a number, finds them all by definition); the score
is the share found among the ten nearest by code. Bytes are those an item has, a shortlist's and a second stage's
together; norms and codebooks are not counted. Finished cells are kept in ``--out``.
"""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from pathlib import Path

import faiss
import numpy as np
import torch
from measured import Row, arguments_of, finished, show, spread
from numpy.typing import NDArray

from deephash.backbones import Backbone
from deephash.codes import BinaryCodes
from deephash.data import Vectors
from deephash.data.protocols import short_checksum
from deephash.index import open_index
from deephash.index.product import ProductIndex
from deephash.index.product_codes import ProductQuantizer
from deephash.index.rerank import rerank_asymmetric, search_two_stage
from deephash.index.symmetric import SymmetricIndex
from deephash.models import BEBR, ITQ, HashingBaseline, HashModel, ObjectiveHashModel, Optimizer, Poeem

Floats = NDArray[np.float32]
BYTES, SEEDS, NEAR, STEPS, BATCH = (16, 32), (0, 1, 2), 10, 100, 256
SHORTLIST, WIDE = 100, 256  # items of a first stage; dimensions that Poeem's product codes quantise
CPU = Path("/proc/cpuinfo")
ADAM = Optimizer("adam", 1e-3, 1.0, 1e-4, milestones=())


def bebr(levels: int) -> Callable[[Floats, Floats, Floats, int, int], NDArray[np.int64]]:
    """Return what finds neighbours by BEBR codes of ``levels``, trained on neighbours for STEPS steps."""

    def found(train: Floats, base: Floats, queries: Floats, size: int, seed: int) -> NDArray[np.int64]:
        torch.manual_seed(seed)
        bits = 8 * size // levels
        model = BEBR(bits, Backbone(f"features:{train.shape[1]}", None), levels=levels, hidden=256, optimizer=ADAM)
        model.prepare(torch.from_numpy(train))
        taught(model, train, rate=1e-3, decay=1e-4)
        return by_codes(model, base, queries)

    return found


def taught(model: ObjectiveHashModel, train: Floats, *, rate: float, decay: float) -> None:
    """Train for STEPS steps of BATCH rows by Adam."""
    table = torch.from_numpy(train)
    optimizer = torch.optim.Adam([each for each in model.parameters() if each.requires_grad], rate, weight_decay=decay)
    model.train()
    for _ in range(STEPS):
        index = torch.randint(len(table), (min(BATCH, len(table)),))
        loss = sum(model.compute_losses({"image_features": table[index], "index": index}).values())
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 5.0)
        optimizer.step()
        if isinstance(model, Poeem):
            model.restore_rotation()


def poeem(train: Floats, base: Floats, queries: Floats, size: int, seed: int) -> NDArray[np.int64]:
    """All product codes, one byte a part of WIDE dimensions; the query stays float."""
    return by_product(learned(train, WIDE, size, seed, True), base, queries)


def poeem_start(train: Floats, base: Floats, queries: Floats, size: int, seed: int) -> NDArray[np.int64]:
    """The same without the joint training: the warm start alone, which is OPQ of principal axes."""
    return by_product(learned(train, WIDE, size, seed, False), base, queries)


def poeem_two_stage(train: Floats, base: Floats, queries: Floats, size: int, seed: int) -> NDArray[np.int64]:
    """Half of the bytes are signs, which find a shortlist, half are product codes, which order it."""
    model = learned(train, 4 * size, size // 2, seed, True)
    index, codes = open_index("auto", np.arange(len(base)), encoded(model, base)), encoded(model, queries)
    quantizer, vectors = quantizer_of(model), vectors_of(model, base)
    stored = quantizer.encode(vectors)
    return search_two_stage(
        *(index, codes, vectors_of(model, queries), lambda ids: quantizer.decode(stored[ids]), NEAR),
        shortlist=SHORTLIST,
        metric="inner",
    ).ids


def learned(train: Floats, dims: int, parts: int, seed: int, trains: bool) -> Poeem:
    if (dims, parts) not in STARTED:  # the start draws nothing by the seed
        STARTED[dims, parts] = Poeem(dims, Backbone(f"features:{train.shape[1]}", None), parts=parts)
        STARTED[dims, parts].prepare(torch.from_numpy(train))
    model = deepcopy(STARTED[dims, parts])
    torch.manual_seed(seed)
    if trains:
        taught(model, train, rate=1e-4, decay=0.0)
    return model.eval()


STARTED: dict[tuple[int, int], Poeem] = {}


def by_product(model: Poeem, base: Floats, queries: Floats) -> NDArray[np.int64]:
    quantizer = quantizer_of(model)
    index = ProductIndex(np.arange(len(base)), quantizer.encode(vectors_of(model, base)), quantizer)
    return index.search(vectors_of(model, queries), NEAR).ids


def quantizer_of(model: Poeem) -> ProductQuantizer:
    return ProductQuantizer(model.product_centroids.detach().numpy())


def vectors_of(model: HashModel, rows: Floats) -> Floats:
    with torch.inference_mode():
        return np.asarray(model.vectors({"image_features": torch.from_numpy(rows)}).numpy())


def itq_asymmetric(train: Floats, base: Floats, queries: Floats, size: int, seed: int) -> NDArray[np.int64]:
    """Signs alone: the shortlist by Hamming distance, ordered by the float query against signs."""
    model = ITQ(8 * size, Backbone(f"features:{train.shape[1]}", None), seed).fit(torch.from_numpy(train))
    stored = encoded(model, base)
    found = open_index("auto", np.arange(len(base)), stored).search(encoded(model, queries), SHORTLIST)
    with torch.inference_mode():
        values = model({"image_features": torch.from_numpy(queries)}).numpy()
    return rerank_asymmetric(found, values, lambda ids: stored[ids], NEAR).ids


def fitted(method: type[ITQ] | type[HashingBaseline]) -> Callable[..., NDArray[np.int64]]:
    """Return what finds neighbours by signs of a training-free method."""

    def found(train: Floats, base: Floats, queries: Floats, size: int, seed: int) -> NDArray[np.int64]:
        model = method(8 * size, Backbone(f"features:{train.shape[1]}", None), seed)
        return by_codes(model.fit(torch.from_numpy(train)), base, queries)

    return found


def by_codes(model: HashModel, base: Floats, queries: Floats) -> NDArray[np.int64]:
    return SymmetricIndex(np.arange(len(base)), encoded(model, base)).search(encoded(model, queries), NEAR).ids


def encoded(model: HashModel, rows: Floats) -> BinaryCodes:
    return model.encode({"image_features": torch.from_numpy(rows)})


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
    "Poeem (query float)": poeem,
    "Poeem, warm start alone (query float)": poeem_start,
    f"Poeem, signs then product codes, shortlist {SHORTLIST} (query float)": poeem_two_stage,
    "ITQ": fitted(ITQ),
    f"ITQ, shortlist {SHORTLIST} by signs (query float)": itq_asymmetric,
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
    text = protocol(data, len(base), unit.shape[1])
    cells = [{"method": name, "bytes": size, "seed": seed} for seed in SEEDS for size in BYTES for name in METHODS]

    def measured(method: str, bytes: int, seed: int) -> Row:
        found = METHODS[method](base, base, queries, bytes, seed)
        share = np.mean([len(set(a) & set(b)) / NEAR for a, b in zip(found.tolist(), right.tolist())])
        return {"recall": float(share), "protocol": text}

    show(options.page, markdown(finished(options, cells, measured)))


def protocol(data: Vectors, size: int, dims: int) -> str:
    """Return what the figures are figures of, and the processor."""
    split = f"q={data.queries} db={size} | split={short_checksum(data.split_checksum)}"
    names = [line.partition(":")[2].strip() for line in CPU.read_text().splitlines() if line.startswith("model name")]
    return f"{data.protocol_name} | recall@{NEAR} of exact cosine neighbours | dims={dims} | {split} | {names[0]}"


def markdown(rows: list[Row]) -> str:
    """Return the table: recall@10 by bytes an item, mean and spread over seeds."""
    lines = [*(f"`{text}`\n" for text in dict.fromkeys(row["protocol"] for row in rows))]
    lines += [f"| recall@{NEAR} | {' | '.join(f'{size} bytes' for size in BYTES)} |", "|---" * (len(BYTES) + 1) + "|"]
    for name in METHODS:
        cells = [[row["recall"] for row in rows if (row["method"], row["bytes"]) == (name, size)] for size in BYTES]
        lines.append(f"| {name} | {' | '.join(spread(each, len(SEEDS)) if each else '-' for each in cells)} |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
