"""Each flag is raised by a model that was built to raise it, and by no honest one."""

from __future__ import annotations

import pytest
from torch import nn

from deephash.attacks import PGD, Aim, AutoPGD, Square, Victim, Watch
from deephash.attacks.flags import curve_flag, gradient_flag, order_flag, randomness_flag
from tests.pictures_toy import Toy

EPSILON = 48 / 255


@pytest.fixture(scope="module")
def toy() -> Toy:
    return Toy()


@pytest.fixture(scope="module")
def honest(toy) -> nn.Module:
    return toy.model(16, 0)


class Saturated(nn.Module):
    """The same codes, with outputs so large that tanh is flat."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, pixels):
        return 1e6 * self.inner(pixels)


class Forgetful(Saturated):
    """Dropout that evaluation does not switch off."""

    def forward(self, pixels):
        return self.inner(nn.functional.dropout(pixels, 0.2, training=True))


class Rounded(Saturated):
    """Pixels are rounded to seventeen levels, where no gradient passes; what does pass leads back."""

    def forward(self, pixels):
        return self.inner((pixels * 16).round() / 16 - 1e-4 * pixels)


def watched(attack, model, toy) -> tuple[Watch, float]:
    watch = Watch()
    aim = Aim(known=toy.lesson(model).known)
    found = attack.perturb(model, toy.queries, aim, watch=watch)
    return watch, toy.map_of(model, found, toy.own)


def test_saturated_outputs_give_zero_gradients_and_scaled_ones_help(toy, honest):
    flat = Saturated(honest)
    watch, stuck = watched(PGD(epsilon=EPSILON, steps=10, schedule="constant", random_start=False), flat, toy)
    (flag,) = gradient_flag("pgd", watch.gradients, watch.vanished)
    assert "zero gradients: 100% of the gradients of pgd" in flag
    assert stuck == toy.map_of(flat, toy.queries, toy.own)
    watch, broken = watched(AutoPGD(epsilon=EPSILON, steps=10), flat, toy)
    assert list(gradient_flag("apgd", watch.gradients, watch.vanished)) == []
    assert broken < stuck - 0.3


def test_an_attack_that_never_looked_has_no_flag_of_gradients():
    assert list(gradient_flag("square", 0, 0)) == []
    assert list(gradient_flag("pgd", 10, 5)) == []  # half of them: not most


def test_dropout_in_evaluation_is_randomness(toy, honest):
    restless = Forgetful(honest).train()
    (flag,) = randomness_flag(Victim(restless, module=restless), toy.queries[:2])
    assert flag.startswith("randomness:")
    assert restless.training
    honest_dropout = nn.Sequential(nn.Dropout(0.5), honest).train()
    assert list(randomness_flag(Victim(honest_dropout, module=honest_dropout), toy.queries[:2])) == []


def test_masked_gradients_make_square_stronger_than_the_white_box(toy, honest):
    def scores(model) -> tuple[dict[str, float], dict[str, float]]:
        square = watched(Square(epsilon=EPSILON, steps=150, depth=12), model, toy)[1]
        return {"square": square}, {"apgd": watched(AutoPGD(epsilon=EPSILON, steps=20), model, toy)[1]}

    (flag,) = order_flag(*scores(Rounded(honest)))
    assert "square without gradients" in flag
    assert "gradients are masked" in flag
    assert list(order_flag(*scores(honest))) == []
    assert list(order_flag({}, {"apgd": 0.5})) == list(order_flag({"square": 0.1}, {})) == []


def test_a_curve_that_does_not_reach_chance_is_told(toy, honest):
    def curve(model) -> dict[float, float]:
        budgets = (8 / 255, 48 / 255, 1.0)
        return {each: watched(AutoPGD(epsilon=each, steps=20), model, toy)[1] for each in budgets}

    masked = [flag for flag in curve_flag(curve(Rounded(honest)), chance=0.1) if "does not reach chance" in flag]
    assert masked
    assert "by chance it is 0.100" in masked[0]
    assert not [flag for flag in curve_flag(curve(honest), chance=0.1) if "does not reach chance" in flag]


def test_more_budget_that_finds_less_is_told():
    (flag,) = curve_flag({0.01: 0.4, 0.02: 0.5, 1.0: 0.05}, chance=0.1)
    assert "more budget finds less: mAP is 0.400 at epsilon 0.01 and 0.500 at 0.02" in flag
    assert list(curve_flag({0.01: 0.5, 0.02: 0.52, 1.0: 0.1}, chance=0.1)) == []  # as much as chance moves it
    assert list(curve_flag({}, chance=0.1)) == []
