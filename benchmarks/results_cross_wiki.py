"""Cross-modal methods on the Wiki features at several pairing ratios: docs/results/cross_modal_wiki.md.

    OMP_NUM_THREADS=1 python benchmarks/results_cross_wiki.py --file wiki_features.npz --out wiki.jsonl --seconds 500

2,173 articles are learned from and searched, 693 ask. Items outside the pairs keep both halves but not their partner
(``shuffle``); five masks. Methods that need pairs are trained on the pairs alone. Last epoch, nothing chosen on
queries. Finished runs are kept in ``--out``; the command may be given again until it prints the tables.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from lightning import Trainer, seed_everything

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.measured import arguments_of, finished, show, spread
from deephash.backbones import Backbone
from deephash.data import SemiPaired, Wiki
from deephash.data.batch import SlicedBatches
from deephash.data.protocols import short_checksum
from deephash.evaluation.metrics import mean_average_precision
from deephash.models import CMFH, DCMH, DJSRH, RREH, AlternatingHashModel, CCAHash, CrossModalPCA, HashModel, Optimizer
from deephash.models.rreh_problem import RelationWeights
from deephash.reports.protocol import Protocol

PICTURES, TEXTS = Backbone("features:128"), Backbone("features:10")
BITS, SHARES, MASKS, EPOCHS = (16, 32, 64), (0.1, 0.3, 0.5, 0.9, 1.0), 5, 30
# RREH's weights, CCA's ridge and DCMH's eta were chosen by results_cross_choice.py, on training articles alone
FOR_WIKI = RelationWeights(hash_ridge=0.3, relation_ridge=50.0, beta=50.0, mu=0.5, gamma=0.02, delta=0.01)
METHODS = {
    "PCA-sign": lambda k, s: CrossModalPCA(k, PICTURES, TEXTS, seed=s),
    "CCA-ITQ": lambda k, s: CCAHash(k, PICTURES, TEXTS, ridge=0.3, seed=s),
    "CMFH": lambda k, s: CMFH(k, PICTURES, TEXTS, seed=s),
    "RREH, synthetic weights": lambda k, s: RREH(k, PICTURES, TEXTS, seed=s),
    "RREH, beta = 0": lambda k, s: RREH(k, PICTURES, TEXTS, seed=s, weights=replace(FOR_WIKI, beta=0.0)),
    "RREH": lambda k, s: RREH(k, PICTURES, TEXTS, seed=s, weights=FOR_WIKI),
    "DJSRH": lambda k, s: DJSRH(
        k, PICTURES, TEXTS, text_hidden=(512,), image_hidden=(512,), beta=0.3, intra=(0.3, 0.3)
    ),
    "DCMH (labels)": lambda k, s: DCMH(
        k, PICTURES, TEXTS, hidden=(512,), optimizer=Optimizer(learning_rate=1e-3, weight_decay=5e-4)
    ),
}


def one_run(method: str, bits: int, share: float, seed: int, file: str) -> dict[str, Any]:
    """Fit one model on the training articles; return its four figures and the protocol."""
    data = SemiPaired(Wiki(file, hold_out=False), share=share, mask_seed=seed)
    figures = scores(METHODS[method], bits, seed, data)
    return {**figures, "protocol": str(protocol(data, bits))}


def scores(make: Callable[[int, int], HashModel], bits: int, seed: int, data: SemiPaired) -> dict[str, float]:
    """Fit one model and return its four figures."""
    seed_everything(seed, verbose=False)
    model = make(bits, seed)
    data.attach(model)
    columns = data.splits["train"].columns()
    if isinstance(model, AlternatingHashModel):
        model.fit(columns, max_sweeps=30, tolerance=1e-6)
    else:
        pairs = (columns["has_image"] & columns["has_text"]).nonzero()[:, 0]
        columns = {key: column[pairs] for key, column in columns.items()}
        model.log = lambda *_, **__: None  # nobody reads the losses, and Lightning's book of them is half of the time
        trainer = Trainer(
            max_epochs=EPOCHS, accelerator="cpu", logger=False, enable_checkpointing=False,
            enable_progress_bar=False, enable_model_summary=False,
        )  # fmt: skip
        trainer.fit(model, SlicedBatches(columns, 64, shuffle=True, drop_last=True))
    query, database = data.splits["query"], data.splits["database"]
    found = {}
    for task, asked, searched in (("i2t", "image", "text"), ("t2i", "text", "image")):
        codes = data.codes(model, "query", modality=asked), data.codes(model, "database", modality=searched)
        for metric, top in (("mAP@all", None), ("mAP@50", 50)):
            found[f"{task} {metric}"] = mean_average_precision(
                *codes, query_labels=query.labels, database_labels=database.labels, top_k=top
            )
    return found


def protocol(data: SemiPaired, bits: int) -> Protocol:
    return Protocol(
        dataset=data.protocol_name, num_bits=bits, num_queries=693, num_database=2173, task="i2t",
        text="lda-10", backbone="sift-128", split=short_checksum(data.split_checksum),
    )  # fmt: skip


def main() -> None:
    parser = arguments_of(__doc__, file="wiki_features.npz")
    parser.add_argument("--methods", nargs="*", default=list(METHODS), choices=list(METHODS), help="run only these")
    options = parser.parse_args()
    cells = [
        {"method": name, "bits": bits, "share": share, "seed": seed}
        for seed in range(MASKS)
        for name in options.methods
        for share in SHARES
        for bits in BITS
    ]
    rows = finished(options, cells, partial(one_run, file=options.file))
    show(options.page, report({(row["method"], row["bits"], row["share"], row["seed"]): row for row in rows}))


def report(done: dict[tuple[Any, ...], dict[str, Any]]) -> str:
    lines = []
    for metric in ("mAP@all", "mAP@50"):
        for bits in BITS:
            lines += [f"**{metric}, {bits} bits** (i2t / t2i)", ""]
            lines += ["| method | " + " | ".join(f"{share:.0%} pairs" for share in SHARES) + " |"]
            lines += ["|---" * (len(SHARES) + 1) + "|"]
            for name in METHODS:
                cells = []
                for share in SHARES:
                    rows = [done[key] for seed in range(MASKS) if (key := (name, bits, share, seed)) in done]
                    parts = [[row[f"{task} {metric}"] for row in rows] for task in ("i2t", "t2i")]
                    cells.append(" / ".join(spread(part, MASKS) for part in parts))
                lines.append(f"| {name} | " + " | ".join(cells) + " |")
            lines.append("")
    if done:
        lines.append(f"protocol, e.g. `{next(iter(done.values()))['protocol']}`")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
