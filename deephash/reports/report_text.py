"""A report for people: a table for the terminal, a page of Markdown."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from html import escape

from deephash.faces import html_bars, html_table
from deephash.reports.in_words import in_words
from deephash.reports.record import Figure, HardQuery, Record, Series

DIGITS = 4
_SERIES_AXES = {"lifelong": ("stage", "session of the queries"), "compatibility": ("query model", "gallery model")}
PICTURES = {
    "pr_curve.png": "Precision and recall by radius and by rank",
    "precision_at_n.png": "Precision among the top N",
    "distances.png": "Distances of relevant and irrelevant pairs",
    "per_class.png": "By class",
    "hardest_queries.png": "Hardest queries and their nearest items",
    "pictures.png": "Query, attacked picture, the change ten times over, neighbours before and after",
}


def report_to_table(report: Record) -> str:
    """Return the report as text of less than 120 columns."""
    protocol = report.protocol
    backbone = "" if protocol.backbone == "unknown" else f"  {protocol.backbone}"
    head = f"{report.method}{backbone}  {protocol.num_bits} bit  {protocol.short()}"
    lines = [head, *filter(None, [in_words(report)]), *_figure_lines(report.figures), *_code_lines(report)]
    lines += _series_lines(report.series)
    if report.baselines:
        lines.append("baselines: " + "   ".join(_baseline_words(report)))
    lines += [f"warning: {warning}" for warning in report.warnings]
    return "\n".join([*lines, f"protocol: {protocol}", *_other_conventions(report)])


def report_to_markdown(report: Record, pictures: Sequence[str] = ()) -> str:
    """Return the report as one Markdown page that shows ``pictures``."""
    blocks = [
        f"# {report.method}, {report.protocol.num_bits} bits, {report.protocol.dataset}",
        in_words(report),
        f"`{report.protocol}`",
        "\n".join(f"- **{warning}**" for warning in report.warnings),
        _markdown_table(
            ("metric", "value", "95 % interval over queries", "range over tie orders"),
            [(each.label, _number(each.value), _interval(each), _tie_range(each)) for each in report.figures],
        ),
        _series_table(report.series),
        _baseline_table(report),
        "## Codes\n\n" + "\n".join(f"- {line}" for line in _code_lines(report)),
        _class_table(report),
        _hardest_table(report),
        "\n".join(f"![{PICTURES.get(name, name)}]({name})" for name in pictures),
        "## Protocol of each figure\n\n" + "\n".join(f"- `{each.protocol}`" for each in report.figures),
        "## How it was made\n\n" + "\n".join(_origin_lines(report)),
    ]
    return "\n\n".join(block for block in blocks if block.strip()) + "\n"


def _distance_bars(report: Record) -> list[str]:
    names = ("relevant", "irrelevant")
    if not all(report.curves.get(name) for name in names):
        return []
    titles = [f"shares of {name} pairs at each distance, 0 to {len(report.curves[name]) - 1} bits" for name in names]
    return [f"{html_bars(report.curves[name], title=title)}<p>{title}</p>" for name, title in zip(names, titles)]


def report_to_html(report: Record) -> str:
    """Return the report for a notebook: a sentence, the figures, distances of right and wrong pairs, the protocol."""
    header = ("metric", "value", "95 % interval over queries", "range over tie orders")
    rows = [(each.label, _number(each.value), _interval(each), _tie_range(each)) for each in report.figures]
    parts = [
        f"<p><b>{escape(report.method)}</b>, {report.protocol.num_bits} bits. {escape(in_words(report) or '')}</p>"
    ]
    parts += [html_table(rows, header), *_distance_bars(report)]
    parts += [f"<p><b>{escape(warning)}</b></p>" for warning in report.warnings]
    return "".join([*parts, f"<p><code>{escape(str(report.protocol))}</code></p>"])


# Parts -------------------------------------------------------------------------------------------------


def _figure_lines(figures: Sequence[Figure]) -> Iterator[str]:
    lines = [("metric", "value", "95 % interval", "range over tie orders")]
    lines += [(each.label, _number(each.value), _interval(each), _tie_range(each)) for each in figures]
    if all(figure.low is None for figure in figures):
        lines = [(label, value, ties) for label, value, _, ties in lines]  # type: ignore[misc]
    widths = [max(len(cell) for cell in column) for column in zip(*lines, strict=True)]
    for line in lines:
        yield "   ".join(f"{cell:{width}}" for cell, width in zip(line, widths, strict=True)).rstrip()


def _other_conventions(report: Record) -> Iterator[str]:
    """Name the figures whose protocol differs from the headline's in more than the metric, and in what."""
    figures: dict[str, list[str]] = {}
    for figure in report.figures:
        fields = report.protocol.differences(figure.protocol, ignoring=("metric",))
        if fields and figure.protocol.relevance != "none":
            words = ", ".join(f"{name}={theirs}" for name, (_, theirs) in fields.items())
            figures.setdefault(words, []).append(figure.label)
    yield from (f"  {words}: {', '.join(labels)}" for words, labels in figures.items())


def _code_lines(report: Record) -> Iterator[str]:
    health, counts = report.health["database"], report.counts
    yield (
        f"codes: {health['unique_codes']:,} unique of {health['num_codes']:,}   dead bits {health['dead_bits']}   "
        f"imbalance {health['imbalance']:.3f}   correlation {health['mean_correlation']:.3f}   "
        f"entropy {health['entropy']:.1f} bit"
    )
    inside, between = health["intra_distance"], health["inter_distance"]
    if inside is not None and between is not None:
        collisions = 100 * (health["collision_rate"] or 0)
        yield f"distances: {inside:.1f} inside a class, {between:.1f} between classes   collisions {collisions:.1f} %"
    yield (
        f"look-up: {100 * counts['empty_balls']:.1f} % empty balls, {counts['mean_ball_size']:.1f} items a ball   "
        f"{counts['bytes_per_item']} bytes an item"
    )
    hubs = report.hubness
    if hubs:
        yield (
            f"neighbours: {100 * hubs['antihub_rate']:.1f} % of the items are in no query's {hubs['k']} nearest, the "
            f"most frequent one in {hubs['largest']:.1f}   hubness {hubs['skewness']:.2f}"
        )


def _series_lines(series: Series | None) -> Iterator[str]:
    if series is None:
        return
    yield f"{series.metric} by {' and '.join(_SERIES_AXES[series.kind])}:"
    width = max(len(name) for name in series.names)
    for name, row in zip(series.names, series.scores, strict=True):
        yield f"  {name:{width}}  " + "  ".join(_number(score) for score in row)
    if series.seconds:
        yield _times(series)


def _series_table(series: Series | None) -> str:
    if series is None:
        return ""
    down, across = _SERIES_AXES[series.kind]
    columns = series.names if series.kind == "compatibility" else [str(place + 1) for place in range(len(series.names))]
    empty = [""] * len(series.names)
    rows = [
        (name, *map(_number, row), *empty[len(row) :]) for name, row in zip(series.names, series.scores, strict=True)
    ]
    title = f"## {series.metric} by {down} and {across}\n\n"
    return title + _markdown_table((down, *columns), rows) + (f"\n\n{_times(series)}" if series.seconds else "")


def _times(series: Series) -> str:
    """Return what training took, and how the last one compares with the first."""
    each = ", ".join(f"{name} {seconds:.1f} s" for name, seconds in zip(series.names, series.seconds, strict=True))
    first, last = series.seconds[0], series.seconds[-1]
    return f"training: {each}" + (f"; the last took {last / first:.2f} of the first" if first > 0 else "")


def _baseline_words(report: Record) -> Iterator[str]:
    for name, figures in report.baselines.items():
        yield f"{name} {_number(figures[0].value)}"


def _baseline_table(report: Record) -> str:
    if not report.baselines:
        return ""
    metrics = [figure.label for figure in next(iter(report.baselines.values()))]
    rows = [(report.method, *(_number(report.figure(metric).value) for metric in metrics))]
    for name, figures in report.baselines.items():
        values = {figure.label: figure.value for figure in figures}  # cosine has mAP only
        rows.append((name, *(_number(values.get(metric)) for metric in metrics)))
    return "## Baselines from the same features\n\n" + _markdown_table(("codes", *metrics), rows)


def _class_table(report: Record) -> str:
    if not report.per_class:
        return ""
    rows = [(each.name, f"{each.queries:,}", _number(each.value)) for each in report.per_class]
    return f"## {report.headline.label} by class\n\n" + _markdown_table(("class", "queries", "value"), rows)


def _hardest_table(report: Record) -> str:
    if not report.hardest:
        return ""
    rows = [
        (each.name or f"row {each.row}", ", ".join(each.labels), _number(each.value), _nearest(each))
        for each in report.hardest
    ]
    header = ("query", "class", report.headline.label, "nearest items at their distances, right ones bold")
    return "## Hardest queries\n\n" + _markdown_table(header, rows)


def _nearest(query: HardQuery) -> str:
    if not query.distances:  # schema 1
        return ", ".join(query.nearest)
    items = zip(query.nearest, query.distances, query.relevant, strict=True)
    return ", ".join(f"**{name}** {far}" if right else f"{name} {far}" for name, far, right in items)


def _origin_lines(report: Record) -> Iterator[str]:
    yield f"- created {report.created}"
    yield from (f"- {name}: {value}" for name, value in report.environment.items())
    yield "- seconds: " + ", ".join(f"{name} {seconds:.2f}" for name, seconds in report.timings.items())
    yield "- counts: " + ", ".join(f"{name} {value:,.4g}" for name, value in report.counts.items())


def _markdown_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [header, ["---"] * len(header), *([cell.replace("|", "\\|") for cell in row] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.{DIGITS}f}"


def _interval(figure: Figure) -> str:
    return _range(figure.low, figure.high)


def _tie_range(figure: Figure) -> str:
    return _range(figure.pessimistic, figure.optimistic)


def _range(low: float | None, high: float | None) -> str:
    if low is None or high is None:
        return "-"
    return f"{low:.4f} to {high:.4f}"
