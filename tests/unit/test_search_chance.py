"""The chance level and its cut-off: counted pairs, simulated unrelated queries, codes in groups."""

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


@pytest.mark.parametrize(("count", "bits"), [(100, 32), (300, 64), (5000, 64), (5000, 128)])
def test_fewer_than_one_item_is_within_the_cutoff_of_an_unrelated_query(count, bits):
    codes = random_codes(count, bits)
    chance = chance_level(codes)
    distances = hamming_distance(random_codes(400, bits, seed=1), codes)
    within = [(distances <= chance.cutoff + more).sum(axis=1).mean() for more in (0, 2)]
    assert within[0] < 1 < within[1]  # sound, and not stricter by more than two bits
    assert chance.share[: chance.cutoff + 1].sum() <= 0.01
    assert not chance.grouped
    assert "fewer than one item" in str(chance)


def test_the_more_items_the_stricter():
    cutoffs = [chance_level(random_codes(count, 64)).cutoff for count in (50, 1000, 20_000)]
    assert cutoffs == sorted(cutoffs, reverse=True)
    assert cutoffs[0] > cutoffs[2]


def test_sampled_chance_never_pairs_an_item_with_itself():
    codes = BinaryCodes.from_bits(np.eye(400, dtype=int))  # any two different items differ in exactly 2 bits
    assert chance_level(codes, pairs=500).mean == 2.0


@pytest.mark.parametrize(
    "codes",
    [BinaryCodes.from_bits(np.ones((50, 8), int)), random_codes(2000, 8)],
    ids=["one code", "eight items for each possible code"],
)
def test_where_chance_gives_equal_codes_there_is_no_cutoff(codes):
    chance = chance_level(codes)
    assert chance.cutoff == -1
    assert chance.nearer == 0
    assert "no cut-off" in str(chance)


@pytest.mark.parametrize(("groups", "bits", "flipped"), [(10, 64, 0.01), (10, 64, 0.05), (4, 24, 0.0), (30, 48, 0.02)])
def test_codes_of_classes_are_cut_at_the_rim_of_a_group(groups, bits, flipped):
    codes = in_groups(groups, 60, bits, flipped)
    distances = hamming_distance(codes, codes)
    same = np.equal.outer(np.arange(len(codes)) // 60, np.arange(len(codes)) // 60)
    chance = chance_level(codes)
    assert chance.grouped
    assert 0.9 <= (distances[same] <= chance.cutoff).mean() <= 1
    assert (distances[~same] <= chance.cutoff).mean() < 0.01
    assert chance.nearer == pytest.approx(1 / groups, rel=0.3)
    assert "as in one group" in str(chance)


def test_a_query_from_outside_is_no_match_among_groups():
    """The toy collections of the demo: half the distance between groups let almost every strange picture in."""
    codes = in_groups(10, 60, 64, 0.05)
    nearest = hamming_distance(random_codes(300, 64, seed=2), codes).min(axis=1)
    assert (nearest <= chance_level(codes).cutoff).mean() < 0.05


@pytest.mark.parametrize("count", [0, 1])
def test_too_few_items_have_no_chance_level(count):
    assert chance_level(random_codes(5, 8)[:count]) is None
