"""Certified bits: bounds against SciPy and by hand, exact radii of a linear model, and attacks that must not win."""

import itertools

import numpy as np
import pytest
import torch
from scipy.stats import binomtest, norm

from deephash.attacks import Aim, Square, Victim, victim_of
from deephash.attacks.smoothing import smoothed_codes
from deephash.codes import BinaryCodes
from deephash.errors import UsageError
from deephash.evaluation.certified import (
    agreement_bound,
    certain_bits,
    certain_distances,
    certain_duplicates,
    certified_radii,
    draws_for,
    largest_radius,
    worst_counts,
)
from deephash.evaluation.counts import distance_counts
from deephash.evaluation.formulas import NDCG, PRECISION, mean_ap
from deephash.evaluation.relevance import relevance_from_labels
from deephash.testing.attacks import ToyHash, aim, pictures

BOUNDED = [(mean_ap("hits"), None), (mean_ap("min"), 5), (PRECISION, 1), (PRECISION, 5), (NDCG, 8)]


def linear(num_bits, side=4, seed=0):
    generator = torch.Generator().manual_seed(seed)
    weight = torch.randn(num_bits, 3 * side * side, generator=generator)
    bias = -weight.sum(dim=1) / 2 + 0.5 * torch.randn(num_bits, generator=generator)
    return weight, bias, Victim(lambda pixels: pixels.flatten(1) @ weight.T + bias)


# Bounds of shares and radii ------------------------------------------------------------------------


@pytest.mark.parametrize(("agreeing", "draws"), [(0, 10), (1, 10), (7, 10), (10, 10), (990, 1000), (1000, 1000)])
@pytest.mark.parametrize("alpha", [0.05, 1e-5])
def test_the_bound_of_a_share_is_scipys(agreeing, draws, alpha):
    expected = binomtest(agreeing, draws, alternative="greater").proportion_ci(1 - alpha, "exact").low
    assert agreement_bound(agreeing, draws, alpha) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("num_bits", [1, 64, 256])
def test_the_largest_radius_is_that_of_full_agreement(num_bits):
    expected = 0.25 * norm.ppf((0.001 / num_bits) ** (1 / 1000))
    assert largest_radius(1000, num_bits, 0.25, 0.001) == pytest.approx(expected)
    assert certified_radii(np.full((2, num_bits), 1000), 1000, 0.25, 0.001) == pytest.approx(expected)


def test_few_draws_and_no_noise_certify_nothing():
    assert largest_radius(10, 64, 0.25, 0.001) == 0
    assert certified_radii(np.array([[1000, 500, 0]]), 1000, 0.0, 0.001).max() == 0
    needed = draws_for(0.3, 64, 0.25, 0.001)
    assert largest_radius(needed, 64, 0.25, 0.001) > 0.3 > largest_radius(needed - 1, 64, 0.25, 0.001)
    assert draws_for(3.0, 64, 0.25, 0.001) is None
    assert draws_for(0.1, 64, 0.0, 0.001) is None


@pytest.mark.parametrize(
    ("words", "message"),
    [((1, 0, 0.1), "one draw or more"), ((3, 2, 0.1), "0 to 2 agree"), ((1, 2, 0.0), "between 0 and 1")],
)
def test_impossible_counts_are_refused(words, message):
    with pytest.raises(UsageError, match=message):
        agreement_bound(*words)


# The estimate --------------------------------------------------------------------------------------


@pytest.mark.parametrize("num_bits", [1, 64, 256])
def test_radii_of_a_linear_model_come_near_the_hyperplane_from_below(num_bits):
    weight, bias, victim = linear(num_bits)
    images = torch.rand(4, 3, 4, 4, generator=torch.Generator().manual_seed(3))
    exact = (images.flatten(1) @ weight.T + bias) / weight.norm(dim=1)
    sigma, errors = 0.5, []
    for draws in (200, 4000):
        found = smoothed_codes(victim, images, sigma, draws=draws)
        radii = certified_radii(found.agreeing, draws, sigma, 0.001)
        sure = radii > 0
        assert (found.bits == (exact.numpy() > 0))[sure].all()
        assert (radii <= np.abs(exact.numpy()) + 1e-9).all()
        reachable = np.abs(exact.numpy()) < 0.6 * largest_radius(draws, num_bits, sigma, 0.001)
        errors.append(np.abs(exact.numpy() - np.where(found.bits, radii, -radii))[reachable].mean())
    assert errors[1] < 0.25
    if num_bits > 1:
        assert errors[1] < errors[0]


def test_noise_belongs_to_the_picture_and_the_seed():
    _, _, victim = linear(16)
    images = torch.rand(3, 3, 4, 4, generator=torch.Generator().manual_seed(3))
    first = smoothed_codes(victim, images, 0.5, draws=60, seed=1, batch_size=7)
    again = smoothed_codes(victim, images[1:2], 0.5, draws=60, seed=1, items=[1], batch_size=64)
    assert np.array_equal(first.agreeing[1:2], again.agreeing)
    other = smoothed_codes(victim, images, 0.5, draws=60, seed=2)
    assert not np.array_equal(first.agreeing, other.agreeing)


def test_memory_is_bounded_by_the_batch():
    seen = []
    victim = Victim(lambda pixels: (seen.append(len(pixels)), pixels.flatten(1)[:, :8] - 0.5)[1])
    smoothed_codes(victim, torch.rand(2, 3, 4, 4), 0.5, draws=100, batch_size=9)
    assert max(seen) == 9
    assert sum(seen) == 2 * (100 + 100)


def test_without_noise_the_smoothed_code_is_the_code():
    victim = victim_of(ToyHash().eval())
    found = smoothed_codes(victim, pictures(), 0.0, draws=20)
    assert np.array_equal(found.bits, victim.codes(pictures()).bits())
    assert (found.agreeing == 20).all()
    assert not found.unknown(0.001).any()
    assert smoothed_codes(victim, pictures(), 0.0, draws=5).unknown(0.001).all()


def test_mistakes_are_told():
    _, _, victim = linear(4)
    with pytest.raises(UsageError, match="share of the pixel range"):
        smoothed_codes(victim, torch.rand(1, 3, 4, 4), -0.1)
    with pytest.raises(UsageError, match="1 or more"):
        smoothed_codes(victim, torch.rand(1, 3, 4, 4), 0.1, draws=0)
    with pytest.raises(UsageError, match=r"in \[0, 1\]"):
        smoothed_codes(victim, torch.randn(1, 3, 4, 4), 0.1)


# No attack wins ------------------------------------------------------------------------------------


def test_no_attack_within_the_radius_turns_a_certified_bit():
    sigma, rho = 0.3, 0.2
    images, model = torch.rand(24, 3, 16, 16, generator=torch.Generator().manual_seed(0)), ToyHash().eval()
    victim = victim_of(model)
    found = smoothed_codes(victim, images, sigma, draws=400)
    certain = certain_bits(certified_radii(found.agreeing, 400, sigma, 0.001), rho)
    assert 0.1 < certain.mean() < 0.95
    noise = sigma * torch.randn(24, 3, 16, 16, generator=torch.Generator().manual_seed(9))

    def expected_logits(pixels):
        return torch.stack([victim.continuous(each + noise).mean(dim=0) for each in pixels])

    for changed in (_pgd(expected_logits, images, found.bits, rho), _random(images, rho), _square(images, rho)):
        norms = (changed - images).flatten(1).norm(dim=1)
        assert (norms <= rho + 1e-5).all()
        after = smoothed_codes(victim, changed.clamp(0, 1), sigma, draws=1, choosing=600, seed=5)
        turned = after.bits != found.bits
        assert not (turned & certain).any()


def test_the_attack_does_turn_bits_beyond_the_radius():
    images, sigma = torch.rand(8, 3, 16, 16, generator=torch.Generator().manual_seed(0)), 0.3
    victim = victim_of(ToyHash().eval())
    before = smoothed_codes(victim, images, sigma, draws=1, choosing=300)
    changed = _pgd(victim.continuous, images, before.bits, 3.0).clamp(0, 1)
    after = smoothed_codes(victim, changed, sigma, draws=1, choosing=300)
    assert (before.bits != after.bits).mean() > 0.2


def _pgd(outputs, images, bits, rho, steps=60):
    """Push every bit against its sign, in the L2 ball."""
    signs, delta = torch.from_numpy(2.0 * bits - 1).float(), torch.zeros_like(images)
    for _ in range(steps):
        delta.requires_grad_()
        (gradient,) = torch.autograd.grad((torch.tanh(outputs(images + delta)) * signs).sum(), delta)
        step = gradient / gradient.flatten(1).norm(dim=1).clamp(min=1e-12)[:, None, None, None]
        delta = _in_ball((delta - 0.3 * rho * step).detach(), rho)
        delta = _in_ball((images + delta).clamp(0, 1) - images, rho)
    return images + delta


def _random(images, rho):
    drawn = torch.randn(images.shape, generator=torch.Generator().manual_seed(2))
    return images + _in_ball(1e3 * drawn, rho).clamp(-images, 1 - images)


def _square(images, rho):
    epsilon = rho / images[0].numel() ** 0.5
    attack = Square(epsilon=epsilon, steps=50)
    known = aim(len(images))
    return attack.perturb(ToyHash().eval(), images, Aim(labels=known.labels, known=known.known))


def _in_ball(delta, rho):
    norms = delta.flatten(1).norm(dim=1)[:, None, None, None]
    return delta * (rho / norms.clamp(min=1e-12)).clamp(max=1)


# From bits to retrieval ----------------------------------------------------------------------------


def a_case(seed=0, num_bits=8, queries=6, items=40):
    random = np.random.RandomState(seed)
    codes, database = (BinaryCodes.from_bits(random.rand(n, num_bits) > 0.5) for n in (queries, items))
    labels, others = random.randint(0, 3, queries), random.randint(0, 3, items)
    return codes, database, labels, others, random.rand(queries, num_bits) > 0.4


@pytest.mark.parametrize("seed", range(4))
def test_bounds_hold_for_every_pattern_of_uncertain_bits(seed):
    codes, database, labels, others, certain = a_case(seed)
    relevance = relevance_from_labels(labels, others)
    counts = worst_counts(codes, certain, database, relevance)
    bounds = [formula.from_counts(counts, top_k=top_k, ties="pessimistic") for formula, top_k in BOUNDED]
    near = list(certain_distances(codes, certain, database))
    for query in range(len(codes)):
        free = np.flatnonzero(~certain[query])
        bits = codes.bits()[query].copy()
        for pattern in itertools.product((False, True), repeat=len(free)):
            bits[free] = pattern
            moved = BinaryCodes.from_bits(bits[None])
            actual = distance_counts(moved, database, relevance.rows(slice(query, query + 1)))
            for (formula, top_k), bound in zip(BOUNDED, bounds, strict=True):
                value = formula.from_counts(actual, top_k=top_k, ties="pessimistic")[0]
                assert value >= bound[query] - 1e-12
            distances = (moved.bits() != database.bits()).sum(axis=1)
            assert (near[query] <= distances).all()
            assert (distances <= near[query] + len(free)).all()
            stays, apart = certain_duplicates(near[query], len(free), 3)
            assert (distances[stays] <= 3).all()
            assert (distances[apart] > 0).all()


def test_with_all_bits_certain_the_bound_is_the_figure():
    codes, database, labels, others, _ = a_case()
    relevance = relevance_from_labels(labels, others)
    counts = worst_counts(codes, np.ones((6, 8), bool), database, relevance)
    assert np.array_equal(counts.by_gain, distance_counts(codes, database, relevance).by_gain)


def test_with_no_bit_certain_all_relevant_items_come_last():
    codes, database, labels, others, _ = a_case()
    counts = worst_counts(codes, np.zeros((6, 8), bool), database, relevance_from_labels(labels, others))
    assert (counts.relevant[:, -1] == counts.num_relevant).all()
    assert (counts.items[:, 1:-1] == 0).all()


def test_several_labels_count_as_right_or_wrong():
    random = np.random.RandomState(1)
    codes, database, _, _, certain = a_case()
    labels, others = random.rand(6, 4) > 0.5, random.rand(40, 4) > 0.5
    counts = worst_counts(codes, certain, database, relevance_from_labels(labels.astype(int), others.astype(int)))
    assert np.array_equal(counts.num_relevant, (labels.astype(int) @ others.T > 0).sum(axis=1))


def test_certain_bits_of_another_shape_are_refused():
    codes, database, labels, others, _ = a_case()
    with pytest.raises(UsageError, match="certain bits"):
        worst_counts(codes, np.ones((6, 9), bool), database, relevance_from_labels(labels, others))
