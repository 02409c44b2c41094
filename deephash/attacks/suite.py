"""An ensemble of attacks after AutoAttack (Croce and Hein, ICML 2020): the worst case of every query, and flags."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from deephash.attacks.aims import aims_of
from deephash.attacks.base import Watch
from deephash.attacks.catalogue import make_attack
from deephash.attacks.flags import curve_flag, gradient_flag, order_flag, randomness_flag
from deephash.attacks.gallery import ADVERSARIAL, CLEAN, Gallery
from deephash.attacks.measuring import encoded, says
from deephash.attacks.pixels import fraction
from deephash.attacks.running import Job, run_attack
from deephash.attacks.subject import Subject
from deephash.codes import BinaryCodes
from deephash.collection.card import replace_file
from deephash.errors import UsageError, did_you_mean
from deephash.evaluation.relevance import relevance_from_labels
from deephash.evaluation.settings import Settings
from deephash.models import HashModel
from deephash.reports.attack import Attack
from deephash.reports.report import EvaluationReport
from deephash.reports.worst_case import WorstCase
from deephash.scoring.targets import Asked, evaluate_pair

CURVE_STEPS = 20
WATCH_FILE = "watch.json"


@dataclass(frozen=True)
class Member:
    """One attack of a suite.

    Attributes:
        label: in the report.
        name: of the attack.
        options: for :func:`~deephash.attacks.catalogue.make_attack`.
        scale: its steps, in units of the suite's.
    """

    label: str
    name: str
    options: Mapping[str, Any]
    scale: int = 1


SUITES: dict[str, tuple[Member, ...]] = {
    "standard": (
        Member("apgd", "apgd", {}),  # the own code
        Member("mainstay-apgd", "mainstay", {"rule": "apgd"}),  # the class
        Member("sdha", "sdha", {}),  # every relevant item
        Member("hag", "hag", {}),  # bit by bit
        Member("square", "square", {}, 5),  # answers alone
    ),
    "fast": (Member("apgd", "apgd", {}), Member("mainstay-apgd", "mainstay", {"rule": "apgd"})),
}


def suite_named(name: str) -> tuple[Member, ...]:
    """Return a suite. Raises UsageError for an unknown one."""
    if name not in SUITES:
        raise UsageError(f"no suite is called {name!r}{did_you_mean(name, list(SUITES))}")
    return SUITES[name]


@dataclass(frozen=True, eq=False)
class Ensemble:
    """A suite with its budget.

    Attributes:
        name: ``standard`` or ``fast``.
        epsilon: the budget.
        steps: T; attacks by answers alone take several times as many.
        seed: of everything drawn.
        batch_size: pictures at once.
        source: another model: its strongest white-box attack is tried as a transfer.
    """

    name: str
    epsilon: float
    steps: int = 100
    seed: int = 0
    batch_size: int = 32
    source: HashModel | None = None

    @property
    def says(self) -> str:
        """The ensemble in the words of protocols."""
        return f"suite-{self.name},eps={fraction(self.epsilon)},steps={self.steps},seed={self.seed},png"

    def jobs(self, subject: Subject) -> Iterator[tuple[str, Job]]:
        """Yield the attacks that enter the worst case, with their labels."""
        for member in suite_named(self.name):
            steps = self.steps * member.scale
            method = make_attack(member.name, epsilon=self.epsilon, steps=steps, seed=self.seed, **member.options)
            yield member.label, Job(subject, member.name, method, aims_of(subject, member.name, seed=self.seed))
        if self.source is not None:
            method = make_attack("pgd", epsilon=self.epsilon, steps=self.steps, seed=self.seed, rule="mi")
            yield "transfer", Job(subject, "pgd", method, aims_of(subject, "pgd", seed=self.seed), self.source)

    def curve(self, subject: Subject) -> Iterator[tuple[str, Job]]:
        """Yield quick attacks of several budgets: a half, once, twice, four times the asked one, the whole range."""
        budgets = {min(1.0, self.epsilon * factor) for factor in (0.5, 1.0, 2.0, 4.0)} | {1.0}
        for budget in sorted(budgets):
            method = make_attack("apgd", epsilon=budget, steps=CURVE_STEPS, seed=self.seed)
            yield f"eps={fraction(budget)}", Job(subject, "apgd", method, aims_of(subject, "apgd", seed=self.seed))


def run_suite(
    subject: Subject, ensemble: Ensemble, folder: Path, *, settings: Settings | None = None
) -> EvaluationReport:
    """Run all attacks of a suite, each into a folder of its own, and report the worst case with flags.

    Args:
        subject: who is attacked.
        ensemble: by what.
        folder: for everything; finished parts are not done again.
        settings: what is measured.

    Raises:
        UsageError: an unknown suite; a model that gives no gradients.
    """
    jobs, curve = dict(ensemble.jobs(subject)), dict(ensemble.curve(subject))
    attacks: dict[str, Attack] = {}
    watches: dict[str, Watch] = {}
    clean: BinaryCodes | None = None
    for label, job in (jobs | curve).items():
        place = folder / label.replace("/", "_").replace("=", "-")
        gallery, watches[label] = _run(job, place, ensemble.batch_size)
        rows = range(len(gallery.names))
        if clean is None:
            clean = encoded(job, [gallery.file(CLEAN, row) for row in rows])
        codes = encoded(job, [gallery.file(ADVERSARIAL, row) for row in rows])
        attacks[label] = Attack(codes, None, says(job))
    assert clean is not None
    section = partial(WorstCase, attacks=attacks, says=ensemble.says, beside=frozenset(curve))
    side = replace(subject.pair.query, codes=clean)
    report = evaluate_pair(replace(subject.pair, query=side), Asked(settings, sections=(section,)))
    flags = _flags(subject, report, jobs, watches, {label: job.attack.epsilon for label, job in curve.items()})
    return replace(report, warnings=(*flags, *report.warnings))


def _run(job: Job, folder: Path, batch_size: int) -> tuple[Gallery, Watch]:
    """Run one attack; what was seen of gradients is kept beside it, so that a finished one is not run for its flags."""
    watch, file = Watch(), folder / WATCH_FILE
    gallery = run_attack(job, folder, batch_size=batch_size, watch=watch)
    if watch.gradients or not file.is_file():
        replace_file(file, json.dumps({"gradients": watch.gradients, "vanished": watch.vanished}))
    kept = json.loads(file.read_text(encoding="utf8"))
    return gallery, Watch(gradients=int(kept["gradients"]), vanished=int(kept["vanished"]))


def _flags(
    subject: Subject,
    report: EvaluationReport,
    jobs: Mapping[str, Job],
    watches: Mapping[str, Watch],
    curve: Mapping[str, float],
) -> list[str]:
    metric = report.headline.metric
    scores = {label: report.figure(f"attacked {metric} {label}").value for label in jobs}
    with_gradients = {label for label, job in jobs.items() if job.attack.needs_gradient and job.source is None}
    found = [flag for label in jobs for flag in gradient_flag(label, watches[label].gradients, watches[label].vanished)]
    found += randomness_flag(subject.victim, subject.pixels(subject.names[:2]).to(subject.victim.device))
    found += order_flag(
        {label: score for label, score in scores.items() if label not in with_gradients},
        {label: score for label, score in scores.items() if label in with_gradients},
    )
    points = {epsilon: report.figure(f"attacked {metric} {label}").value for label, epsilon in curve.items()}
    return [*found, *curve_flag(points, _chance(subject))]


def _chance(subject: Subject) -> float:
    """Return the mean share of relevant items, which a random order's mAP is near to."""
    numbered = subject.numbered
    assert numbered is not None
    relevance = relevance_from_labels(numbered[0], numbered[1])
    gains = relevance.rows(slice(None)).gains()
    return float(np.mean(np.asarray(gains) > 0))
