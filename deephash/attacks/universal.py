"""One perturbation for all pictures (Moosavi-Dezfooli et al., CVPR 2017, on codes): learned once, then an addition."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Self

import torch
from torch import Tensor

from deephash.attacks.base import Aim, Attack, Watch
from deephash.attacks.learning import Lesson, shared_loss
from deephash.attacks.pixels import on_grid
from deephash.attacks.schedules import Schedule, require_schedule, sharpness
from deephash.attacks.victims import Victim
from deephash.errors import UsageError

BATCH = 64
_FIRST_STEP = 0.25  # of epsilon; it falls to nothing, so that the signs of the last batches agree on something


@dataclass(frozen=True)
class Universal(Attack):
    """Add the same perturbation to every picture: away from each one's own code, or all to one guide code.

    It is learned on pictures of the training split, never on the queries: steps by the sign of the gradient summed over
    a batch, with momentum, within the budget. The victim is not asked when a picture is changed.

    Args:
        epsilon: see :class:`Attack`; what was learned with a larger budget is cut to this one.
        steps: batches of 64 that it learns from; 0 leaves pictures as they are.
        seed: see :class:`Attack`.
        schedule: how steep the tanh is at each step.
        decay: of the momentum.
    """

    schedule: Schedule = "ten"
    decay: float = 0.9
    perturbation: Tensor | None = field(default=None, compare=False, repr=False)

    def __post_init__(self) -> None:
        super().__post_init__()
        require_schedule(self.schedule)

    def run(self, victim: Victim, images: Tensor, aim: Aim, watch: Watch) -> Tensor:
        """Return the pictures with the perturbation, cut to the budget and rounded."""
        if self.perturbation is None:
            raise UsageError("one perturbation for all is learned first: attack.learn(victim_of(model), Lesson(...))")
        if self.perturbation.shape != images.shape[1:]:
            learned, given = (list(each.shape[-3:]) for each in (self.perturbation, images))
            raise UsageError(f"the perturbation was learned for pictures of shape {learned}; these have {given}")
        return on_grid(images + self.perturbation.to(images.device), images, self.epsilon)

    def learn(self, victim: Victim, lesson: Lesson) -> Self:
        """Learn from pictures; the victim's gradients are taken at the rounded, changed pictures."""
        lesson.require_pictures(victim, "one perturbation for all")
        guide = None if lesson.guide is None else lesson.guide.to(victim.device)
        found: Tensor | None = None
        momentum = torch.zeros(())
        with victim.evaluating():
            batches = lesson.batches(BATCH, self.steps, self.seed, "learning one perturbation")
            for step, (images, _) in enumerate(batches):
                pictures = images.to(victim.device)
                found = self._start(pictures) if found is None else found
                shown = on_grid(pictures + found, pictures, self.epsilon).requires_grad_()
                steep = sharpness(self.schedule, step, self.steps)
                loss = shared_loss(victim, pictures, shown, guide, steep).sum()
                (gradient,) = torch.autograd.grad(loss, shown)
                summed = gradient.nan_to_num(0.0, 0.0, 0.0).sum(dim=0)
                momentum = self.decay * momentum.to(summed.device) + summed / summed.abs().mean().clamp(min=1e-12)
                size = self.epsilon * _FIRST_STEP * (1 - step / self.steps)
                found = (found - size * momentum.sign()).clamp(-self.epsilon, self.epsilon)
        return replace(self, perturbation=found)

    def learned(self) -> dict[str, Tensor]:
        """Return the perturbation [C, H, W]."""
        return {} if self.perturbation is None else {"perturbation": self.perturbation}

    def with_learned(self, state: dict[str, Tensor]) -> Self:
        """Return the attack with that perturbation."""
        return replace(self, perturbation=state["perturbation"])

    def _start(self, pictures: Tensor) -> Tensor:
        drawn = torch.rand(pictures.shape[1:], generator=torch.Generator().manual_seed(self.seed))
        return self.epsilon * (2 * drawn - 1).to(pictures.device)
