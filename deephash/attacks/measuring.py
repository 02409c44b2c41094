"""The figures of an attack: its PNGs are read again, encoded as deployed, and scored like anybody's queries."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from deephash.attacks.descent import GradientAttack
from deephash.attacks.gallery import ADVERSARIAL, CLEAN, Gallery
from deephash.attacks.running import Job, known_to
from deephash.attacks.victims import frame_of, victim_of
from deephash.codes import BinaryCodes
from deephash.errors import DataError, UnreadablePicture
from deephash.evaluation.codefile import CodeFile, write_code_file
from deephash.evaluation.robustness import Perceptibility, perceptibility
from deephash.evaluation.settings import Settings
from deephash.pictures import open_picture
from deephash.reports.attack import Attack, Attacked
from deephash.reports.perturbation import Perturbation, Perturbed
from deephash.reports.protocol import Protocol
from deephash.reports.report import EvaluationReport
from deephash.scoring.sides import DATABASE_FILE, QUERY_FILE
from deephash.scoring.targets import Asked, evaluate_pair

ATTACKED_FILE = "attacked.npz"
JPEG_QUALITIES = (90, 75)
LEAST_SIDE = 11  # of a picture whose SSIM is defined
BATCH = 64


@dataclass(frozen=True, eq=False)
class Measured:
    """Codes of the saved pictures by the deployed path.

    Attributes:
        clean: of the queries before the attack.
        attacked: after it.
        report: their figures.
    """

    clean: BinaryCodes
    attacked: BinaryCodes
    report: EvaluationReport


def measure(job: Job, gallery: Gallery, *, settings: Settings | None = None, convention: str | None = None) -> Measured:
    """Score a finished attack by its saved 8-bit pictures.

    Args:
        job: what was done.
        gallery: whole.
        settings: what is measured; see :class:`Settings`.
        convention: name of the paper whose settings these are, for protocols.

    Raises:
        DataError: a picture is missing or damaged.
    """
    rows = range(len(gallery.names))
    clean = encoded(job, [gallery.file(CLEAN, row) for row in rows])
    files = [gallery.file(ADVERSARIAL, row) for row in rows]
    attack = Attack(encoded(job, files), job.aims.targets, says(job))
    perturbation = Perturbation(
        {f"jpeg{quality}": encoded(job, files, partial(as_jpeg, quality=quality)) for quality in JPEG_QUALITIES},
        _bound(job, gallery),
        None if job.aims.codes is None or job.source is not None else BinaryCodes.from_bits(job.aims.codes > 0),
        _visible(gallery),
    )
    pair = job.subject.pair
    sections = partial(Attacked, attack=attack), partial(Perturbed, attack=attack, perturbation=perturbation)
    protocol = None if convention is None else Protocol(legacy=convention)
    sides = replace(pair, query=replace(pair.query, codes=clean))
    report = evaluate_pair(sides, Asked(settings, protocol, sections=sections))
    warnings = (*_path_warnings(pair.query.codes, clean), *report.warnings)
    return Measured(clean, attack.codes, replace(report, warnings=warnings))


def save_codes(job: Job, gallery: Gallery, measured: Measured) -> None:
    """Write what ``deephash evaluate FOLDER --adversarial FOLDER/attacked.npz`` reads: both sides, and the attacked."""
    pair, names = job.subject.pair, np.array(gallery.names, dtype=str)
    write_code_file(gallery.path / DATABASE_FILE, pair.database)
    write_code_file(gallery.path / QUERY_FILE, replace(pair.query, codes=measured.clean))
    write_code_file(gallery.path / ATTACKED_FILE, CodeFile(measured.attacked, names=names, targets=job.aims.targets))


def says(job: Job) -> str:
    """Return the attack in the words of protocol strings."""
    attack = job.attack
    parts = [job.name, attack.budget, f"steps={attack.steps}"]
    if isinstance(attack, GradientAttack):
        parts += [f"rule={type(attack.rule).__name__.lower()}"]
        parts += [f"restarts={attack.restarts}"] if attack.restarts > 1 else []
    parts += ["targeted"] if job.is_targeted else []
    parts += [f"seed={attack.seed}"]
    parts += [f"source={job.source.fingerprint()}"] if job.source is not None else []
    return ",".join([*parts, "png"])


def as_jpeg(picture: Image.Image, quality: int) -> Image.Image:
    """Return a picture written as JPEG and read again."""
    content = io.BytesIO()
    picture.save(content, format="JPEG", quality=quality)
    return open_picture(content.getvalue())


def encoded(
    job: Job, files: Sequence[Path], change: Callable[[Image.Image], Image.Image] = lambda picture: picture
) -> BinaryCodes:
    """Return the victim's codes of picture files by the deployed path."""
    model, parts = job.subject.model, []
    for start in range(0, len(files), BATCH):
        pictures = [change(_opened(file)) for file in files[start : start + BATCH]]
        parts.append(model.encode_images(pictures))
    return BinaryCodes.concatenate(parts)


def pixels_of(files: Sequence[Path]) -> NDArray[np.float64]:
    """Return 8-bit pictures as [N, H, W, 3] in [0, 1]."""
    return np.stack([np.asarray(_opened(file), dtype=np.float64) / 255 for file in files])


def _opened(file: Path) -> Image.Image:
    try:
        return open_picture(file)
    except (UnreadablePicture, OSError) as error:
        raise DataError(
            f"{file} of this attack cannot be read ({error}); remove it and run the same command to make it again"
        ) from None


def _visible(gallery: Gallery) -> Perceptibility | None:
    rows = range(len(gallery.names))
    clean, changed = (pixels_of([gallery.file(part, row) for row in rows]) for part in (CLEAN, ADVERSARIAL))
    return None if min(clean.shape[1:3]) < LEAST_SIDE else perceptibility(clean, changed)


def _bound(job: Job, gallery: Gallery) -> BinaryCodes | None:
    """Return the codes that a white-box attack by gradients aims at."""
    if not isinstance(job.attack, GradientAttack) or job.source is not None:
        return None
    victim, known, cut = victim_of(job.attacked_model), known_to(job), frame_of(job.attacked_model).cut
    parts = []
    for start in range(0, len(gallery.names), BATCH):
        rows = range(start, min(start + BATCH, len(gallery.names)))
        images = torch.stack([cut(_opened(gallery.file(CLEAN, row))) for row in rows])
        parts.append(job.attack.ideal(victim, images, job.aim_of(rows, known)).cpu().numpy() > 0)
    return BinaryCodes.from_bits(np.concatenate(parts))


def _path_warnings(before: BinaryCodes, clean: BinaryCodes) -> list[str]:
    """Say where the square that is attacked gives other codes than the picture it was cut from."""
    share = float((before.bits() != clean.bits()).mean())
    if share < 0.001:
        return []
    return [
        f"{share:.1%} of the bits of clean queries change by cutting and saving them as PNG; clean figures here are of "
        "those PNGs"
    ]
