"""``deephash compare``: reports side by side, and whether their difference is more than chance."""

from __future__ import annotations

import csv
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from deephash.cli.compare_seeds import cells, header, paired_lines, print_rows_csv, print_rows_json
from deephash.cli.output import note, print_json, table
from deephash.errors import UsageError
from deephash.reports.record import Figure
from deephash.reports.report import EvaluationReport
from deephash.reports.seeds import SEEDS_FILE
from deephash.scoring.comparison import Comparison, Row, compare_reports
from deephash.scoring.seed_groups import SeedRow, seed_rows

_LATEX = {sign: f"\\{sign}" for sign in "&%$#_{}"} | {
    "\\": r"\textbackslash{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "±": r"$\pm$",
}


def compare(
    *reports: Path,
    metric: tuple[str, ...] = (),
    force: bool = False,
    each: bool = False,
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

    Runs of one recipe with several seeds make one row, mean ± spread over seeds; the paired test is named for each seed
    that the first row has too. Figures of different protocols are refused: the command names the fields that differ and
    ends with 1.

    Args:
        reports: report.json files, or the folders they are in; runs and collections that were not scored yet are, a
            run's report being kept in its folder. A folder of `evaluate RUN RUN RUN --save` stands for all its seeds.
        metric: columns, e.g. --metric mAP@all --metric P@100; by default the mAP figures that all reports have.
        force: put different protocols into one table all the same; the differing fields are printed below it.
        each: a row for each report, also where only their seeds differ.
        resamples: of the paired bootstrap.
        seed: of the paired bootstrap.
        markdown: print a Markdown table.
        latex: print a LaTeX table.
        csv: print comma-separated values with full precision.
        json: print one JSON object a row.
    """
    if markdown + latex + csv + json > 1:
        raise UsageError("choose one of --markdown, --latex, --csv and --json")
    loaded = [_loaded(path) for given in reports for path in _of_seeds(given)]
    found = compare_reports(loaded, metrics=metric or None, force=force, resamples=resamples, seed=seed)
    rows = None if each else seed_rows(found, loaded, resamples=resamples, seed=seed)
    if rows is not None:
        _print_rows(found, rows, "json" if json else "csv" if csv else "latex" if latex else _text(markdown))
    elif json:
        _print_json(found)
    elif csv:
        _print_csv(found)
    else:
        _print_table(found, "latex" if latex else _text(markdown))
    for name, fields in found.differences.items():
        for field, (mine, theirs) in fields.items():
            note(f"forced: {name} has {field} {theirs!r}, the first has {mine!r}")
    return 0


def _of_seeds(path: Path) -> list[Path]:
    """Return the folders of all seeds where ``path`` holds what ``evaluate RUN RUN RUN --save`` wrote."""
    if not (path / SEEDS_FILE).is_file():
        return [path]
    return sorted(folder for folder in path.glob("seed_*") if (folder / "report.json").is_file())


def _loaded(path: Path) -> EvaluationReport:
    """Return the report at ``path``, or that of a run or a collection, which is scored where nobody has done so."""
    if not path.is_dir() or (path / "report.json").is_file():
        return _with_origin(EvaluationReport.load(path), path)
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


def _with_origin(report: EvaluationReport, path: Path) -> EvaluationReport:
    """Add seed and recipe to a report that an older deephash wrote into its run's folder."""
    folder = path if path.is_dir() else path.parent
    if "recipe" in report.environment or not (folder / "config.yaml").is_file():
        return report
    from deephash.scoring.recipes import origin_of

    return replace(report, environment={**report.environment, **origin_of(folder)})


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


def _print_rows(found: Comparison, rows: Sequence[SeedRow], kind: str) -> None:
    """Print a row a recipe."""
    if kind == "json":
        print_rows_json(found.metrics, rows)
        return
    if kind == "csv":
        print_rows_csv(found.metrics, rows)
        return
    head, lines, tests = header(found.metrics), cells(rows), list(paired_lines(rows))
    below = [f"protocol: {row.protocol}" for row in rows[:1]]
    if len(found.protocols) > 1:
        below = [f"protocol of {row.name}: {row.protocol}" for row in rows]
    if kind == "markdown":
        print(_markdown([head, ["---"] * len(head), *lines]))
        print(
            "\n" + "\n\n".join([*tests, *(f"{line.partition(': ')[0]}: `{line.partition(': ')[2]}`" for line in below)])
        )
    elif kind == "latex":
        print(_latex(head, lines))
        print("\n".join(f"% {line}" for line in [*tests, *below]))
    else:
        print(table(lines, head))
        print("\n".join([*tests, *below]))


def _text(markdown: bool) -> str:
    return "markdown" if markdown else "text"


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
