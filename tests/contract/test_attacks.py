"""Every attack keeps the promises of :class:`AttackContract`."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from deephash.attacks import DHTA, HAG, P2P, PGD, SDHA, Aim, AutoPGD, Collide, Evade, Mainstay
from deephash.attacks.steps import BIM, DI, MI, NI, SINI, VMI
from deephash.errors import UsageError
from deephash.testing.attacks import NUM_BITS, NUM_CLASSES, AttackContract, ToyHash, aim, pictures


class TestHAG(AttackContract):
    random = False

    def attack(self, **options):
        return HAG(**options)


class TestSDHA(AttackContract):
    random = False

    def attack(self, **options):
        return SDHA(**options)


class TestTargetedSDHA(TestSDHA):
    targeted = True


class TestMainstay(AttackContract):
    def attack(self, **options):
        return Mainstay(**options)


class TestTargetedMainstay(TestMainstay):
    targeted = True


class TestDHTA(AttackContract):
    targeted = True

    def attack(self, **options):
        return DHTA(**options)


class TestP2P(TestDHTA):
    def attack(self, **options):
        return P2P(**options)


@pytest.mark.parametrize("rule", [BIM(), MI(), NI(), SINI(), DI(), VMI()], ids=lambda rule: type(rule).__name__)
class TestPGD(AttackContract):
    @pytest.fixture(autouse=True)
    def _rule(self, rule):
        self.rule = rule

    def attack(self, **options):
        return PGD(rule=self.rule, **options)


class TestAutoPGD(AttackContract):
    def attack(self, **options):
        return AutoPGD(**options)


class TestRestarts(AttackContract):
    def attack(self, **options):
        return PGD(restarts=3, **options)


class TestEvade(AttackContract):
    def attack(self, **options):
        return Evade(**options)


class TestCollide(AttackContract):
    targeted = True

    def attack(self, **options):
        return Collide(**options)

    def aim(self, count: int = 6) -> Aim:
        codes = torch.randn(6, NUM_BITS, generator=torch.Generator().manual_seed(5)).sign()[:count]
        return replace(aim(count), codes=codes)


class TestFloatPictures(AttackContract):
    random = False

    def attack(self, **options):
        return replace(HAG(**options), quantised=False)


def test_more_restarts_are_never_weaker():
    model, images = ToyHash().eval(), pictures()
    distance = []
    for restarts in (1, 2, 4):
        found = PGD(steps=6, restarts=restarts, epsilon=4 / 255).perturb(model, images, aim())
        distance.append(((model(found) >= 0) != (model(images) >= 0)).sum())
    assert distance == sorted(distance)


def test_a_model_without_gradients_is_told_what_to_do():
    model = ToyHash().eval()
    with pytest.raises(UsageError, match="--attack square"):
        PGD().perturb(lambda pixels: model(pixels).detach().sign(), pictures(), aim())


def test_targets_are_asked_for():
    with pytest.raises(UsageError, match="target"):
        DHTA().perturb(ToyHash().eval(), pictures(), aim())
    with pytest.raises(UsageError, match="no item carries"):
        DHTA().perturb(ToyHash().eval(), pictures(), aim(targets=torch.full((6,), NUM_CLASSES + 4)))
