"""What the queries of a subject are attacked for: to leave their own labels, to reach others, or to take a code."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from deephash.attacks.base import Aim, Known
from deephash.attacks.catalogue import entry_named
from deephash.attacks.subject import Subject
from deephash.attacks.targets import draw_targets, read_targets, require_useful
from deephash.errors import UsageError


@dataclass(frozen=True, eq=False)
class Aims:
    """What every query of a subject is attacked for.

    Attributes:
        labels: own labels [Q] or [Q, C], numbered; None without labels.
        targets: target labels like them; None for an untargeted attack.
        codes: signs float32 [Q, K] to take; None where a label is aimed at, or nothing.
        words: of the targets, one a query, for people.
    """

    labels: NDArray[Any] | None = None
    targets: NDArray[Any] | None = None
    codes: NDArray[np.float32] | None = None
    words: tuple[str, ...] = ()

    def of(self, rows: Sequence[int], known: Known) -> Aim:
        """Return the aim of some queries."""
        chosen = list(rows)

        def part(column: NDArray[Any] | None, kind: type[np.generic] = np.int64) -> Tensor | None:
            return None if column is None else torch.from_numpy(column[chosen].astype(kind))

        return Aim(part(self.labels), part(self.targets), part(self.codes, np.float32), known, chosen)


def aims_of(
    subject: Subject,
    name: str,
    *,
    targeted: bool = False,
    targets: Path | None = None,
    towards: NDArray[np.float32] | None = None,
    seed: int = 0,
    allow_overlap: bool = False,
) -> Aims:
    """Return what an attack is to reach, checked against what it can do.

    Args:
        subject: who is attacked.
        name: of the attack.
        targeted: pull to labels, where the attack does both.
        targets: file of target labels, see :func:`~deephash.attacks.targets.read_targets`; None draws them.
        towards: signs [K] of the code to take.
        seed: of drawn targets.
        allow_overlap: targets may share a class with their query.

    Raises:
        UsageError: labels are needed and there are none, or a target that the attack cannot have.
    """
    entry, numbered = entry_named(name), subject.numbered
    if entry.needs_labels and numbered is None:
        raise UsageError(
            f"the attack {name} needs labels, and these items have none; pgd, apgd, hag and evade need none"
        )
    labels = None if numbered is None else numbered[0]
    if towards is not None:
        if entry.aims != "code" and name not in ("pgd", "apgd"):
            raise UsageError(f"the attack {name} takes no given code; --towards is for collide, pgd and apgd")
        return Aims(labels, codes=np.tile(towards, (len(subject.names), 1)))
    if entry.aims == "code":
        return _other_codes(subject, labels, seed)
    wants = targeted or targets is not None or entry.aims == "label"
    if not wants:
        return Aims(labels)
    if entry.aims == "away":
        raise UsageError(f"the attack {name} flees and aims at nothing; mainstay, sdha, p2p and dhta aim at labels")
    assert numbered is not None
    return _label_aims(subject, targets, seed, allow_overlap)


def _label_aims(subject: Subject, file: Path | None, seed: int, allow_overlap: bool) -> Aims:
    numbered = subject.numbered
    assert numbered is not None
    labels, database, _, words = numbered
    if file is None:
        found = draw_targets(labels, database, seed, allow_overlap=allow_overlap)
    else:
        found = read_targets(file, subject.names, words, database)
    require_useful(found, labels, database, allow_overlap=allow_overlap)
    return Aims(labels, targets=found, words=tuple(label_words(found, words)))


def _other_codes(subject: Subject, labels: NDArray[Any] | None, seed: int) -> Aims:
    """Draw one item of the database a query, of another class where there are classes, and take its code."""
    random = np.random.RandomState(seed)
    database = subject.pair.database
    numbered = subject.numbered
    rows = []
    for row in range(len(subject.names)):
        able = np.arange(len(database))
        if numbered is not None and labels is not None:
            others = numbered[1]
            same = (
                others == labels[row]
                if others.ndim == 1
                else (others.astype(np.int64) @ labels[row].astype(np.int64)) > 0
            )
            able = np.flatnonzero(~same) if not same.all() else able
        rows.append(int(random.choice(able)))
    names = database.names
    words = tuple(str(row) if names is None else str(names[row]) for row in rows)
    return Aims(labels, codes=database.codes[np.array(rows)].signs().astype(np.float32), words=words)


def label_words(labels: NDArray[Any], words: Sequence[str]) -> list[str]:
    """Return labels as words, several joined by ``|``."""
    named = dict(enumerate(words))
    if labels.ndim == 2:
        return ["|".join(named.get(n, str(n)) for n in np.flatnonzero(row).tolist()) for row in labels]
    return [named.get(number, str(number)) for number in labels.tolist()]
