"""What was chosen for the cross-modal results, on validation data alone: docs/results/cross_modal_choice.md.

    OMP_NUM_THREADS=1 python benchmarks/results_cross_choice.py --file wiki_features.npz

A tenth of Wiki's training articles ask, the other nine tenths are learned from and searched; 32 bits, half of them
paired, mean of both directions' mAP@all, mean of three masks. The 693 queries of the results are never looked at.
RREH's weights are chosen in two steps, the second around the best of the first. The ridge of CCA is also chosen for the
synthetic views: three seeds that its results do not have, a tenth of the training items ask. About six minutes of CPU.
"""

from __future__ import annotations

import argparse
import logging
import sys
import warnings
from collections.abc import Callable
from dataclasses import replace
from itertools import product
from pathlib import Path
from statistics import mean

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.measured import spread, write_measured
from benchmarks.results_cross_synthetic import PICTURES as WIDE_PICTURES
from benchmarks.results_cross_synthetic import TEXTS as WIDE_TEXTS
from benchmarks.results_cross_synthetic import TRAIN
from benchmarks.results_cross_wiki import PICTURES, TEXTS, scores
from deephash.data import SemiPaired, Wiki
from deephash.data.protocols import Splits
from deephash.data.table import ItemTable
from deephash.models import DCMH, RREH, CCAHash, HashModel, Optimizer
from deephash.models.rreh_problem import RelationWeights
from tests.cross_modal_toy import half_paired, mean_average_precision, two_views

BITS, SHARE, MASKS, SHOWN = 32, 0.5, 3, 6
Maker = Callable[[int, int], HashModel]


class ValidationArticles(Wiki):
    """Wiki without its queries: held-out training articles ask instead."""

    @property
    def protocol_name(self) -> str:
        """Another split than Wiki's own."""
        return "wiki-validation/v1"

    def divide(self, table: ItemTable) -> Splits:
        """Return the split inside the training articles."""
        rows = super().divide(table)
        kept = rows["validation_database"]
        return {"train": kept, "query": rows["validation_query"], "database": kept}


def rreh(weights: RelationWeights, *, joint_z: bool = False, lle_neighbours: int = 0) -> Maker:
    return lambda k, s: RREH(
        k, PICTURES, TEXTS, seed=s, weights=weights, joint_z=joint_z, lle_neighbours=lle_neighbours
    )


def cca(ridge: float) -> Maker:
    return lambda k, s: CCAHash(k, PICTURES, TEXTS, ridge=ridge, seed=s)


def dcmh(eta: float) -> Maker:
    optimizer = Optimizer(learning_rate=1e-3, weight_decay=5e-4)
    return lambda k, s: DCMH(k, PICTURES, TEXTS, hidden=(512,), eta=eta, optimizer=optimizer)


class Choices:
    """The table of candidates, printed line by line.

    Args:
        file: the Wiki features.
    """

    def __init__(self, file: str) -> None:
        self.file = file
        self.lines: list[str] = []
        self._say("| what | candidates | best first, mAP@all on validation items |\n|---|---|---|")

    def show(self, question: str, found: dict[str, list[float]]) -> str:
        """Print the best candidates, and return the best one's name."""
        order = sorted(found, key=lambda name: -mean(found[name]))
        cells = [f"{name}: {spread(found[name], MASKS)}" for name in order[:SHOWN]]
        self._say(f"| {question} | {len(found)} | " + "; ".join(cells) + " |")
        return order[0]

    def _say(self, line: str) -> None:
        self.lines.append(line)
        print(line, flush=True)

    def best_of(self, question: str, candidates: dict[str, Maker]) -> str:
        """Score all candidates on Wiki, print the best ones, and return the best one's name."""
        found: dict[str, list[float]] = {}
        for name, make in candidates.items():
            runs = []
            for seed in range(MASKS):
                data = SemiPaired(ValidationArticles(self.file, hold_out=False), share=SHARE, mask_seed=seed)
                figures = scores(make, BITS, seed, data)
                runs.append((figures["i2t mAP@all"] + figures["t2i mAP@all"]) / 2)
            found[name] = runs
        return self.show(question, found)

    def weights(self) -> RelationWeights:
        """Choose RREH's weights in two steps."""
        grid = {
            f"{h:g}, {r:g}, {b:g}": RelationWeights(hash_ridge=h, relation_ridge=r, beta=b)
            for h, r, b in product((0.1, 0.3, 1, 10, 100), (0.05, 0.5, 5, 50), (0.5, 5, 50))
        }
        makers = {name: rreh(weights) for name, weights in grid.items()}
        first = grid[self.best_of("RREH: hash_ridge, relation_ridge, beta", makers)]
        finer = {
            f"{m:g}, {g:g}, {d:g}": replace(first, mu=m, gamma=g, delta=d)
            for m, g, d in product((0.005, 0.05, 0.5), (0.02, 0.2, 2), (0.01, 0.1, 1))
        }
        makers = {name: rreh(weights) for name, weights in finer.items()}
        return finer[self.best_of("then RREH: mu, gamma, delta", makers)]


def synthetic_ridge(share: float) -> dict[str, list[float]]:
    """Score CCA's ridge on synthetic views of other seeds than those of the results."""
    found: dict[str, list[float]] = {}
    kept = TRAIN * 9 // 10
    for seed in range(100, 100 + MASKS):
        image, text, labels = two_views(seed, count=TRAIN)
        table = half_paired(image[:kept], text[:kept], share, seed)
        for ridge in (0.01, 0.1, 0.3, 1, 3, 10, 30):
            model = CCAHash(BITS, WIDE_PICTURES, WIDE_TEXTS, ridge=ridge, seed=seed).fit(table, max_sweeps=30)
            score = mean_average_precision(model, image, text, labels, kept)
            found.setdefault(f"{ridge:g}", []).append(score)
    return found


def main() -> None:
    warnings.simplefilter("ignore")
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--file", required=True)
    parser.add_argument("--page", type=Path, help="page whose measured part is replaced")
    options = parser.parse_args()
    choices = Choices(options.file)
    for share in (0.1, 0.5):
        choices.show(f"synthetic views, {share:.0%} pairs: CCA-ITQ: ridge", synthetic_ridge(share))
    choices.best_of("CCA-ITQ: ridge", {f"{ridge:g}": cca(ridge) for ridge in (0.01, 0.1, 0.3, 1, 3, 10)})
    choices.best_of("DCMH: eta", {f"{eta:g}": dcmh(eta) for eta in (0, 0.001, 0.01, 0.1, 1)})
    weights = choices.weights()
    relations = {"ridge, all anchors (default)": rreh(weights), "joint Z": rreh(weights, joint_z=True)}
    relations |= {f"LLE, {count} anchors": rreh(weights, lle_neighbours=count) for count in (5, 10, 20, 50)}
    choices.best_of("then RREH: relation", relations)
    if options.page:
        write_measured(options.page, "\n".join(choices.lines))


if __name__ == "__main__":
    main()
