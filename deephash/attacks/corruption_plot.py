"""The picture of corruptions: mAP and copies over the strength, and beside them mAP over the budget of an attack."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

from deephash.attacks.corrupting import CorruptionFigures
from deephash.errors import UsageError
from deephash.reports.report import EvaluationReport

PICTURE = "corruptions.png"
_ATTACKED = re.compile(r"(attacked|worst-case) mAP@")
_BUDGET = re.compile(r"(?:^|,)eps=([0-9./e-]+)")


def attacked_curve(report: EvaluationReport) -> list[tuple[float, float]]:
    """Return (epsilon, attacked mAP) of the report of an attack or a suite, and of no attack, by epsilon.

    Where several attacks have one budget the lowest mAP stands for it.

    Raises:
        UsageError: the report is about no attack with a budget.
    """
    lowest: dict[float, float] = {}
    for figure in report.figures:
        found = _BUDGET.search(figure.protocol.attack)
        if found is None or not _ATTACKED.match(figure.metric):
            continue
        epsilon = float(Fraction(found[1]))
        lowest[epsilon] = min(figure.value, lowest.get(epsilon, figure.value))
    if not lowest:
        raise UsageError("--beside takes the folder of `deephash attack`; this report is about no attack with a budget")
    return sorted({0.0: report.headline.value, **lowest}.items())


def with_attack(report: EvaluationReport, attack: EvaluationReport) -> EvaluationReport:
    """Return the report with the attacked figures of another behind its own; a warning where they do not compare."""
    figures = [each for each in attack.figures if _ATTACKED.match(each.metric)]
    differing = report.headline.protocol.differences(attack.headline.protocol)
    warning = f"the attack beside was measured otherwise ({', '.join(differing)} differ): do not compare its figures"
    warnings = (*report.warnings, warning) if differing else report.warnings
    return replace(report, figures=(*report.figures, *figures), warnings=warnings)


def draw_corruptions(measured: CorruptionFigures, beside: EvaluationReport | None, folder: Path) -> Path:
    """Draw ``corruptions.png``."""
    from matplotlib.figure import Figure

    panels = 3 if beside is not None else 2
    figure = Figure(figsize=(5 * panels, 4.2), layout="constrained")
    axes = list(figure.subplots(1, panels, squeeze=False)[0])
    metric = measured.report.headline.metric
    _lines(axes[0], measured, "mAP", measured.report.headline.value, f"{metric} under corruption")
    _lines(axes[1], measured, "found", 1.0, "share of copies found by code")
    axes[0].legend(fontsize=7)
    if beside is not None:
        curve = [(255 * epsilon, value) for epsilon, value in attacked_curve(beside) if epsilon < 1]
        axes[2].plot(*zip(*curve, strict=True), marker="o", color="black")
        axes[2].set(xlabel="budget in grey levels", ylim=(0, 1.02), title=f"{metric} under attack")
    figure.savefig(folder / PICTURE, dpi=110)
    return folder / PICTURE


def _lines(axes: Any, measured: CorruptionFigures, column: str, clean: float, title: str) -> None:
    for kind in dict.fromkeys(row["kind"] for row in measured.table):
        rows: Sequence[dict[str, Any]] = [row for row in measured.table if row["kind"] == kind]
        strengths = [0, *(row["strength"] for row in rows)]
        axes.plot(strengths, [clean, *(row[column] for row in rows)], marker=".", label=kind)
    axes.set(xlabel="strength", ylim=(0, 1.02), title=title)
