"""What every attack must obey, inherited by the test of each."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from deephash.attacks import Aim, Attack, Known, Victim, Watch
from deephash.attacks.descent import Best
from deephash.errors import UsageError

SIDE, NUM_BITS, NUM_CLASSES = 16, 12, 3


class ToyHash(nn.Module):
    """A small network with batch norm and its own normalisation; v [B, 12] of pixels in [0, 1]."""

    def __init__(self, seed: int = 0, scale: float = 1.0) -> None:
        super().__init__()
        torch.manual_seed(seed)
        self.scale = scale
        self.body = nn.Sequential(
            nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(), nn.AvgPool2d(4), nn.Flatten()
        )
        self.head = nn.Linear(8 * (SIDE // 4) ** 2, NUM_BITS)

    def forward(self, pixels: Tensor) -> Tensor:
        codes: Tensor = self.scale * self.head(self.body((pixels - 0.45) / 0.225))
        return codes


def pictures(count: int = 6) -> Tensor:
    """8-bit pictures, with pixels at both ends of the range."""
    drawn = torch.randint(0, 256, (count, 3, SIDE, SIDE), generator=torch.Generator().manual_seed(1))
    drawn[:, :, :4] = 0
    drawn[:, :, -4:] = 255
    return drawn.float() / 255


def aim(count: int = 6, **others: object) -> Aim:
    """Own labels, other targets, codes to take, and labelled codes of a collection."""
    generator = torch.Generator().manual_seed(2)
    labels = torch.arange(30) % NUM_CLASSES
    centres = torch.randn(NUM_CLASSES, NUM_BITS, generator=generator)
    codes = (centres[labels] + 0.3 * torch.randn(30, NUM_BITS, generator=generator)).sign()
    own = torch.arange(count) % NUM_CLASSES
    return Aim(labels=own, known=Known(codes, labels), items=range(count), **others)  # type: ignore[arg-type]


class AttackContract:
    """Inherit and give ``attack``; ``targeted`` says whether labels and codes are aimed at."""

    targeted = False
    random = True  # whether another seed gives other pictures

    def attack(self, **options: object) -> Attack:
        raise NotImplementedError

    def aim(self, count: int = 6) -> Aim:
        if not self.targeted:
            return aim(count)
        targets = (torch.arange(count) + 1) % NUM_CLASSES
        return aim(count, targets=targets)

    @pytest.fixture
    def model(self) -> nn.Module:
        return ToyHash().eval()

    def test_budget_and_range_hold_at_every_step(self, model, monkeypatch):
        seen = []
        see = Best.see
        monkeypatch.setattr(
            Best, "see", lambda best, pixels, signs: (seen.append(pixels.clone()), see(best, pixels, signs))
        )
        images, epsilon = pictures(), 3.4 / 255
        found = self.attack(epsilon=epsilon, steps=12).perturb(model, images, self.aim())
        for changed in [*seen, found]:
            assert (changed - images).abs().max() <= epsilon + 1e-6
            assert changed.min() >= 0
            assert changed.max() <= 1

    def test_pictures_come_back_in_eight_bits(self, model):
        found = self.attack(epsilon=8 / 255, steps=8).perturb(model, pictures(), self.aim())
        assert torch.equal((found * 255).round() / 255, found)

    @pytest.mark.parametrize("options", [{"epsilon": 0.0}, {"steps": 0}])
    def test_nothing_is_done_without_budget_or_steps(self, model, options):
        images = pictures()
        assert torch.equal(self.attack(**options).perturb(model, images, self.aim()), images)

    def test_the_code_moves_where_it_should(self, model):
        watch = Watch()
        self.attack(epsilon=16 / 255, steps=40).perturb(model, pictures(), self.aim(), watch=watch)
        assert all(after <= before for before, after in zip(watch.first, watch.best, strict=True))
        assert sum(watch.best) < sum(watch.first) - 0.5

    def test_the_model_is_left_as_it_was(self):
        model = ToyHash().train()
        model.body[1].eval()  # a frozen batch norm in a model that trains
        before = {name: value.clone() for name, value in model.state_dict().items()}
        modes = [each.training for each in model.modules()]
        self.attack(steps=5).perturb(model, pictures(), self.aim())
        assert [each.training for each in model.modules()] == modes
        assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
        assert all(weight.grad is None and weight.requires_grad for weight in model.parameters())

    def test_the_same_seed_gives_the_same_pictures(self, model):
        torch.manual_seed(7)
        first = self.attack(steps=8, seed=3).perturb(model, pictures(), self.aim())
        torch.manual_seed(8)
        before = torch.random.get_rng_state()
        assert torch.equal(self.attack(steps=8, seed=3).perturb(model, pictures(), self.aim()), first)
        assert torch.equal(torch.random.get_rng_state(), before)
        if self.random:
            assert not torch.equal(self.attack(steps=8, seed=4).perturb(model, pictures(), self.aim()), first)

    def test_a_picture_alone_is_changed_as_in_a_batch(self, model):
        together = self.attack(steps=8).perturb(model, pictures(), self.aim())
        whole = self.aim()
        for row in range(3):
            own = Aim(
                labels=whole.labels[row : row + 1],
                targets=None if whole.targets is None else whole.targets[row : row + 1],
                codes=None if whole.codes is None else whole.codes[row : row + 1],
                known=whole.known,
                items=[row],
            )
            alone = self.attack(steps=8).perturb(model, pictures()[row : row + 1], own)
            assert (alone != together[row : row + 1]).float().mean() < 0.002  # sums of floats may end elsewhere

    def test_saturated_codes_give_no_nan(self):
        images = pictures()
        found = self.attack(steps=6).perturb(ToyHash(scale=1e6).eval(), images, self.aim())
        assert not found.isnan().any()
        assert (found - images).abs().max() <= 8 / 255 + 1e-6

    def test_normalisation_lies_inside_the_path(self):
        """A model of larger inputs behind a division is the same victim."""
        inner = ToyHash().eval()
        wrapped = Victim(lambda pixels: inner(((pixels * 255) - 10) / 255 + 10 / 255), module=inner)
        first = self.attack(steps=6).perturb(inner, pictures(), self.aim())
        second = self.attack(steps=6).perturb(wrapped, pictures(), self.aim())
        assert (first != second).float().mean() < 0.01

    def test_normalised_pixels_are_refused(self, model):
        with pytest.raises(UsageError, match=r"in \[0, 1\]"):
            self.attack().perturb(model, (pictures() - 0.45) / 0.225, self.aim())

    def test_grey_levels_as_budget_are_refused(self):
        with pytest.raises(UsageError, match="8/255"):
            self.attack(epsilon=8)
