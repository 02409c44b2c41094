"""The one loop of all gradient attacks: start, look, step, project, and remember the best 8-bit picture.

Best is judged by what is deployed: the Hamming distance of the code after rounding to 8 bits, not the relaxed loss. As
the gradient is taken at the rounded picture (straight through the rounding), judging it costs no pass of its own.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from deephash.attacks.base import Aim, Attack, Watch
from deephash.attacks.noise import Noise
from deephash.attacks.pixels import box, on_grid
from deephash.attacks.schedules import Schedule, require_schedule, sharpness
from deephash.attacks.steps import BIM, Run, StepRule
from deephash.attacks.victims import Victim, victim_of
from deephash.errors import UsageError
from deephash.objectives.signs import sign

SIGN_STEPS = BIM()
_LEAST_SIZE = 1e-6  # of continuous codes


@dataclass(frozen=True, eq=False)
class Goal:
    """What B pictures are to reach.

    Attributes:
        loss: relaxed codes u [B, K] and pixels [B, C, H, W] -> [B], minimised.
        guide: g [B, K]; signs of a code, or means of several codes' signs.
        away: flee the guide; else pull to it.
    """

    loss: Callable[[Tensor, Tensor], Tensor]
    guide: Tensor
    away: bool

    def badness(self, signs: Tensor) -> Tensor:
        """Return [B], linear in the mean Hamming distance to the guide; the attack is stronger where it is smaller."""
        likeness = (signs * self.guide).mean(dim=1)
        return likeness if self.away else -likeness


class Best:
    """The best 8-bit picture so far, one by one."""

    def __init__(self, images: Tensor, signs: Tensor, goal: Goal) -> None:
        self._goal = goal
        self.pictures, self.badness = images.clone(), goal.badness(signs)

    def see(self, pixels: Tensor, signs: Tensor) -> None:
        """Keep the pictures that are better than what was seen."""
        badness = self._goal.badness(signs)
        better = badness < self.badness
        self.badness = torch.where(better, badness, self.badness)
        self.pictures = torch.where(better.view(-1, 1, 1, 1), pixels, self.pictures)


@dataclass(frozen=True)
class GradientAttack(Attack):
    """An attack that follows a gradient; a method says where to by :meth:`goal`.

    Args:
        epsilon: see :class:`Attack`.
        steps: T.
        seed: see :class:`Attack`.
        rule: how a gradient moves the pixels.
        schedule: how steep the tanh is at each step.
        random_start: begin anywhere in the box, not at the picture itself.
        restarts: runs; all but the first begin anywhere in the box, and the best of all is returned.
        quantised: look at the gradient of, and judge, the 8-bit picture; else the float one (as releases do), of which
            the last is judged and rounded.
    """

    rule: StepRule = SIGN_STEPS
    schedule: Schedule = "ten"
    random_start: bool = False
    restarts: int = 1
    quantised: bool = True

    def __post_init__(self) -> None:
        super().__post_init__()
        require_schedule(self.schedule)
        if self.restarts < 1:
            raise UsageError(f"restarts are 1 or more, not {self.restarts}")

    @abstractmethod
    def goal(self, victim: Victim, images: Tensor, clean: Tensor, aim: Aim) -> Goal:
        """Return the goal of B pictures; ``clean`` are their continuous codes v [B, K]."""

    def ideal(self, model: Any, images: Tensor, target: Tensor | Aim | None = None) -> Tensor:
        """Return the codes [B, K] (signs) that the attack would give if every bit obeyed; arguments of `perturb`."""
        victim = victim_of(model)
        aim = self.checked_aim(target, len(images)).to(victim.device)
        with victim.evaluating():
            pictures = images.detach().to(victim.device)
            clean = _differentiable(victim, pictures)
            aim.require_bits(clean.shape[1], victim.name)
            goal = self.goal(victim, pictures, clean, aim)
        return sign(-goal.guide if goal.away else goal.guide)

    def run(self, victim: Victim, images: Tensor, aim: Aim, watch: Watch) -> Tensor:
        """Descend ``restarts`` times and return the best 8-bit picture of each."""
        clean = _differentiable(victim, images)
        aim.require_bits(clean.shape[1], victim.name)
        goal = self.goal(victim, images, clean, aim)
        best = Best(images, victim.signs(images, clean), goal)
        watch.first += best.badness.tolist()
        noise = Noise(self.seed, list(aim.items or range(len(images))), images.device)
        for restart in range(self.restarts):
            start = self._start(images, noise, restart)
            look = _Looking(victim, images, goal, self, best, watch)
            if self.schedule == "scaled":
                look.unit = 1 / clean.abs().mean(dim=1, keepdim=True).clamp(min=_LEAST_SIZE)
            self._descend(victim, images, start, look, noise)
        watch.best += best.badness.tolist()
        return best.pictures

    def _start(self, images: Tensor, noise: Noise, restart: int) -> Tensor:
        if not (self.random_start or restart):
            return images
        return self._projected(images + self.epsilon * noise.symmetric(*images.shape[1:]), images)

    def _projected(self, pixels: Tensor, images: Tensor) -> Tensor:
        low, high = box(images, self.epsilon)
        return torch.minimum(torch.maximum(pixels, low), high)

    def _descend(self, victim: Victim, images: Tensor, start: Tensor, look: _Looking, noise: Noise) -> None:
        """Take all steps; only what rules look at is judged on the way, and the last picture always."""
        each_step = self.quantised and not self.rule.judges
        run = Run(start, look, noise, self.steps, self.epsilon, lambda pixels: self._projected(pixels, images))
        move, pixels = self.rule.begin(run), start
        for step in range(self.steps):
            look.sharpness = sharpness(self.schedule, step, self.steps)
            pixels = self._projected(move(pixels), images)
            if each_step or step == self.steps - 1:
                look.judge(on_grid(pixels, images, self.epsilon))


class _Looking:
    """The gradient of one goal at any pixels; the :class:`deephash.attacks.steps.Look` of a run."""

    def __init__(
        self, victim: Victim, images: Tensor, goal: Goal, attack: GradientAttack, best: Best, watch: Watch
    ) -> None:
        self._victim, self._images, self._goal, self._best, self._watch = victim, images, goal, best, watch
        self._epsilon, self._quantised = attack.epsilon, attack.quantised
        self.sharpness, self.unit = 1.0, torch.ones(len(images), 1, device=images.device)
        self.losses = torch.zeros(len(images))

    def __call__(self, pixels: Tensor, *, through: Callable[[Tensor], Tensor] | None = None) -> Tensor:
        # a neighbour or a point ahead may leave [0, 1]; what the network sees of it does not
        gradient, _ = self._gradient(pixels, lambda leaf: (leaf if through is None else through(leaf)).clamp(0, 1))
        return gradient

    def iterate(self, pixels: Tensor) -> Tensor:
        shown = on_grid(pixels, self._images, self._epsilon) if self._quantised else pixels
        gradient, continuous = self._gradient(shown, lambda leaf: leaf)
        if self._quantised:
            self._best.see(shown, self._victim.signs(shown, continuous))
        return gradient

    def judge(self, shown: Tensor) -> None:
        self._best.see(shown, self._victim.signs(shown))

    def _gradient(self, pixels: Tensor, through: Callable[[Tensor], Tensor]) -> tuple[Tensor, Tensor]:
        leaf = pixels.detach().requires_grad_()
        continuous = self._victim.continuous(through(leaf))
        losses = self._goal.loss(torch.tanh(self.sharpness * self.unit * continuous), leaf)
        (gradient,) = torch.autograd.grad(losses.sum(), leaf)
        gradient, self.losses = gradient.nan_to_num(0.0, 0.0, 0.0), losses.detach()
        self._watch.gradients += len(gradient)
        self._watch.vanished += int((gradient.flatten(1) == 0).all(dim=1).sum())
        return gradient, continuous.detach()


def _differentiable(victim: Victim, images: Tensor) -> Tensor:
    """Return clean continuous codes; raise UsageError where no gradient reaches the pixels."""
    victim.require_gradient(images)
    with torch.no_grad():
        return victim.continuous(images)
