"""HIB against its specification (nested_and_probabilistic_codes.md, 6 and 7), with loops for oracles."""

import math

import pytest
import torch

from deephash.backbones import Backbone
from deephash.errors import UsageError
from deephash.models import HIB
from deephash.objectives.probabilistic import (
    bit_probabilities,
    gaussian_divergence,
    gaussian_samples,
    log_match_probability,
    match_probability,
    pair_logits,
    soft_contrastive_loss,
)
from deephash.testing.methods import HashModelContract
from tests.image_methods_toy import FEATURES, batch


def rows(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def by_loop(first, second, a, b):
    """The match probability of two rows, a pair of samples at a time."""
    chances = [1 / (1 + math.exp(a * math.dist(z, y) - b)) for z in first.tolist() for y in second.tolist()]
    return sum(chances) / len(chances)


def test_match_probability_equals_the_loop_and_its_logarithm():
    first, second = rows(3, 4, 5), rows(2, 6, 5, seed=1)
    logits = pair_logits(first, second, 1.3, 0.7)
    assert logits.shape == (3, 2, 4, 6)
    chance = match_probability(logits)
    for i in range(3):
        for j in range(2):
            assert chance[i, j].item() == pytest.approx(by_loop(first[i], second[j], 1.3, 0.7), abs=1e-10)
    torch.testing.assert_close(log_match_probability(logits), chance.log(), rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(log_match_probability(-logits), (1 - chance).log(), rtol=1e-10, atol=1e-12)


def test_the_logarithm_is_finite_where_the_naive_form_is_not():
    huge = torch.full((1, 1, 2, 2), -1e4, dtype=torch.float64, requires_grad=True)
    assert match_probability(huge).log().isinf().all()
    found = log_match_probability(huge)
    assert found.item() == pytest.approx(-1e4)
    found.sum().backward()
    assert huge.grad.isfinite().all()
    assert log_match_probability(-huge).item() == pytest.approx(0)


def test_the_soft_contrastive_loss_is_the_logarithm_of_what_is_true():
    logits = pair_logits(rows(3, 2, 5), rows(2, 2, 5, seed=1), 1.0, 2.0)
    match = torch.tensor([[True, False], [False, False], [True, True]])
    chance = match_probability(logits)
    torch.testing.assert_close(soft_contrastive_loss(logits, match), -torch.where(match, chance, 1 - chance).log())


def test_without_spread_the_loss_is_the_deterministic_one():
    mean, other = rows(3, 5), rows(2, 5, seed=1)
    sigma = torch.full_like(mean, 1e-9)
    logits = pair_logits(gaussian_samples(mean, sigma, 4), gaussian_samples(other, sigma[:2], 4), 0.8, 1.1)
    match = torch.tensor([[True, False], [False, True], [True, True]])
    plain = 1.1 - 0.8 * torch.cdist(mean, other)
    expected = -torch.where(match, torch.sigmoid(plain), torch.sigmoid(-plain)).log()
    torch.testing.assert_close(soft_contrastive_loss(logits, match), expected, rtol=1e-6, atol=1e-6)


def test_the_order_of_samples_plays_no_part():
    first, second = rows(2, 5, 4), rows(2, 5, 4, seed=1)
    mixed = first[:, torch.tensor([3, 0, 4, 1, 2])]
    torch.testing.assert_close(
        match_probability(pair_logits(mixed, second, 1.0, 1.0)), match_probability(pair_logits(first, second, 1.0, 1.0))
    )


def test_a_row_matches_itself_less_the_wider_it_is():
    mean, found = rows(1, 6), []
    for sigma in (0.01, 0.1, 0.5, 1.0, 3.0):
        draw = torch.Generator().manual_seed(2)
        sets = [gaussian_samples(mean, torch.full_like(mean, sigma), 64, draw) for _ in range(2)]
        found.append(match_probability(pair_logits(*sets, 1.0, 1.0)).item())
    assert found == sorted(found, reverse=True)
    assert found[0] > found[-1] + 0.3


def test_samples_have_the_mean_and_spread_that_were_asked_for():
    mean, sigma = torch.tensor([[1.0, -2.0]]), torch.tensor([[0.5, 2.0]])
    drawn = gaussian_samples(mean, sigma, 20_000, torch.Generator().manual_seed(0))[0]
    assert drawn.mean(dim=0).tolist() == pytest.approx([1.0, -2.0], abs=0.05)
    assert drawn.std(dim=0).tolist() == pytest.approx([0.5, 2.0], rel=0.03)


def test_the_divergence_is_that_of_torch_and_0_of_the_prior():
    mean, log_variance = rows(4, 3), rows(4, 3, seed=1)
    found = torch.distributions.Normal(mean, (log_variance / 2).exp())
    expected = torch.distributions.kl_divergence(found, torch.distributions.Normal(0.0, 1.0)).sum(dim=1)
    torch.testing.assert_close(gaussian_divergence(mean, log_variance), expected)
    assert gaussian_divergence(torch.zeros(1, 5), torch.zeros(1, 5)).item() == 0


def test_gradients_stay_finite_where_samples_coincide():
    same = torch.ones(2, 3, 4, requires_grad=True)
    soft_contrastive_loss(pair_logits(same, same, 1.0, 1.0), torch.eye(2, dtype=torch.bool)).sum().backward()
    assert same.grad.isfinite().all()


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: gaussian_samples(torch.zeros(1, 2), torch.ones(1, 2), 0), "at least 1"),
        (lambda: gaussian_samples(torch.zeros(1, 2), torch.zeros(1, 2), 3), "above 0"),
        (lambda: gaussian_samples(torch.full((1, 2), math.nan), torch.ones(1, 2), 3), "NaN"),
        (lambda: pair_logits(torch.zeros(1, 1, 2), torch.zeros(1, 1, 2), -1.0, 0.0), "above 0"),
        (lambda: bit_probabilities(torch.zeros(1, 2), torch.zeros(1, 2)), "above 0"),
        (lambda: HIB(8, FEATURES, samples=0), "samples"),
        (lambda: HIB(8, FEATURES, slope=0.0), "slope"),
        (lambda: HIB(8, FEATURES, divergence_weight=-1.0), "divergence_weight"),
    ],
)
def test_bad_input_is_refused_in_a_sentence(call, words):
    with pytest.raises(UsageError, match=words):
        call()


# The model


def test_the_continuous_code_gives_the_probability_of_each_bit():
    model, inputs = HIB(8, FEATURES, hidden=16).eval(), {"image_features": batch(6)["image_features"]}
    mean, sigma = model.gaussian(inputs)
    torch.testing.assert_close(model(inputs), mean / sigma)
    assert torch.equal(model.bits(inputs), mean >= 0)
    assert bit_probabilities(mean, sigma).detach().numpy() == pytest.approx(
        model.bit_probabilities(inputs).numpy(), abs=1e-6
    )


def test_its_losses_are_those_of_a_loop_over_pairs():
    torch.manual_seed(0)
    model, given = HIB(6, FEATURES, hidden=0, samples=3, divergence_weight=0.5), batch(8)
    codes = model.head(given["image_features"])
    torch.manual_seed(7)
    found = model.code_losses(codes, given["image_features"], given)
    mean, log_variance = codes.unbind(dim=2)
    torch.manual_seed(7)
    drawn = gaussian_samples(mean, (log_variance / 2).exp(), 3)
    kinds = {True: [], False: []}
    for i in range(4):
        for j in range(4, 8):
            match = bool(given["labels"][i] == given["labels"][j])
            chance = by_loop(drawn[i], drawn[j], model.slope.item(), model.offset.item())
            kinds[match].append(-math.log(chance if match else 1 - chance))
    expected = sum(sum(each) / len(each) for each in kinds.values()) / 2
    assert found["contrast"].item() == pytest.approx(expected, abs=1e-4)
    assert found["divergence"].item() == pytest.approx(0.5 * gaussian_divergence(mean, log_variance).mean().item())


def test_a_batch_of_one_class_has_a_finite_loss():
    losses = HIB(8, FEATURES, hidden=16).compute_losses({**batch(8), "labels": torch.zeros(8, dtype=torch.long)})
    assert all(term.isfinite() for term in losses.values())


def test_a_wider_row_is_said_to_match_itself_less():
    torch.manual_seed(0)
    model, inputs = HIB(16, FEATURES, hidden=0, samples=32).eval(), {"image_features": batch(4)["image_features"]}
    before = model.self_mismatch(inputs)
    with torch.no_grad():
        model.head.spread.bias += 3.0
    assert (model.self_mismatch(inputs) > before).all()


class TestHIB(HashModelContract):
    def make_model(self, num_bits):
        return HIB(num_bits, Backbone("features:24", weights=None), hidden=16)

    def make_inputs(self, num_items):
        return {"image_features": batch(num_items)["image_features"]}
