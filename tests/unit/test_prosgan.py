"""ProS-GAN against the numbers of its release (pros_gan.md, section 9), and its training on a toy."""

from __future__ import annotations

from functools import partial
from itertools import pairwise

import pytest
import torch
from torch import nn

from deephash.attacks import Aim, ProSGAN, victim_of
from deephash.attacks import prosgan as module
from deephash.attacks.generator import Discriminator, Generator
from deephash.attacks.prosgan import decay, hashing_loss, straight_through_box
from deephash.attacks.prototype import PrototypeNet
from tests.pictures_toy import CLASSES, SIDE, Flat, Thin, Toy

BITS = 16


def count(module: nn.Module) -> int:
    return sum(weight.numel() for weight in module.parameters() if weight.requires_grad)


# Sizes ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("classes", "parameters"), [(21, 2_214_965), (38, 2_293_318), (80, 2_486_896)])
def test_the_prototype_net_has_the_size_of_the_release(classes, parameters):
    assert count(PrototypeNet(classes, 32)) == parameters


def test_the_generator_has_the_size_of_the_release_part_by_part():
    generator = Generator()
    assert count(generator) == 21_454_121
    assert count(generator.label) + count(generator.upward) == 13_044_440
    assert (count(generator.encoder), count(generator.decoder)) == (4_213_568, 4_194_304)
    assert count(generator.output) == 1_809


def test_the_discriminator_has_the_size_of_the_release():
    assert count(Discriminator(21)) == 12_250_048


@pytest.mark.parametrize("side", [8, 16, 30, 224])
def test_the_generator_gives_pictures_in_minus_one_to_one(side):
    pictures = 2 * torch.rand(1, 3, side, side) - 1
    with torch.no_grad():
        found = Generator(side).eval()(pictures, 3 * torch.randn(1, 512))
    assert found.shape == pictures.shape
    assert found.abs().max() <= 1


def test_the_generator_changes_a_picture_alone_as_in_a_batch():
    net = Generator(16).eval()
    pictures, semantic = 2 * torch.rand(3, 3, 16, 16) - 1, torch.randn(3, 512)
    with torch.no_grad():
        assert torch.allclose(net(pictures, semantic)[1:2], net(pictures[1:2], semantic[1:2]), atol=1e-5)


@pytest.mark.parametrize("side", [16, 30, 224])
def test_the_discriminator_scores_a_batch_of_one_like_any(side):
    net = Discriminator(5, side).eval()
    pictures = torch.rand(2, 3, side, side)
    with torch.no_grad():
        alone, both, again = net(pictures[:1]), net(pictures), net(pictures)
    assert alone.shape == (1, 6)
    assert torch.allclose(alone, both[:1], atol=1e-5)
    assert torch.equal(both, again)  # the release's spectral norm goes on iterating in evaluation


# Losses and rates -----------------------------------------------------------------------------------


def test_the_hash_loss_is_nothing_at_the_prototype_and_two_or_four_at_its_opposite():
    code = torch.randn(5, 8).sign()
    for form, worst in (("paper", 2.0), ("tmm", 4.0)):
        assert hashing_loss(code, code, form).tolist() == [0.0] * 5
        assert hashing_loss(-code, code, form).tolist() == [worst] * 5
    half = torch.zeros(5, 8)
    assert hashing_loss(half, code, "paper").tolist() == hashing_loss(half, code, "tmm").tolist() == [1.0] * 5


def test_the_learning_rate_stays_for_half_of_the_epochs_and_ends_at_a_fifty_first():
    factors = [decay(epoch, 100) for epoch in range(100)]
    assert factors[:50] == [1.0] * 50
    assert all(after < before for before, after in pairwise(factors[49:]))
    assert factors[99] == pytest.approx(1 / 51)


def test_the_cut_to_the_budget_lets_the_gradient_through():
    images = torch.tensor([[[[0.0, 0.5, 1.0]]]])
    pixels = torch.tensor([[[[0.4, 0.52, 0.2]]]], requires_grad=True)
    cut = straight_through_box(pixels, images, 0.1)
    assert torch.allclose(cut, torch.tensor([[[[0.1, 0.52, 0.9]]]]))
    cut.sum().backward()
    assert pixels.grad.tolist() == [[[[1.0, 1.0, 1.0]]]]


# Training on a toy ----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def toy() -> Toy:
    return Toy()


@pytest.fixture(scope="module")
def model(toy) -> nn.Module:
    return toy.model(BITS, 0)


@pytest.fixture
def thin(monkeypatch):
    monkeypatch.setattr(module, "Generator", Thin)
    monkeypatch.setattr(module, "Discriminator", Flat)
    monkeypatch.setattr(module, "LEARNING_RATE", 2e-3)


def taught(toy: Toy, model: nn.Module, **options) -> ProSGAN:
    attack = ProSGAN(**{"steps": 60, "teaching_steps": 60, "epsilon": 1.0, "reconstruction": 1.0, **options})
    return attack.learn(victim_of(model), toy.lesson(model))


@pytest.mark.parametrize("form", ["paper", "tmm"])
def test_attacked_pictures_find_their_targets(toy, model, thin, form):
    attack = taught(toy, model, form=form)
    found = attack.perturb(model, toy.queries, Aim(targets=toy.targets))
    assert toy.t_map(model, found) > toy.t_map(model, toy.queries) + 0.15
    assert all(weight.grad is None and weight.requires_grad for weight in model.parameters())


@pytest.mark.parametrize(("form", "objective"), [("paper", "pairs"), ("tmm", "circle")])
def test_the_journal_learns_prototypes_by_circles_and_both_with_the_head(
    toy, model, thin, monkeypatch, form, objective
):
    seen, learn = [], module.learn_prototypes
    monkeypatch.setattr(module, "learn_prototypes", lambda *given: seen.append(given[-1]) or learn(*given))
    net, _ = taught(toy, model, form=form, steps=1, teaching_steps=1).nets
    assert [each.objective for each in seen] == [objective]
    assert net.classifier is not None


def test_a_large_weight_of_the_reconstruction_leaves_pictures_as_they_are(toy, model, thin):
    scores, changes = [], []
    for weight in (0.1, 1e4):
        found = taught(toy, model, reconstruction=weight).perturb(model, toy.queries, Aim(targets=toy.targets))
        scores.append(toy.t_map(model, found))
        changes.append(float((found - toy.queries).square().mean().sqrt()))
    assert changes[1] < changes[0] / 2
    assert abs(scores[1] - toy.t_map(model, toy.queries)) < 0.1 < scores[0] - scores[1]


def test_its_pictures_transfer_to_a_victim_of_another_length(toy, model, thin):
    other = toy.model(24, 7)
    found = taught(toy, model).perturb(other, toy.queries, Aim(targets=toy.targets))
    assert toy.t_map(other, found) > toy.t_map(other, toy.queries) + 0.1


def test_the_discriminator_learns_in_every_third_step_only(toy, model):
    torch.manual_seed(0)
    net, generator, discriminator = PrototypeNet(CLASSES, BITS, hidden=8), Thin(SIDE), Discriminator(CLASSES, SIDE)
    makers = [torch.optim.Adam(each.parameters(), 1e-3) for each in (generator, discriminator)]
    wanted = torch.eye(CLASSES)[:6]
    attack, victim = ProSGAN(), victim_of(model)
    for step in range(7):
        before = [[weight.clone() for weight in each.parameters()] for each in (generator, discriminator)]
        batch = toy.train[:6], torch.eye(CLASSES)[toy.labels[:6]], wanted
        attack._step(victim, net, generator, discriminator, makers, batch, step)
        kept = [
            all(torch.equal(old, new) for old, new in zip(weights, each.parameters(), strict=True))
            for weights, each in zip(before, (generator, discriminator), strict=True)
        ]
        assert kept == [False, step % 3 != 0]


@pytest.mark.slow
def test_the_whole_generator_learns_the_toy(toy, model, monkeypatch):
    monkeypatch.setattr(module, "LEARNING_RATE", 1e-3)
    attack = ProSGAN(steps=200, teaching_steps=100, epsilon=1.0, reconstruction=1.0)
    found = attack.learn(victim_of(model), toy.lesson(model)).perturb(model, toy.queries, Aim(targets=toy.targets))
    assert toy.t_map(model, found) > toy.t_map(model, toy.queries) + 0.3


def test_the_side_of_the_pictures_is_kept_with_the_weights(toy):
    attack = ProSGAN(nets=(PrototypeNet(3, 8, hidden=8).eval(), Generator(20).eval()))
    again = ProSGAN().with_learned(attack.learned())
    pictures = (torch.rand(1, 3, 20, 20) * 255).round() / 255
    perturbed = (partial(each.perturb, lambda pixels: pixels.flatten(1)) for each in (attack, again))
    first, second = (change(pictures, Aim(targets=torch.tensor([2]))) for change in perturbed)
    assert torch.equal(first, second)
