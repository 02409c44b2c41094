"""The table of ``deephash compare`` where reports differ in their seed only: a row a recipe."""

from __future__ import annotations

import csv
import sys
from collections.abc import Iterator, Sequence
from typing import Any

from deephash.cli.output import print_json
from deephash.reports.spread import Spread
from deephash.scoring.seed_groups import SeedRow


def header(metrics: Sequence[str]) -> list[str]:
    """Return the names of the columns of :func:`cells`."""
    return ["codes", "bits", "seeds", *metrics, f"difference in {metrics[0]}"]


def cells(rows: Sequence[SeedRow]) -> list[list[str]]:
    """Return mean ± spread of every row."""
    return [
        [
            row.name,
            str(row.num_bits),
            str(max(len(row.seeds), 1)),
            *("-" if figure is None else str(figure) for figure in row.figures),
            "-" if row.difference is None else f"{row.difference:+.4f}",
        ]
        for row in rows
    ]


def paired_lines(rows: Sequence[SeedRow]) -> Iterator[str]:
    """Name the paired tests, which compare two runs of one seed over their queries."""
    for row in rows:
        if row.tests:
            tests = "; ".join(
                f"seed {seed} {test.difference:+.4f} ({test.interval.low:+.4f} to {test.interval.high:+.4f}, "
                f"p {test.p_value:.4f})"
                for seed, test in row.tests.items()
            )
            yield f"paired over queries, {row.name} - {rows[0].name}: {tests}"
    yield "± is the sample standard deviation over seeds"


def print_rows_csv(metrics: Sequence[str], rows: Sequence[SeedRow]) -> None:
    """Print full precision, two columns a metric."""
    writer = csv.writer(sys.stdout, lineterminator="\n")
    columns = [name for metric in metrics for name in (metric, f"{metric} spread")]
    writer.writerow(["codes", "bits", "seeds", *columns, "difference", "protocol"])
    for row in rows:
        values = [value for figure in row.figures for value in _pair(figure)]
        difference = "" if row.difference is None else row.difference
        writer.writerow([row.name, row.num_bits, " ".join(row.seeds), *values, difference, row.protocol])


def print_rows_json(metrics: Sequence[str], rows: Sequence[SeedRow]) -> None:
    """Print one object a row."""
    for row in rows:
        print_json(
            {
                "name": row.name,
                "num_bits": row.num_bits,
                "protocol": str(row.protocol),
                "seeds": list(row.seeds),
                "figures": {metric: _figure(figure) for metric, figure in zip(metrics, row.figures)},
                "difference": row.difference,
                "tests": {
                    seed: {
                        "difference": test.difference,
                        "low": test.interval.low,
                        "high": test.interval.high,
                        "p_value": test.p_value,
                        "queries": test.queries,
                    }
                    for seed, test in row.tests.items()
                },
            }
        )


def _pair(figure: Spread | None) -> tuple[Any, Any]:
    if figure is None:
        return "", ""
    return figure.mean, "" if figure.spread is None else figure.spread


def _figure(figure: Spread | None) -> dict[str, Any] | None:
    if figure is None:
        return None
    ends = {"low": figure.low, "high": figure.high}
    return {"mean": figure.mean, "spread": figure.spread, **ends, "values": list(figure.values)}
