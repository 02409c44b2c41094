"""Attacks that learn first keep the same promises, and learn from the training split alone."""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar

import pytest
import torch

from deephash.attacks import THA, Aim, Known, ProSGAN, Square, Universal, victim_of
from deephash.attacks.guides import mainstay_codes
from deephash.attacks.learning import Lesson
from deephash.errors import UsageError

from .attack_contract import NUM_CLASSES, SIDE, AttackContract, ToyHash, aim, pictures

LEARNED_FROM = 30


def training_pictures() -> torch.Tensor:
    drawn = torch.randint(0, 256, (LEARNED_FROM, 3, SIDE, SIDE), generator=torch.Generator().manual_seed(11))
    return drawn.float() / 255


def lesson(guide: torch.Tensor | None = None) -> Lesson:
    shown = training_pictures()
    return Lesson(aim().known, LEARNED_FROM, lambda rows: shown[list(rows)], guide)


class LearnedContract(AttackContract):
    """Inherit and give ``fresh``: the attack before it learned. It learns once for every seed."""

    taught: ClassVar[dict]

    @pytest.fixture(scope="class", autouse=True)
    def _nothing_learned(self, request):
        request.cls.taught = {}

    def fresh(self, seed: int):
        raise NotImplementedError

    def lesson(self) -> Lesson:
        return lesson()

    def attack(self, **options):
        seed = options.get("seed", 0)
        if seed not in self.taught:
            self.taught[seed] = self.fresh(seed).learn(victim_of(ToyHash().eval()), self.lesson())
        return replace(self.taught[seed], **{"epsilon": 8 / 255, **options})

    def guide(self, model) -> tuple[torch.Tensor, float]:
        """Return the code [K] or codes that pictures are pulled to (1) or flee (-1)."""
        return torch.where(model(pictures()) >= 0, 1.0, -1.0), -1.0

    def test_the_code_moves_where_it_should(self, model):
        """In the mean: one change for all cannot serve each."""
        guide, wanted = self.guide(model)
        found = self.attack(epsilon=16 / 255).perturb(model, pictures(), self.aim())
        before, after = (((model(each) >= 0) == (guide > 0)).float().mean() for each in (pictures(), found))
        assert wanted * (after - before) > 0.03

    def test_learning_leaves_the_model_and_the_random_numbers_as_they_were(self):
        model = ToyHash().train()
        model.body[1].eval()
        before = {name: value.clone() for name, value in model.state_dict().items()}
        modes, numbers = [each.training for each in model.modules()], torch.random.get_rng_state()
        self.fresh(0).learn(victim_of(model), self.lesson())
        assert [each.training for each in model.modules()] == modes
        assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
        assert all(weight.grad is None and weight.requires_grad for weight in model.parameters())
        assert torch.equal(torch.random.get_rng_state(), numbers)

    def test_what_was_learned_travels_as_tensors(self, model):
        own = self.attack()
        state = {name: value.clone() for name, value in own.learned().items()}
        assert state
        assert all(isinstance(value, torch.Tensor) for value in state.values())
        assert self.fresh(0).learned() == {}
        again = self.fresh(0).with_learned(state)
        settings = {"epsilon": 8 / 255, "steps": 5}
        found = replace(again, **settings).perturb(model, pictures(), self.aim())
        assert torch.equal(found, replace(own, **settings).perturb(model, pictures(), self.aim()))

    def test_learning_twice_gives_the_same(self):
        first, second = (self.fresh(5).learn(victim_of(ToyHash().eval()), self.lesson()).learned() for _ in range(2))
        assert all(torch.equal(value, second[name]) for name, value in first.items())


class TestUniversal(LearnedContract):
    def fresh(self, seed):
        return Universal(steps=20, epsilon=16 / 255, seed=seed)

    def test_every_picture_gets_the_same_change(self, model):
        images = (0.3 + 0.4 * pictures()).mul(255).round() / 255  # far from black and white, where nothing is cut
        change = self.attack(epsilon=8 / 255).perturb(model, images, self.aim()) - images
        assert (change - change[:1]).abs().max() < 1e-6
        assert change.abs().max() == pytest.approx(8 / 255, abs=1e-6)


class TestTargetedUniversal(TestUniversal):
    targeted = True

    def lesson(self):
        return lesson(self.guide(None)[0])

    def guide(self, model):
        known = aim().known
        return mainstay_codes(torch.tensor([1]), known.codes, known.labels)[0], 1.0


class TestTHA(LearnedContract):
    targeted = True

    def fresh(self, seed):
        return THA(teaching_steps=20, random_start=True, seed=seed)

    test_the_code_moves_where_it_should = AttackContract.test_the_code_moves_where_it_should


class TestProSGAN(LearnedContract):
    targeted = True

    def fresh(self, seed):
        return ProSGAN(steps=6, teaching_steps=20, reconstruction=1.0, epsilon=16 / 255, seed=seed)

    def guide(self, model):
        known = aim().known
        return mainstay_codes(self.aim().targets, known.codes, known.labels), 1.0


class TestSquare(AttackContract):
    def attack(self, **options):
        return Square(depth=10, **options)


class TestTargetedSquare(TestSquare):
    targeted = True


def test_a_universal_perturbation_beats_noise_of_its_size():
    """On pictures that it never saw; the noise is as large in every pixel."""
    model, images, epsilon = ToyHash().eval(), pictures(), 32 / 255
    found = Universal(steps=40, epsilon=epsilon).learn(victim_of(model), lesson()).perturb(model, images)
    noise = torch.randint(0, 2, images.shape, generator=torch.Generator().manual_seed(3)) * 2 - 1
    noisy = (images + epsilon * noise).clamp(0, 1)
    turned, by_noise = (((model(each) >= 0) != (model(images) >= 0)).float().mean() for each in (found, noisy))
    assert turned > 2 * by_noise


def test_nothing_learned_nothing_to_learn_from_and_no_gradient_are_told():
    model = ToyHash().eval()
    with pytest.raises(UsageError, match="learned first"):
        Universal().perturb(model, pictures())
    with pytest.raises(UsageError, match="learns its generator first"):
        ProSGAN().perturb(model, pictures(), Aim(targets=torch.zeros(6, dtype=torch.long)))
    taught = Universal(steps=1).learn(victim_of(model), lesson())
    with pytest.raises(UsageError, match=r"shape \[3, 16, 16\]; these have \[3, 8, 8\]"):
        taught.perturb(lambda pixels: pixels.flatten(1), pictures()[:, :, :8, :8])
    blind = victim_of(lambda pixels: model(pixels).detach().sign())
    for attack in (Universal(), ProSGAN(teaching_steps=1)):
        with pytest.raises(UsageError, match="pictures of the training split"):
            attack.learn(victim_of(model), Lesson(aim().known))
        with pytest.raises(UsageError, match="--attack square"):
            attack.learn(blind, lesson())
    for attack in (THA(), ProSGAN()):
        with pytest.raises(UsageError, match="label"):
            attack.learn(victim_of(model), replace(lesson(), known=Known(aim().known.codes)))
    assert NUM_CLASSES == 3
