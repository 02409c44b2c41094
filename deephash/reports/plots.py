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

    from deephash.reports.record import HardQuery, Record

SIZE = (6.4, 4.2)  # inches
DPI = 110
# Colours that stay apart for colour-blind readers and in grey (Okabe and Ito).
BLUE, ORANGE, GREEN, GREY = "#0072B2", "#D55E00", "#009E73", "#777777"
MOST_CLASSES = 60  # more bars than this cannot be read: the lowest and the highest are shown
SHEET_ROWS = 8
LONGEST_NAME = 24
FEW_CLASSES, SHORT_NAME = 12, 6  # so many names of so many letters stand side by side without being turned


def draw_report(report: Record, directory: Path) -> list[Path]:
    """Draw every picture that the report has data for.

    Args:
        report: what to draw; with its ``open_picture`` a contact sheet of the hardest queries is drawn too.
        directory: made where it is missing.

    Returns:
        The files written.
    """
    directory.mkdir(parents=True, exist_ok=True)
    drawings: dict[str, Callable[[Record], Canvas]] = {
        "pr_curve.png": draw_precision_recall,
        "precision_at_n.png": draw_precision_at_rank,
        "distances.png": draw_distances,
    }
    if report.series is not None:
        drawings["series.png"] = draw_series
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


def draw_precision_recall(report: Record) -> Canvas:
    """Precision over recall: a point a radius (macro average, empty balls count 0), and by rank over all tie orders."""
    canvas, axes = _axes(report, "recall", "precision", "Precision and recall")
    recall, precision = report.curves["recall_by_radius"], report.curves["precision_by_radius"]
    axes.plot(
        report.curves["recall_at_rank"],
        report.curves["precision_at_rank"],
        color=ORANGE,
        linewidth=1,
        label="by rank, mean over tie orders",
    )
    axes.plot(
        recall, precision, color=BLUE, marker=".", markersize=4, linewidth=1.2, label="by radius, empty balls count 0"
    )
    for radius in _marked_radii(recall):
        axes.annotate(
            f"r={radius}",
            (recall[radius], precision[radius]),
            xytext=(4, -11),
            textcoords="offset points",
            fontsize=7,
            color=BLUE,
        )
    _draw_chance(axes, report)
    axes.set_xlim(0, 1.02)
    axes.set_ylim(0, 1.02)
    axes.legend(frameon=False, fontsize=8, loc="center left")
    return canvas


def draw_precision_at_rank(report: Record) -> Canvas:
    """P@N over N, expected over tie orders."""
    from matplotlib.ticker import StrMethodFormatter

    canvas, axes = _axes(report, "N", "P@N", "Precision among the top N")
    axes.semilogx(report.curves["rank"], report.curves["precision_at_rank"], color=BLUE, label="mean over tie orders")
    axes.xaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
    _draw_chance(axes, report)
    axes.set_xlim(1, max(2, report.curves["rank"][-1]))
    axes.set_ylim(0, 1.02)
    axes.legend(frameon=False, fontsize=8, loc="center left")
    return canvas


def draw_distances(report: Record) -> Canvas:
    """Shares of relevant and irrelevant pairs at each distance, beside what fair coins would give."""
    canvas, axes = _axes(report, "Hamming distance", "share of pairs", "Distances of pairs")
    radius = report.curves["radius"]
    for name, colour, label in (("relevant", GREEN, "relevant"), ("irrelevant", ORANGE, "irrelevant")):
        axes.fill_between(radius, report.curves[name], step="mid", alpha=0.35, color=colour)
        axes.step(radius, report.curves[name], where="mid", color=colour, linewidth=1.2, label=label)
    axes.plot(radius, report.curves["chance"], color=GREY, linestyle="--", linewidth=1, label="fair coins")
    axes.set_xlim(-0.5, radius[-1] + 0.5)
    axes.set_ylim(0)
    axes.legend(frameon=False, fontsize=8)
    return canvas


def draw_classes(report: Record) -> Canvas:
    """Headline metric by class, lowest first."""
    ordered = sorted(report.per_class, key=lambda each: each.value)
    title = f"{report.headline.label} by class"
    if len(ordered) > MOST_CLASSES:
        ordered = ordered[: MOST_CLASSES // 2] + ordered[-MOST_CLASSES // 2 :]
        title += f" (lowest and highest {MOST_CLASSES // 2} of {len(report.per_class)})"
    canvas, axes = _axes(report, "", report.headline.label, title, width=max(SIZE[0], 0.22 * len(ordered)))
    axes.grid(visible=False, axis="x")
    axes.set_axisbelow(True)
    axes.bar(range(len(ordered)), [each.value for each in ordered], color=BLUE, width=0.7)
    axes.axhline(report.headline.value, color=ORANGE, linestyle="--", linewidth=1, label="mean over queries")
    names = [_short(each.name) for each in ordered]
    upright = len(ordered) <= FEW_CLASSES and max(map(len, names)) <= SHORT_NAME
    axes.set_xticks(range(len(ordered)), names, rotation=0 if upright else 90, fontsize=8, parse_math=False)
    axes.set_xlim(-0.6, len(ordered) - 0.4)
    axes.set_ylim(0, 1.02)
    axes.legend(fontsize=8, loc="lower right", framealpha=1)
    return canvas


def draw_series(report: Record) -> Canvas:
    """Scores over stages: a line for each session's queries (or each gallery), and their mean."""
    series = report.series
    assert series is not None
    lines = {"lifelong": ("stage", "queries of session"), "compatibility": ("model that asks", "gallery of")}
    across, word = lines.get(series.kind, ("stage", "column"))
    canvas, axes = _axes(report, across, series.metric, f"{series.metric} over {across}s")
    stages = range(len(series.names))
    shades = np.linspace(0.15, 0.85, len(series.names))
    for column in stages:
        name = series.names[column] if series.kind == "compatibility" else str(column + 1)
        own = [series.scores[row][column] for row in stages[column:]]
        axes.plot(stages[column:], own, color=(*3 * (shades[column],),), marker="o", markersize=4, linewidth=1)
        axes.annotate(f" {word} {_short(name)}", (stages[-1], own[-1]), fontsize=7, va="center", parse_math=False)
    axes.plot(stages, [np.mean(row) for row in series.scores], color=ORANGE, linewidth=2, label="mean of the row")
    axes.set_xticks(stages, [_short(name) for name in series.names], fontsize=8, parse_math=False)
    axes.set_xlim(-0.2, len(series.names) - 0.2)
    axes.set_ylim(0, 1.02)
    axes.legend(frameon=False, fontsize=8, loc="lower left")
    return canvas


def draw_hardest(report: Record, open_picture: Callable[[str], Image]) -> Canvas:
    """Contact sheet: a row a hard query, its nearest items to the right, framed green where they are right."""
    queries = [query for query in report.hardest if query.name][:SHEET_ROWS]
    columns = 1 + max(len(query.nearest) for query in queries)
    canvas = _canvas((1.3 * columns, 1.5 * len(queries) + 0.4))
    canvas.suptitle(f"Hardest queries (left) and their nearest items   {_origin(report)}", fontsize=8, color=GREY)
    grid = canvas.subplots(len(queries), columns, squeeze=False)
    for row, query in zip(grid, queries, strict=True):
        for place, axes in enumerate(row):
            axes.set_xticks([])
            axes.set_yticks([])
            if place > len(query.nearest):
                axes.set_axis_off()
                continue
            _show(axes, query.name if place == 0 else query.nearest[place - 1], open_picture)
            _frame(axes, query, place)
        title = f"{_short(', '.join(query.labels))}: {query.value:.3f}"
        row[0].set_title(title, fontsize=8, parse_math=False)
    return canvas


# Parts -------------------------------------------------------------------------------------------------


def _canvas(size: tuple[float, float]) -> Canvas:
    """A figure outside pyplot: nothing global is touched, nothing needs closing."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    canvas = Figure(figsize=size, layout="tight")
    FigureCanvasAgg(canvas)
    return canvas


def _axes(report: Record, x_label: str, y_label: str, title: str, *, width: float = SIZE[0]) -> tuple[Canvas, Any]:
    canvas = _canvas((width, SIZE[1]))
    axes = canvas.add_subplot()
    axes.set_xlabel(x_label)
    axes.set_ylabel(y_label)
    axes.set_title(title, fontsize=10, loc="left")
    axes.set_title(_origin(report), fontsize=7, loc="right", color=GREY, parse_math=False)
    axes.grid(alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)
    return canvas, axes


def _origin(report: Record) -> str:
    """What a picture shows when it is looked at without its report."""
    return f"{_short(report.method)}, {report.protocol.num_bits} bits, {_short(report.protocol.dataset)}"


def _draw_chance(axes: Any, report: Record) -> None:
    """The precision of any order of the whole database: the share of relevant pairs."""
    axes.axhline(report.curves["precision_at_rank"][-1], color=GREY, linestyle="--", linewidth=1, label="chance")


def _frame(axes: Any, query: HardQuery, place: int) -> None:
    """Frame an item by whether it is right, and write its distance above; the query has a black frame."""
    right = place > 0 and query.relevant[place - 1 : place] == (True,)
    wrong = place > 0 and query.relevant[place - 1 : place] == (False,)
    axes.spines[:].set_color(GREEN if right else ORANGE if wrong else "black")
    axes.spines[:].set_linewidth(2)
    if place and query.distances:
        axes.set_title(f"d = {query.distances[place - 1]}", fontsize=7, color=GREEN if right else ORANGE)


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
