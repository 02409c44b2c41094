"""Reports side by side: one table only for figures of one protocol, and a paired test on the difference."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deephash.errors import UsageError, did_you_mean
from deephash.evaluation.bootstrap import PairedComparison, paired_bootstrap
from deephash.reports.protocol import Protocol
from deephash.reports.record import Figure
from deephash.reports.report import EvaluationReport


class MixedProtocols(UsageError):
    """Figures of different protocols were to be put into one table."""

    exit_code = 1


@dataclass(frozen=True)
class Row:
    """One report in the table.

    Attributes:
        name: of the report, unique in the table.
        num_bits: K.
        protocol: of its first figure in the table, of the report where it has none.
        figures: one for each metric of the table; None where the report lacks it.
        against_first: paired test of the first metric against the first row; None for that row, or where the reports
            keep no per-query values of the same queries.
    """

    name: str
    num_bits: int
    protocol: Protocol
    figures: tuple[Figure | None, ...]
    against_first: PairedComparison | None


@dataclass(frozen=True)
class Comparison:
    """Reports side by side.

    Attributes:
        metrics: column names.
        rows: in the order given.
        differences: name of a row -> protocol fields in which it differs from the first; empty unless forced.
    """

    metrics: tuple[str, ...]
    rows: tuple[Row, ...]
    differences: dict[str, dict[str, tuple[Any, Any]]]

    @property
    def protocols(self) -> tuple[tuple[Protocol, tuple[str, ...]], ...]:
        """The different protocols in the table, K aside, and the rows under each; one unless forced."""
        groups: list[tuple[Protocol, list[str]]] = []
        for row in self.rows:
            for protocol, names in groups:
                if not protocol.differences(row.protocol):
                    names.append(row.name)
                    break
            else:
                groups.append((row.protocol, [row.name]))
        return tuple((protocol, tuple(names)) for protocol, names in groups)


def compare_reports(
    reports: Sequence[EvaluationReport],
    *,
    names: Sequence[str] | None = None,
    metrics: Sequence[str] | None = None,
    force: bool = False,
    resamples: int = 10_000,
    seed: int = 0,
) -> Comparison:
    """Put reports into one table.

    Args:
        reports: at least two.
        names: one a report; their methods when left out. Equal names are numbered.
        metrics: columns, the paired test is made on the first; by default the mAP figures that all reports share.
        force: accept different protocols; the fields that differ are then part of the result.
        resamples: of the paired bootstrap.
        seed: of the paired bootstrap.

    Raises:
        MixedProtocols: protocols differ in more than K, and ``force`` is not set.
        UsageError: fewer than two reports, or a metric nobody has.
    """
    if len(reports) < 2:
        raise UsageError(f"a comparison needs at least two reports, not {len(reports)}")
    labels = _unique(names or [report.method for report in reports])
    columns = tuple(metrics or _shared_metrics(reports))
    differences = _differences(labels, reports, columns)
    if differences and not force:
        raise MixedProtocols(_complaint(labels[0], differences))
    rows = []
    for label, report in zip(labels, reports, strict=True):
        figures = tuple(_figure(report, metric) for metric in columns)
        test = None if report is reports[0] else paired_test(reports[0], report, columns[0], resamples, seed)
        protocol = next((figure.protocol for figure in figures if figure is not None), report.protocol)
        rows.append(Row(label, report.protocol.num_bits, protocol, figures, test))
    for place, metric in enumerate(columns):
        if all(row.figures[place] is None for row in rows):
            known = sorted({figure.label for report in reports for figure in report.figures})
            raise UsageError(f"no report has {metric!r}{did_you_mean(metric, known)}")
    return Comparison(columns, tuple(rows), differences)


def _differences(
    labels: Sequence[str], reports: Sequence[EvaluationReport], columns: Sequence[str]
) -> dict[str, dict[str, tuple[Any, Any]]]:
    """Compare the figures of each column with the first report's, and the reports where a column is not in both."""
    found = {}
    for label, report in zip(labels[1:], reports[1:], strict=True):
        fields = reports[0].protocol.differences(report.protocol, ignoring=("num_bits", "metric"))
        for metric in columns:
            mine, theirs = _figure(reports[0], metric), _figure(report, metric)
            if mine is not None and theirs is not None:
                fields |= mine.protocol.differences(theirs.protocol)
        if fields:
            found[label] = fields
    return found


def _figure(report: EvaluationReport, metric: str) -> Figure | None:
    return next((figure for figure in report.figures if metric in (figure.label, figure.metric)), None)


def _shared_metrics(reports: Sequence[EvaluationReport]) -> list[str]:
    others = [{figure.label for figure in report.figures} for report in reports[1:]]
    shared = [figure.label for figure in reports[0].figures if all(figure.label in labels for labels in others)]
    if not shared:
        raise UsageError("the reports share no metric; evaluate them with the same options")
    return [label for label in shared if label.startswith("mAP@") and "H<=" not in label] or shared


def paired_test(
    first: EvaluationReport, second: EvaluationReport, metric: str, resamples: int, seed: int
) -> PairedComparison | None:
    """Test mean(second) - mean(first) on the queries of both; None where they cannot be matched."""
    columns = [_per_query(report, metric) for report in (first, second)]
    keys = _keys(first, second)
    if any(column is None for column in columns) or keys is None:
        return None
    shared, here, there = np.intersect1d(*keys, return_indices=True)
    if not len(shared) or any(len(np.unique(side)) != len(side) for side in keys):
        return None
    left, right = np.asarray(columns[0])[here], np.asarray(columns[1])[there]
    if np.isnan(left + right).all():
        return None
    return paired_bootstrap(left, right, resamples=resamples, seed=seed)


def _per_query(report: EvaluationReport, metric: str) -> NDArray[np.float64] | None:
    """Return one number a query; None under ``empty="drop"``, where the figure is a ratio and not a mean of them."""
    figure = _figure(report, metric)
    if figure is None or figure.protocol.empty == "drop":
        return None
    return report.per_query.get(figure.column)


def _keys(first: EvaluationReport, second: EvaluationReport) -> tuple[NDArray[Any], NDArray[Any]] | None:
    """What identifies the queries of both: their names, else their rows, which mean the same only within one split."""
    one_split = first.protocol.split == second.protocol.split
    for column in ("names", "row") if one_split else ("names",):
        left, right = first.per_query.get(column), second.per_query.get(column)
        if left is not None and right is not None:
            return left, right
    return None


def _unique(names: Sequence[str]) -> list[str]:
    found: list[str] = []
    for name in names:
        count = sum(each == name or each.startswith(f"{name} #") for each in found)
        found.append(f"{name} #{count + 1}" if count else name)
    return found


def _complaint(first: str, differences: dict[str, dict[str, tuple[Any, Any]]]) -> str:
    lines = [
        f"  {name}: {field} is {theirs!r}, but {mine!r} in {first}"
        for name, fields in differences.items()
        for field, (mine, theirs) in fields.items()
    ]
    return (
        "figures of different protocols do not belong into one table:\n" + "\n".join(lines) + "\nForce it with --force"
    )
