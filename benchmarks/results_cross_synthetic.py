"""RREH's synthetic table: docs/results/cross_modal_rreh.md.

    OMP_NUM_THREADS=1 python benchmarks/results_cross_synthetic.py --seeds 5 --out synthetic.jsonl

Two views of 10 classes with common and private factors (tests/cross_modal_toy.py); 2,000 items to train on and search,
400 ask; mAP@all, mean of both directions. Finished rows are kept in ``--out``; the command may be given again.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.measured import spread, write_measured
from deephash.backbones import Backbone
from deephash.models import CMFH, ITQ, RREH, CCAHash, CrossModalPCA
from deephash.models.cross_modal import LinearCrossModal, PairedRows
from deephash.models.rreh_problem import RelationWeights
from tests.cross_modal_toy import half_paired, mean_average_precision, two_views

TRAIN = 2000
PICTURES, TEXTS = Backbone("features:256"), Backbone("features:160")
SETTINGS = [(16, 0.05), (16, 0.5), (32, 0.05), (32, 0.1), (32, 0.3), (32, 0.5), (32, 0.9), (64, 0.1), (64, 0.5)]
Table = dict[str, torch.Tensor]


def pairs_only(table: Table) -> Table:
    """Return the complete pairs."""
    rows = PairedRows.of(table).pairs
    return {name: column[rows] for name, column in table.items()}


class JointPCAWithRidge(LinearCrossModal):
    """ITQ on the concatenated pairs, then ridge regression from each modality to its codes: a strong simple rival."""

    def start(self, features: Any) -> None:
        pairs = pairs_only(dict(features))
        stacked = torch.cat([pairs["image_features"], pairs["text_features"]], dim=1)
        itq = ITQ(self.num_bits, Backbone(f"features:{stacked.shape[1]}")).fit({"image_features": stacked.float()})
        codes = itq({"image_features": stacked.float()}).sign().double()
        for name in ("image", "text"):
            rows = pairs[f"{name}_features"]
            centred = rows - rows.mean(dim=0)
            scale = (self.num_bits / centred.square().sum(dim=1).mean()).sqrt()
            gram = scale**2 * centred.T @ centred
            gram.diagonal().add_(10 * self.num_bits)
            weights = torch.linalg.solve(gram, scale * centred.T @ codes) * scale
            self.publish(name, mean=rows.mean(dim=0), weights=weights)

    def sweep(self, features: Any) -> torch.Tensor:
        return torch.zeros(())


def rreh(bits: int, seed: int, **options: Any) -> RREH:
    return RREH(bits, PICTURES, TEXTS, seed=seed, **options)


Maker = Callable[[int, int], Any]
METHODS: dict[str, tuple[Maker, Callable[[Table], Table]]] = {
    "PCA-sign": (lambda k, s: CrossModalPCA(k, PICTURES, TEXTS), dict),
    "CCA-sign": (lambda k, s: CCAHash(k, PICTURES, TEXTS, ridge=1e-2, rotate=False), dict),
    "CCA-ITQ": (lambda k, s: CCAHash(k, PICTURES, TEXTS, ridge=1e-2, seed=s), dict),
    "CCA-ITQ, ridge 1": (lambda k, s: CCAHash(k, PICTURES, TEXTS, ridge=1.0, seed=s), dict),
    "CMFH": (lambda k, s: CMFH(k, PICTURES, TEXTS, seed=s), dict),
    "joint PCA-ITQ + ridge": (lambda k, s: JointPCAWithRidge(k, PICTURES, TEXTS), dict),
    "pairs only": (rreh, pairs_only),
    "beta = 0": (lambda k, s: rreh(k, s, weights=RelationWeights(beta=0.0)), dict),
    "joint Z": (lambda k, s: rreh(k, s, joint_z=True), dict),
    "LLE": (lambda k, s: rreh(k, s, lle_neighbours=10), dict),
    "RREH": (rreh, dict),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seconds", type=float, default=500)
    parser.add_argument("--page", type=Path, help="page whose measured part is replaced")
    options = parser.parse_args()
    done = {}
    if options.out.exists():
        done = {tuple(row["key"]): row["map"] for row in map(json.loads, options.out.read_text().splitlines())}
    start = time.monotonic()
    with options.out.open("a") as out:
        for seed in range(options.seeds):
            image, text, labels = two_views(seed)
            for bits, share in SETTINGS:
                table = half_paired(image[:TRAIN], text[:TRAIN], share, seed)
                for name, (make, prepare) in METHODS.items():
                    key = (name, bits, share, seed)
                    if key in done:
                        continue
                    if time.monotonic() - start > options.seconds:
                        print(
                            f"{len(done)} of {options.seeds * len(SETTINGS) * len(METHODS)} runs done; give the command again"
                        )
                        return report(done, options)
                    model = make(bits, seed).fit(prepare(table), max_sweeps=30, tolerance=1e-6)
                    done[key] = mean_average_precision(model, image, text, labels, TRAIN)
                    print(json.dumps({"key": key, "map": done[key]}), file=out, flush=True)
    report(done, options)


def report(done: dict[tuple[Any, ...], float], options: argparse.Namespace) -> None:
    table = table_of(done, options.seeds)
    print(table)
    if options.page:
        write_measured(options.page, table)


def table_of(done: dict[tuple[Any, ...], float], seeds: int) -> str:
    lines = ["| bits, pairs | " + " | ".join(METHODS) + " |", "|---" * (len(METHODS) + 1) + "|"]
    for bits, share in SETTINGS:
        runs = [[done[key] for s in range(seeds) if (key := (name, bits, share, s)) in done] for name in METHODS]
        lines.append(f"| {bits}, {share:.0%} | " + " | ".join(spread(values, seeds) for values in runs) + " |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
