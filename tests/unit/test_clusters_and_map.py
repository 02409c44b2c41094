"""Clusters and the flat map of codes: near codes come together, and the same codes always give the same."""

import numpy as np
import pytest

from deephash.codes import BinaryCodes
from deephash.search.clusters import clustered
from deephash.search.code_map import code_map


@pytest.fixture(scope="module")
def three():
    """Three words with 4 % of their 64 bits turned, 80, 50 and 30 times."""
    generator = np.random.default_rng(0)
    word = np.repeat([0, 1, 2], [80, 50, 30])
    bits = generator.integers(0, 2, (3, 64)).astype(bool)[word] ^ (generator.random((160, 64)) < 0.04)
    return word, BinaryCodes.from_bits(bits)


def test_clusters_are_the_words_largest_first_and_their_middles_belong_to_them(three):
    word, codes = three
    found = clustered(codes, 3)
    np.testing.assert_array_equal(found.of, word)
    assert found.sizes.tolist() == [80, 50, 30]
    assert word[found.middles].tolist() == [0, 1, 2]
    for number, middle in enumerate(found.middles):  # no member agrees better with the majority than the middle
        centre = BinaryCodes.from_bits(codes[word == number].bits().mean(axis=0)[None] >= 0.5)
        assert codes[[middle]].hamming(centre)[0, 0] == codes[word == number].hamming(centre).min()
    again = clustered(codes, 3)
    np.testing.assert_array_equal(again.middles, found.middles)


def test_equal_codes_make_one_cluster_and_none_make_none():
    one = clustered(BinaryCodes.from_bits(np.zeros((9, 8), bool)), 4)
    assert (one.sizes.tolist(), one.middles.tolist()) == ([9], [0])
    assert len(clustered(BinaryCodes.from_bits(np.zeros((0, 8), bool))).sizes) == 0


def test_every_code_has_a_cluster_where_only_a_sample_is_fitted(three, monkeypatch):
    word, codes = three
    monkeypatch.setattr("deephash.search.clusters.SAMPLE", 60)
    np.testing.assert_array_equal(clustered(codes, 3).of, word)


@pytest.mark.parametrize("landmarks", [3000, 70])
def test_neighbours_on_the_map_are_of_one_word(three, landmarks, monkeypatch):
    monkeypatch.setattr("deephash.search.code_map.LANDMARKS", landmarks)
    word, codes = three
    places = code_map(codes)
    apart = np.square(places[:, None] - places[None]).sum(axis=2)
    np.fill_diagonal(apart, np.inf)
    assert (word[apart.argmin(axis=1)] == word).mean() > 0.98
    assert places.min() >= 0
    assert places.max() <= 1
    assert np.ptp(places, axis=0).max() == pytest.approx(1)
    np.testing.assert_array_equal(code_map(codes), places)


def test_items_of_one_code_lie_side_by_side_not_upon_each_other():
    bits = np.repeat(np.eye(4, 8, dtype=bool), 25, axis=0)
    places = code_map(BinaryCodes.from_bits(bits))
    assert len(np.unique(places.round(9), axis=0)) == 100
    middles = places.reshape(4, 25, 2).mean(axis=1)
    spread = np.abs(places.reshape(4, 25, 2) - middles[:, None]).max()
    between = np.linalg.norm(middles[:, None] - middles[None], axis=2)[~np.eye(4, dtype=bool)].min()
    assert spread < between / 4
    assert code_map(BinaryCodes.from_bits(np.zeros((0, 8), bool))).shape == (0, 2)
    assert code_map(BinaryCodes.from_bits(np.zeros((1, 8), bool))).tolist() == [[0.5, 0.5]]
