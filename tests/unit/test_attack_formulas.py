"""Guide codes, losses, schedules and step rules, held against closed forms and plain loops."""

from __future__ import annotations

import itertools

import pytest
import torch
from torch import nn

from deephash.attacks import PGD, Aim, Known
from deephash.attacks.guides import anchor_codes, centre_codes, mainstay_codes, majority_code, reference_codes
from deephash.attacks.losses import hag_loss, mainstay_loss, product_loss, sdha_distance, sdha_loss
from deephash.attacks.noise import Noise
from deephash.attacks.pixels import on_grid
from deephash.attacks.schedules import sharpness
from deephash.attacks.steps import checkpoints
from deephash.errors import UsageError


def signs(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).sign()


def outputs(*shape: int, seed: int = 1) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).tanh()


# Guides ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("num_bits", [1, 5, 8])
@pytest.mark.parametrize("count", [1, 3, 9])
def test_the_majority_minimises_the_mean_hamming_distance(num_bits, count):
    codes = signs(count, num_bits, seed=count)
    every = torch.tensor(list(itertools.product([-1.0, 1.0], repeat=num_bits)), dtype=torch.float64)
    distances = (every[:, None] != codes[None]).sum(dim=2).double().mean(dim=1)
    own = (majority_code(codes) != codes).sum(dim=1).double().mean()
    assert own == distances.min()


def test_an_even_bit_of_the_majority_is_one():
    assert majority_code(torch.tensor([[1.0, -1.0], [-1.0, -1.0]])).tolist() == [1.0, -1.0]


def test_centre_and_mainstay_agree_on_one_label_and_change_sign_with_the_codes():
    codes, labels = signs(40, 16), torch.arange(40) % 4
    targets = torch.arange(4)
    assert torch.equal(mainstay_codes(targets, codes, labels), centre_codes(targets, codes, labels))
    one_hot = nn.functional.one_hot(labels).double()
    assert torch.equal(mainstay_codes(torch.eye(4).double(), codes, one_hot), mainstay_codes(targets, codes, labels))
    assert torch.equal(mainstay_codes(targets, -codes, labels), -mainstay_codes(targets, codes, labels))


def test_mainstay_of_many_labels_by_a_plain_loop():
    generator = torch.Generator().manual_seed(3)
    codes = signs(30, 8)
    labels, targets = ((torch.rand(n, 5, generator=generator) < 0.4).double() for n in (30, 6))
    targets[0] = 0
    found = mainstay_codes(targets, codes, labels)
    for target, code in zip(targets, found, strict=True):
        near, far = torch.zeros(30, dtype=torch.float64), torch.zeros(30, dtype=torch.float64)
        for row, label in enumerate(labels):
            shared = float(target @ label)
            lengths = float(target.norm() * label.norm())
            near[row] = shared / lengths if lengths else 0.0
            far[row] = float(shared == 0)
        total = (near / near.sum() if near.sum() else near) @ codes - (far / far.sum() if far.sum() else far) @ codes
        expected = torch.where(total >= 0, 1.0, -1.0)
        clear = total.abs() > 1e-12  # a sum of zero lies on either side by rounding
        assert torch.equal(code[clear], expected[clear])


def test_a_query_that_shares_a_class_with_nothing_keeps_its_own_code():
    codes, labels, own = signs(11, 8), torch.zeros(11, dtype=torch.long), signs(2, 8, seed=9)
    found = mainstay_codes(torch.tensor([0, 7]), codes, labels, own)
    assert torch.equal(found[1], own[1])
    assert torch.equal(found[0], majority_code(codes))
    means = reference_codes(torch.tensor([0, 7]), codes, labels, own)
    assert torch.allclose(means[0], codes.mean(dim=0))
    assert torch.equal(means[1], own[1])


def test_anchors_are_drawn_without_replacement_and_exactly_labelled():
    codes = torch.cat([signs(3, 8), signs(20, 8, seed=4)])
    labels = torch.tensor([[1, 0]] * 3 + [[1, 1]] * 20)
    noise = Noise(0, [5])
    found = anchor_codes(torch.tensor([[1, 0]]), codes, labels, 3, noise)
    assert torch.equal(found[0], majority_code(codes[:3]))
    with pytest.raises(UsageError, match="no item carries exactly"):
        anchor_codes(torch.tensor([[0, 1]]), codes, labels, 3)


# Losses ----------------------------------------------------------------------------------------------


def test_hag_by_hand():
    h = torch.tensor([[0.9, -0.8, 0.7, 0.6]])
    u = torch.tensor([[0.5, -0.2, -0.4, -0.9]])  # the last is turned beyond the margin: |-.9 - 1| > 1.5
    mask = torch.tensor([[1.0, 1.0, 1.0, 0.0]])
    product = (mask * u * h).sum() / 3
    balance = (mask * u).mean()
    assert torch.allclose(hag_loss(u, h), ((product + 1) ** 2 + balance**2).reshape(1))
    assert torch.allclose(hag_loss(u, h, balance=0), ((product + 1) ** 2).reshape(1))


def test_hag_is_zero_where_the_mean_product_is_minus_one_and_where_nothing_is_left():
    clean = signs(3, 8)
    assert torch.allclose(hag_loss(-0.4 * clean, 2.5 * clean, balance=0), torch.zeros(3, dtype=torch.float64))
    turned = (-0.99 * clean).requires_grad_()
    loss = hag_loss(turned, clean)
    assert loss.tolist() == [0.0, 0.0, 0.0]
    loss.sum().backward()
    assert torch.equal(turned.grad, torch.zeros_like(turned))


def test_a_bit_of_hag_counts_half_on_the_limit():
    h = torch.tensor([[1.0, 1.0]])
    u = torch.tensor([[-0.5, 0.25]])  # |-.5 - 1| = 1.5 exactly
    expected = ((0.5 * -0.5 + 0.25) / 1.5 + 1) ** 2  # the mask stands once in the sum, as in the formula
    assert torch.allclose(hag_loss(u, h, balance=0), torch.tensor([expected]))


@pytest.mark.parametrize("targeted", [False, True])
def test_sdha_by_a_plain_loop(targeted):
    u, references = outputs(4, 6), signs(9, 6)
    chosen = torch.rand(4, 9, generator=torch.Generator().manual_seed(2)) < 0.5
    chosen[:, 0] = True
    s, z = (10.0, -0.3) if targeted else (5.0, 0.5)
    expected = []
    for row in range(4):
        total, count = 0.0, 0
        for r, wanted in zip(references, chosen[row], strict=True):
            if not wanted:
                continue
            agreement = torch.sigmoid((-s if targeted else s) * u[row] * r)
            distance = (0.5 * (u[row] - r).abs() * agreement + (0 if targeted else 1 - agreement)).sum()
            hamming = float((torch.where(u[row] >= 0, 1.0, -1.0) != r).sum())
            total, count = total + float(distance) * (hamming + 1e-8) ** -z, count + 1
        expected.append(total / count if targeted else -total / count)
    found = sdha_loss(u, references, chosen, targeted=targeted)
    assert torch.allclose(found, torch.tensor(expected, dtype=torch.float64))


def test_sdha_is_the_hamming_distance_of_saturated_codes():
    u, references = signs(5, 12), signs(7, 12, seed=3)
    hamming = (u[:, None] != references[None]).sum(dim=2).double()
    assert torch.allclose(sdha_distance(u, references, sharpness=50.0), hamming)


def test_mainstay_loss_by_hand_and_without_bits_left():
    u, guide = torch.tensor([[0.8, -0.2, -0.9]]), torch.ones(1, 3)
    assert torch.allclose(mainstay_loss(u, guide), torch.tensor([(2.8 * 0.8 + 1.8 * -0.2) / 2]))
    assert torch.allclose(mainstay_loss(u, guide, targeted=True), torch.tensor([-(1.8 * -0.2 + 1.1 * -0.9) / 2]))
    assert mainstay_loss(-guide, guide).tolist() == [0.0]
    assert mainstay_loss(guide, guide, targeted=True).tolist() == [0.0]


def test_the_product_loss_of_the_own_code_is_one():
    code = signs(3, 8)
    assert product_loss(code, code).tolist() == [1.0, 1.0, 1.0]


# Schedules, pixels, noise ----------------------------------------------------------------------------


def test_the_schedules_of_the_releases():
    assert [sharpness("ten", i, 10) for i in range(10)] == [0.1] * 5 + [0.2, 0.3, 0.5, 0.7, 1.0]
    assert [sharpness("ten", i, 100) for i in (0, 49, 50, 99)] == [0.1, 0.1, 0.2, 1.0]
    steps = (0, 999, 1000, 1199, 1200, 1400, 1600, 1799, 1800, 1999, 5000)
    assert [sharpness("dhta", i, 2000) for i in steps] == [0.1, 0.1, 0.2, 0.2, 0.3, 0.5, 0.7, 0.7, 1.0, 1.0, 1.0]
    assert sharpness("constant", 0, 10) == 1.0
    with pytest.raises(UsageError, match="did you mean 'ten'"):
        sharpness("tent", 0, 10)  # type: ignore[arg-type]


def test_apgd_looks_back_at_the_published_shares():
    assert checkpoints(100) == (22, 41, 57, 70, 80, 87, 93, 99)


@pytest.mark.parametrize("epsilon", [0.032, 8 / 255, 0.4 / 255])
def test_eight_bit_pictures_stay_within_the_budget(epsilon):
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (2, 3, 9, 9), generator=generator).float() / 255
    pixels = (images + epsilon * (2 * torch.rand(images.shape, generator=generator) - 1)).clamp(0, 1)
    found = on_grid(pixels, images, epsilon)
    assert (found - images).abs().max() <= epsilon + 1e-6
    assert torch.allclose(found * 255, (found * 255).round(), atol=1e-4)
    if epsilon < 0.5 / 255:
        assert torch.equal(found, images)


def test_the_noise_of_an_item_does_not_depend_on_its_company():
    alone = Noise(3, [7]).uniform(4)
    assert torch.equal(Noise(3, [1, 7, 2]).uniform(4)[1], alone[0])
    assert not torch.equal(Noise(4, [7]).uniform(4), alone)


# A model whose answer is known -----------------------------------------------------------------------


def test_of_a_linear_model_exactly_the_reachable_bits_turn():
    """g(x) = W x on disjoint pixels: a bit turns if and only if |g_k| < epsilon |W_k|_1."""
    generator = torch.Generator().manual_seed(0)
    num_bits, pixels_each = 16, 12
    weights = torch.randn(num_bits, pixels_each, generator=generator)
    images = (100 + torch.randint(0, 56, (8, 3, 8, 8), generator=generator)).float() / 255

    def model(pixels: torch.Tensor) -> torch.Tensor:
        parts = pixels.flatten(1).reshape(len(pixels), num_bits, pixels_each)
        return ((parts - 0.5) * weights).sum(dim=2)

    epsilon = 8 / 255
    before = model(images)
    reachable = before.abs() < epsilon * weights.abs().sum(dim=1)
    near = (before.abs() - epsilon * weights.abs().sum(dim=1)).abs() < 1e-4  # decided by rounding
    found = PGD(epsilon=epsilon, steps=40).perturb(model, images, Aim())
    turned = (model(found) >= 0) != (before >= 0)
    assert torch.equal(turned[~near], reachable[~near])
    assert 0.1 < reachable.float().mean() < 0.9


def test_known_codes_move_to_a_device_with_the_aim():
    aim = Aim(known=Known(signs(2, 4), torch.tensor([0, 1]))).to(torch.device("cpu"))
    assert aim.known is not None
    assert aim.known.labels is not None
