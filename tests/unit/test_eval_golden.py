"""Golden values: hand-made count vectors and published figures that can be recomputed."""

import numpy as np
import pytest

from deephash.evaluation import radius
from deephash.evaluation.compatibility import compatibility_scores, update_gain
from deephash.evaluation.counts import DistanceCounts
from deephash.evaluation.cut import draws_without_replacement
from deephash.evaluation.groups import HarmonicNumbers
from deephash.evaluation.metrics import (
    average_precision_from_counts,
    curve_by_radius_from_counts,
    hit_from_counts,
    ndcg_from_counts,
    precision_from_counts,
    recall_from_counts,
)

A, B = ([3, 5, 4, 8], [2, 2, 1, 3]), ([0, 7, 0, 9], [0, 3, 0, 2])
GOLDEN = [
    (A, 20, {"hits": 0.57268, "min": 0.57268, "total": 0.57268, "first-k": 0.57268}),
    (A, 6, {"hits": 0.75278, "min": 0.40074, "total": 0.30056}),
    (B, 4, {"hits": 0.6246, "min": 0.29167, "total": 0.23333}),
    (([10], [4]), 3, {"hits": 0.58056, "min": 0.2963, "total": 0.22222}),
    (([6, 6], [0, 3]), 5, {"hits": 0.0, "min": 0.0, "total": 0.0}),
]


@pytest.mark.parametrize(("vectors", "depth", "expected"), GOLDEN)
def test_expected_average_precision(vectors, depth, expected):
    counts = DistanceCounts.from_items(*vectors)
    for normalize, value in expected.items():
        found = average_precision_from_counts(counts, top_k=depth, normalize=normalize)
        assert found[0] == pytest.approx(value, abs=5e-6), normalize


def in_order(*gains):
    """Counts of one ranking without ties."""
    return DistanceCounts.from_items(np.ones(len(gains)), np.array(gains))


def test_hits_norm_rewards_retrieving_less_and_min_does_not():
    two, one = in_order(1, 0, 1), in_order(1, 0, 0)
    assert average_precision_from_counts(two)[0] == pytest.approx(5 / 6)
    assert average_precision_from_counts(one)[0] == 1.0
    hidden = [in_order(1, 0, gain, 1 - gain) for gain in (1, 0)]  # the second one has its second hit behind the cut
    hits = [average_precision_from_counts(c, top_k=3)[0] for c in hidden]
    least = [average_precision_from_counts(c, top_k=3, normalize="min")[0] for c in hidden]
    assert hits[0] < hits[1]
    assert least[0] > least[1]


def test_all_norms_agree_on_the_whole_database():
    counts = DistanceCounts.from_items(*B)
    values = [
        average_precision_from_counts(counts, top_k=top_k, normalize=normalize)[0]
        for normalize in ("hits", "min", "total", "first-k")
        for top_k in (None, 16)
    ]
    np.testing.assert_allclose(values, values[0], rtol=1e-14)


def test_ranks_of_a_tied_group():
    counts = DistanceCounts.from_items([2, 4], [1, 2])
    assert precision_from_counts(counts, top_k=4)[0] == pytest.approx((1 + 2 * 2 / 4) / 4)
    assert recall_from_counts(counts, top_k=4)[0] == pytest.approx(2 / 3)
    assert hit_from_counts(counts, top_k=1)[0] == pytest.approx(1 / 2)
    nothing_near = DistanceCounts.from_items([2, 4], [0, 2])
    assert hit_from_counts(nothing_near, top_k=4)[0] == pytest.approx(1 - 1 / 6)  # C(2, 2) / C(4, 2) miss


def test_ball_scores_by_hand():
    counts = DistanceCounts.from_items([[1, 1, 2], [0, 0, 4], [0, 3, 1]], [[1, 0, 1], [0, 0, 1], [0, 0, 0]])
    np.testing.assert_allclose(radius.precision_within(counts, 1), [0.5, 0.0, np.nan])  # the empty ball counts as 0
    np.testing.assert_allclose(radius.recall_within(counts, 1), [0.5, 0.0, np.nan])
    np.testing.assert_allclose(radius.f1_within(counts, 1), [0.5, 0.0, np.nan])
    found = radius.average_precision_within_radius_from_counts(counts, radius=1)
    np.testing.assert_allclose(found, [1.0, 0.0, np.nan])
    np.testing.assert_array_equal(radius.ball_size(counts, 1), [2, 0, 3])


def test_macro_and_micro_curves_differ():
    counts = DistanceCounts.from_items([[1, 1], [9, 1]], [[1, 0], [0, 1]])
    macro = curve_by_radius_from_counts(counts)
    micro = curve_by_radius_from_counts(counts, average="micro")
    np.testing.assert_allclose(macro.precision, [0.5, (1 / 2 + 1 / 10) / 2])
    np.testing.assert_allclose(micro.precision, [1 / 10, 2 / 12])
    np.testing.assert_allclose(macro.recall, [0.5, 1.0])
    np.testing.assert_array_equal(micro.at, [0, 1])


def test_ndcg_of_a_known_ranking():
    """Gains 3, 2, 3, 0, 1, 2: DCG 6.861 and IDCG 7.141 with linear gains, the textbook example."""
    gains = [3, 2, 3, 0, 1, 2]
    by_gain = np.zeros((1, 4, 6), np.int64)
    by_gain[0, gains, np.arange(6)] = 1
    counts = DistanceCounts(by_gain)
    assert ndcg_from_counts(counts, scale="linear")[0] == pytest.approx(6.861 / 7.141, abs=1e-4)


def test_hypergeometric_chances_are_exact():
    hits, chances = draws_without_replacement(np.array([10]), np.array([4]), np.array([3]))
    np.testing.assert_array_equal(hits[0], [0, 1, 2, 3])
    np.testing.assert_allclose(chances[0], np.array([20, 60, 36, 4]) / 120, rtol=1e-14)


def test_hypergeometric_window_of_a_large_group_keeps_everything_that_matters():
    from scipy.stats import hypergeom

    items, relevant, drawn = np.array([60_000]), np.array([6_000]), np.array([5_000])
    hits, chances = draws_without_replacement(items, relevant, drawn)
    assert hits.shape[1] < 700  # not 5,001
    np.testing.assert_allclose(chances[0], hypergeom.pmf(hits[0], 60_000, 6_000, 5_000), rtol=1e-8, atol=1e-20)
    assert (hits * chances).sum() == pytest.approx(500, rel=1e-13)


def test_differences_of_harmonic_numbers_are_exact_to_rounding():
    harmonic = HarmonicNumbers(1_000_000)
    assert harmonic.between(np.array([999_998]), np.array([1_000_000]))[0] == pytest.approx(
        1 / 999_999 + 1 / 1_000_000, rel=1e-15
    )


COMPATIBILITY = [
    [0.58892],
    [0.59700, 0.61560],
    [0.63050, 0.65276, 0.69314],
    [0.63336, 0.65298, 0.70626, 0.72374],
    [0.65006, 0.67872, 0.70754, 0.72114, 0.73828],
    [0.64080, 0.67188, 0.71166, 0.72712, 0.74704, 0.76194],
    [0.63140, 0.66350, 0.72096, 0.73496, 0.75232, 0.76652, 0.77164],
]


def test_published_compatibility_matrix():
    """d-Simplex-HOC on CIFAR, 7 tasks: AC 20/21 and AM 0.68899 as in the authors' notebook."""
    scores = compatibility_scores(COMPATIBILITY)
    assert scores.compatibility == pytest.approx(20 / 21)
    assert scores.mean_score == pytest.approx(0.68899, abs=1e-5)
    assert scores.failures == ((4, 3),)  # query model 5 on gallery model 4, counting from 1
    assert scores.diagonal[0] == 0.58892


def test_rules_for_equal_scores_and_zeros():
    equal = np.full((3, 3), 0.5)
    assert compatibility_scores(equal, equal="compatible").compatibility == 1.0
    assert compatibility_scores(equal).compatibility == 0.0
    assert compatibility_scores([[0.0], [0.5, 1.0]]).mean_score == 0.5  # a true zero stays in the mean
    assert np.isnan(compatibility_scores([[0.7]]).compatibility)


def test_update_gain():
    assert update_gain([[0.5], [0.6, 0.7]], new=1, old=0) == pytest.approx(0.5)
    assert np.isnan(update_gain([[0.5], [0.6, 0.5]], new=1, old=0))
