"""Codes of several levels as numbers: spec bebr.md, section 5, by unpacked floats as the oracle."""

import numpy as np
import pytest

from deephash.codes import BinaryCodes
from deephash.codes.levels import (
    codes_from_numbers,
    inner_products,
    inverse_norms,
    level_numbers,
    level_values,
    squared_norms,
    symmetric_scores,
)
from deephash.errors import UsageError


def drawn(count, bits, levels, seed=0):
    shape = (count, levels, bits) if levels > 1 else (count, bits)
    return BinaryCodes.from_bits(np.random.default_rng(seed).integers(0, 2, shape))


def by_planes(queries, database):
    """(a) of the spec: popcounts between every two planes."""
    one, two = (each.signs().reshape(len(each), each.num_levels, -1).astype(int) for each in (queries, database))
    total = np.zeros((len(one), len(two)))
    for s in range(one.shape[1]):
        for t in range(two.shape[1]):
            hamming = (one[:, None, s] != two[None, :, t]).sum(axis=-1)
            total += 2.0 ** -(s + t) * (one.shape[2] - 2 * hamming)
    return total


@pytest.mark.parametrize("levels", [1, 2, 3, 4, 8])
@pytest.mark.parametrize("bits", [1, 5, 64, 100])
def test_three_ways_to_an_inner_product_agree(bits, levels):
    queries, database = drawn(4, bits, levels, 1), drawn(50, bits, levels, 2)
    floats = level_values(queries).astype(float) @ level_values(database).astype(float).T
    found = inner_products(queries, database)
    assert found.dtype == np.int64
    assert np.array_equal(found * 4.0 ** -(levels - 1), floats)
    assert np.array_equal(by_planes(queries, database), floats)


def test_two_levels_are_the_four_numbers_of_the_paper():
    codes = BinaryCodes.from_bits([[[0, 0, 1, 1], [0, 1, 0, 1]]])
    assert level_values(codes).tolist() == [[-1.5, -0.5, 0.5, 1.5]]
    assert level_numbers(codes).tolist() == [[-3, -1, 1, 3]]
    assert squared_norms(codes).tolist() == [20]


@pytest.mark.parametrize("levels", [1, 2, 4])
def test_numbers_and_codes_are_the_same_thing(levels):
    codes = drawn(30, 13, levels)
    assert codes_from_numbers(level_numbers(codes), levels) == codes
    with pytest.raises(UsageError, match="odd"):
        codes_from_numbers(np.array([[2]]), levels)


@pytest.mark.parametrize("levels", [1, 2, 3])
def test_scores_order_as_the_cosine_of_what_codes_stand_for(levels):
    queries, database = drawn(5, 64, levels, 3), drawn(200, 64, levels, 4)
    one, two = (level_values(each).astype(float) for each in (queries, database))
    cosines = (one @ two.T) / np.linalg.norm(one, axis=1)[:, None] / np.linalg.norm(two, axis=1)
    scores = symmetric_scores(queries, database)
    assert np.abs(scores - cosines).max() < 1e-6
    assert np.array_equal(np.sort(scores), np.take_along_axis(scores, np.argsort(cosines), 1))
    assert inverse_norms(database) == pytest.approx(2.0 ** -(levels - 1) / np.linalg.norm(two, axis=1))


def test_one_level_orders_as_hamming_does():
    queries, database = drawn(5, 64, 1, 5), drawn(300, 64, 1, 6)
    expected = (64 - 2 * queries.hamming(database)) / 64
    assert symmetric_scores(queries, database) == pytest.approx(expected, abs=1e-6)


def test_equal_codes_have_equal_scores_and_norms_are_never_zero():
    codes = BinaryCodes.concatenate([drawn(40, 31, 2, 7)] * 2)
    scores = symmetric_scores(codes[:3], codes)
    assert np.array_equal(scores[:, :40], scores[:, 40:])
    assert (squared_norms(codes) >= 31).all()


def test_what_cannot_be_compared_is_refused():
    with pytest.raises(UsageError, match="different lengths"):
        inner_products(drawn(1, 8, 2), drawn(1, 8, 3))
    with pytest.raises(UsageError, match="at most 8"):
        level_numbers(drawn(1, 8, 9))
