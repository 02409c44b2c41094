"""LSH tables over float features."""

import numpy as np
import pytest
from scipy.stats import norm

from deephash.codes import BinaryCodes
from deephash.errors import UsageError
from deephash.index.lsh import LshIndex, compare_with_scan, hit_probability, hyperplane_collision, pstable_collision

FAMILIES = ["pstable", "hyperplane"]


def mixture(number: int, seed: int, dims: int = 16) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    centres = 4 * np.random.default_rng(99).standard_normal((5, dims))
    labels = random.integers(0, 5, number)
    return centres[labels] + random.standard_normal((number, dims)), labels


def test_formulas():
    for distance in (0.5, 1.0, 3.0):
        t = 2.0 / distance
        expected = 1 - 2 * norm.cdf(-t) - 2 / (np.sqrt(2 * np.pi) * t) * (1 - np.exp(-(t**2) / 2))
        assert pstable_collision(distance, 2.0) == pytest.approx(expected)
    assert pstable_collision(0, 2.0) == 1
    assert hyperplane_collision(1.0) == 1
    assert hyperplane_collision(0.0) == pytest.approx(0.5)
    assert hyperplane_collision(-1.0) == 0
    assert hit_probability(0.9, 4, 3) == pytest.approx(1 - (1 - 0.9**4) ** 3)


@pytest.mark.parametrize("distance", [0.5, 2.0, 6.0])
def test_pstable_collisions_are_as_predicted(distance):
    points = np.zeros((2, 8), np.float32)
    points[1, 3] = distance
    index = LshIndex(np.arange(2), points, tables=1, functions=20_000, width=3.0)
    values = index._values(index._points)[0][0]
    assert (values[0] == values[1]).mean() == pytest.approx(pstable_collision(distance, 3.0), abs=0.015)


@pytest.mark.parametrize("degrees", [10, 60, 120])
def test_hyperplane_collisions_are_as_predicted(degrees):
    angle = np.radians(degrees)
    points = np.array([[1, 0, 0], [np.cos(angle), np.sin(angle), 0]])
    index = LshIndex(np.arange(2), points, family="hyperplane", tables=1, functions=20_000)
    values = index._values(index._points)[0][0]
    assert (values[0] == values[1]).mean() == pytest.approx(hyperplane_collision(np.cos(angle)), abs=0.015)


@pytest.mark.parametrize("family", FAMILIES)
def test_many_short_tables_are_the_sequential_scan(family):
    points, _ = mixture(500, seed=0)
    queries, _ = mixture(6, seed=1)
    ids = np.random.default_rng(0).permutation(2000)[:500]
    index = LshIndex(ids, points, family=family, tables=30, functions=2, probes=2)
    exact = index.scan(queries, 10)
    assert [answer.ids.tolist() for answer in index.search(queries, 10)] == exact.tolist()
    if family == "pstable":
        naive = np.linalg.norm(points[None] - queries[:, None], axis=2)
        assert exact.tolist() == ids[np.argsort(naive, axis=1)[:, :10]].tolist()


@pytest.mark.parametrize("family", FAMILIES)
def test_probes_find_more(family):
    points, _ = mixture(2000, seed=0)
    queries, _ = mixture(20, seed=1)
    scanned = []
    for probes in (0, 1, 2):
        index = LshIndex(np.arange(2000), points, family=family, tables=2, functions=10, probes=probes)
        scanned.append([answer.scanned for answer in index.search(queries, 10)])
    assert (np.diff(scanned, axis=0) >= 0).all()
    assert np.mean(scanned[2]) > np.mean(scanned[0])


@pytest.mark.parametrize("family", FAMILIES)
def test_report(family):
    points, labels = mixture(1500, seed=0)
    queries, query_labels = mixture(40, seed=1)
    directions = np.random.default_rng(2).standard_normal((16, 64))
    codes = (BinaryCodes.from_continuous(queries @ directions), BinaryCodes.from_continuous(points @ directions))
    index = LshIndex(np.arange(1500), points, family=family, tables=8, functions=6)
    report = compare_with_scan(index, queries, query_labels, labels, codes=codes)
    assert 0 < report.share_scanned < 1
    assert 0.3 < report.recall <= 1
    assert report.map_scan == pytest.approx(1, abs=0.01)  # the classes are far apart
    assert report.map_lsh == pytest.approx(1, abs=0.05)
    assert report.map_binary_scan == pytest.approx(1, abs=0.05)
    assert set(report.recall_by_class) == set(np.unique(query_labels).tolist())
    assert compare_with_scan(index, queries, query_labels, labels).map_binary_scan is None


def test_an_empty_bucket_gives_an_empty_answer():
    points, labels = mixture(50, seed=0)
    index = LshIndex(np.arange(50), points, tables=1, functions=30, width=0.01)
    far = np.full((1, 16), 1e3)
    (answer,) = index.search(far, 5)
    assert len(answer.ids) == answer.scanned == 0
    assert compare_with_scan(index, far, labels[:1], labels).map_lsh == 0


@pytest.mark.parametrize(
    "wrong",
    [
        {"family": "minhash"},
        {"ids": np.arange(4)},
        {"tables": 0},
        {"functions": 0},
        {"probes": 99},
        {"vectors": np.zeros(5)},
        {"ids": np.arange(0), "vectors": np.zeros((0, 3))},
    ],
)
def test_bad_input(wrong):
    with pytest.raises(UsageError):
        LshIndex(**{"ids": np.arange(5), "vectors": np.ones((5, 3)), **wrong})


def test_points_that_are_all_alike():
    index = LshIndex(np.arange(5), np.ones((5, 3)))
    assert index.width == 1
    (answer,) = index.search(np.ones((1, 3)), 3)
    assert answer.ids.tolist() == [0, 1, 2]
