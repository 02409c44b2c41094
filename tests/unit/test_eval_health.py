"""Code health, hubness and kNN on codes made to have known numbers."""

import numpy as np
import pytest
from scipy.stats import skew

from deephash.codes import BinaryCodes
from deephash.errors import UsageError
from deephash.evaluation import neighbourhoods
from deephash.evaluation.health import code_health, collision_rate, quantisation_error
from deephash.evaluation.hubness_measures import hubness, k_occurrence, measures_of_occurrence
from tests import evaluation_naive as naive


def test_every_number_of_a_small_set():
    bits = np.array([[0, 0, 1], [0, 1, 1], [1, 0, 1], [1, 0, 1]])
    health = code_health(BinaryCodes.from_bits(bits), labels=[0, 0, 1, 2], continuous=bits - 0.5)
    assert (health.num_codes, health.num_bits, health.unique_codes, health.unique_share) == (4, 3, 3, 0.75)
    assert health.imbalance == pytest.approx((0 + 0.25 + 0.5) / 3)
    assert health.dead_bits == 1
    assert health.mean_correlation == pytest.approx(abs(np.corrcoef(bits[:, 0], bits[:, 1])[0, 1]))
    assert health.entropy == pytest.approx(1.5)
    assert health.collision_rate == 0.5  # the last two are equal and of two classes
    assert health.intra_distance == 1.0
    assert health.inter_distance == pytest.approx((1 + 1 + 2 + 2 + 0) / 5)
    assert health.quantisation_error == 0.0


def test_without_labels_and_continuous_codes_nothing_is_invented():
    health = code_health(BinaryCodes.from_bits([[0], [0]]))
    assert health.collision_rate is health.intra_distance is health.inter_distance is health.quantisation_error is None
    assert (health.entropy, health.mean_correlation, health.dead_bits) == (0.0, 0.0, 1)


@pytest.mark.parametrize("labels", [0, 3])
def test_collisions_against_all_pairs(labels):
    _, bits, _, item_labels = naive.random_sides(6, 1, 60, 4, labels)
    shared = naive.gains_between(item_labels, item_labels) > 0
    labelled = item_labels >= 0 if labels == 0 else item_labels.any(axis=1)
    equal = naive.distances_between(bits, bits) == 0
    slow = [(equal[row] & labelled & ~shared[row]).any() for row in np.flatnonzero(labelled)]
    assert 0 < np.mean(slow) < 1 or labels == 0
    assert collision_rate(BinaryCodes.from_bits(bits), item_labels) == pytest.approx(np.mean(slow))


def test_class_distances_leave_unlabelled_items_and_self_pairs_out():
    _, bits, _, labels = naive.random_sides(8, 1, 50, 9)
    health = code_health(BinaryCodes.from_bits(bits), labels=labels)
    kept = labels >= 0
    distances = naive.distances_between(bits[kept], bits[kept])
    same = labels[kept][:, None] == labels[kept]
    other = ~np.eye(kept.sum(), dtype=bool)
    assert health.intra_distance == pytest.approx(distances[same & other].mean())
    assert health.inter_distance == pytest.approx(distances[~same].mean())


def test_quantisation_error_is_free_of_scale():
    values = np.random.default_rng(0).normal(size=(20, 8))
    assert quantisation_error(values) == pytest.approx(quantisation_error(1000 * values))
    assert quantisation_error(np.sign(values) * 7) == 0.0
    assert quantisation_error(np.zeros((2, 2))) == 1.0


def test_health_refuses_nothing_and_misfits():
    with pytest.raises(UsageError, match="no codes"):
        code_health(BinaryCodes.from_bits(np.zeros((0, 4), int)))
    with pytest.raises(UsageError, match="3 labels for 2 codes"):
        code_health(BinaryCodes.from_bits([[0], [1]]), labels=[0, 1, 1])
    assert collision_rate(BinaryCodes.from_bits([[0], [0]]), [-1, -1]) == 0.0


# Neighbours -------------------------------------------------------------------------------------------


def test_occurrences_sum_to_k_a_query_and_spread_over_ties():
    query, database, *_ = naive.random_sides(2, 30, 80, 5)
    occurrence = k_occurrence(query, database, k=7)
    assert occurrence.sum() == pytest.approx(7 * 30)
    distances = naive.distances_between(query, database)
    slow = np.zeros(80)
    for row in distances:
        edge = np.sort(row)[6]
        slow += row < edge
        slow += (row == edge) * (7 - (row < edge).sum()) / (row == edge).sum()
    np.testing.assert_allclose(occurrence, slow, atol=1e-12)


def test_equal_codes_make_no_artificial_hubs():
    codes = np.zeros((50, 8), int)
    measured = hubness(codes, codes, k=5, own=np.arange(50))
    assert measured.skewness == 0.0
    assert measured.robin_hood == pytest.approx(0.0, abs=1e-12)
    assert measured.antihub_rate == 0.0
    assert measured.largest == pytest.approx(5.0)


def test_self_pairs_are_left_out_once():
    _, codes, *_ = naive.random_sides(9, 1, 40, 6)
    occurrence = k_occurrence(codes, codes, k=3, own=np.arange(40))
    assert occurrence.sum() == pytest.approx(3 * 40)
    lone = np.eye(6, dtype=int)[:1]
    far = np.concatenate([lone, 1 - np.eye(6, dtype=int)[1:]])
    assert k_occurrence(far, far, k=1, own=np.arange(len(far)))[0] <= 6
    with pytest.raises(UsageError, match=r"database row, 0\.\.39, of each of the 3 queries"):
        k_occurrence(codes[:3], codes, k=3, own=np.arange(40))


def test_measures_by_hand():
    occurrence = np.array([0.0, 0.0, 2.0, 10.0])
    measured = measures_of_occurrence(occurrence, k=3)
    assert measured.skewness == pytest.approx(skew(occurrence))
    assert measured.robin_hood == pytest.approx((3 + 3 + 1 + 7) / 24)
    assert (measured.antihub_rate, measured.largest) == (0.5, 10.0)
    assert measured.hub_occurrence == pytest.approx(10 / 12)


@pytest.mark.parametrize("own", [None, np.arange(5, 75)])
@pytest.mark.parametrize("pairs", [1, 4_000_000])
@pytest.mark.parametrize("bits", [3, 70])
def test_the_kernel_finds_the_neighbours_that_numpy_finds(monkeypatch, own, pairs, bits):
    """Also where each query is a block of its own, and where ties are so many that most items are neighbours."""
    draw = np.random.default_rng(0)
    codes = BinaryCodes.from_bits(draw.integers(0, 2, (3000, bits)))
    queries = codes[5:75]
    plain = k_occurrence(queries, codes, k=7, own=own)
    monkeypatch.setattr(neighbourhoods, "takes_numba", lambda *_: True)
    monkeypatch.setattr(neighbourhoods, "BLOCK_PAIRS", pairs)
    found = k_occurrence(queries, codes, k=7, own=own)
    np.testing.assert_allclose(found, plain, rtol=0, atol=1e-12)
    assert found.sum() == pytest.approx(7 * 70)


@pytest.mark.parametrize("labels", [np.arange(400) % 9 - 1, np.random.default_rng(2).integers(0, 2, (400, 70)) * 0])
def test_collisions_are_those_of_a_plain_loop(labels):
    draw = np.random.default_rng(1)
    bits = draw.integers(0, 2, (400, 5))
    if labels.ndim == 2:
        labels[np.arange(400), draw.integers(0, 70, 400)] = 1
        labels[draw.random(400) < 0.1] = 0
    known = labels >= 0 if labels.ndim == 1 else labels.any(axis=1)
    same = (bits[:, None] == bits[None]).all(axis=2)
    shares = labels[:, None] == labels[None] if labels.ndim == 1 else labels @ labels.T > 0
    collides = (same & ~shares & known[None]).any(axis=1)[known]
    assert collides.mean() > 0.5
    assert collision_rate(BinaryCodes.from_bits(bits), labels) == pytest.approx(collides.mean())
