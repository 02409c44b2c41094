"""Unsupervised methods on frozen features in one file: the rows of docs/results/frozen_features.md.

    python benchmarks/results_frozen.py --features X.npz --out frozen.jsonl --seconds 500

``X.npz`` is read as ``deephash.data.FeatureFile`` reads it (``image_features``, ``labels``, ``split``). Finished runs
are kept in ``--out``; the command may be given again, also with another file, whose rows are added. One optimiser for
all (Adam at rate 1e-3 and decay 1e-4, 300 steps of 128 rows), nothing chosen on the queries.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from measured import Row, arguments_of, finished, show
from results_cifar10 import ADAM, BITS, SEEDS, CachedSplits, Factory, run, section

from deephash.backbones import Backbone
from deephash.data import FeatureFile
from deephash.data.protocols import short_checksum
from deephash.models import ITQ, LSH, TLDR, BiHalf, CIBHash, CroVCA, HashingBaseline, PCASign
from deephash.reports.protocol import Protocol


def methods_on(width: int) -> dict[str, Factory]:
    """Return the methods on vectors of ``width`` numbers."""
    features = Backbone(f"features:{width}", weights=None)
    return {
        "CroVCA": lambda bits, seed: CroVCA(bits, features, ADAM),
        "ITQ": lambda bits, seed: ITQ(bits, features, seed),
        "Hashing-Baseline": lambda bits, seed: HashingBaseline(bits, features, seed),
        "PCA-sign": lambda bits, seed: PCASign(bits, features),
        "LSH": lambda bits, seed: LSH(bits, features, seed=seed),
        "BiHalf": lambda bits, seed: BiHalf(bits, features, ADAM),
        "CIBHash": lambda bits, seed: CIBHash(bits, features, ADAM),
        "TLDR + ITQ": lambda bits, seed: TLDR(bits, features, ADAM, binarize="itq", projector_width=1024),
    }


def main() -> None:
    """Do what is missing, for at most ``--seconds``; then print the tables."""
    options = arguments_of(__doc__, features="FeatureFile (.npz)").parse_args()
    file = Path(options.features)
    data = FeatureFile(str(file), hold_out=False)
    data.setup()
    width = data.table.vectors["image"].shape[1]
    methods, text = methods_on(width), protocol(data)
    for split in data.splits.values():
        split.features["image"] = data.table.vectors["image"][torch.from_numpy(split.rows)]
    splits = CachedSplits(data.splits, options.out.with_name(f"neighbours-{file.stem}.npy"))
    cells: list[dict[str, Any]] = [
        {"dataset": file.stem, "method": method, "bits": bits, "seed": seed}
        for method in methods
        for bits in BITS
        if bits <= width
        for seed in SEEDS
    ]

    def measured(dataset: str, method: str, bits: int, seed: int) -> Row:
        return run(methods[method], bits, seed, splits, None) | {"protocol": text}

    rows = finished(options, cells, measured)
    show(options.page, "\n\n".join(section(rows, each) for each in dict.fromkeys(row["protocol"] for row in rows)))


def protocol(data: FeatureFile) -> str:
    """Return the protocol string; the number of bits stands in each row."""
    sizes = {"num_queries": len(data.splits["query"]), "num_database": len(data.splits["database"])}
    found = str(Protocol(data.protocol_name, "mAP@all", split=short_checksum(data.split_checksum), **sizes))
    return found.replace("K=0", "K=bits of the row")


if __name__ == "__main__":
    torch.set_num_threads(1)
    main()
