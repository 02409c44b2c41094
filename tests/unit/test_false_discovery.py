"""Nearer than chance: simulated mixtures with known shares, against the rates that were promised."""

import numpy as np
import pytest

from deephash.evaluation.false_discovery import cuts, discovery_rates, expected_within
from deephash.evaluation.null import fit_null, independent_null, own_null

BITS = 512  # many, so that one step of a bit is small beside the rates


def mixture(draw, items, related, bits=BITS, near=0.3, trials=1):
    """Distances [trials, items]: the first ``related`` of items that are near, the others of independent bits."""
    far = draw.binomial(bits, 0.5, (trials, items - related))
    return np.concatenate([draw.binomial(bits, near, (trials, related)), far], axis=1)


def counted(distances, bits=BITS):
    return np.bincount(distances, minlength=bits + 1)


@pytest.mark.parametrize("rate", [0.05, 0.1, 0.2])
def test_false_discoveries_are_as_many_as_promised(rate):
    """The proportion among what is kept, over 600 queries: the promise holds, and no more strictly than by its pi0."""
    draw, items, related, null = np.random.default_rng(0), 2000, 40, independent_null(BITS)
    wrong, promised = [], []
    for distances in mixture(draw, items, related, near=0.43, trials=600):
        counts = counted(distances)
        (cut,) = cuts([null], [counts], rate)
        kept = distances <= cut
        wrong.append(kept[related:].sum() / max(1, kept.sum()))
        promised.append(discovery_rates(null, counts)[cut] if cut >= 0 else 0.0)
    error = np.std(wrong) / np.sqrt(len(wrong))
    assert np.mean(wrong) <= rate + 3 * error
    assert abs(np.mean(wrong) - np.mean(promised)) <= 3 * error + rate * related / items
    assert np.mean(wrong) > 0.5 * rate  # a cut that never keeps anything would pass the first line


def test_pure_noise_is_refused():
    draw, items = np.random.default_rng(1), 2000
    pairs = counted(draw.binomial(64, 0.5, 20_000), 64)
    fitted = fit_null(pairs)
    refused = 0
    for distances in draw.binomial(64, 0.5, (1000, items)):
        counts = counted(distances, 64)
        refused += cuts([fitted.careful(own_null(counts))], [counts]) == [-1]
    assert refused >= 950


def test_a_null_is_fitted_to_what_is_surely_unrelated():
    draw = np.random.default_rng(2)
    unrelated = draw.binomial(64, draw.beta(60, 60, 18_000))
    pairs = counted(np.concatenate([draw.binomial(64, 0.06, 2_000), unrelated]), 64)
    null = fit_null(pairs)
    assert null.middle == pytest.approx(unrelated.mean(), abs=0.2)
    assert null.spread == pytest.approx(unrelated.std(), rel=0.05)
    assert null.within[12] < 1e-3 < pairs[:13].sum() / pairs.sum()


def test_a_query_that_is_near_to_everything_moves_its_own_null():
    draw = np.random.default_rng(3)
    counts = counted(draw.binomial(64, 0.3, 1000), 64)
    far = independent_null(64)
    assert cuts([far], [counts])[0] > 15
    assert cuts([far.careful(own_null(counts))], [counts]) == [-1]
    assert own_null(counts).middle == pytest.approx(0.3 * 64, abs=0.4)


def test_two_spaces_of_codes_are_one_list():
    draw = np.random.default_rng(4)
    short, long = mixture(draw, 400, 20, 32, 0.05)[0], mixture(draw, 900, 0, 64)[0]
    nulls, counts = [independent_null(32), independent_null(64)], [counted(short, 32), counted(long, 64)]
    low, high = cuts(nulls, counts)
    assert 2 <= low < 9
    assert nulls[1].within[high] < nulls[0].within[low + 1]  # one probability ends both
    assert nulls[0].within[low] < nulls[1].within[high + 1]
    alone = cuts(nulls[:1], counts[:1])[0]
    assert counts[0][: alone + 1].sum() >= counts[0][: low + 1].sum()  # fewer unrelated items were asked
    assert cuts(nulls[1:], counts[1:]) == [-1]


@pytest.mark.parametrize("bits", [1, 7, 64, 2048])
@pytest.mark.parametrize("items", [1, 60, 5000])
def test_any_number_of_bits_and_items(bits, items):
    counts = counted(np.random.default_rng(5).binomial(bits, 0.5, items), bits)
    for null in (independent_null(bits), own_null(counts), fit_null(counts)):
        assert null.mass.sum() == pytest.approx(1, abs=0.5)
        assert (np.diff(null.within) >= -1e-12).all()
        rates = discovery_rates(null, counts)
        assert rates.shape == (bits + 1,)
        assert (np.diff(rates) >= -1e-12).all()
        assert ((rates >= 0) & (rates <= 1)).all()
        assert -1 <= cuts([null], [counts])[0] <= bits


def test_ties_and_copies_come_together():
    """Duplicated items: a thousand copies of one unrelated picture are no discovery where one would be none."""
    null, far = independent_null(64), counted(np.random.default_rng(6).binomial(64, 0.5, 3000), 64)
    edge = int(np.searchsorted(null.within, 0.05))
    copies = far + 1000 * (np.arange(65) == edge)
    assert cuts([null], [copies])[0] < edge
    equal = far + 30 * (np.arange(65) == 0)
    assert cuts([null], [equal])[0] >= 0
    assert expected_within(null, equal)[0] < 1e-15


def test_one_class_only_is_no_nearer_than_itself():
    counts = counted(np.random.default_rng(7).binomial(64, 0.03, 500), 64)
    assert cuts([fit_null(counts).careful(own_null(counts))], [counts]) == [-1]


def test_nothing_searched_is_nothing_found():
    empty = np.zeros(65, np.int64)
    assert cuts([independent_null(64)], [empty]) == [-1]
    assert (discovery_rates(independent_null(64), empty) == 1).all()
