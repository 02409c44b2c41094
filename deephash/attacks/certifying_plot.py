"""The picture of a certificate: the lower bound of mAP over the radius."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from deephash.attacks.certifying import Certifying
from deephash.attacks.subject import Subject
from deephash.evaluation.certified import certain_bits, largest_radius, worst_counts
from deephash.evaluation.codefile import common_labels, read_code_file, read_columns
from deephash.evaluation.formulas import mean_ap
from deephash.evaluation.relevance import relevance_from_labels
from deephash.reports.report import EvaluationReport
from deephash.scoring.sides import DATABASE_FILE, QUERY_FILE

PICTURE = "bounds.png"
POINTS = 25


def draw_bounds(subject: Subject, asked: Certifying, folder: Path, report: EvaluationReport) -> Path:
    """Draw the certified mAP@R and the share of certain bits over the radius, from the codes kept in ``folder``."""
    from matplotlib.figure import Figure

    query, database = read_code_file(folder / QUERY_FILE), read_code_file(folder / DATABASE_FILE)
    radii = read_columns(folder / QUERY_FILE)["radii"]
    query_labels, database_labels, _ = common_labels(query, database)
    relevance = relevance_from_labels(query_labels, database_labels)
    top_k = report.headline.protocol.top_k
    formula, places = mean_ap("hits"), np.linspace(0, _end(asked, subject.model.num_bits), POINTS)
    bounds, certain = [], []
    for place in places:
        known = certain_bits(radii, place)
        counts = worst_counts(query.codes, known, database.codes, relevance)
        bounds.append(float(np.nanmean(formula.from_counts(counts, top_k=top_k, ties="pessimistic"))))
        certain.append(float(known.mean()))
    figure = Figure(figsize=(6, 4), layout="constrained")
    axes = figure.subplots()
    axes.plot(places, bounds, marker=".", label=f"certified {report.headline.metric}")
    axes.plot(places, certain, linestyle="--", label="share of bits that are certain")
    axes.axhline(report.headline.value, color="grey", linewidth=0.8, label="smoothed, no attack")
    axes.set(xlabel="L2 norm of any change of the query (pixels in 0..1)", ylim=(0, 1.02), title=asked.says)
    axes.legend()
    figure.savefig(folder / PICTURE, dpi=120)
    return folder / PICTURE


def _end(asked: Certifying, num_bits: int) -> float:
    return max(largest_radius(asked.draws, num_bits, asked.sigma, asked.alpha), *asked.radii) or 1.0
