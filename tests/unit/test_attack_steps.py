"""Step rules against plain re-implementations, and the presets of releases."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from deephash.attacks import DHTA, HAG, P2P, PGD, SDHA, Evade, Mainstay, as_published
from deephash.attacks.noise import Noise
from deephash.attacks.steps import APGD, MI, NI, SINI, Adam, Euclidean, GradientDescent, Run, StepRule, checkpoints
from deephash.errors import UsageError

EPSILON, STEPS = 0.1, 40


class Landscape:
    """A loss with many hollows, as a rule looks at it; counts its looks."""

    def __init__(self) -> None:
        draw = torch.Generator().manual_seed(0)
        self.at = torch.rand(4, 1, 3, 3, generator=draw, dtype=torch.float64)
        self.wave = 40 + 60 * torch.rand(4, 1, 3, 3, generator=draw, dtype=torch.float64)
        self.losses = torch.zeros(4, dtype=torch.float64)
        self.looked: list[torch.Tensor] = []

    def loss(self, pixels: torch.Tensor) -> torch.Tensor:
        return (torch.sin(self.wave * (pixels - self.at)) + (pixels - self.at).square()).flatten(1).sum(dim=1)

    def __call__(self, pixels, *, through=None):
        leaf = pixels.detach().requires_grad_()
        loss = self.loss(leaf if through is None else through(leaf))
        self.looked.append(pixels.clone())
        self.losses = loss.detach()
        return torch.autograd.grad(loss.sum(), leaf)[0]

    iterate = __call__


def start() -> torch.Tensor:
    return 0.2 + 0.6 * torch.rand(4, 1, 3, 3, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


def boxed(pixels: torch.Tensor) -> torch.Tensor:
    return torch.minimum(torch.maximum(pixels, start() - EPSILON), start() + EPSILON)


def descend(rule: StepRule, steps: int = STEPS) -> list[torch.Tensor]:
    """Return the pixels that a rule looked at, by the loop of the descent."""
    land, pixels = Landscape(), start()
    move = rule.begin(Run(pixels, land, Noise(0, range(4)), steps, EPSILON, boxed))
    for _ in range(steps):
        pixels = boxed(move(pixels))
    return [*land.looked, pixels]


def apgd_of_one(row: int, rho: float = 0.75, alpha: float = 0.75) -> tuple[list[torch.Tensor], list[float]]:
    """Algorithm 1 of Croce and Hein for one picture, minimising: points looked at, and the step at each."""
    land = Landscape()

    def value(x):
        leaf = x.clone().requires_grad_()
        loss = land.loss(leaf.expand(4, -1, -1, -1))[row]
        return float(loss.detach()), torch.autograd.grad(loss, leaf)[0]

    def project(x):
        return torch.minimum(torch.maximum(x, start()[row] - EPSILON), start()[row] + EPSILON)

    eta = 2 * EPSILON
    x = start()[row]
    loss, gradient = value(x)
    best, best_x, best_gradient = loss, x, gradient
    seen, etas = [x], [eta]
    before, x = x, project(x - eta * gradient.sign())
    losses, marks = [loss], checkpoints(STEPS)
    last_mark, last_eta, last_best = 0, eta, torch.inf
    for k in range(1, STEPS):
        loss, gradient = value(x)
        seen.append(x)
        losses.append(loss)
        if loss < best:
            best, best_x, best_gradient = loss, x, gradient
        if k in marks:
            falls = sum(losses[i] < losses[i - 1] for i in range(last_mark + 1, k + 1))
            few = falls < rho * (k - last_mark)
            still = last_mark > 0 and last_eta == eta and last_best <= best
            last_eta, last_best, last_mark = eta, best, k
            if few or still:
                eta = eta / 2
                x, gradient = best_x, best_gradient  # what lay before stays, as in the release
        etas.append(eta)
        z = project(x - eta * gradient.sign())
        before, x = x, project(x + alpha * (z - x) + (1 - alpha) * (x - before))
    return [*seen, x], etas


def test_apgd_halves_and_goes_back_as_in_its_paper():
    found = descend(APGD())
    halved = 0
    for row in range(4):
        expected, etas = apgd_of_one(row)
        halved += len(set(etas)) > 2
        for step, (each, wanted) in enumerate(zip(found, expected, strict=True)):
            assert torch.allclose(each[row], wanted, atol=1e-12), (row, step)
    assert halved  # the landscape makes it halve


def test_the_copies_of_si_ni_are_halves_of_the_same_picture_by_the_chain_rule():
    """d/dx of the mean of L(x / 2^i) is the mean of L'(x / 2^i) / 2^i; the release leaves that factor out."""
    land, pixels = Landscape(), start()
    move = SINI(step=0.01, copies=4).begin(Run(pixels, land, Noise(0, range(4)), 1, EPSILON, boxed))
    scaled = []
    for copy in range(4):
        leaf = (pixels / 2**copy).requires_grad_()
        scaled.append(torch.autograd.grad(land.loss(leaf).sum(), leaf)[0] / 2**copy)
    expected = pixels - 0.01 * torch.stack(scaled).mean(dim=0).sign()
    without = pixels - 0.01 * torch.stack([each * 2**copy for copy, each in enumerate(scaled)]).mean(dim=0).sign()
    assert torch.equal(move(pixels), expected)
    assert not torch.equal(expected, without)


def test_momentum_sums_gradients_of_unit_mean_and_ni_looks_ahead():
    for rule, ahead in ((MI(step=0.02, decay=0.6), 0.0), (NI(step=0.02, decay=0.6), 1.0)):
        found = descend(rule, 6)
        land, pixels, momentum = Landscape(), start(), torch.zeros_like(start())
        for step in range(6):
            looked = pixels - ahead * 0.02 * 0.6 * momentum
            assert torch.allclose(found[step], looked)
            gradient = land(looked)
            momentum = 0.6 * momentum + gradient / gradient.abs().flatten(1).mean(dim=1).view(-1, 1, 1, 1)
            pixels = boxed(pixels - 0.02 * momentum.sign())
        assert torch.allclose(found[-1], pixels)


def test_the_optimisers_of_the_releases_are_those_of_torch():
    """HAG's SGD with momentum and SDHA's Adam, without the budget."""
    for rule, made in (
        (GradientDescent(1e-4, 0.9), lambda leaf: torch.optim.SGD([leaf], 1e-4, momentum=0.9)),
        (Adam(1e-3), lambda leaf: torch.optim.Adam([leaf], 1e-3)),
    ):
        leaf, land = start().requires_grad_(), Landscape()
        optimizer = made(leaf)
        move, pixels = rule.begin(Run(start(), Landscape(), Noise(0, range(4)), 8, 1.0, boxed)), start()
        for _ in range(8):
            optimizer.zero_grad()
            land.loss(leaf).sum().backward()
            optimizer.step()
            pixels = move(pixels)
        assert torch.allclose(pixels, leaf.detach(), atol=1e-10)


def test_a_step_of_dhta_is_one_long():
    found = descend(Euclidean(0.05), 1)
    moved = (found[1] - found[0]).flatten(1)
    assert ((moved.norm(dim=1) - 0.05).abs() < 1e-12).any()  # the others are cut by the box
    assert (moved.norm(dim=1) <= 0.05 + 1e-12).all()


# Presets --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("attack", "whose", "constants"),
    [
        (HAG(), "saat", {"steps": 2000, "rule": GradientDescent(100.0, 0.9), "schedule": "ten"}),
        (SDHA(), "saat", {"steps": 1500, "rule": Adam(0.01), "schedule": "ten", "weight": 25.0}),
        (DHTA(), "release", {"steps": 2000, "rule": Euclidean(1.0), "schedule": "dhta", "epsilon": 0.032}),
        (P2P(), "release", {"steps": 2000, "anchors": 1, "epsilon": 0.032}),
        (DHTA(), "prosgan", {"rule": GradientDescent(1.0, 0.0), "epsilon": 8 / 255, "anchors": 9}),
        (DHTA(), "saat", {"steps": 2000, "epsilon": 0.032, "schedule": "ten"}),
        (Mainstay(), "saat", {"steps": 100, "epsilon": 8 / 255, "random_start": True}),
    ],
)
def test_presets_have_the_constants_of_the_releases_on_float_pictures(attack, whose, constants):
    preset = as_published(replace(attack, seed=7), whose)
    assert {name: getattr(preset, name) for name in constants} == constants
    assert not preset.quantised
    assert preset.seed == 7
    assert type(preset) is type(attack)


@pytest.mark.parametrize(
    ("attack", "whose", "message"),
    [
        (HAG(), "prosgan", "known: saat"),
        (DHTA(), "paper", "known: prosgan, release, saat"),
        (Evade(), "saat", "no preset"),
    ],
)
def test_an_unknown_preset_names_those_that_are_known(attack, whose, message):
    with pytest.raises(UsageError, match=message):
        as_published(attack, whose)
    assert PGD().quantised
