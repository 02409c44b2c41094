"""Attacks that learn first keep the same promises, and learn from the training split alone."""

from __future__ import annotations

from dataclasses import replace
from math import cos, sin
from typing import ClassVar

import pytest
import torch
from safetensors.torch import save

from deephash.attacks import THA, Aim, Known, Patch, ProSGAN, Square, Universal, prosgan, victim_of
from deephash.attacks.guides import mainstay_codes
from deephash.attacks.learning import Lesson
from deephash.attacks.running import read_again
from deephash.errors import DataError, UsageError
from deephash.testing.attacks import NUM_CLASSES, SIDE, AttackContract, ToyHash, aim, pictures
from tests.pictures_toy import Flat, Thin

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
        settings = {"epsilon": own.epsilon, "steps": 5}
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


class TestPatch(LearnedContract):
    """Its budget is an area, not a size of change: promises about epsilon are promises about the pixels under it."""

    def fresh(self, seed):
        return Patch(steps=20, patch_size=0.5, seed=seed)

    def attack(self, **options):
        if options.get("epsilon", 1) > 1:
            return Patch(**options)
        return super().attack(**(options | {"epsilon": 1.0}))

    def test_budget_and_range_hold_at_every_step(self, model):
        images, attack = pictures(8), self.attack()
        found = attack.perturb(model, images, aim(8))
        assert found.min() >= 0
        assert found.max() <= 1
        placement = attack.placed(images, list(range(8)))
        changed = (found != images).any(dim=1)
        for row in range(8):
            under = torch.tensor([[covers(placement, row, x, y) for x in range(SIDE)] for y in range(SIDE)])
            assert not changed[row][~under].any()  # nothing beside the patch
            assert changed[row][under].float().mean() > 0.9
            assert 0.6 * 0.5**2 < under.float().mean() < 1.4 * 0.5**2
            assert not under[[0, -1]].all()

    @pytest.mark.parametrize("options", [{"steps": 0}])
    def test_nothing_is_done_without_budget_or_steps(self, model, options):
        super().test_nothing_is_done_without_budget_or_steps(model, options)

    def test_saturated_codes_give_no_nan(self):
        victim = victim_of(ToyHash(scale=1e6).eval())
        taught = self.fresh(0).learn(victim, self.lesson())
        assert not taught.patch.isnan().any()
        assert not taught.perturb(victim, pictures()).isnan().any()

    def test_a_budget_of_grey_levels_is_no_budget_of_a_patch(self):
        with pytest.raises(UsageError, match="--patch-size"):
            Patch(epsilon=8 / 255)
        with pytest.raises(UsageError, match=r"from 0 to 1, not 1\.5"):
            Patch(patch_size=1.5)
        with pytest.raises(UsageError, match="two shares"):
            Patch(patch_place=(0.5, 3.0))

    def test_it_lies_where_it_was_put_and_stays_inside(self, model):
        images = pictures()
        for place, corner in (((0.5, 0.5), (8.0, 8.0)), ((0.0, 1.0), None)):
            attack = self.attack(patch_place=place, turn=0.0, scaling=0.0)
            placement = attack.placed(images, list(range(6)))
            where = corner or (4.0, 12.0)  # half of a patch from the edges
            assert torch.allclose(torch.stack([placement.x, placement.y], dim=1), torch.tensor([where] * 6))

    def test_the_patch_is_seen_upright_and_whole(self):
        """Its first row is the top one, its first column the left one."""
        patch = torch.zeros(3, 8, 8)
        patch[0, :4], patch[1, :, :4] = 1.0, 1.0
        attack = self.attack(patch_place=(0.5, 0.5), turn=0.0, scaling=0.0, lighting=0.0)
        images = torch.full((1, 3, SIDE, SIDE), 0.5)
        shown, covered = attack.placed(images, [0]).laid(patch, images)
        assert torch.allclose(shown[0, :, 4:12, 4:12], patch, atol=1e-6)
        assert covered[0, 0].sum() == 64


class TestTargetedPatch(TestPatch):
    targeted = True
    lesson, guide = TestTargetedUniversal.lesson, TestTargetedUniversal.guide


def covers(placement, row: int, column: int, line: int) -> bool:
    """Whether the centre of a pixel lies in the turned square, by plane geometry."""
    x, y = column + 0.5 - float(placement.x[row]), line + 0.5 - float(placement.y[row])
    angle, half = float(placement.angle[row]), float(placement.half[row])
    along, across = x * cos(angle) + y * sin(angle), y * cos(angle) - x * sin(angle)
    return max(abs(along), abs(across)) <= half * (1 + 1e-5)


class TestTHA(LearnedContract):
    targeted = True

    def fresh(self, seed):
        return THA(teaching_steps=20, random_start=True, seed=seed)

    test_the_code_moves_where_it_should = AttackContract.test_the_code_moves_where_it_should


class TestProSGAN(LearnedContract):
    """Its training with small networks; those of the release are held in tests/unit/test_prosgan.py."""

    targeted = True

    @pytest.fixture(autouse=True)
    def _thin(self, monkeypatch):
        monkeypatch.setattr(prosgan, "Generator", Thin)
        monkeypatch.setattr(prosgan, "Discriminator", Flat)
        monkeypatch.setattr(prosgan, "LEARNING_RATE", 5e-3)

    def fresh(self, seed):
        return ProSGAN(steps=20, teaching_steps=20, reconstruction=1.0, epsilon=16 / 255, seed=seed)

    def guide(self, model):
        known = aim().known
        return mainstay_codes(self.aim().targets, known.codes, known.labels), 1.0


class TestSquare(AttackContract):
    def attack(self, **options):
        return Square(depth=10, **options)


class TestTargetedSquare(TestSquare):
    targeted = True


def learned_of(attack) -> dict[str, torch.Tensor]:
    return {} if attack is None else attack.learn(victim_of(ToyHash().eval()), lesson()).learned()


@pytest.mark.parametrize(
    "attack",
    [Universal(steps=1), Patch(steps=1), THA(teaching_steps=1), ProSGAN(steps=1, teaching_steps=1)],
    ids=lambda attack: type(attack).__name__,
)
@pytest.mark.parametrize("damage", ["cut", "nothing", "of another attack", "renamed"])
def test_damaged_learning_is_told_with_the_way_out(attack, damage, tmp_path):
    file = tmp_path / "learned.safetensors"
    whole = save({"nothing": torch.zeros(1)} if damage == "of another attack" else learned_of(attack))
    if damage == "renamed":
        whole = save({f"other.{name}": value for name, value in learned_of(attack).items()})
    file.write_bytes({"cut": whole[: len(whole) // 2], "nothing": b""}.get(damage, whole))
    with pytest.raises(DataError, match=r"learned\.safetensors is damaged .*; remove it, and it is learned anew"):
        read_again(attack, file)


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
