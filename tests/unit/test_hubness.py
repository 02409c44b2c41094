"""Hubness measures and reductions against direct counts and known values."""

import numpy as np
import pytest
from scipy.spatial.distance import cdist
from scipy.stats import norm, skew

from deephash.errors import UsageError
from deephash.index.hubness import (
    FNorm,
    Hubness,
    Moments,
    local_scaling,
    measure_hubness,
    mutual_proximity,
    mutual_proximity_empirical,
    neighbour_distance,
)


def test_measures_by_hand():
    hubness = Hubness(2, np.array([4, 2, 1, 1, 0]))
    assert hubness.skewness == pytest.approx(skew([4, 2, 1, 1, 0]))
    assert hubness.robin_hood == pytest.approx(0.5 * (2.4 + 0.4 + 0.6 + 0.6 + 1.6) / 8)
    assert hubness.antihub_rate == pytest.approx(0.2)
    assert hubness.hub_occurrence == pytest.approx(4 / 8)
    naive = sum(abs(a - b) for a in hubness.occurrence for b in hubness.occurrence) / (2 * 25 * 1.6)
    assert hubness.gini == pytest.approx(naive)
    assert set(hubness.as_dict()) == {"k", "skewness", "robin_hood", "antihub_rate", "hub_occurrence", "gini"}


def test_equal_occurrences_have_no_hubs():
    hubness = Hubness(3, np.full(10, 3))
    assert (hubness.skewness, hubness.robin_hood, hubness.gini) == (0, 0, 0)


def test_occurrences_sum_to_k_times_queries_and_ties_do_not_make_hubs():
    constant = measure_hubness(np.zeros((400, 40)), k=5)
    assert constant.occurrence.sum() == 5 * 400
    assert constant.occurrence.max() < 2 * constant.occurrence.mean()


def test_skewness_grows_with_dimension():
    draw = np.random.default_rng(0)
    skewness = []
    for width in (3, 30, 300):
        points = draw.standard_normal((1000, width))
        skewness.append(measure_hubness(cdist(points, points), exclude_self=True).skewness)
    assert skewness[0] < 0.3 < skewness[1] < skewness[2]


def test_bad_k_is_refused():
    with pytest.raises(UsageError, match=r"1\.\.3"):
        measure_hubness(np.zeros((4, 4)), k=4, exclude_self=True)


def test_f_norm_keeps_the_order_and_gives_unit_rows():
    database = np.random.default_rng(0).exponential(size=(200, 6))
    mapped = FNorm.fit(database).transform(database)
    np.testing.assert_allclose(np.linalg.norm(mapped, axis=1), 1)
    before = FNorm.fit(database)
    raw = norm.ppf((np.argsort(np.argsort(database, axis=0), axis=0) + 0.5) / 200)
    np.testing.assert_allclose(mapped, raw / np.linalg.norm(raw, axis=1, keepdims=True), atol=1e-9)
    assert np.isfinite(before.transform(np.array([[1e9] * 6, [-1e9] * 6]))).all()


def test_mutual_proximity_is_symmetric_bounded_and_monotone():
    points = np.random.default_rng(1).standard_normal((60, 20))
    distances = cdist(points, points)
    moments = Moments.of(distances)
    proximity = mutual_proximity(distances, moments, moments)
    np.testing.assert_allclose(proximity, proximity.T)
    assert (proximity >= 0).all()
    assert (proximity <= 1).all()
    flat = Moments(np.full(1, 5.0), np.full(1, 2.0))
    line = mutual_proximity(np.linspace(0, 9, 30)[None], flat, Moments(np.full(30, 5.0), np.full(30, 2.0)))
    assert (np.diff(line[0]) > 0).all()
    empirical = mutual_proximity_empirical(distances)
    x, y = 3, 17
    farther = np.mean([(distances[x, j] > distances[x, y]) and (distances[j, y] > distances[x, y]) for j in range(60)])
    assert empirical[x, y] == pytest.approx(1 - farther)
    with pytest.raises(UsageError, match="one set"):
        mutual_proximity_empirical(distances[:5])


def test_moments_from_histograms_are_those_of_the_distances():
    distances = np.random.default_rng(0).integers(0, 17, (5, 200))
    histograms = np.stack([np.bincount(row, minlength=17) for row in distances])
    plain, counted = Moments.of(distances), Moments.from_histograms(histograms)
    np.testing.assert_allclose(plain.mean, counted.mean)
    np.testing.assert_allclose(plain.std, counted.std)
    assert Moments.of(distances, 10).mean.max() < plain.mean.min()


def test_reductions_lower_hubness_of_a_high_dimension():
    points = np.random.default_rng(0).standard_normal((500, 300))
    distances = cdist(points, points)
    raw = measure_hubness(distances, exclude_self=True).skewness
    scale = neighbour_distance(distances + np.diag(np.full(500, np.inf)))
    moments = Moments.of(distances)
    assert measure_hubness(local_scaling(distances, scale, scale), exclude_self=True).skewness < 0.75 * raw
    assert measure_hubness(mutual_proximity(distances, moments, moments), exclude_self=True).skewness < 0.5 * raw
    with pytest.raises(UsageError, match="rank"):
        neighbour_distance(distances, 0)
