"""Ten classes of small pictures around templates, and linear hash models of them, for the tests of attacks."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from deephash.attacks import Known
from deephash.attacks.learning import Lesson
from deephash.evaluation.metrics import mean_average_precision

CLASSES, SIDE = 10, 16


class Toy:
    """Ten classes of pictures around templates, and models whose bits are linear in the pixels."""

    def __init__(self) -> None:
        draw = torch.Generator().manual_seed(0)
        coarse = torch.rand(CLASSES, 3, 4, 4, generator=draw)
        self.templates = coarse.repeat_interleave(4, 2).repeat_interleave(4, 3)
        self.train, self.labels = self.draw(120, 1)
        self.queries, self.own = self.draw(40, 2)
        self.targets = (self.own + 3) % CLASSES

    def draw(self, number: int, seed: int) -> tuple[Tensor, Tensor]:
        labels, draw = torch.arange(number) % CLASSES, torch.Generator().manual_seed(seed)
        noise = torch.rand(number, 3, SIDE, SIDE, generator=draw)
        return ((0.7 * self.templates[labels] + 0.3 * noise) * 255).round() / 255, labels

    def model(self, bits: int, seed: int) -> nn.Module:
        """Return a linear hash that looks where classes differ, as trained ones do; outputs are about one."""
        mixed = torch.randn(bits, CLASSES, generator=torch.Generator().manual_seed(seed))
        weights = mixed @ (self.templates - self.templates.mean(dim=0)).flatten(1)
        net = nn.Sequential(nn.Flatten(), nn.Linear(3 * SIDE * SIDE, bits))
        centred = self.train.flatten(1) - self.train.flatten(1).mean(dim=0)
        weights = weights / (centred @ weights.T).std(dim=0)[:, None]
        net[1].weight.data, net[1].bias.data = weights, -(self.train.flatten(1).mean(dim=0) @ weights.T)
        return net

    def bits(self, model: nn.Module, pictures: Tensor) -> Tensor:
        with torch.no_grad():
            return model(pictures) >= 0

    def lesson(self, model: nn.Module) -> Lesson:
        known = Known(2 * self.bits(model, self.train).float() - 1, self.labels)
        return Lesson(known, len(self.train), lambda rows: self.train[list(rows)])

    def map_of(self, model: nn.Module, pictures: Tensor, labels: Tensor) -> float:
        """Return mAP of pictures that ask, against the training pictures."""
        sides = (self.bits(model, each).numpy() for each in (pictures, self.train))
        return mean_average_precision(*sides, query_labels=labels.numpy(), database_labels=self.labels.numpy())

    def t_map(self, model: nn.Module, pictures: Tensor) -> float:
        """Return mAP by the targets' labels."""
        return self.map_of(model, pictures, self.targets)


class Thin(nn.Module):
    """A generator of two layers in the place of 21 million weights: the training is the same."""

    def __init__(self, side: int = 224) -> None:
        super().__init__()
        self.side = side
        self.label, self.output = nn.Linear(512, 3 * side * side), nn.Conv2d(6, 3, 3, padding=1)

    def forward(self, pictures: Tensor, semantic: Tensor) -> Tensor:
        maps = torch.cat([pictures, self.label(semantic).view_as(pictures)], dim=1)
        return torch.tanh(pictures + self.output(maps))


class Flat(nn.Sequential):
    """A discriminator of one layer."""

    def __init__(self, num_classes: int, side: int = 224) -> None:
        super().__init__(nn.Flatten(), nn.Linear(3 * side * side, num_classes + 1))
