"""Hubness reductions: bounds, order, and less hubness where there was much."""

import numpy as np
import pytest
from scipy.spatial.distance import cdist
from scipy.stats import norm

from deephash.errors import UsageError
from deephash.evaluation.hubness_measures import measures_of_occurrence
from deephash.index.hubness import (
    FNorm,
    Moments,
    local_scaling,
    mutual_proximity,
    mutual_proximity_empirical,
    neighbour_distance,
)


def skewness(distances):
    """Skewness of 10-occurrences within one set."""
    work = distances + np.diag(np.full(len(distances), np.inf))
    nearest = np.argsort(work, axis=1)[:, :10]
    return measures_of_occurrence(np.bincount(nearest.ravel(), minlength=len(work)).astype(float), 10).skewness


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
    raw = skewness(distances)
    scale = neighbour_distance(distances + np.diag(np.full(500, np.inf)))
    moments = Moments.of(distances)
    assert skewness(local_scaling(distances, scale, scale)) < 0.75 * raw
    assert skewness(mutual_proximity(distances, moments, moments)) < 0.5 * raw
    with pytest.raises(UsageError, match="rank"):
        neighbour_distance(distances, 0)
