"""A patch to print and lay beside things: pictures that carry it get other codes (after AdvHash, Hu et al., MM 2021).

It is learned over random places, sizes, turns and light (expectation over transformation, Athalye et al., ICML 2018).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Self

import torch
from PIL import Image
from torch import Tensor
from torch.nn.functional import affine_grid, grid_sample

from deephash.attacks.base import Aim, Attack, Watch
from deephash.attacks.gallery import as_picture
from deephash.attacks.learning import Lesson, shared_loss
from deephash.attacks.noise import Noise
from deephash.attacks.pixels import LEVELS
from deephash.attacks.schedules import Schedule, require_schedule, sharpness
from deephash.attacks.victims import Victim
from deephash.errors import UsageError

PATCH_FILE = "patch.png"
BATCH, LEARNING_RATE = 32, 0.05
LEAST_CELLS = 8  # a side of the texture
PRINTED, DOTS_PER_INCH = 600, 300  # pixels of the printed side, at least: five centimetres
_DRAWS = 5  # numbers that place one patch


@dataclass(frozen=True, eq=False)
class Placement:
    """Where and how B square patches lie.

    Attributes:
        x: centres from the left edge, in pixels, [B].
        y: centres from the top.
        half: half of the side, in pixels.
        angle: turn, in radians.
        light: factor of the brightness.
    """

    x: Tensor
    y: Tensor
    half: Tensor
    angle: Tensor
    light: Tensor

    def laid(self, patch: Tensor, images: Tensor) -> tuple[Tensor, Tensor]:
        """Return pictures that carry the patch [C, S, S], and booleans [B, 1, H, W] of the pixels that it covers.

        A pixel is covered where its centre lies in the square; all others stay as they are, bit for bit.
        """
        height, width = images.shape[-2:]
        across, along = self.angle.cos() / self.half, self.angle.sin() / self.half
        from_x, from_y = width / 2 - self.x, height / 2 - self.y  # middle of the picture, seen from the patch
        rows = [
            torch.stack([across * width / 2, along * height / 2, across * from_x + along * from_y], dim=1),
            torch.stack([-along * width / 2, across * height / 2, across * from_y - along * from_x], dim=1),
        ]
        grid = affine_grid(torch.stack(rows, dim=1), list(images.shape), align_corners=False)
        covered = (grid.abs() <= 1).all(dim=3)[:, None]
        shown = grid_sample(patch.expand(len(images), -1, -1, -1), grid, padding_mode="border", align_corners=False)
        lit = (shown * self.light.view(-1, 1, 1, 1)).clamp(0, 1)
        return torch.where(covered, lit, images), covered


@dataclass(frozen=True)
class Patch(Attack):
    """Lay one learned patch on every picture: away from each one's own code, or all to one guide code.

    Args:
        epsilon: stays 1, as pixels under the patch may become anything; the budget is ``patch_size``.
        steps: batches of 32 that it learns from; 0 leaves pictures as they are.
        seed: see :class:`Attack`; it also draws where the patch lies on each picture.
        patch_size: side of the square, as a share of the picture's shorter side.
        patch_place: centre as shares of width and height; None draws it for each picture.
        turn: degrees to both sides.
        scaling: the side varies by this share.
        lighting: the brightness varies by this share.
        schedule: how steep the tanh is at each step.
    """

    epsilon: float = 1.0
    patch_size: float = 0.2
    patch_place: tuple[float, float] | None = None
    turn: float = 15.0
    scaling: float = 0.1
    lighting: float = 0.1
    schedule: Schedule = "ten"
    patch: Tensor | None = field(default=None, compare=False, repr=False)

    def __post_init__(self) -> None:
        super().__post_init__()
        require_schedule(self.schedule)
        if self.epsilon != 1:
            raise UsageError(
                f"a patch may change its pixels at will, so that epsilon ({self.epsilon:g}) is no budget of it; leave "
                "--epsilon out, and give --patch-size"
            )
        if not 0 < self.patch_size <= 1:
            raise UsageError(f"the side of a patch is a share of the picture's, from 0 to 1, not {self.patch_size:g}")
        if self.patch_place is not None and not all(0 <= each <= 1 for each in self.patch_place):
            raise UsageError(f"the place of a patch is two shares from 0 to 1, not {self.patch_place}")

    @property
    def budget(self) -> str:
        """The size, and the place where it is given."""
        place = "" if self.patch_place is None else ",place={:g}x{:g}".format(*self.patch_place)
        return f"patch={self.patch_size:g}{place}"

    def placement(self, images: Tensor, draws: Tensor) -> Placement:
        """Return where patches lie, inside the pictures whole, by uniform ``draws`` [B, 5] in [0, 1)."""
        height, width = images.shape[-2:]
        turned, scaled, lit = ((2 * draws[:, column] - 1) for column in (0, 1, 2))
        angle = turned * (self.turn * torch.pi / 180)
        spread = angle.cos().abs() + angle.sin().abs()  # half of the upright square around a turned one, by its half
        half = self.patch_size * (1 + self.scaling * scaled) * min(height, width) / 2
        half = torch.minimum(half, min(height, width) / 2 / spread)
        centres = []
        for axis, length in enumerate((width, height)):
            margin = half * spread
            if self.patch_place is None:
                centres.append(margin + draws[:, 3 + axis] * (length - 2 * margin))
            else:
                wanted = torch.full_like(half, self.patch_place[axis] * length)
                centres.append(torch.minimum(torch.maximum(wanted, margin), length - margin))
        return Placement(centres[0], centres[1], half, angle, 1 + self.lighting * lit)

    def placed(self, images: Tensor, items: list[int]) -> Placement:
        """Return where the patch lies on each picture, by seed and item."""
        return self.placement(images, Noise(self.seed, items, images.device).uniform(_DRAWS))

    def run(self, victim: Victim, images: Tensor, aim: Aim, watch: Watch) -> Tensor:
        """Return the pictures with the patch, which is rounded to 8 bits."""
        if self.patch is None:
            raise UsageError("a patch is learned first: attack.learn(victim_of(model), Lesson(...))")
        placement = self.placed(images, list(aim.items or range(len(images))))
        shown, covered = placement.laid(self.patch.to(images.device), images)
        return torch.where(covered, (shown * LEVELS).round() / LEVELS, images)

    def learn(self, victim: Victim, lesson: Lesson) -> Self:
        """Learn the patch by Adam over random placements on random pictures."""
        lesson.require_pictures(victim, "a patch")
        guide = None if lesson.guide is None else lesson.guide.to(victim.device)
        patch: Tensor | None = None
        with victim.evaluating():
            for step, (images, draws) in enumerate(self._batches(lesson)):
                pictures = images.to(victim.device)
                if patch is None:
                    patch = self._start(pictures).requires_grad_()
                    optimizer = torch.optim.Adam([patch], lr=LEARNING_RATE)
                shown, _ = self.placement(pictures, draws.to(victim.device)).laid(patch, pictures)
                steep = sharpness(self.schedule, step, self.steps)
                loss = shared_loss(victim, pictures, shown, guide, steep).mean()
                (gradient,) = torch.autograd.grad(loss, patch)
                patch.grad = gradient.nan_to_num(0.0, 0.0, 0.0)
                optimizer.step()
                patch.data.clamp_(0, 1)
        return self if patch is None else replace(self, patch=(patch.detach() * LEVELS).round() / LEVELS)

    def learned(self) -> dict[str, Tensor]:
        """Return the patch [C, S, S]."""
        return {} if self.patch is None else {"patch": self.patch}

    def with_learned(self, state: dict[str, Tensor]) -> Self:
        """Return the attack with that patch."""
        return replace(self, patch=state["patch"])

    def print_into(self, folder: Path) -> None:
        """Write ``patch.png``, each of its cells several pixels wide, so that it can be printed as it is."""
        assert self.patch is not None
        cells = self.patch.shape[-1]
        side = cells * -(-PRINTED // cells)
        printed = as_picture(self.patch).resize((side, side), Image.Resampling.NEAREST)
        printed.save(folder / PATCH_FILE, dpi=(DOTS_PER_INCH, DOTS_PER_INCH))

    def _batches(self, lesson: Lesson) -> Iterator[tuple[Tensor, Tensor]]:
        generator = torch.Generator().manual_seed(self.seed)
        for images, _ in lesson.batches(BATCH, self.steps, self.seed, "learning a patch"):
            yield images, torch.rand(len(images), _DRAWS, generator=generator)

    def _start(self, pictures: Tensor) -> Tensor:
        cells = max(LEAST_CELLS, round(self.patch_size * min(pictures.shape[-2:])))
        drawn = torch.rand(pictures.shape[1], cells, cells, generator=torch.Generator().manual_seed(self.seed))
        return drawn.to(pictures.device)
