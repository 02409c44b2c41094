"""Step rules: how a gradient moves the pixels. One small class each; :mod:`deephash.attacks.descent` is the loop."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from math import ceil
from typing import ClassVar, Protocol, TypeAlias

import torch
from torch import Tensor
from torch.nn.functional import interpolate, pad

from deephash.attacks.noise import Noise

LEVEL = 1 / 255
_TINY = 1e-12

Move: TypeAlias = Callable[[Tensor], Tensor]
"""Pixels -> pixels one step on; the loop projects them into the box."""


class Look(Protocol):
    """The gradient of the loss at given pixels.

    Attributes:
        losses: [B], at what was looked at last.
    """

    losses: Tensor

    def __call__(self, pixels: Tensor, *, through: Callable[[Tensor], Tensor] | None = None) -> Tensor:
        """Return d loss / d pixels, shaped like ``pixels``; ``through`` changes them before the model sees them."""

    def iterate(self, pixels: Tensor) -> Tensor:
        """Return the same at the attack's own picture, which is judged by the way."""


@dataclass(frozen=True, eq=False)
class Run:
    """One descent, as a rule sees it.

    Attributes:
        start: pictures [B, C, H, W] it begins with.
        look: gives gradients.
        noise: of the B pictures.
        steps: T.
        epsilon: the budget.
        projected: brings pixels back into the budget.
    """

    start: Tensor
    look: Look
    noise: Noise
    steps: int
    epsilon: float
    projected: Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class StepRule(ABC):
    """How a gradient moves the pixels."""

    judges: ClassVar[bool] = True  # looks at the attack's own picture in every step, so that judging it costs nothing

    @abstractmethod
    def begin(self, run: Run) -> Move:
        """Return the move of one run; its memory is its own."""


@dataclass(frozen=True)
class BIM(StepRule):
    """Sign of the gradient (Kurakin et al. 2017); with a random start it is PGD (Madry et al. 2018)."""

    step: float = LEVEL

    def begin(self, run: Run) -> Move:
        """Return ``x - step sign(g)``."""
        return lambda pixels: pixels - self.step * run.look.iterate(pixels).sign()


@dataclass(frozen=True)
class MI(StepRule):
    """Momentum of gradients of unit mean (Dong et al., CVPR 2018)."""

    step: float = LEVEL
    decay: float = 1.0

    def begin(self, run: Run) -> Move:
        """Return ``m <- decay m + g / mean|g|``, ``x - step sign(m)``."""
        momentum = _Momentum(self.decay)
        return lambda pixels: pixels - self.step * momentum(run.look.iterate(pixels)).sign()


@dataclass(frozen=True)
class NI(StepRule):
    """Momentum with the gradient taken where it leads to (Lin et al., ICLR 2020)."""

    judges: ClassVar[bool] = False
    step: float = LEVEL
    decay: float = 1.0

    def begin(self, run: Run) -> Move:
        """Return MI's move with g at ``x - step decay m``."""
        momentum = _Momentum(self.decay)

        def move(pixels: Tensor) -> Tensor:
            ahead = pixels - self.step * self.decay * momentum.value_like(pixels)
            return pixels - self.step * momentum(run.look(ahead)).sign()

        return move


@dataclass(frozen=True)
class SINI(StepRule):
    """NI over copies of the picture at halved brightness (Lin et al., ICLR 2020).

    Each copy is ``x / 2^i`` of the same picture, and its gradient is that of the loss by x: the release of SAAT
    halves the copy before (so that the third is an eighth) and leaves out the factor ``1 / 2^i``.
    """

    judges: ClassVar[bool] = False
    step: float = LEVEL
    decay: float = 1.0
    copies: int = 5

    def begin(self, run: Run) -> Move:
        """Return NI's move with the mean gradient over the copies."""
        momentum = _Momentum(self.decay)

        def move(pixels: Tensor) -> Tensor:
            ahead = pixels - self.step * self.decay * momentum.value_like(pixels)
            scales = [2.0**-copy for copy in range(self.copies)]
            gradient = sum((run.look(ahead, through=_times(scale)) for scale in scales), torch.zeros_like(pixels))
            return pixels - self.step * momentum(gradient / self.copies).sign()

        return move


@dataclass(frozen=True)
class DI(StepRule):
    """Momentum over pictures resized and padded at random (Xie et al., CVPR 2019).

    Args:
        step: of the sign.
        decay: of the momentum.
        smallest: smallest side, as a share of the picture's.
        probability: of changing the picture at all.
    """

    judges: ClassVar[bool] = False
    step: float = LEVEL
    decay: float = 1.0
    smallest: float = 0.9
    probability: float = 0.5

    def begin(self, run: Run) -> Move:
        """Return MI's move with g through a random resize."""
        momentum = _Momentum(self.decay)

        def move(pixels: Tensor) -> Tensor:
            draws = run.noise.uniform(4).cpu().tolist()
            gradient = run.look(pixels, through=lambda batch: _diverse(batch, draws, self.smallest, self.probability))
            return pixels - self.step * momentum(gradient).sign()

        return move


@dataclass(frozen=True)
class VMI(StepRule):
    """Momentum tuned by the variance of gradients around the picture (Wang and He, CVPR 2021).

    Args:
        step: of the sign.
        decay: of the momentum.
        neighbours: N pictures drawn around.
        radius: beta, in units of epsilon.
    """

    step: float = LEVEL
    decay: float = 1.0
    neighbours: int = 5
    radius: float = 1.5

    def begin(self, run: Run) -> Move:
        """Return MI's move with ``g + v``, v the mean gradient of the last step's neighbours minus its own."""
        momentum, variance = _Momentum(self.decay), torch.zeros_like(run.start)

        def move(pixels: Tensor) -> Tensor:
            nonlocal variance
            gradient = run.look.iterate(pixels)
            direction = momentum(gradient + variance).sign()
            around = torch.zeros_like(pixels)
            for _ in range(self.neighbours):
                offset = self.radius * run.epsilon * run.noise.symmetric(*pixels.shape[1:])
                around += run.look(pixels + offset)
            variance = around / self.neighbours - gradient
            return pixels - self.step * direction

        return move


@dataclass(frozen=True)
class Euclidean(StepRule):
    """The gradient divided by its length (DHTA's release, step 1)."""

    step: float = 1.0

    def begin(self, run: Run) -> Move:
        """Return ``x - step g / |g|``."""

        def move(pixels: Tensor) -> Tensor:
            gradient = run.look.iterate(pixels)
            length = gradient.flatten(1).norm(dim=1).clamp(min=_TINY)
            moved: Tensor = pixels - self.step * gradient / length.view(-1, 1, 1, 1)
            return moved

        return move


@dataclass(frozen=True)
class GradientDescent(StepRule):
    """The gradient itself, with momentum (HAG: 100 and 0.9; ProS-GAN's copy of DHTA: 1 and 0)."""

    step: float = 100.0
    momentum: float = 0.9

    def begin(self, run: Run) -> Move:
        """Return ``m <- momentum m + g``, ``x - step m``."""
        velocity = torch.zeros_like(run.start)

        def move(pixels: Tensor) -> Tensor:
            nonlocal velocity
            velocity = self.momentum * velocity + run.look.iterate(pixels)
            return pixels - self.step * velocity

        return move


@dataclass(frozen=True)
class Adam(StepRule):
    """Adam on the pixels (SDHA: step 0.01)."""

    step: float = 0.01
    betas: tuple[float, float] = (0.9, 0.999)
    stability: float = 1e-8

    def begin(self, run: Run) -> Move:
        """Return Kingma and Ba's update."""
        first, second, count = torch.zeros_like(run.start), torch.zeros_like(run.start), 0

        def move(pixels: Tensor) -> Tensor:
            nonlocal first, second, count
            gradient, count = run.look.iterate(pixels), count + 1
            first = self.betas[0] * first + (1 - self.betas[0]) * gradient
            second = self.betas[1] * second + (1 - self.betas[1]) * gradient.square()
            mean, spread = first / (1 - self.betas[0] ** count), second / (1 - self.betas[1] ** count)
            moved: Tensor = pixels - self.step * mean / (spread.sqrt() + self.stability)
            return moved

        return move


@dataclass(frozen=True)
class APGD(StepRule):
    """Momentum with a step that each picture halves when it makes no progress (Croce and Hein, ICML 2020).

    It needs a loss that means the same in every step: use the schedules ``constant`` or ``scaled``.

    Args:
        step: the first, in units of epsilon.
        inertia: share of the new direction; the rest is the last move.
        progress: share of steps between two checkpoints that must lower the loss.
    """

    step: float = 2.0
    inertia: float = 0.75
    progress: float = 0.75

    def begin(self, run: Run) -> Move:
        """Return the authors' two-step move with checkpoints."""
        return _Adaptive(self, run)


class _Adaptive:
    """The memory of APGD: step, best point and progress of each picture."""

    def __init__(self, rule: APGD, run: Run) -> None:
        count = len(run.start)
        self._rule, self._run, self._taken = rule, run, 0
        self._checkpoints = checkpoints(run.steps)
        self._step = torch.full((count, 1, 1, 1), rule.step * run.epsilon, device=run.start.device)
        self._before = self._best = run.start
        self._best_gradient = torch.zeros_like(run.start)
        self._lowest = torch.full((count,), torch.inf, device=run.start.device)
        self._last = -self._lowest  # the first look is no fall
        self._falls = torch.zeros(count, device=run.start.device)
        self._kept = torch.zeros(count, dtype=torch.bool, device=run.start.device)
        self._lowest_then, self._checked_at = self._lowest.clone(), 0

    def __call__(self, pixels: Tensor) -> Tensor:
        gradient = self._run.look.iterate(pixels)
        loss = self._run.look.losses
        self._falls += loss < self._last
        better = loss < self._lowest
        self._lowest, self._last = torch.where(better, loss, self._lowest), loss
        chosen = better.view(-1, 1, 1, 1)
        self._best = torch.where(chosen, pixels, self._best)
        self._best_gradient = torch.where(chosen, gradient, self._best_gradient)
        if self._taken in self._checkpoints:
            pixels, gradient = self._halved_where_stuck(pixels, gradient)
        towards = self._run.projected(pixels - self._step * gradient.sign())
        inertia = self._rule.inertia if self._taken else 1.0
        after = pixels + inertia * (towards - pixels) + (1 - inertia) * (pixels - self._before)
        self._before, self._taken = pixels, self._taken + 1
        return after

    def _halved_where_stuck(self, pixels: Tensor, gradient: Tensor) -> tuple[Tensor, Tensor]:
        """Halve the step of pictures without progress, and put them back to their best point."""
        few = self._falls < self._rule.progress * (self._taken - self._checked_at)
        still = self._kept & (self._lowest >= self._lowest_then)
        stuck = few | still
        self._kept = ~stuck
        self._lowest_then, self._checked_at = self._lowest.clone(), self._taken
        self._falls.zero_()
        chosen = stuck.view(-1, 1, 1, 1)
        self._step = torch.where(chosen, self._step / 2, self._step)
        return torch.where(chosen, self._best, pixels), torch.where(chosen, self._best_gradient, gradient)


def checkpoints(steps: int) -> tuple[int, ...]:
    """Return the steps at which APGD looks back: at shares 0.22, 0.41, 0.57, ... of the run."""
    shares, before = [0.22], 0.0
    while shares[-1] < 1:
        width = max(shares[-1] - before - 0.03, 0.06)
        before = shares[-1]
        shares.append(before + width)
    return tuple(sorted({ceil(share * steps - 1e-9) for share in shares if share < 1} - {0}))


class _Momentum:
    """Decaying sum of gradients of unit mean size, a picture at a time."""

    def __init__(self, decay: float) -> None:
        self._decay, self._value = decay, torch.zeros(())

    def value_like(self, pixels: Tensor) -> Tensor:
        return self._value.to(pixels.device).expand_as(pixels)

    def __call__(self, gradient: Tensor) -> Tensor:
        size = gradient.abs().flatten(1).mean(dim=1).clamp(min=_TINY).view(-1, 1, 1, 1)
        self._value = self._decay * self.value_like(gradient) + gradient / size
        return self._value


def _times(scale: float) -> Callable[[Tensor], Tensor]:
    return lambda pixels: pixels * scale


def _diverse(pixels: Tensor, draws: list[list[float]], smallest: float, probability: float) -> Tensor:
    """Return each picture resized to a smaller one and padded back, by its own four draws."""
    height, width = pixels.shape[-2:]
    changed = []
    for picture, (resized, asked, left, top) in zip(pixels, draws, strict=True):
        share = smallest + (1 - smallest) * resized
        high, wide = (max(1, min(side, round(side * share))) for side in (height, width))
        if asked >= probability or (high, wide) == (height, width):
            changed.append(picture)
            continue
        small = interpolate(picture[None], size=(high, wide), mode="bilinear", align_corners=False)[0]
        x, y = int(left * (width - wide + 1)), int(top * (height - high + 1))
        changed.append(pad(small, (x, width - wide - x, y, height - high - y)))
    return torch.stack(changed)
