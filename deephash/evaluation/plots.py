"""Pictures of a report. Matplotlib is imported when something is drawn, with its file-only back end."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Canvas
    from PIL.Image import Image

    from deephash.evaluation.report import EvaluationReport

SIZE = (6.4, 4.2)  # inches
DPI = 110
# Colours that stay apart for colour-blind readers and in grey (Okabe and Ito).
BLUE, ORANGE, GREEN, GREY = "#0072B2", "#D55E00", "#009E73", "#777777"
MOST_CLASSES = 60  # more bars than this cannot be read: the lowest and the highest are shown
SHEET_ROWS = 8
LONGEST_NAME = 24


def draw_report(report: EvaluationReport, directory: Path) -> list[Path]:
    """Draw every picture that the report has data for.

    Args:
        report: what to draw; with its ``open_picture`` a contact sheet of the hardest queries is drawn too.
        directory: made where it is missing.

    Returns:
        The files written.
    """
    directory.mkdir(parents=True, exist_ok=True)
    drawings: dict[str, Callable[[EvaluationReport], Canvas]] = {
        "pr_curve.png": draw_precision_recall,
        "precision_at_n.png": draw_precision_at_rank,
        "distances.png": draw_distances,
    }
    if report.per_class:
        drawings["per_class.png"] = draw_classes
    open_picture = report.open_picture
    if open_picture is not None and any(query.name for query in report.hardest):
        drawings["hardest_queries.png"] = lambda each: draw_hardest(each, open_picture)
    written = []
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing")  # a class named in a script the font lacks
        for name, draw in drawings.items():
            draw(report).savefig(directory / name, dpi=DPI)
            written.append(directory / name)
    return written


def draw_precision_recall(report: EvaluationReport) -> Canvas:
    """Precision over recall, one point a radius (macro average, empty balls count 0)."""
    canvas, axes = _axes("recall", "precision", "Precision and recall by radius")
    recall, precision = report.curves["recall_by_radius"], report.curves["precision_by_radius"]
    axes.plot(recall, precision, color=BLUE, marker=".", markersize=4, linewidth=1.2)
    for radius in _marked_radii(recall):
        axes.annotate(f"r={radius}", (recall[radius], precision[radius]), fontsize=7, color=GREY)
    axes.set_xlim(0, 1.02)
    axes.set_ylim(0, 1.02)
    return canvas


def draw_precision_at_rank(report: EvaluationReport) -> Canvas:
    """P@N over N, expected over tie orders."""
    canvas, axes = _axes("N", "P@N", "Precision among the top N")
    axes.semilogx(report.curves["rank"], report.curves["precision_at_rank"], color=BLUE)
    axes.set_ylim(0, 1.02)
    return canvas


def draw_distances(report: EvaluationReport) -> Canvas:
    """Shares of relevant and irrelevant pairs at each distance, beside what fair coins would give."""
    canvas, axes = _axes("Hamming distance", "share of pairs", "Distances")
    radius = report.curves["radius"]
    for name, colour, label in (("relevant", GREEN, "relevant"), ("irrelevant", ORANGE, "irrelevant")):
        axes.fill_between(radius, report.curves[name], step="mid", alpha=0.35, color=colour)
        axes.step(radius, report.curves[name], where="mid", color=colour, linewidth=1.2, label=label)
    axes.plot(radius, report.curves["chance"], color=GREY, linestyle="--", linewidth=1, label="fair coins")
    axes.set_ylim(0)
    axes.legend(frameon=False)
    return canvas


def draw_classes(report: EvaluationReport) -> Canvas:
    """Headline metric by class, lowest first."""
    ordered = sorted(report.per_class, key=lambda each: each.value)
    title = f"{report.headline.label} by class"
    if len(ordered) > MOST_CLASSES:
        ordered = ordered[: MOST_CLASSES // 2] + ordered[-MOST_CLASSES // 2 :]
        title += f" (lowest and highest {MOST_CLASSES // 2} of {len(report.per_class)})"
    canvas, axes = _axes("", report.headline.label, title, width=max(SIZE[0], 0.22 * len(ordered)))
    axes.bar(range(len(ordered)), [each.value for each in ordered], color=BLUE)
    axes.axhline(report.headline.value, color=GREY, linestyle="--", linewidth=1)
    names = [_short(each.name) for each in ordered]
    axes.set_xticks(range(len(ordered)), names, rotation=90, fontsize=7, parse_math=False)
    axes.set_xlim(-0.6, len(ordered) - 0.4)
    return canvas


def draw_hardest(report: EvaluationReport, open_picture: Callable[[str], Image]) -> Canvas:
    """Contact sheet: a row a hard query, its nearest items to the right."""
    queries = [query for query in report.hardest if query.name][:SHEET_ROWS]
    columns = 1 + max(len(query.nearest) for query in queries)
    canvas = _canvas((1.3 * columns, 1.45 * len(queries)))
    grid = canvas.subplots(len(queries), columns, squeeze=False)
    for row, query in zip(grid, queries, strict=True):
        title = f"{_short(', '.join(query.labels))} {query.value:.3f}"
        for place, axes in enumerate(row):
            axes.set_axis_off()
            if place <= len(query.nearest):
                _show(axes, query.name if place == 0 else query.nearest[place - 1], open_picture)
        row[0].set_title(title, fontsize=7, color=ORANGE, parse_math=False)
    return canvas


# Parts -------------------------------------------------------------------------------------------------


def _canvas(size: tuple[float, float]) -> Canvas:
    """A figure outside pyplot: nothing global is touched, nothing needs closing."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    canvas = Figure(figsize=size, layout="tight")
    FigureCanvasAgg(canvas)
    return canvas


def _axes(x_label: str, y_label: str, title: str, *, width: float = SIZE[0]) -> tuple[Canvas, Any]:
    canvas = _canvas((width, SIZE[1]))
    axes = canvas.add_subplot()
    axes.set_xlabel(x_label)
    axes.set_ylabel(y_label)
    axes.set_title(title, fontsize=10)
    axes.grid(alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)
    return canvas, axes


def _short(name: str) -> str:
    return name if len(name) <= LONGEST_NAME else f"{name[: LONGEST_NAME - 1]}…"


def _marked_radii(recall: list[float]) -> list[int]:
    """Radii whose points are named: the first to reach each tenth of recall."""
    reached = np.searchsorted(recall, np.linspace(0.1, 0.9, 5))
    return sorted({int(radius) for radius in reached if radius < len(recall)})


def _show(axes: Any, name: str, open_picture: Callable[[str], Image]) -> None:
    from deephash.errors import DeephashError

    try:
        axes.imshow(np.asarray(open_picture(name)))
    except (DeephashError, OSError):
        axes.text(0.5, 0.5, "not\nreadable", ha="center", va="center", fontsize=7, color=GREY)
