"""The evaluation page: what report.json says, with curves, classes and the hardest queries."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path

from deephash.errors import DataError
from deephash.foreign import Absent, Unfit, read_bytes
from deephash.reports.record import Figure
from deephash.reports.report import LONGEST, EvaluationReport

from .charts import line_chart, table
from .figurewords import in_a_sentence
from .hardest import Find, hardest_html
from .results import message_html


def read_report(path: Path) -> EvaluationReport:
    """Read one ``report.json``, or the one in a folder. Raises DataError."""
    file = path / "report.json" if path.is_dir() else path
    try:
        content = read_bytes(file, LONGEST)
    except Absent:
        raise DataError(f"{file.name}: no such report; `deephash evaluate ... --save DIR` writes one") from None
    except Unfit as error:
        raise DataError(str(error).replace(str(file), file.name)) from None  # visitors need not know the folder
    return EvaluationReport.from_json(content, source=file.name)


def report_html(report: EvaluationReport, *, find: Find) -> str:
    """Return a report as HTML.

    Args:
        report: what is shown.
        find: gives {name: (collection, id)} of those names whose pictures can be shown.
    """
    warnings = "".join(f"<li>{escape(warning)}</li>" for warning in report.warnings)
    return (
        f'<div class="dh-facts-page dh-report"><section><h3>{escape(report.method)}</h3>{_figures(report)}'
        f'<p class="dh-legend">{escape(str(report.protocol))}</p>'
        f"{f'<ul class=dh-warnings>{warnings}</ul>' if warnings else ''}</section>"
        f'<section class="dh-charts">{_curves(report)}</section>'
        f"{_classes(report)}{hardest_html(report, find)}</div>"
    )


def no_report_html() -> str:
    """Say how a report gets here."""
    return message_html(
        "No report yet", "Start the server with --report runs/NAME/report.json, or choose a report.json file here."
    )


def _figures(report: EvaluationReport) -> str:
    titles = ["figure", "value", "95 % interval", "range over tie orders", "baselines"]
    wide = len(titles) if report.baselines else len(titles) - 1
    head = "".join(f'<th scope="col">{title}</th>' for title in titles[:wide])
    rows = "".join(f"<tr>{''.join(_cells(report, figure)[:wide])}</tr>" for figure in report.figures)
    return (
        f'<div class="dh-scroll"><table class="dh-table dh-figures"><thead><tr>{head}</tr></thead>'
        f"<tbody>{rows}</tbody></table></div>"
    )


def _cells(report: EvaluationReport, figure: Figure) -> list[str]:
    interval = "" if figure.low is None or figure.high is None else f"{figure.low:.3f} to {figure.high:.3f}"
    unknown = figure.pessimistic is None or figure.optimistic is None
    ties = "" if unknown else f"{figure.pessimistic:.3f} to {figure.optimistic:.3f}"
    baselines = [
        f"{name} {other.value:.3f}"
        for name, others in report.baselines.items()
        for other in others
        if other.label == figure.label
    ]
    said = escape(in_a_sentence(figure.metric), quote=True)
    name = f'<th scope="row" title="{said}">{escape(figure.label)}<small>{said}</small></th>'
    others = (f"<td>{escape(text)}</td>" for text in (interval, ties, ", ".join(baselines)))
    return [name, f"<td class=n>{figure.value:.4f}</td>", *others]


def _curves(report: EvaluationReport) -> str:
    curves = report.curves
    charts = []
    recall, precision = _precision_over_recall(curves)
    charts.append(line_chart(recall, precision, title="Precision over recall", across="recall", up="precision"))
    if {"rank", "precision_at_rank"} <= curves.keys():
        charts.append(
            line_chart(
                curves["rank"],
                curves["precision_at_rank"],
                title="Precision at N",
                across="N",
                up="P@N",
                logarithmic=True,
            )
        )
    return "".join(charts)


def _precision_over_recall(curves: Mapping[str, Sequence[float]]) -> tuple[list[float], list[float]]:
    """Return recall and precision of the first N answers, over all N.

    By radius a query with an empty ball counts as precision 0, so that curve begins far too low: it is only taken of
    reports that have no ranks, and from its highest point on.
    """
    if {"recall_at_rank", "precision_at_rank"} <= curves.keys():
        pairs = sorted(zip(curves["recall_at_rank"], curves["precision_at_rank"]), key=lambda pair: pair[0])
    elif {"recall_by_radius", "precision_by_radius"} <= curves.keys():
        pairs = sorted(zip(curves["recall_by_radius"], curves["precision_by_radius"]), key=lambda pair: pair[0])
        highest = max(range(len(pairs)), key=lambda place: pairs[place][1], default=0)
        pairs = pairs[highest:]
    else:
        pairs = []
    return [recall for recall, _ in pairs], [precision for _, precision in pairs]


def _classes(report: EvaluationReport) -> str:
    if not report.per_class:
        return ""
    rows = [
        (one.name, f"{one.queries:,}", f"{one.value:.4f}")
        for one in sorted(report.per_class, key=lambda one: one.value)
    ]
    name = escape(report.headline.label)
    return f"<section><h3>{name} by class</h3>{table(['class', 'queries', 'value'], rows, numeric=(1, 2))}</section>"
