"""``deephash compare``: reports side by side, and whether their difference is more than chance."""

from __future__ import annotations

import csv
import sys
from collections.abc import Sequence
from pathlib import Path

from deephash.cli.output import note, print_json, table
from deephash.errors import UsageError
from deephash.reports.record import Figure
from deephash.reports.report import EvaluationReport
from deephash.scoring.comparison import Comparison, Row, compare_reports

_LATEX = {sign: f"\\{sign}" for sign in "&%$#_{}"} | {
    "\\": r"\textbackslash{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
}


def compare(
    *reports: Path,
    metric: tuple[str, ...] = (),
    force: bool = False,
    resamples: int = 10_000,
    seed: int = 0,
    markdown: bool = False,
    latex: bool = False,
    csv: bool = False,
    json: bool = False,
) -> int:
    """Compare reports in one table, with a paired bootstrap against the first.

    $ deephash compare report_a report_b
    $ deephash compare runs/a runs/b
    $ deephash compare runs/*/report.json --metric mAP@all --metric P@100 --latex

    Figures of different protocols are refused: the command names the fields that differ and ends with 1.

    Args:
        reports: report.json files, or the folders they are in; runs and collections that were not scored yet are, a
            run's report being kept in its folder.
        metric: columns, e.g. --metric mAP@all --metric P@100; by default the mAP figures that all reports have.
        force: put different protocols into one table all the same; the differing fields are printed below it.
        resamples: of the paired bootstrap.
        seed: of the paired bootstrap.
        markdown: print a Markdown table.
        latex: print a LaTeX table.
        csv: print comma-separated values with full precision.
        json: print one JSON object a report.
    """
    if markdown + latex + csv + json > 1:
        raise UsageError("choose one of --markdown, --latex, --csv and --json")
    loaded = [_loaded(path) for path in reports]
    found = compare_reports(loaded, metrics=metric or None, force=force, resamples=resamples, seed=seed)
    if json:
        _print_json(found)
    elif csv:
        _print_csv(found)
    else:
        _print_table(found, "latex" if latex else "markdown" if markdown else "text")
    for name, fields in found.differences.items():
        for field, (mine, theirs) in fields.items():
            note(f"forced: {name} has {field} {theirs!r}, the first has {mine!r}")
    return 0


def _loaded(path: Path) -> EvaluationReport:
    """Return the report at ``path``, or that of a run or a collection, which is scored where nobody has done so."""
    if not path.is_dir() or (path / "report.json").is_file():
        return EvaluationReport.load(path)
    from deephash.encoding.record import model_folder

    is_run = (model_folder(path) / "model.json").is_file() and not (path / "model.json").is_file()
    if not is_run and not (path / "collection.json").is_file():
        return EvaluationReport.load(path)
    from deephash.scoring.targets import evaluate

    note(f"{path} was not scored yet: deephash evaluate {path}")
    report = evaluate(path)
    if is_run:
        report.save(path)
    return report


# Faces -------------------------------------------------------------------------------------------------


def _print_table(found: Comparison, kind: str) -> None:
    header = ["codes", "bits", *found.metrics, f"difference in {found.metrics[0]}", "95 % interval", "p"]
    rows = [
        [row.name, str(row.num_bits), *(_value(figure) for figure in row.figures), *_test_cells(row)]
        for row in found.rows
    ]
    if kind == "markdown":
        print(_markdown([header, ["---"] * len(header), *rows]))
        print("\n" + "\n".join(_protocol_lines(found, "`")))
    elif kind == "latex":
        print(_latex(header, rows))
        print("\n".join(f"% {line}" for line in _protocol_lines(found)))
    else:
        print(table(rows, header))
        print("\n".join(_protocol_lines(found)))


def _protocol_lines(found: Comparison, quote: str = "") -> list[str]:
    """One line where all rows have one protocol, else one for each with the rows it belongs to."""
    if len(found.protocols) == 1:
        return [f"protocol: {quote}{found.protocols[0][0]}{quote}"]
    return [f"protocol of {', '.join(names)}: {quote}{protocol}{quote}" for protocol, names in found.protocols]


def _markdown(lines: Sequence[Sequence[str]]) -> str:
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _latex(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [" & ".join(map(_escaped, line)) + r" \\" for line in (header, *rows)]
    columns = "lr" + "r" * (len(header) - 2)
    head, *body = lines
    return "\n".join(
        [rf"\begin{{tabular}}{{{columns}}}", r"\hline", head, r"\hline", *body, r"\hline", r"\end{tabular}"]
    )


def _escaped(text: str) -> str:
    return "".join(_LATEX.get(sign, sign) for sign in text)


def _print_csv(found: Comparison) -> None:
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(["codes", "bits", *found.metrics, "difference", "low", "high", "p", "protocol"])
    for row in found.rows:
        test = row.against_first
        ends = (
            ("", "", "", "") if test is None else (test.difference, test.interval.low, test.interval.high, test.p_value)
        )
        values = ["" if figure is None else figure.value for figure in row.figures]
        writer.writerow([row.name, row.num_bits, *values, *ends, row.protocol])


def _print_json(found: Comparison) -> None:
    for row in found.rows:
        test = row.against_first
        print_json(
            {
                "name": row.name,
                "num_bits": row.num_bits,
                "protocol": str(row.protocol),
                "figures": {
                    metric: None if figure is None else figure.value
                    for metric, figure in zip(found.metrics, row.figures, strict=True)
                },
                "difference": None if test is None else test.difference,
                "low": None if test is None else test.interval.low,
                "high": None if test is None else test.interval.high,
                "p_value": None if test is None else test.p_value,
                "queries": None if test is None else test.queries,
            }
        )


def _value(figure: Figure | None) -> str:
    return "-" if figure is None else f"{figure.value:.4f}"


def _test_cells(row: Row) -> tuple[str, str, str]:
    test = row.against_first
    if test is None:
        return "-", "-", "-"
    return f"{test.difference:+.4f}", f"{test.interval.low:+.4f} to {test.interval.high:+.4f}", f"{test.p_value:.4f}"
