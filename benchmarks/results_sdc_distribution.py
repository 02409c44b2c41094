"""Distribution of code cosines under SDC and under plain reconstruction: docs/results/sdc_distribution.md.

    DEEPHASH_WEIGHTS=WEIGHTS OMP_NUM_THREADS=1 python benchmarks/results_sdc_distribution.py \\
        --file cifar10_jpeg.npz --cache CACHE --picture docs/results/sdc_distribution.png

Both heads are the same and learn from the same pairs for the same 300 steps. Reconstruction pulls the code cosine of a
pair to its feature cosine; SDC pulls the sorted code cosines to the quantiles of Beta(5, 5), in feature order.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch
from lightning import seed_everything
from measured import keep_quiet, write_measured
from numpy.typing import NDArray
from results_cifar10 import ADAM, FEATURES, STEPS, CachedSplits, load, train
from torch import Tensor

from deephash.evaluation.metrics import mean_average_precision
from deephash.models import SDC
from deephash.models.head import Batch
from deephash.models.sdc import pair_cosines
from deephash.objectives.quantization import cosine_quantization

BITS = 64
Cosines = dict[str, NDArray[np.float32]]


class Reconstruction(SDC):
    """SDC's network with the loss mean |cos(v_i, v_j) - cos(x_i, x_j)| in place of calibration."""

    def code_losses(self, codes: Tensor, features: Tensor, batch: Batch) -> dict[str, Tensor]:
        """Return ``reconstruction`` and ``quantization``."""
        h, t = pair_cosines(codes, features)
        return {"reconstruction": (h - t).abs().mean(), "quantization": cosine_quantization(codes)}


def pairs(labels: NDArray[np.int64], same_class: bool) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return 20,000 random pairs of one kind."""
    generator = np.random.default_rng(0)
    first, second = generator.integers(0, len(labels), (2, 600_000))
    chosen = np.flatnonzero(((labels[first] == labels[second]) == same_class) & (first != second))[:20_000]
    return first[chosen], second[chosen]


def cosines_of_pairs(rows: Tensor, labels: NDArray[np.int64]) -> Cosines:
    """Return cosines of similar and of different pairs."""
    found = {}
    for name, same in (("same class", True), ("different class", False)):
        first, second = pairs(labels, same)
        found[name] = torch.cosine_similarity(rows[first], rows[second]).numpy()
    return found


def overlap(cosines: Cosines) -> float:
    """Return the shared area of the two histograms, 0 apart .. 1 equal."""
    densities = [np.histogram(values, bins=80, range=(-1, 1))[0] / len(values) for values in cosines.values()]
    return float(np.minimum(*densities).sum())


def measure(splits: CachedSplits) -> tuple[dict[str, Cosines], dict[str, float]]:
    """Return cosines by kind of code, and mAP@1000."""
    database, query = splits.splits["database"], splits.splits["query"]
    labels = {"query_labels": query.labels, "database_labels": database.labels}
    found = {"features": cosines_of_pairs(database.features["image"], database.labels)}
    scores: dict[str, float] = {}
    for name, cls in (("reconstruction", Reconstruction), ("SDC", SDC)):
        seed_everything(0, verbose=False)
        model = cls(BITS, FEATURES, ADAM)
        train(model, splits)
        codes = [model.encode({"image_features": each.features["image"]}) for each in (query, database)]
        found[name] = cosines_of_pairs(torch.from_numpy(codes[1].signs()).float(), database.labels)
        scores[name] = mean_average_precision(*codes, **labels, top_k=1000)
    return found, scores


def draw(found: dict[str, Cosines], path: str) -> None:
    """Draw the histograms side by side."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(1, len(found), figsize=(10, 3), sharex=True)
    for axis, (name, cosines) in zip(axes, found.items()):
        for (kind, values), colour in zip(cosines.items(), ("#0072b2", "#d55e00")):
            axis.hist(values, bins=65, range=(-1, 1), density=True, alpha=0.6, color=colour, label=kind)
        axis.set_title(f"cosines of {name}" if name == "features" else f"codes by {name}")
        axis.set_xlabel("cosine of a pair")
    axes[0].legend()
    figure.tight_layout()
    figure.savefig(path, dpi=110)


def main() -> None:
    """Measure, draw, print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--file", required=True)
    parser.add_argument("--cache", required=True)
    parser.add_argument("--picture", required=True)
    parser.add_argument("--page", type=Path, help="page whose table is to be replaced")
    arguments = parser.parse_args()
    keep_quiet()
    splits, protocol = load("cifar10-i", arguments.file, arguments.cache, 1000)
    found, scores = measure(splits)
    draw(found, arguments.picture)
    lines = [f"`{protocol.replace('K=bits of the row', f'K={BITS}')}`, {STEPS} steps", ""]
    lines += [
        "| | same class, mean ± std | different class, mean ± std | overlap | mAP@1000 |",
        "|---|---|---|---|---|",
    ]
    for name, cosines in found.items():
        cells = [f"{values.mean():.3f} ± {values.std():.3f}" for values in cosines.values()]
        score = f"{scores[name]:.3f}" if name in scores else ""
        lines.append(f"| {name} | {' | '.join(cells)} | {overlap(cosines):.3f} | {score} |")
    print("\n".join(lines))
    if arguments.page is not None:
        write_measured(arguments.page, "\n".join(lines))


if __name__ == "__main__":
    torch.set_num_threads(1)
    main()
