"""Square: an attack by answers alone. It asks for the nearest neighbours and sees their distances, nothing else.

After Andriushchenko et al. (ECCV 2020): squares of extreme pixels are tried, and kept where the answer gets worse.
What stands for a classifier's margin there is here what a search service returns: how far the items are that it gave
for the clean picture (or that carry the target), an item that is no longer returned counting one bit beyond the last.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from deephash.attacks.base import Aim, Attack, Watch
from deephash.attacks.noise import Noise
from deephash.attacks.pixels import box, on_grid
from deephash.attacks.victims import Victim
from deephash.errors import UsageError
from deephash.objectives.labels import share_label

_HALVED_AT = (10, 50, 200, 500, 1000, 2000, 4000, 6000, 8000)  # of 10,000 steps, in the authors' schedule
MOST_TARGETS = 50  # items whose distances a targeted attack follows


@dataclass(frozen=True, eq=False)
class Oracle:
    """A search service as an attacker sees it: the ``depth`` nearest items of a code and their distances.

    Attributes:
        codes: signs float [N, K] of the database.
        depth: items returned.
    """

    codes: Tensor
    depth: int

    def answers(self, signs: Tensor) -> tuple[Tensor, Tensor]:
        """Return item numbers and distances [B, depth], by (distance, number)."""
        distances = (signs.shape[1] - signs @ self.codes.T) / 2
        rank = distances.double() * len(self.codes) + torch.arange(len(self.codes), device=signs.device)
        nearest = rank.topk(self.depth, dim=1, largest=False).indices
        return nearest, distances.gather(1, nearest)

    def reach(self, signs: Tensor, followed: Tensor) -> Tensor:
        """Return the mean distance [B] of followed items (booleans [B, N]); not returned is one beyond the last."""
        nearest, distances = self.answers(signs)
        given = followed.gather(1, nearest)
        count = followed.sum(dim=1).clamp(min=1)
        missing = count - given.sum(dim=1)
        return ((distances * given).sum(dim=1) + missing * (distances[:, -1] + 1)) / count


@dataclass(frozen=True)
class Square(Attack):
    """Try squares of extreme pixels, and keep those that make the answer worse.

    Args:
        epsilon: see :class:`Attack`.
        steps: questions asked of the service for each picture, after two for the clean one and the first stripes.
        seed: see :class:`Attack`.
        share: of the picture that the first squares cover.
        depth: neighbours that the service returns; with a target it returns all, as the target is not among them.
    """

    asks_database: ClassVar[bool] = True

    needs_gradient: ClassVar[bool] = False
    steps: int = 500
    share: float = 0.8
    depth: int = 50

    def run(self, victim: Victim, images: Tensor, aim: Aim, watch: Watch) -> Tensor:
        """Ask ``steps`` times and return the best picture of each."""
        if aim.known is None:
            raise UsageError("square asks a collection for its answers: give Aim(known=Known(codes))")
        clean = victim.signs(images)
        aim.require_bits(clean.shape[1], victim.name)
        whole = len(aim.known.codes)
        oracle = Oracle(aim.known.codes, whole if aim.is_targeted else min(self.depth, whole))
        followed, sign_of_score = self._followed(oracle, clean, aim)
        noise = Noise(self.seed, list(aim.items or range(len(images))), images.device)

        def score(pixels: Tensor) -> Tensor:
            watch.queries += len(pixels)
            return sign_of_score * oracle.reach(victim.signs(pixels), followed)

        best, lowest = images.clone(), score(images)
        watch.first += lowest.tolist()
        low, high = box(images, self.epsilon)
        stripes = torch.where(noise.uniform(images.shape[1], 1, images.shape[3]) < 0.5, low, high)
        best, lowest = _kept(best, lowest, on_grid(stripes, images, self.epsilon), score)
        for step in range(self.steps):
            tried = self._with_square(best, low, high, noise, step)
            best, lowest = _kept(best, lowest, on_grid(tried, images, self.epsilon), score)
        watch.best += lowest.tolist()
        return best

    def _followed(self, oracle: Oracle, signs: Tensor, aim: Aim) -> tuple[Tensor, float]:
        """Return booleans [B, N], whose distances are followed, and whether they are to grow (-1) or to shrink (1)."""
        assert aim.known is not None
        if aim.codes is not None:
            nearest, _ = oracle.answers(aim.codes)
            return _marked(nearest[:, :1], len(oracle.codes)), 1.0
        if aim.targets is not None:
            if aim.known.labels is None:
                raise UsageError("a targeted square attack needs labels of the collection")
            of_target = share_label(aim.targets, aim.known.labels)
            return of_target & (of_target.cumsum(dim=1) <= MOST_TARGETS), 1.0
        nearest, _ = oracle.answers(signs)
        return _marked(nearest, len(oracle.codes)), -1.0

    def _with_square(self, best: Tensor, low: Tensor, high: Tensor, noise: Noise, step: int) -> Tensor:
        """Return the pictures with a square each set to the edge of the budget, a sign for each channel."""
        channels, height, width = best.shape[1:]
        side = max(1, min(height, width, round((self._covered(step) * height * width) ** 0.5)))
        places, signs = noise.uniform(2), noise.uniform(channels, 1, 1) < 0.5
        top = (places[:, 0] * (height - side + 1)).long().view(-1, 1, 1, 1)
        left = (places[:, 1] * (width - side + 1)).long().view(-1, 1, 1, 1)
        rows = torch.arange(height, device=best.device).view(1, 1, -1, 1)
        columns = torch.arange(width, device=best.device).view(1, 1, 1, -1)
        inside = (rows >= top) & (rows < top + side) & (columns >= left) & (columns < left + side)
        return torch.where(inside, torch.where(signs, low, high), best)

    def _covered(self, step: int) -> float:
        """Return the share of the picture that a square covers; halved by the authors' schedule, scaled to T."""
        place = step * 10_000 / max(self.steps, 1)
        return self.share * 0.5 ** sum(place > limit for limit in _HALVED_AT)


def _kept(best: Tensor, lowest: Tensor, tried: Tensor, score: Callable[[Tensor], Tensor]) -> tuple[Tensor, Tensor]:
    found = score(tried)
    better = found < lowest
    return torch.where(better.view(-1, 1, 1, 1), tried, best), torch.where(better, found, lowest)


def _marked(places: Tensor, count: int) -> Tensor:
    return torch.zeros(len(places), count, dtype=torch.bool, device=places.device).scatter_(1, places, True)
