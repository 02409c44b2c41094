"""An attack on a run or a collection from beginning to end: aims, pictures, a folder that can be gone on with."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor

from deephash.attacks.aims import Aims, guide_for_all
from deephash.attacks.base import Aim, Attack, Known, Watch
from deephash.attacks.catalogue import describe
from deephash.attacks.gallery import Gallery
from deephash.attacks.learning import Learner, Lesson, Printable
from deephash.attacks.subject import Subject
from deephash.attacks.targets import write_targets
from deephash.attacks.victims import Victim, frame_of, victim_of
from deephash.collection.card import replace_file
from deephash.errors import DataError, UsageError
from deephash.models import HashModel
from deephash.progress import track

TARGETS_FILE = "targets.csv"
LEARNED_FILE = "learned.safetensors"
MOST_ENCODED = 2_000  # pictures that a source encodes to make its guide codes


@dataclass(frozen=True, eq=False)
class Job:
    """One attack on one subject.

    Attributes:
        subject: who is attacked.
        name: of the attack, in :data:`~deephash.attacks.catalogue.ATTACKS`.
        attack: with its options.
        aims: what for.
        source: the model that gives gradients; None for the victim itself (white box).
    """

    subject: Subject
    name: str
    attack: Attack
    aims: Aims = field(default_factory=Aims)
    source: HashModel | None = None

    @property
    def is_targeted(self) -> bool:
        """Whether a label or a code is aimed at."""
        return self.aims.targets is not None or self.aims.codes is not None

    @property
    def attacked_model(self) -> HashModel:
        """The model whose gradients are used."""
        return self.source or self.subject.model

    def aim_of(self, rows: Sequence[int], known: Known) -> Aim:
        """Return the aim of some queries; a source knows no codes of captions, and flees its own of the pictures."""
        aim = self.aims.of(rows, known)
        return aim if self.source is None else replace(aim, fled=None)

    def settings(self) -> dict[str, Any]:
        """Return everything the pictures depend on, as JSON values."""
        return {
            **describe(self.name, self.attack),
            "targeted": self.is_targeted,
            "victim": self.subject.model.fingerprint(),
            "source": None if self.source is None else self.source.fingerprint(),
            "protocol": str(self.subject.pair.protocol),
            "queries": self.subject.names,
            "targets": list(self.aims.words),
            "codes": None if self.aims.codes is None else sha256(self.aims.codes.tobytes()).hexdigest(),
        }


def run_attack(job: Job, folder: Path, *, batch_size: int = 32, watch: Watch | None = None) -> Gallery:
    """Make the pictures that are not in ``folder`` yet; Ctrl-C keeps those that are.

    Raises:
        UsageError: the folder holds something else; a model without gradients; a code to take of another length.
        DataError: a full disk.
        UnreadablePicture: a query cannot be opened; it names it.
    """
    subject = job.subject
    gallery = Gallery.open(folder, job.settings(), subject.names)
    if job.is_targeted and not (folder / TARGETS_FILE).is_file() and job.aims.words:
        write_targets(folder / TARGETS_FILE, subject.names, job.aims.words)
    missing = gallery.missing()
    if not missing:
        return gallery
    model = job.attacked_model
    victim, known, cut = victim_of(model), known_to(job), frame_of(model).cut
    attack = taught(job, known, folder)
    starts = range(0, len(missing), batch_size)
    for start in track(starts, f"{job.name} on {len(missing):,} pictures", total=len(starts), unit="batch"):
        rows = missing[start : start + batch_size]
        images = torch.stack([cut(subject.open_picture(subject.names[row])) for row in rows])
        found = attack.perturb(victim, images, job.aim_of(rows, known), watch=watch)
        for row, clean, changed in zip(rows, images, found, strict=True):
            gallery.keep(row, clean, changed)
    return gallery


def taught(job: Job, known: Known, folder: Path) -> Attack:
    """Return the attack with what it has to learn, learned now or by an earlier run into the same folder."""
    attack, file = job.attack, folder / LEARNED_FILE
    if not isinstance(attack, Learner) or not attack.epsilon or not attack.steps:
        return attack
    if file.is_file():
        ready = read_again(attack, file)
    else:
        ready = attack.learn(victim_of(job.attacked_model), _lesson(job, known))
        replace_file(file, save({name: value.contiguous().cpu() for name, value in ready.learned().items()}))
    if isinstance(ready, Printable):
        ready.print_into(folder)
    assert isinstance(ready, Attack)
    return ready


def read_again(attack: Learner, file: Path) -> Learner:
    """Return the attack with what a file says it learned. Raises DataError for a damaged file, and for another's."""
    try:
        return attack.with_learned(load_file(file))
    except (OSError, SafetensorError, KeyError, RuntimeError, ValueError) as error:
        raise DataError(f"{file} is damaged ({error}); remove it, and it is learned anew") from None


def _lesson(job: Job, known: Known) -> Lesson:
    """Return what the attack may learn from: known items, those with a picture first."""
    guide, names, pictured = guide_for_all(job.aims, known), job.subject.known.names, job.subject.pictured
    cut, opened = frame_of(job.attacked_model).cut, job.subject.open_picture
    if job.source is None:
        others = sorted(set(range(len(known.codes))) - set(pictured))
        known = known.take([*pictured, *others])
    else:  # that encoded pictures alone
        pictured = pictured[: len(known.codes)]

    def pictures(rows: Sequence[int]) -> Tensor:
        assert names is not None
        return torch.stack([cut(opened(str(names[pictured[row]]))) for row in rows])

    return Lesson(known, len(pictured), pictures, guide)


def known_to(job: Job) -> Known:
    """Return the codes that guide the attack: those of the model that is attacked."""
    known = job.subject.database_codes() if job.attack.asks_database else job.subject.known_codes()
    if job.source is None:
        return known
    if job.attack.asks_database:
        raise UsageError(f"the attack {job.name} asks the victim itself; leave --source out")
    if job.aims.codes is not None and job.aims.codes.shape[1] != job.source.num_bits:
        raise UsageError(
            f"the code to take has {job.aims.codes.shape[1]} bits and the source makes {job.source.num_bits}; a "
            "collision is made with the victim, or with a source of the same length"
        )
    assert job.subject.known.names is not None
    rows = job.subject.pictured[:MOST_ENCODED]
    names = [str(name) for name in job.subject.known.names[rows].tolist()]
    signs = _signs_by(victim_of(job.source), frame_of(job.source).cut, job.subject.open_picture, names)
    return Known(signs, None if known.labels is None else known.labels[rows])


def _signs_by(
    victim: Victim, cut: Callable[[Any], Tensor], opened: Callable[[str], Any], names: Sequence[str], size: int = 64
) -> Tensor:
    parts = []
    for start in track(
        range(0, len(names), size), "encoding with the source", total=-(-len(names) // size), unit="batch"
    ):
        images = torch.stack([cut(opened(name)) for name in names[start : start + size]])
        parts.append(torch.from_numpy(victim.codes(images).signs().astype(np.float32)))
    return torch.cat(parts)
