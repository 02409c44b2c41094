"""Search by the symmetric distance: every way gives the same ids and the same scores as brute force."""

import numpy as np
import pytest

from deephash.codes import BinaryCodes
from deephash.codes.levels import level_values, symmetric_scores
from deephash.errors import UsageError
from deephash.index.nibble_sums import GROUP as KERNEL_GROUP
from deephash.index.nibble_sums import LANES as KERNEL_LANES
from deephash.index.nibble_sums import has_shuffle
from deephash.index.symmetric import GROUP, LANES, SymmetricIndex, first_level
from tests.unit.test_codes_levels import drawn

WAYS = ["popcount", "numpy", pytest.param("look_up", marks=pytest.mark.skipif(not has_shuffle(), reason="no AVX2"))]


def brute_force(ids, database, queries, k):
    scores = symmetric_scores(queries, database)
    order = [sorted(range(len(ids)), key=lambda row: (-each[row], ids[row]))[:k] for each in scores]
    return ids[np.array(order)], np.take_along_axis(scores, np.array(order), 1)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(("bits", "levels"), [(1, 2), (7, 1), (64, 2), (65, 1), (100, 2), (30, 3), (16, 4), (512, 2)])
def test_ids_and_scores_are_those_of_brute_force(way, bits, levels):
    if way == "look_up" and levels > 2:
        with pytest.raises(UsageError, match="16-entry tables"):
            SymmetricIndex(np.arange(3), drawn(3, bits, levels), way=way)
        return
    database, queries = drawn(301, bits, levels, bits), drawn(7, bits, levels, 99)
    ids = np.arange(301) * 5 + 2
    index = SymmetricIndex(ids, database, way=way, threads=2)
    for k in (1, 10, 301, 1000):
        found = index.search(queries, k)
        expected = brute_force(ids, database, queries, k)
        assert np.array_equal(found.ids, expected[0])
        assert np.array_equal(found.scores, expected[1])


@pytest.mark.parametrize("way", WAYS)
def test_many_rows_in_several_threads_and_many_queries(way):
    database, queries = drawn(70_000, 24, 2, 1), drawn(130, 24, 2, 2)
    ids = np.sort(np.random.default_rng(3).permutation(10**6)[:70_000])
    found = SymmetricIndex(ids, database, way=way, threads=3).search(queries, 20)
    scores = symmetric_scores(queries, database)
    order = np.lexsort((np.broadcast_to(ids, scores.shape), -scores), axis=-1)[:, :20]
    assert np.array_equal(found.ids, ids[order])
    assert np.array_equal(found.scores, np.take_along_axis(scores, order, 1))


@pytest.mark.parametrize("way", WAYS)
def test_ties_come_in_the_order_of_ids(way):
    database = BinaryCodes.concatenate([drawn(1, 40, 2, 1)] * 500)
    found = SymmetricIndex(np.arange(500) + 7, database, way=way).search(database[:1], 90)
    assert found.ids[0].tolist() == list(range(7, 97))
    assert (found.scores == 1).all()


@pytest.mark.parametrize("way", WAYS)
def test_only_what_is_allowed_is_found(way):
    database, queries = drawn(400, 32, 2, 1), drawn(3, 32, 2, 2)
    index, allowed = SymmetricIndex(np.arange(400), database, way=way), np.arange(5, 400, 7)
    found = index.search(queries, 10, allowed=allowed)
    expected = brute_force(allowed, database[allowed], queries, 10)
    assert np.array_equal(found.ids, expected[0])
    assert index.search(queries, 10, allowed=np.array([3, 999_999])).ids.tolist() == [[3]] * 3
    assert index.search(queries, 10, allowed=np.empty(0, np.int64)).ids.shape == (3, 0)


def test_a_shortlist_by_the_first_level_is_rescored_exactly():
    centres = np.random.default_rng(0).normal(size=(50, 128))
    points = centres[np.arange(4000) % 50] + 0.7 * np.random.default_rng(1).normal(size=(4000, 128))
    values = np.stack([points, np.abs(points) - 0.8], axis=1)  # a second level that says how far from zero
    codes = BinaryCodes.from_continuous(values)
    index = SymmetricIndex(np.arange(4000), codes)
    exact, short = index.search(codes[:50], 10), index.search(codes[:50], 10, shortlist=400)
    recall = np.mean([len(set(a) & set(b)) / 10 for a, b in zip(exact.ids.tolist(), short.ids.tolist())])
    assert recall > 0.9
    assert np.array_equal(index.search(codes[:50], 10, shortlist=4000).ids, exact.ids)
    rows = short.ids[4]
    assert np.array_equal(short.scores[4], symmetric_scores(codes[4], codes[rows])[0])
    assert (np.diff(short.scores, axis=1) <= 0).all()


def test_scores_of_some_items():
    codes = drawn(60, 32, 2, 1)
    index = SymmetricIndex(np.arange(60) * 2, codes)
    assert np.array_equal(index.scores_of(codes[3], np.array([6, 20])), symmetric_scores(codes[3], codes[[3, 10]])[0])


def test_the_first_level_alone_are_the_signs():
    codes = drawn(20, 21, 2, 4)
    assert np.array_equal(first_level(codes).signs(), np.sign(level_values(codes)))


def test_empty_and_wrong():
    codes = drawn(5, 16, 2)
    index = SymmetricIndex(np.arange(5), codes)
    assert index.search(codes[:0], 3).ids.shape == (0, 3)
    assert SymmetricIndex(np.empty(0, np.int64), codes[:0]).search(codes, 3).ids.shape == (5, 0)
    for ids in (np.arange(4), np.array([0, 1, 2, 2, 3]), np.array([1, 0, 2, 3, 4])):
        with pytest.raises(UsageError, match="ids"):
            SymmetricIndex(ids, codes)
    with pytest.raises(UsageError, match="different lengths"):
        index.search(drawn(1, 16, 1), 3)
    for k in (0, -1):
        with pytest.raises(UsageError, match="at least 1"):
            index.search(codes, k)
    with pytest.raises(UsageError, match="shortlist"):
        index.search(codes, 5, shortlist=4)
    with pytest.raises(UsageError, match="way is"):
        SymmetricIndex(np.arange(5), codes, way="fast")


def test_the_kernels_sizes_are_those_of_the_layout():
    assert (LANES, GROUP) == (KERNEL_LANES, KERNEL_GROUP)


@pytest.mark.skipif(not has_shuffle(), reason="no AVX2")
def test_the_way_is_chosen_by_trying_both():
    codes = drawn(1 << 14, 16, 2)
    index = SymmetricIndex(np.arange(len(codes)), codes)
    assert index.way in ("popcount", "look_up")
    assert "symmetric distance over 2 levels, exact: " in index.explain()
    assert SymmetricIndex(np.arange(9), codes[:9]).way == "popcount"
