"""What the queries of a subject are attacked for: to leave their own labels, to reach others, or to take a code."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from deephash.attacks.base import Aim, Known
from deephash.attacks.catalogue import entry_named
from deephash.attacks.guides import mainstay_codes
from deephash.attacks.subject import Subject
from deephash.attacks.targets import draw_shared_target, draw_targets, read_targets, require_useful, shares_class
from deephash.errors import UsageError
from deephash.evaluation.codefile import label_words

TAKE_CODES = ("collide", "pgd", "apgd", "universal", "patch")


@dataclass(frozen=True, eq=False)
class Aims:
    """What every query of a subject is attacked for.

    Attributes:
        labels: own labels [Q] or [Q, C], numbered; None without labels.
        targets: target labels like them; None for an untargeted attack.
        codes: signs float32 [Q, K] to take; None where a label is aimed at, or nothing.
        words: of the targets, one a query, for people.
        fled: signs float32 [Q, K] that are fled in place of the queries' own codes; None where nothing is.
    """

    labels: NDArray[Any] | None = None
    targets: NDArray[Any] | None = None
    codes: NDArray[np.float32] | None = None
    words: tuple[str, ...] = ()
    fled: NDArray[np.float32] | None = None

    def of(self, rows: Sequence[int], known: Known) -> Aim:
        """Return the aim of some queries."""
        chosen = list(rows)

        def part(column: NDArray[Any] | None, kind: type[np.generic] = np.int64) -> Tensor | None:
            return None if column is None else torch.from_numpy(column[chosen].astype(kind))

        codes, fled = part(self.codes, np.float32), part(self.fled, np.float32)
        return Aim(part(self.labels), part(self.targets), codes, known, chosen, fled)


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
    wants_labels = towards is None and (targeted or targets is not None)
    if (entry.needs_labels or wants_labels) and numbered is None:
        raise UsageError(
            f"the attack {name} needs labels, and these items have none; pgd, apgd, hag and evade need none"
        )
    labels = None if numbered is None else numbered[0]
    if towards is not None:
        if name not in TAKE_CODES:
            raise UsageError(f"the attack {name} takes no given code; --towards is for {', '.join(TAKE_CODES)}")
        return Aims(labels, codes=np.tile(towards, (len(subject.names), 1)))
    if entry.aims == "code":
        return _other_codes(subject, labels, seed)
    if not wants_labels and entry.aims != "label":
        return Aims(labels, fled=subject.captions)
    if entry.aims == "away":
        raise UsageError(f"the attack {name} flees and aims at nothing; mainstay, sdha, p2p and dhta aim at labels")
    return _label_aims(subject, targets, seed, allow_overlap, entry.one_target)


def _label_aims(subject: Subject, file: Path | None, seed: int, allow_overlap: bool, one_target: bool) -> Aims:
    numbered = subject.numbered
    assert numbered is not None
    labels, database, _, words = numbered
    if file is None and one_target:
        found = np.stack([draw_shared_target(database, seed)] * len(labels))
    elif file is None:
        found = draw_targets(labels, database, seed, allow_overlap=allow_overlap)
    else:
        found = read_targets(file, subject.names, words, database)
    if one_target and (found != found[:1]).any():
        raise UsageError(f"one change for all pictures has one target, and {file} names several; repeat one of them")
    require_useful(found, labels, database, allow_overlap=allow_overlap)
    return Aims(labels, targets=found, words=tuple(label_words(found, words)))


def without_target(subject: Subject, name: str, seed: int) -> Subject:
    """Return the subject without the queries that carry the label to which an attack pulls all pictures.

    What they find by it is no success of the attack. The label is that which :func:`aims_of` draws.

    Raises:
        UsageError: no query is left.
    """
    numbered = subject.numbered
    if not entry_named(name).one_target or numbered is None:
        return subject
    own = shares_class(draw_shared_target(numbered[1], seed), numbered[0])
    if own.all():
        raise UsageError("every query carries the target's label, so nothing is left to attack; give another --seed")
    query = subject.pair.query.take(np.flatnonzero(~own))
    return replace(subject, pair=replace(subject.pair, query=query))


def guide_for_all(aims: Aims, known: Known) -> Tensor | None:
    """Return the one code [K] to which all pictures are pulled; None where they flee, or go different ways.

    Of a label it is the mainstay code.
    """
    if aims.codes is not None and (aims.codes == aims.codes[:1]).all():
        return torch.from_numpy(aims.codes[0].astype(np.float32))
    if aims.targets is None or known.labels is None or (aims.targets != aims.targets[:1]).any():
        return None
    target = torch.from_numpy(aims.targets[:1].astype(np.int64))
    return mainstay_codes(target, known.codes, known.labels)[0]


def _other_codes(subject: Subject, labels: NDArray[Any] | None, seed: int) -> Aims:
    """Draw one item of the database a query, of another class where there are classes, and take its code."""
    random = np.random.RandomState(seed)
    database = subject.pair.database
    numbered = subject.numbered
    rows = []
    for row in range(len(subject.names)):
        able = np.arange(len(database))
        if numbered is not None and labels is not None:
            same = shares_class(labels[row], numbered[1])
            able = np.flatnonzero(~same) if not same.all() else able
        rows.append(int(random.choice(able)))
    names = database.names
    words = tuple(str(row) if names is None else str(names[row]) for row in rows)
    return Aims(labels, codes=database.codes[np.array(rows)].signs().astype(np.float32), words=words)
