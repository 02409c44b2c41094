"""Our bootstrap beside ``scipy.stats.bootstrap``: the same percentile intervals, within the noise of resampling."""

import numpy as np
import pytest
from scipy import stats

from deephash.evaluation.bootstrap import bootstrap_interval, paired_bootstrap

RESAMPLES = 20_000


def theirs(values, statistic=np.mean, **options):
    found = stats.bootstrap(
        values, statistic, n_resamples=RESAMPLES, method="percentile", vectorized=True, rng=np.random.default_rng(1),
        **options,
    )  # fmt: skip
    return found.confidence_interval


def noise(values):
    """Return what an end of an interval may differ by: an end is a quantile of 20,000 means, drawn twice."""
    return 0.05 * np.std(values) / np.sqrt(len(values))


@pytest.mark.parametrize("level", [0.8, 0.95])
def test_the_interval_of_a_mean(level):
    scores = np.random.default_rng(0).beta(0.5, 0.7, 200)
    ours = bootstrap_interval(scores, level=level, resamples=RESAMPLES)
    expected = theirs((scores,), confidence_level=level)
    assert ours == pytest.approx((expected.low, expected.high), abs=noise(scores))


def test_the_interval_of_a_weighted_mean():
    draw = np.random.default_rng(2)
    weights = draw.integers(1, 9, 150).astype(float)
    hits = draw.binomial(weights.astype(int), 0.3).astype(float)
    ours = bootstrap_interval(hits, weights, resamples=RESAMPLES)
    expected = theirs((hits, weights), lambda a, b, axis=-1: a.sum(axis) / b.sum(axis), paired=True)
    assert ours == pytest.approx((expected.low, expected.high), abs=noise(hits / weights))


def test_the_interval_of_a_paired_difference():
    draw = np.random.default_rng(3)
    first = draw.beta(2, 2, 120)
    second = np.clip(first + draw.normal(0.03, 0.1, 120), 0, 1)
    ours = paired_bootstrap(first, second, resamples=RESAMPLES)
    expected = theirs((second - first,))
    assert ours.interval == pytest.approx((expected.low, expected.high), abs=noise(second - first))
    assert ours.difference == pytest.approx((second - first).mean())
