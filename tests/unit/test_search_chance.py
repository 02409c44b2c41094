"""The chance level and its null: counted pairs, simulated unrelated queries, codes in groups."""

import numpy as np
import pytest

from deephash.codes import BinaryCodes, hamming_distance
from deephash.search import chance_level


def random_codes(count: int, bits: int, seed: int = 0) -> BinaryCodes:
    return BinaryCodes.from_bits(np.random.default_rng(seed).integers(0, 2, (count, bits)))


def in_groups(groups: int, each: int, bits: int, flipped: float, seed: int = 0) -> BinaryCodes:
    """Codes around a random word per group; rows i of one group lie together."""
    draw = np.random.default_rng(seed)
    words = np.repeat(draw.integers(0, 2, (groups, bits)), each, axis=0)
    return BinaryCodes.from_bits(words ^ (draw.random(words.shape) < flipped))


def test_chance_of_a_small_collection_counts_every_pair():
    codes = random_codes(40, 20)
    distances = hamming_distance(codes, codes)[np.triu_indices(40, 1)]
    chance = chance_level(codes)
    assert chance.mean == pytest.approx(distances.mean())
    assert chance.deviation == pytest.approx(distances.std())
    assert np.allclose(chance.share, np.bincount(distances, minlength=21) / len(distances))


def test_sampled_chance_never_pairs_an_item_with_itself():
    codes = BinaryCodes.from_bits(np.eye(400, dtype=int))  # any two different items differ in exactly 2 bits
    assert chance_level(codes, pairs=500).mean == 2.0


@pytest.mark.parametrize(("groups", "bits", "flipped"), [(10, 64, 0.01), (10, 64, 0.05), (4, 24, 0.0), (30, 48, 0.02)])
def test_codes_of_classes_leave_the_related_pairs_out_of_the_null(groups, bits, flipped):
    codes = in_groups(groups, 60, bits, flipped)
    distances = hamming_distance(codes, codes)
    same = np.equal.outer(np.arange(len(codes)) // 60, np.arange(len(codes)) // 60)
    chance = chance_level(codes)
    assert chance.related == pytest.approx(1 / groups, rel=0.3)
    assert chance.null().middle == pytest.approx(distances[~same].mean(), abs=1.5)
    assert chance.null().within[int(distances[same].max())] < 0.02


@pytest.mark.parametrize(("count", "bits"), [(300, 64), (5000, 64), (5000, 128)])
def test_the_null_of_codes_without_groups_is_that_of_an_unrelated_query(count, bits):
    codes = random_codes(count, bits)
    null = chance_level(codes).null()
    distances = hamming_distance(random_codes(400, bits, seed=1), codes)
    for quantile in (0.001, 0.01, 0.1, 0.5):
        edge = int(np.searchsorted(null.within, quantile))
        assert null.within[edge] == pytest.approx((distances <= edge).mean(), rel=0.25)
    assert chance_level(codes).valley is None


def test_where_chance_gives_equal_codes_the_null_says_so():
    assert chance_level(BinaryCodes.from_bits(np.ones((50, 8), int))).null().within[0] > 0.9
    assert 2000 * chance_level(random_codes(2000, 8)).null().within[0] == pytest.approx(2000 / 256, rel=0.3)


@pytest.mark.parametrize("count", [0, 1])
def test_too_few_items_have_no_chance_level(count):
    assert chance_level(random_codes(5, 8)[:count]) is None
