"""Certified retrieval from beginning to end: draws that can be gone on with, radii, bounds, a report."""

from __future__ import annotations

import io
import math
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deephash.attacks.folders import begin_folder
from deephash.attacks.smoothing import ALPHA, DRAWS, Smoothed, smoothed_codes
from deephash.attacks.subject import Subject
from deephash.codes import BinaryCodes
from deephash.collection.card import replace_file
from deephash.errors import UsageError
from deephash.evaluation.certified import certified_radii, draws_for, largest_radius
from deephash.evaluation.codefile import write_code_file
from deephash.evaluation.settings import Settings
from deephash.progress import track
from deephash.reports.certified import Certificate, Certified
from deephash.reports.report import EvaluationReport
from deephash.scoring.sides import DATABASE_FILE, QUERY_FILE
from deephash.scoring.targets import Asked, evaluate_pair

SETTINGS, COUNTS = "certify.json", "counts"
COSTLY = 0.05  # mAP that smoothing may cost before the report says what to do
EPSILON = 8 / 255  # for comparison


@dataclass(frozen=True)
class Certifying:
    """What is certified, and how sure.

    Attributes:
        sigma: of the noise, in units of the pixel range.
        draws: n that count.
        alpha: probability that any bit of a query is certified wrongly.
        radii: L2 radii to report.
        seed: of the noise.
        batch_size: noisy pictures in one pass.
    """

    sigma: float
    draws: int = DRAWS
    alpha: float = ALPHA
    radii: tuple[float, ...] = (0.1, 0.25)
    seed: int = 0
    batch_size: int = field(default=256, compare=False)

    def __post_init__(self) -> None:
        if not 0 <= self.sigma <= 10:
            hint = f": {self.sigma:g}/255?" if 10 < self.sigma <= 255 else ""
            raise UsageError(f"sigma is a share of the pixel range, such as 0.25, not {self.sigma:g}{hint}")
        if self.draws < 1:
            raise UsageError(f"draws are 1 or more, not {self.draws}")
        if not 0 < self.alpha < 1:
            raise UsageError(f"alpha is a probability between 0 and 1, such as 0.001, not {self.alpha:g}")
        if not self.radii or min(self.radii) < 0:
            raise UsageError(f"radii are 0 or more, not {list(self.radii)}")

    @property
    def says(self) -> str:
        """The certificate in the words of protocols."""
        return f"sigma={self.sigma:g},n={self.draws},alpha={self.alpha:g},seed={self.seed}"


def certify(subject: Subject, asked: Certifying, folder: Path, *, settings: Settings | None = None) -> EvaluationReport:
    """Certify the queries of a subject; draws of finished queries in ``folder`` are taken up.

    ``query.npz`` (smoothed codes with ``radii`` and ``agreeing``) and ``database.npz`` (codes without noise) are
    written too, so that ``deephash evaluate FOLDER`` scores the smoothed codes.

    Raises:
        UsageError: the folder holds something else; codes of several levels; a cut-off out of range.
        UnreadablePicture: a query cannot be opened.
    """
    if subject.model.num_levels != 1:
        raise UsageError(f"codes of {subject.model.num_levels} levels are not certified; take a model of one level")
    begin_folder(folder, _settings(subject, asked), SETTINGS, "certificate")
    smoothed, base, num_values = _drawn(subject, asked, folder)
    radii = certified_radii(smoothed.agreeing, asked.draws, asked.sigma, asked.alpha)
    codes, pair = BinaryCodes.from_bits(smoothed.bits), subject.pair
    write_code_file(folder / QUERY_FILE, replace(pair.query, codes=codes), radii=radii, agreeing=smoothed.agreeing)
    write_code_file(folder / DATABASE_FILE, pair.database)
    section = partial(Certified, certificate=Certificate(radii, base, asked.says, asked.radii))
    report = evaluate_pair(replace(pair, query=replace(pair.query, codes=codes)), Asked(settings, sections=(section,)))
    remarks = (*_remarks(asked, codes.num_bits, num_values), *_cost(report, asked), *report.warnings)
    return replace(report, warnings=remarks)


def _settings(subject: Subject, asked: Certifying) -> dict[str, Any]:
    return {
        "sigma": asked.sigma,
        "draws": asked.draws,
        "seed": asked.seed,
        "model": subject.model.fingerprint(),
        "protocol": str(subject.pair.protocol),
        "queries": subject.names,
    }


def _drawn(subject: Subject, asked: Certifying, folder: Path) -> tuple[Smoothed, BinaryCodes, int]:
    """Return smoothed and plain codes of all queries, and how many values a picture has."""
    victim, names = subject.victim, subject.names
    (folder / COUNTS).mkdir(exist_ok=True)
    rows: list[NDArray[np.int64]] = []
    num_values = 0
    for row in track(range(len(names)), f"certifying {len(names):,} queries", total=len(names), unit="query"):
        file = folder / COUNTS / f"{row:05d}.npy"
        kept = _kept(file, subject.model.num_bits)
        if kept is None or not num_values:
            image = subject.pixels([names[row]])
            num_values = image[0].numel()
        if kept is None:
            options = {"draws": asked.draws, "seed": asked.seed, "batch_size": asked.batch_size}
            found = smoothed_codes(victim, image, asked.sigma, items=[row], **options)  # type: ignore[arg-type]
            plain = victim.codes(image).bits()[0]
            kept = np.stack([plain.astype(np.int64), found.bits[0].astype(np.int64), found.agreeing[0]])
            content = io.BytesIO()
            np.save(content, kept)
            replace_file(file, content.getvalue())
        rows.append(kept)
    table = np.stack(rows)
    smoothed = Smoothed(table[:, 1] > 0, table[:, 2], asked.draws)
    return smoothed, BinaryCodes.from_bits(table[:, 0] > 0), num_values


def _kept(file: Path, num_bits: int) -> NDArray[np.int64] | None:
    """Return what was counted for a query before; None where it was not, or the file is damaged."""
    try:
        found = np.load(file, allow_pickle=False)
    except (OSError, ValueError, EOFError):
        return None
    return found if found.dtype == np.int64 and found.shape == (3, num_bits) else None


def _remarks(asked: Certifying, num_bits: int, num_values: int) -> Iterator[str]:
    """Say what the radii are, and which of them so few draws cannot show."""
    yield (
        "the certificate is about changes of the query; the database is coded without noise. Every bound holds for a "
        f"query with probability {1 - asked.alpha:g}"
    )
    grey = ", ".join(f"{radius:g} is {255 * radius / math.sqrt(num_values):.2g}" for radius in asked.radii)
    yield (
        f"an L2 radius in grey levels, were all {num_values:,} values of a picture changed alike: {grey}; a change of "
        f"8/255 in all of them has the L2 norm {EPSILON * math.sqrt(num_values):.3g}"
    )
    most = largest_radius(asked.draws, num_bits, asked.sigma, asked.alpha)
    beyond = [radius for radius in asked.radii if radius >= most]
    if not beyond:
        return
    if most == 0:
        needed = draws_for(0.0, num_bits, asked.sigma, asked.alpha)
        reason = "sigma is 0" if asked.sigma == 0 else f"{asked.draws} draws are too few, {needed} are the least"
        yield f"nothing is certified: {reason}"
        return
    needed = draws_for(min(beyond), num_bits, asked.sigma, asked.alpha)
    advice = "give a larger --sigma" if needed is None else f"it takes --draws {needed} or more, or a larger --sigma"
    yield (
        f"{asked.draws} draws at sigma {asked.sigma:g} can show radii up to {most:.3g}, so at {min(beyond):g} no "
        f"bit is certain and the bound is the worst there is; {advice}"
    )


def _cost(report: EvaluationReport, asked: Certifying) -> Iterator[str]:
    base = report.figure(f"base {report.headline.metric}").value
    if report.headline.value < base - COSTLY:
        yield (
            f"smoothing costs {base - report.headline.value:.3f} of {base:.3f} mAP: the model does not know such "
            f"noise. Train it with --defence noise:{asked.sigma:g} (docs/defences.md)"
        )
