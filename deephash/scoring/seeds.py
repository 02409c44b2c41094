"""Runs of one recipe with several seeds: refused where they differ in more, else scored one by one."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from deephash.errors import UsageError
from deephash.reports.report import EvaluationReport
from deephash.reports.seeds import SeedReport
from deephash.scoring.recipes import differing, recipe_of, seed_of

_TELLING = ("model.class_path", "model.init_args.num_bits", "data.class_path")
_SHOWN = 6  # differences that are named


class DifferentRuns(UsageError):
    """Runs that differ in more than their seed were to be put into one mean."""


def evaluate_seeds(runs: Sequence[Path], score: Callable[[Path], EvaluationReport]) -> SeedReport:
    """Score runs that differ in their seed only.

    Args:
        runs: at least two; folders of codes (``query.npz`` and ``database.npz``) have no recipe and are taken at their
            word, as long as method, length and protocol are one.
        score: makes the report of one of them.

    Raises:
        DifferentRuns: recipe, method, length or protocol differ, or a seed comes twice; the message names what.
    """
    recipes = [recipe_of(run) for run in runs]
    for run, recipe in zip(runs[1:], recipes[1:]):
        _require_one_recipe(runs[0], recipes[0], run, recipe)
    seeds = _seeds(runs)
    return seed_report(seeds, [score(run) for run in runs], [str(run) for run in runs])


def seed_report(seeds: Sequence[str], reports: Sequence[EvaluationReport], names: Sequence[str]) -> SeedReport:
    """Put reports of one recipe together; ``names`` are for messages. Raises DifferentRuns."""
    first = reports[0]
    for name, report in zip(names[1:], reports[1:]):
        found: dict[str, tuple[Any, Any]] = {}
        if report.method != first.method:
            found["method"] = (first.method, report.method)
        found |= first.protocol.differences(report.protocol, ignoring=())
        if found:
            raise DifferentRuns(_complaint(names[0], name, found))
    return SeedReport(first.method, tuple(seeds), tuple(reports))


def _require_one_recipe(
    first: Path, mine: Mapping[str, Any] | None, other: Path, theirs: Mapping[str, Any] | None
) -> None:
    if (mine is None) != (theirs is None):
        raise DifferentRuns(f"{first} and {other}: only one of them is a run, so there is no mean of both")
    if mine is None or theirs is None:
        return
    found = differing(mine, theirs)
    if "model.class_path" in found:  # then most other options differ too
        found = {name: found[name] for name in _TELLING if name in found}
    if found:
        raise DifferentRuns(_complaint(str(first), str(other), found))


def _seeds(runs: Sequence[Path]) -> list[str]:
    """Return one word a run: its seed, or its place where nothing tells it."""
    seeds = [seed_of(run) for run in runs]
    words = [f"run {place + 1}" if seed is None else str(seed) for place, seed in enumerate(seeds)]
    for place, word in enumerate(words):
        if (before := words.index(word)) != place:
            raise DifferentRuns(
                f"{runs[before]} and {runs[place]} have the same seed, {word}; spread over seeds needs different ones: "
                "deephash train --seeds 3"
            )
    return words


def _complaint(first: str, other: str, found: Mapping[str, tuple[Any, Any]]) -> str:
    lines = [f"  {name}: {mine!r} in {first}, {theirs!r} in {other}" for name, (mine, theirs) in found.items()]
    more = [f"  and {len(lines) - _SHOWN} more"] if len(lines) > _SHOWN else []
    return "\n".join(
        [
            "several runs give mean and spread where they differ in their seed only; these differ in more:",
            *lines[:_SHOWN],
            *more,
            "Side by side: deephash compare RUN RUN. One after another: --lifelong or --compatibility",
        ]
    )
