"""Chance level, near-duplicates and remarks, against plain loops and hand-made codes."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from deephash.codes import BinaryCodes, hamming_distance
from deephash.errors import UsageError
from deephash.search import Hit, chance_level, group_near_duplicates, remarks


def random_codes(count: int, bits: int, seed: int = 0) -> BinaryCodes:
    return BinaryCodes.from_bits(np.random.default_rng(seed).integers(0, 2, (count, bits)))


def hit(rank: int, distance: int, tie: int = 1, bits: int = 64) -> Hit:
    return Hit(rank, rank, f"{rank}.jpg", distance, 1 - distance / bits, bits, tie)


def test_chance_of_a_small_collection_counts_every_pair():
    codes = random_codes(40, 20)
    distances = hamming_distance(codes, codes)[np.triu_indices(40, 1)]
    chance = chance_level(codes)
    assert chance.mean == pytest.approx(distances.mean())
    assert chance.deviation == pytest.approx(distances.std())
    assert np.allclose(chance.share, np.bincount(distances, minlength=21) / len(distances))


def test_cutoff_leaves_at_most_one_percent_of_the_pairs_below():
    chance = chance_level(random_codes(5000, 64))
    assert chance.share[: chance.cutoff + 1].sum() <= 0.01 < chance.share[: chance.cutoff + 2].sum()
    assert 20 <= chance.cutoff <= 25  # binomial(64, 1/2): 1 % point 22.7
    assert "99 % of random pairs are farther" in str(chance)


def test_sampled_chance_never_pairs_an_item_with_itself():
    codes = BinaryCodes.from_bits(np.eye(400, dtype=int))  # any two different items differ in exactly 2 bits
    assert chance_level(codes, pairs=500).mean == 2.0


def test_collapsed_codes_have_no_cutoff():
    chance = chance_level(BinaryCodes.from_bits(np.ones((50, 8), int)))
    assert chance.cutoff == -1
    assert "no cut-off" in str(chance)


def test_codes_of_classes_get_a_cutoff_between_their_groups():
    draw = np.random.default_rng(0)
    words = np.repeat(draw.integers(0, 2, (10, 64)), 60, axis=0)
    codes = BinaryCodes.from_bits(words ^ (draw.random(words.shape) < 0.01))
    distances = hamming_distance(codes, codes)
    same = np.equal.outer(np.arange(600) // 60, np.arange(600) // 60)
    chance = chance_level(codes)
    assert distances[same].max() <= chance.cutoff < np.percentile(distances[~same], 5)
    assert chance.grouped
    assert chance.nearer == pytest.approx(0.1, abs=0.03)
    assert "between groups: 1" in str(chance)


def test_loose_groups_get_half_the_median_and_short_codes_keep_their_zero():
    draw = np.random.default_rng(1)
    words = draw.random((10, 32)) < 0.25  # as far apart as 6 to 20 bits: both tails are long
    codes = BinaryCodes.from_bits(np.repeat(words, 60, axis=0) ^ (draw.random((600, 32)) < 0.02))
    chance = chance_level(codes)
    assert 3 <= chance.cutoff <= 8
    assert chance.grouped
    short = chance_level(random_codes(500, 8))
    assert short.cutoff == 0
    assert not short.grouped


@pytest.mark.parametrize("count", [0, 1])
def test_too_few_items_have_no_chance_level(count):
    assert chance_level(random_codes(5, 8)[:count]) is None


@given(st.integers(0, 30), st.integers(1, 24), st.integers(0, 8), st.integers(0, 99))
def test_groups_agree_with_a_plain_loop(count, bits, radius, seed):
    codes = random_codes(count, bits, seed)
    found = group_near_duplicates(codes, radius)
    expected: list[int] = []
    for i in range(count):
        leaders = [j for j in range(i) if expected[j] == j and (codes[i].bits() != codes[j].bits()).sum() <= radius]
        expected.append(leaders[0] if leaders else i)
    assert found == expected


def test_groups_do_not_chain():
    codes = BinaryCodes.from_hex(["00", "01", "03", "07"])
    assert group_near_duplicates(codes, 1) == [0, 0, 2, 2]


def test_a_negative_radius_is_refused():
    with pytest.raises(UsageError, match="at least 0"):
        group_near_duplicates(random_codes(2, 8), -1)


def test_remarks_name_the_same_code_ties_and_near_duplicates():
    codes = BinaryCodes.from_hex(["00" * 8, "00" * 7 + "0f", "00" * 7 + "0e", "ff" * 8])
    hits = [hit(1, 0), hit(2, 4, tie=2), hit(3, 4, tie=2), hit(4, 64)]
    assert remarks(hits, codes) == ["same code as the query", "tie: 2 items at 4", "near-duplicate of #2", ""]
    assert remarks([], codes[:0]) == []
