"""The attacks by gradients, by their names in the literature: a goal each, and the constants of paper or release.

One descent serves all (:mod:`deephash.attacks.descent`). ``steps`` are 100 in all of them, so that they compare;
the numbers of their authors are in :func:`as_published`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar, Literal

import torch
from torch import Tensor

from deephash.attacks.base import Aim, known_labels
from deephash.attacks.descent import Goal, GradientAttack
from deephash.attacks.guides import anchor_codes, mainstay_codes, reference_codes
from deephash.attacks.losses import hag_loss, mainstay_loss, product_loss, sdha_loss
from deephash.attacks.noise import Noise
from deephash.attacks.schedules import Schedule
from deephash.attacks.steps import APGD, BIM, Adam, Euclidean, GradientDescent, StepRule
from deephash.attacks.victims import Victim
from deephash.errors import UsageError
from deephash.objectives.labels import share_label

ADAPTIVE, LONG_STRIDES, SDHA_ADAM = APGD(), GradientDescent(step=100.0, momentum=0.9), Adam(step=0.01)


@dataclass(frozen=True)
class PGD(GradientAttack):
    """Flee the picture's own code, or pull to codes that are given (Madry et al., ICLR 2018, on codes).

    It needs neither labels nor the collection. ``rule`` makes it BIM, MI, NI, SI-NI, DI or VMI.
    """

    random_start: bool = True

    def goal(self, victim: Victim, images: Tensor, clean: Tensor, aim: Aim) -> Goal:
        """Return the product with the guide: the own code to flee, or a code to take."""
        if aim.codes is not None:
            return _pull(aim.codes)
        return _flee(aim.guide_to_flee(victim.signs(images, clean)))


@dataclass(frozen=True)
class AutoPGD(PGD):
    """PGD whose step adapts to each picture, on outputs scaled to each model (after Croce and Hein, ICML 2020)."""

    rule: StepRule = ADAPTIVE
    schedule: Schedule = "scaled"


@dataclass(frozen=True)
class HAG(GradientAttack):
    """Turn every bit of the picture's own code (Yang et al., IEEE TCYB 2018; constants of SAAT's release).

    The release divides the loss by the batch; here each picture has its own, so that a batch of one equals one of many.
    """

    rule: StepRule = LONG_STRIDES

    def goal(self, victim: Victim, images: Tensor, clean: Tensor, aim: Aim) -> Goal:
        """Return HAG's masked loss against the clean outputs ``tanh v``."""
        guide = aim.guide_to_flee(victim.signs(images, clean))
        outputs = torch.tanh(clean) if aim.fled is None else guide
        return Goal(lambda u, _: hag_loss(u, outputs), guide, away=True)


@dataclass(frozen=True)
class SDHA(GradientAttack):
    """Flee every relevant item, by a surrogate of the Hamming distance (Lu et al., ICMR 2021); or pull to the target's.

    Args:
        weight: alpha times K.
    """

    rule: StepRule = SDHA_ADAM
    weight: float = 25.0

    def goal(self, victim: Victim, images: Tensor, clean: Tensor, aim: Aim) -> Goal:
        """Return the change of the picture plus the surrogate; a picture without a relevant item flees its own code."""
        known, labels = known_labels(aim, "SDHA")
        own, targeted = victim.signs(images, clean), aim.targets is not None
        wanted = _wanted(aim, "SDHA")
        chosen = share_label(wanted, labels)
        alone = ~chosen.any(dim=1)
        references = torch.cat([known.codes, own])
        chosen = torch.cat([chosen, torch.diag(alone)], dim=1)
        scale = self.weight / own.shape[1]

        def loss(outputs: Tensor, pixels: Tensor) -> Tensor:
            change = (pixels - images).square().flatten(1).mean(dim=1)
            return change + scale * sdha_loss(outputs, references, chosen, targeted=targeted)

        return Goal(loss, reference_codes(wanted, known.codes, labels, own), away=not targeted)


@dataclass(frozen=True)
class DHTA(GradientAttack):
    """Pull to the anchor of nine items that carry the target's labels (Bai et al., ECCV 2020).

    Args:
        anchors: n_t, items whose majority is the anchor; 1 is P2P.
    """

    targeted: ClassVar[bool] = True
    anchors: int = 9

    def goal(self, victim: Victim, images: Tensor, clean: Tensor, aim: Aim) -> Goal:
        """Return the product with the anchor code."""
        if aim.codes is not None:
            return _pull(aim.codes)
        known, labels = known_labels(aim, type(self).__name__)
        if aim.targets is None:
            raise UsageError(f"{type(self).__name__} pulls pictures to a label: give Aim(targets=...)")
        noise = Noise(self.seed, list(aim.items or range(len(images))))
        return _pull(anchor_codes(aim.targets, known.codes, labels, self.anchors, noise))


@dataclass(frozen=True)
class P2P(DHTA):
    """Pull to the code of one item that carries the target's labels (point-to-point; Bai et al., ECCV 2020)."""

    anchors: int = 1


@dataclass(frozen=True)
class Mainstay(GradientAttack):
    """Flee the mainstay code of the own labels, or pull to that of the target's (SAAT, Yuan et al., 2023)."""

    random_start: bool = True

    def goal(self, victim: Victim, images: Tensor, clean: Tensor, aim: Aim) -> Goal:
        """Return the masked loss against the mainstay code."""
        known, labels = known_labels(aim, "the mainstay attack")
        targeted = aim.targets is not None
        own = victim.signs(images, clean)
        guide = mainstay_codes(_wanted(aim, "the mainstay attack"), known.codes, labels, None if targeted else own)
        return Goal(lambda u, _: mainstay_loss(u, guide, targeted=targeted), guide, away=not targeted)


@dataclass(frozen=True)
class Collide(PGD):
    """Take the code of another picture or phrase, every bit if it can be."""

    targeted: ClassVar[bool] = True

    def goal(self, victim: Victim, images: Tensor, clean: Tensor, aim: Aim) -> Goal:
        """Return the masked product: bits that agree with some margin are left alone."""
        if aim.codes is None:
            raise UsageError("a collision needs the code to take: give Aim(codes=...)")
        guide = aim.codes
        return Goal(lambda u, _: mainstay_loss(u, guide, targeted=True), guide, away=False)


@dataclass(frozen=True)
class Evade(PGD):
    """Leave the near-duplicates: flee the own code, bits that are turned already left alone."""

    def goal(self, victim: Victim, images: Tensor, clean: Tensor, aim: Aim) -> Goal:
        """Return the masked product with the own code."""
        guide = aim.guide_to_flee(victim.signs(images, clean))
        return Goal(lambda u, _: mainstay_loss(u, guide), guide, away=True)


Published = Literal["paper", "release", "saat", "prosgan"]

_PUBLISHED: dict[tuple[type[GradientAttack], str], dict[str, object]] = {
    (HAG, "saat"): {"steps": 2000},
    (SDHA, "saat"): {"steps": 1500},
    (DHTA, "release"): {"steps": 2000, "rule": Euclidean(1.0), "schedule": "dhta", "epsilon": 0.032},
    (DHTA, "prosgan"): {"rule": GradientDescent(1.0, 0.0), "schedule": "dhta"},
    (DHTA, "saat"): {"steps": 2000, "rule": BIM(), "epsilon": 0.032},
    (Mainstay, "saat"): {"steps": 100, "rule": BIM()},
}


def as_published(attack: GradientAttack, whose: Published) -> GradientAttack:
    """Return ``attack`` with the steps, rule, schedule and budget of a paper or release, on float pictures.

    DHTA's release applies its 0.032 to *normalised* pixels, about 1.8/255 of the range; here it is 0.032 of the range,
    as in SAAT's copy.

    Raises:
        UsageError: nothing such is known of the attack.
    """
    for (cls, name), constants in _PUBLISHED.items():
        if isinstance(attack, cls) and name == whose:
            return replace(attack, quantised=False, **constants)  # type: ignore[arg-type]
    known = sorted({name for cls, name in _PUBLISHED if isinstance(attack, cls)})
    raise UsageError(
        f"{type(attack).__name__} has no preset {whose!r}" + (f"; known: {', '.join(known)}" if known else "")
    )


def _pull(codes: Tensor) -> Goal:
    return Goal(lambda u, _: -product_loss(u, codes), codes, away=False)


def _flee(codes: Tensor) -> Goal:
    return Goal(lambda u, _: product_loss(u, codes), codes, away=True)


def _wanted(aim: Aim, asker: str) -> Tensor:
    found = aim.labels if aim.targets is None else aim.targets
    if found is None:
        raise UsageError(
            f"{asker} needs the pictures' labels, or labels to aim at: Aim(labels=...) or Aim(targets=...)"
        )
    return found
