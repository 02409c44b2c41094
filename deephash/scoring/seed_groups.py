"""Reports of one recipe put together: a row a recipe, mean and spread over its seeds, a paired test for each seed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from deephash.evaluation.bootstrap import PairedComparison
from deephash.reports.protocol import Protocol
from deephash.reports.report import EvaluationReport
from deephash.reports.spread import Spread, spread_of
from deephash.scoring.comparison import Comparison, paired_test


@dataclass(frozen=True)
class SeedRow:
    """Reports that differ in their seed only, or one report that stands alone.

    Attributes:
        name: of the row, unique in the table.
        num_bits: K.
        protocol: as of the first report's row.
        seeds: one a report; empty for one without a seed.
        figures: one for each metric of the table; None where a report lacks it.
        difference: of the mean of the first metric from the first row's mean; None for that row.
        tests: {seed: paired test over queries} for the seeds that the first row has too, run against run.
    """

    name: str
    num_bits: int
    protocol: Protocol
    seeds: tuple[str, ...]
    figures: tuple[Spread | None, ...]
    difference: float | None
    tests: dict[str, PairedComparison]


def seed_rows(
    found: Comparison, reports: Sequence[EvaluationReport], *, resamples: int = 10_000, seed: int = 0
) -> list[SeedRow] | None:
    """Return the table by recipe; None where no two reports differ in their seed only.

    Args:
        found: the reports side by side, a row each.
        reports: the same reports, as :func:`deephash.scoring.comparison.compare_reports` was given them.
        resamples: of the paired bootstrap.
        seed: of the paired bootstrap.
    """
    groups = _groups(reports)
    if all(len(group) == 1 for group in groups):
        return None
    rows: list[SeedRow] = []
    for group in groups:
        first = found.rows[group[0]]
        figures = tuple(
            _spread([found.rows[row].figures[place] for row in group]) for place in range(len(found.metrics))
        )
        tests: dict[str, PairedComparison] = {}
        difference = None
        if rows:
            here, there = figures[0], rows[0].figures[0]
            difference = None if here is None or there is None else here.mean - there.mean
            tests = _tests(reports, groups[0], group, found.metrics[0], resamples, seed)
        seeds = tuple(word for row in group if (word := reports[row].environment.get("seed")) is not None)
        name = reports[group[0]].method
        taken = [row.name for row in rows]
        count = sum(each == name or each.startswith(f"{name} #") for each in taken)
        rows.append(
            SeedRow(
                f"{name} #{count + 1}" if count else name,
                first.num_bits,
                first.protocol,
                seeds,
                figures,
                difference,
                tests,
            )
        )
    return rows


def _groups(reports: Sequence[EvaluationReport]) -> list[list[int]]:
    """Return rows by recipe, in order of appearance; a seed that comes twice begins a group of its own."""
    groups: list[list[int]] = []
    for row, report in enumerate(reports):
        for group in groups:
            if _together(reports[group[0]], report) and all(_seed(reports[each]) != _seed(report) for each in group):
                group.append(row)
                break
        else:
            groups.append([row])
    return groups


def _together(mine: EvaluationReport, theirs: EvaluationReport) -> bool:
    recipe = mine.environment.get("recipe")
    same = recipe is not None and recipe == theirs.environment.get("recipe") and mine.method == theirs.method
    return same and not mine.protocol.differences(theirs.protocol, ignoring=())


def _seed(report: EvaluationReport) -> str | None:
    return report.environment.get("seed")


def _spread(figures: Sequence[object]) -> Spread | None:
    values = [getattr(figure, "value", None) for figure in figures]
    known = [value for value in values if value is not None]
    return spread_of(known) if known and len(known) == len(values) else None


def _tests(
    reports: Sequence[EvaluationReport],
    first: Sequence[int],
    group: Sequence[int],
    metric: str,
    resamples: int,
    seed: int,
) -> dict[str, PairedComparison]:
    """Test runs of equal seed against each other, where the first row has that seed."""
    of_first = {_seed(reports[row]): row for row in first}
    tests = {}
    for row in group:
        word = _seed(reports[row])
        if word is None or word not in of_first:
            continue
        test = paired_test(reports[of_first[word]], reports[row], metric, resamples, seed)
        if test is not None:
            tests[word] = test
    return tests
