"""Search by product codes: ids, order, ties, filters, removals and radius are those of brute force."""

import numpy as np
import pytest

from deephash.codes import BinaryCodes
from deephash.errors import UsageError
from deephash.index.ids import UnknownIds
from deephash.index.product import ProductIndex
from deephash.index.product_codes import ProductQuantizer, scores_by_tables

DRAW = np.random.default_rng(0)
QUANTIZER = ProductQuantizer(DRAW.normal(size=(4, 7, 3)).astype(np.float32))  # 7^4 codes, so many are equal
QUERIES = DRAW.normal(size=(5, 12)).astype(np.float32)


def items(count, seed=1):
    packed = np.random.default_rng(seed).integers(0, 7, (count, 4)).astype(np.uint8)
    return np.arange(count) * 3 + 2, BinaryCodes(packed, 32)


def brute_force(ids, codes, query, k=None, least=None):
    """Parts added in turn, in float64, rounded once; then sorted by (-score, id)."""
    found = []
    for item, code in zip(ids.tolist(), codes.packed):
        total = 0.0
        for part in range(4):
            stands_for = QUANTIZER.centroids[part, code[part]].astype(float)
            total += float((query[3 * part : 3 * part + 3].astype(float) * stands_for).sum())
        if least is None or np.float32(total) >= np.float32(least):
            found.append((-np.float32(total), item))
    return sorted(found)[:k]


def pairs(scored, row=None):
    ids, scores = (scored.ids, scored.scores) if row is None else (scored.ids[row], scored.scores[row])
    return [(-score, item) for item, score in zip(ids.tolist(), scores)]


def test_vectors_become_the_nearest_centroids_and_back():
    vectors = DRAW.normal(size=(50, 12)).astype(np.float32)
    codes = QUANTIZER.encode(vectors)
    assert (len(codes), codes.num_bits) == (50, 32)
    for row, vector in enumerate(vectors):
        for part in range(4):
            away = np.linalg.norm(QUANTIZER.centroids[part] - vector[3 * part : 3 * part + 3], axis=1)
            assert codes.packed[row, part] == away.argmin()
    again = QUANTIZER.decode(codes)
    assert QUANTIZER.encode(again) == codes
    tables = QUANTIZER.tables(QUERIES)
    assert scores_by_tables(tables[0], codes.packed) == pytest.approx(again @ QUERIES[0], abs=1e-5)


@pytest.mark.parametrize("count", [3000, 70])
@pytest.mark.parametrize("cells", [0, 1, 9])
def test_ids_order_and_ties_are_those_of_brute_force(count, cells):
    ids, codes = items(count)
    index = ProductIndex(ids, codes, QUANTIZER, cells=cells, probes=9)
    for k in (1, 10, count, 2 * count):
        found = index.search(QUERIES, k)
        assert found.ids.shape == (5, min(k, count))
        for row, query in enumerate(QUERIES):
            assert pairs(found, row) == brute_force(ids, codes, query, k)


def test_thousands_of_equal_codes_come_in_the_order_of_ids():
    codes = BinaryCodes(np.full((5000, 4), 3, np.uint8), 32)
    found = ProductIndex(np.arange(5000) + 7, codes, QUANTIZER).search(QUERIES[:1], 90)
    assert found.ids[0].tolist() == list(range(7, 97))
    assert len(set(found.scores[0])) == 1


def test_few_cells_visited_still_give_k_answers_of_which_the_best_are_right():
    ids, codes = items(3000)
    index = ProductIndex(ids, codes, QUANTIZER, cells=30, probes=1)
    found = index.search(QUERIES, 400)
    assert found.ids.shape == (5, 400)
    assert (found.ids >= 0).all()
    assert found.ids[0, 0] == brute_force(ids, codes, QUERIES[0], 1)[0][1]


@pytest.mark.parametrize("cells", [0, 9])
def test_a_radius_includes_its_rim(cells):
    ids, codes = items(900)
    index = ProductIndex(ids, codes, QUANTIZER, cells=cells)
    for row, query in enumerate(QUERIES):
        rim = float(index.search(QUERIES, 40).scores[row, -1])
        (found,) = index.search_radius(query[None], rim)
        assert pairs(found) == brute_force(ids, codes, query, least=rim)
        assert len(found.ids) >= 40
    assert len(index.search_radius(QUERIES[:1], 1e6)[0].ids) == 0


def test_filters_removals_and_additions():
    ids, codes = items(600)
    index = ProductIndex(ids, codes, QUANTIZER, cells=4)
    allowed = ids[5::7]
    kept = np.isin(ids, allowed)
    wide = np.append(allowed, 999_999)
    for row, query in enumerate(QUERIES):
        expected = brute_force(ids[kept], codes[np.flatnonzero(kept)], query, 20)
        assert pairs(index.search(QUERIES, 20, allowed=wide), row) == expected
        least = float(-expected[4][0])
        near = index.search_radius(query[None], least, allowed=wide)[0]
        assert pairs(near) == brute_force(ids[kept], codes[np.flatnonzero(kept)], query, least=least)
    assert index.search(QUERIES, 3, allowed=np.empty(0, np.int64)).ids.shape == (5, 0)
    assert len(index.search_radius(QUERIES[:1], -1e6, allowed=np.empty(0, np.int64))[0].ids) == 0
    gone = ids[::2]
    index.remove(gone)
    index.remove(gone)
    left = np.setdiff1d(ids, gone)
    places = np.flatnonzero(np.isin(ids, left))
    assert pairs(index.search(QUERIES, 50), 0) == brute_force(left, codes[places], QUERIES[0], 50)
    fresh_ids, fresh = np.array([int(left[3]), 0, 5000]), items(3, seed=9)[1]
    index.add(fresh_ids, fresh)
    assert len(index) == len(left) + 2
    assert index.codes_of(fresh_ids) == fresh
    together = np.append(np.delete(left, 3), fresh_ids)
    order = np.argsort(together)
    both = BinaryCodes.concatenate([codes[np.delete(places, 3)], fresh])[order]
    assert pairs(index.search(QUERIES, 50), 1) == brute_force(together[order], both, QUERIES[1], 50)
    index.remove(together)
    assert index.search(QUERIES, 3).ids.shape == (5, 0)
    with pytest.raises(UnknownIds):
        index.codes_of(np.array([2]))


def test_it_says_what_answers():
    assert "IndexPQ, exact" in ProductIndex(*items(9), QUANTIZER).explain()
    assert "IndexIVFPQ, 3 cells" in ProductIndex(*items(9), QUANTIZER, cells=3).explain()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: ProductQuantizer(np.zeros((2, 257, 3))), "at most 256 centroids"),
        (lambda: ProductQuantizer(np.full((2, 4, 3), np.nan)), "finite numbers"),
        (lambda: QUANTIZER.encode(np.full((3, 12), np.nan)), "3 vectors hold NaN or infinity, the first in row 0"),
        (lambda: QUANTIZER.encode(np.ones((3, 11))), r"vectors are numbers \[N, 12\]"),
        (lambda: QUANTIZER.decode(BinaryCodes(np.full((1, 4), 7, np.uint8), 32)), "beyond the 7"),
        (lambda: QUANTIZER.decode(BinaryCodes(np.zeros((1, 4), np.uint8), 30)), "product codes of 4 bytes"),
        (lambda: ProductIndex(np.array([2, 1, 3]), items(3)[1], QUANTIZER), "each larger"),
        (lambda: ProductIndex(*items(3), QUANTIZER, cells=4), "cells is 0 to 3, not 4"),
        (lambda: ProductIndex(*items(3), QUANTIZER).search(np.zeros((2, 12)), 1), "zero and has no direction"),
        (lambda: ProductIndex(*items(3), QUANTIZER).search(np.full((1, 12), np.inf), 1), "queries hold NaN"),
        (lambda: ProductIndex(*items(3), QUANTIZER).search(QUERIES, 0), "at least 1"),
        (lambda: ProductIndex(*items(3), QUANTIZER).add(np.array([1, 1]), items(2)[1]), "each different id"),
    ],
)
def test_bad_input_is_named(call, message):
    with pytest.raises(UsageError, match=message):
        call()
