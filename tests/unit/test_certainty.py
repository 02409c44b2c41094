"""How sure bits are: formulas against loops and against dice, probes against all codes."""

from itertools import product
from math import erf, log, sqrt

import numpy as np
import pytest

from deephash.codes.certainty import (
    NOISE,
    bit_probabilities,
    certainty,
    expected_hamming,
    flip_order,
    hamming_variance,
    probes,
    within_noise,
)
from deephash.errors import UsageError


def test_bit_probabilities_are_those_of_the_normal_distribution():
    mean, sigma = np.array([[0.0, 1.0, -2.0]]), np.array([[1.0, 0.5, 4.0]])
    by_hand = [[0.5 * (1 + erf(m / s / sqrt(2))) for m, s in zip(mean[0], sigma[0])]]
    np.testing.assert_allclose(bit_probabilities(mean, sigma), by_hand, atol=1e-15)


def test_the_expected_distance_and_its_variance_are_those_of_a_loop():
    draw = np.random.default_rng(0)
    p, q = draw.random((5, 7)), draw.random((4, 7))
    for i, a in enumerate(p):
        for j, b in enumerate(q):
            mean = sum(x * (1 - y) + y * (1 - x) for x, y in zip(a, b))
            spread = sum((d := x * (1 - y) + y * (1 - x)) * (1 - d) for x, y in zip(a, b))
            assert expected_hamming(p[:, None], q[None])[i, j] == pytest.approx(mean)
            assert hamming_variance(p[:, None], q[None])[i, j] == pytest.approx(spread)


def test_they_are_what_dice_give_within_three_standard_errors():
    draw = np.random.default_rng(1)
    p, q, throws = draw.random(24), draw.random(24), 40_000
    distances = ((draw.random((throws, 24)) < p) != (draw.random((throws, 24)) < q)).sum(axis=1)
    mean, variance = expected_hamming(p, q), hamming_variance(p, q)
    assert abs(distances.mean() - mean) < 3 * np.sqrt(variance / throws)
    assert distances.var() == pytest.approx(variance, rel=3 * sqrt(2 / throws))


def test_of_plain_codes_it_is_the_hamming_distance_itself():
    assert expected_hamming([0, 1, 1, 0], [1, 1, 0, 0]) == 2
    assert hamming_variance([0, 1, 1, 0], [1, 1, 0, 0]) == 0
    assert certainty([0, 1, 1, 0]) == 1
    assert certainty([0.5] * 4) == 0


def test_a_bit_is_within_noise_where_its_mean_is_below_one_sigma():
    margins = np.array([0.0, 0.99, 1.01, -0.99, -1.01, 3.0])
    assert within_noise(bit_probabilities(margins, np.ones(6))).tolist() == [True, True, False, True, False, False]
    assert pytest.approx(0.5 * (1 + erf(1 / sqrt(2)))) == NOISE


def test_bits_are_turned_the_least_certain_first():
    assert flip_order([0.9, 0.45, 0.99, 0.5, 0.55]).tolist() == [3, 1, 4, 0, 2]


@pytest.mark.parametrize("seed", range(5))
def test_probes_are_the_likeliest_of_all_codes_in_order(seed):
    p = np.random.default_rng(seed).random(8)
    likeliest = p >= 0.5

    def chance(flips):
        return sum(log(max(x, 1 - x) if bit not in flips else min(x, 1 - x)) for bit, x in enumerate(p))

    every = [tuple(b for b in range(8) if turn[b]) for turn in product([0, 1], repeat=8)]
    found = probes(p, 1000)
    assert found[0] == ()
    assert sorted(found) == sorted(every)
    best = sorted((chance(flips) for flips in every), reverse=True)
    np.testing.assert_allclose([chance(flips) for flips in found], best, atol=1e-9)
    assert probes(p, 6) == found[:6]
    assert len(likeliest) == 8


def test_sure_bits_are_turned_last_and_do_not_break_the_order():
    assert probes([1.0, 0.6, 0.0], 3) == [(), (1,), (0,)]


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: bit_probabilities([0.0], [0.0]), "above 0"),
        (lambda: bit_probabilities([np.nan], [1.0]), "NaN"),
        (lambda: certainty([0.2, np.nan]), "NaN"),
        (lambda: certainty([0.2, 1.2]), "between 0 and 1"),
        (lambda: expected_hamming([0.1, 0.2], [0.3]), "cannot be compared"),
        (lambda: flip_order([[0.1]]), "one code at a time"),
        (lambda: probes([0.1], 0), "at least 1"),
    ],
)
def test_bad_input_is_refused_in_a_sentence(call, words):
    with pytest.raises(UsageError, match=words):
        call()
