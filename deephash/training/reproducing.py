"""Reproduce a published figure: train each seed, score it, hold the mean against what was expected."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from deephash.collection.card import replace_file
from deephash.errors import DataError, UsageError
from deephash.foreign import read_json, refused_as
from deephash.reports.protocol import Protocol
from deephash.reports.report import EvaluationReport
from deephash.reports.spread import Spread, spread_of
from deephash.training.expected import Expected
from deephash.version import __version__

REPRODUCE_FILE = "reproduce.json"
FORMAT = 1

Train = Callable[[int, Path, bool], None]
"""(seed, folder of the run, whether an interrupted run in it is resumed)."""
Score = Callable[[Path, str | None], EvaluationReport]
"""(run, task) -> its report."""


@dataclass(frozen=True)
class Finding:
    """One expected figure beside what was found."""

    metric: str
    expected: float
    found: Spread
    tolerance: float

    @property
    def difference(self) -> float:
        """Found minus expected."""
        return self.found.mean - self.expected

    @property
    def within(self) -> bool:
        """Whether it is no farther off than the tolerance; what is shown as equal to it counts."""
        return abs(self.difference) <= self.tolerance + 5e-7


@dataclass(frozen=True)
class Reproduction:
    """What came of it.

    Attributes:
        method: name of the method.
        seeds: that were trained.
        findings: one a figure.
        protocol: of the first figure, as found.
        differences: {field: (expected, found)} of the protocol; figures of different protocols are not comparable.
    """

    method: str
    seeds: tuple[int, ...]
    findings: tuple[Finding, ...]
    protocol: Protocol
    differences: dict[str, tuple[Any, Any]]

    @property
    def succeeded(self) -> bool:
        """Whether protocols agree and every figure is within its tolerance."""
        return not self.differences and all(finding.within for finding in self.findings)


def reproduce(expected: Expected, seeds: Sequence[int], folder: Path, *, train: Train, score: Score) -> Reproduction:
    """Train and score every seed in ``folder/seed_N``; what is finished there is not trained again.

    Args:
        expected: of the configuration.
        seeds: to train.
        folder: of :func:`claim`.
        train: trains one seed.
        score: scores one run.

    Raises:
        TrainingInterrupted: from ``train``; the same call goes on later.
        DataError: a folder holds something that can neither be resumed nor begun anew.
    """
    runs = [folder / f"seed_{seed}" for seed in seeds]
    for seed, run in zip(seeds, runs):
        if not _is_finished(run):
            train(seed, run, _can_resume(run))
    values: dict[str, list[float]] = {name: [] for name in expected.figures}
    first: EvaluationReport | None = None
    protocol: Protocol | None = None
    for run in runs:
        for task, metrics in expected.tasks().items():
            report = score(run, task)
            first = first or report
            for metric in metrics:
                figure = report.figure(metric)
                protocol = protocol or figure.protocol
                values[f"{metric} {task}" if task else metric].append(figure.value)
    if first is None or protocol is None:
        raise UsageError("at least one seed is needed")
    findings = [
        Finding(name, expected.figures[name], spread_of(found), expected.tolerance) for name, found in values.items()
    ]
    differences = {} if expected.protocol is None else _differences(expected.protocol, protocol)
    return Reproduction(first.method, tuple(seeds), tuple(findings), protocol, differences)


def _differences(expected: Protocol, found: Protocol) -> dict[str, tuple[Any, Any]]:
    """Return the fields that differ; what is ``unknown`` of a published figure, nobody can hold against another."""
    return {name: pair for name, pair in expected.differences(found, ignoring=()).items() if pair[0] != "unknown"}


def _is_finished(run: Path) -> bool:
    return _facts(run).get("status") == "finished" and (run / "model" / "model.json").is_file()


def _can_resume(run: Path) -> bool:
    """Say whether an interrupted run can go on. Raises DataError where it can neither go on nor begin anew."""
    if (run / "last.ckpt").is_file() and (run / "config.yaml").is_file():
        return True
    if (run / "model").exists():
        raise DataError(
            f"{run} holds a model and no checkpoint, so it can neither be resumed nor begun anew: remove it"
        )
    return False


def _facts(run: Path) -> dict[str, Any]:
    if not (run / "run.json").is_file():
        return {}
    with refused_as(DataError, f"remove {run}, and it is trained again"):
        return read_json(run / "run.json", "run", no_numbers=True)


# The folder --------------------------------------------------------------------------------------------


def claim(folder: Path, text: str, words: Sequence[str]) -> dict[str, Any]:
    """Return the record of a reproduction that begins or goes on in ``folder``.

    Args:
        folder: is made.
        text: of the configuration, without what it expects.
        words: what the command line adds to it.

    Raises:
        UsageError: the folder holds something else.
    """
    record = {
        "format_version": FORMAT,
        "deephash": __version__,
        "checksum": f"sha256:{hashlib.sha256(text.encode()).hexdigest()}",
        "words": list(words),
    }
    file = folder / REPRODUCE_FILE
    if file.is_file():
        with refused_as(DataError, "remove the folder, or give another --out"):
            before = read_json(file, "reproduce")
        if (before["checksum"], before["words"]) != (record["checksum"], record["words"]):
            raise UsageError(
                f"{folder} holds the reproduction of another configuration, or of other options; give another --out"
            )
    elif folder.exists() and any(folder.iterdir()):
        raise UsageError(f"{folder} is not empty and holds no reproduction; give another --out")
    folder.mkdir(parents=True, exist_ok=True)
    return record


def write_record(folder: Path, record: dict[str, Any]) -> None:
    """Write ``reproduce.json``, as a whole."""
    text = json.dumps(record, indent=1, ensure_ascii=False, allow_nan=False)
    replace_file(folder / REPRODUCE_FILE, text + "\n")


def described(found: Reproduction, expected: Expected) -> dict[str, Any]:
    """Return the result as ``reproduce.json`` and ``--json`` hold it."""
    return {
        "method": found.method,
        "reproduced": found.succeeded,
        "seeds": list(found.seeds),
        "runs": {str(seed): f"seed_{seed}" for seed in found.seeds},
        "figures": [
            {
                "metric": each.metric,
                "expected": each.expected,
                "found": each.found.mean,
                "spread": each.found.spread,
                "low": each.found.low,
                "high": each.found.high,
                "values": list(each.found.values),
                "difference": each.difference,
                "tolerance": each.tolerance,
                "within": each.within,
            }
            for each in found.findings
        ],
        "protocol": str(found.protocol),
        "protocol_differences": {name: list(pair) for name, pair in found.differences.items()},
        "expected_protocol": None if expected.protocol is None else str(expected.protocol),
        "expected_seeds": list(expected.seeds),
        "source": expected.source,
    }
