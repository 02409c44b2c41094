"""Verdicts: which statement is made of a query, and what it says, on simulated classes."""

from types import SimpleNamespace

import numpy as np
import pytest

from deephash.collection.pair_counts import PairCounts
from deephash.evaluation.counts import DistanceCounts
from deephash.search.chance import chance_of
from deephash.search.verdict import Searched, verdicts

BITS, ITEMS, CLASSES = 64, 1500, 10


def counted(distances):
    return np.bincount(distances, minlength=BITS + 1)


def query(draw, right, near=0.1, items=ITEMS, far=0.5):
    """Items at each distance from a query of which ``right`` items are near, and the near ones."""
    relevant = counted(draw.binomial(BITS, near, right))
    return relevant + counted(draw.binomial(BITS, far, items - right)), relevant


@pytest.fixture(scope="module")
def shard():
    """A collection of ten classes, and known pairs of its kind."""
    draw = np.random.default_rng(0)
    pairs = counted(np.concatenate([draw.binomial(BITS, 0.1, 2000), draw.binomial(BITS, 0.5, 18_000)]))
    known = [query(draw, ITEMS // CLASSES) for _ in range(100)]
    items, relevant = (np.array(each) for each in zip(*known))
    table = PairCounts.of([DistanceCounts.from_items(items, relevant)])
    chance = chance_of(pairs)
    return SimpleNamespace(chance=chance, null=chance.null(), known_pairs=(table,))


def verdict_on(shard, counts, modality="image", everywhere=None):
    (found,) = verdicts([Searched(shard, counts, counts if everywhere is None else everywhere, modality)])
    return found


def test_known_pairs_speak_of_queries_like_theirs(shard):
    counts, relevant = query(np.random.default_rng(1), 150)
    found = verdict_on(shard, counts)
    assert (found.basis, found.why) == ("relevance", "")
    assert relevant[: found.cut + 1].sum() >= 148
    assert (counts - relevant)[: found.cut + 1].sum() <= 5
    assert (found.word(3), found.number(3)) == ("likely", "over 99 %")
    assert (found.word(32), found.number(32)) == ("by chance", "under 1 % right")


@pytest.mark.parametrize("modality", ["text", None], ids=["words", "a mixture or a bare code"])
def test_another_direction_is_told_by_chance(shard, modality):
    counts, relevant = query(np.random.default_rng(2), 150)
    found = verdict_on(shard, counts, modality)
    assert (found.basis, found.relevance) == ("chance", None)
    assert relevant[: found.cut + 1].sum() >= 145
    assert (found.word(3), found.number(3)) == ("nearer than chance", "under 0.01 expected")
    assert found.word(32) == "by chance"
    assert float(found.number(32).split()[0]) == pytest.approx(ITEMS / 2, rel=0.2)


def test_a_query_from_elsewhere_is_told_by_chance_and_why(shard):
    """A rotated picture: its right answers lie farther than those of any known query."""
    counts, relevant = query(np.random.default_rng(3), 150, near=0.27)
    found = verdict_on(shard, counts)
    assert found.basis == "chance"
    assert "so only chance is told" in found.why
    assert relevant[: found.cut + 1].sum() > 50


def test_noise_is_refused_by_known_pairs_too(shard):
    draw = np.random.default_rng(4)
    asked = [query(draw, 0)[0] for _ in range(200)]
    refused = [verdict_on(shard, counts).cut < np.flatnonzero(counts)[0] for counts in asked]
    assert np.mean(refused) >= 0.95


def test_a_filter_that_leaves_one_class_keeps_it(shard):
    counts, relevant = query(np.random.default_rng(5), 150)
    for found in (verdict_on(shard, relevant, everywhere=counts), verdict_on(shard, relevant, None, counts)):
        assert relevant[: found.cut + 1].sum() >= 148


def test_a_collection_of_one_class_is_told_by_known_pairs(shard):
    relevant = counted(np.random.default_rng(6).binomial(BITS, 0.1, 400))
    alone = SimpleNamespace(chance=chance_of(relevant), null=chance_of(relevant).null(), known_pairs=shard.known_pairs)
    assert verdict_on(alone, relevant, None).cut == -1  # no nearer to the query than to each other
    assert relevant[: verdict_on(alone, relevant).cut + 1].sum() >= 390


def test_two_classes_of_a_half_each(shard):
    """The items of the query's own class are half of all: they are not its null."""
    draw = np.random.default_rng(7)
    counts, relevant = query(draw, 750)
    chance = chance_of(counted(np.concatenate([draw.binomial(BITS, 0.1, 9000), draw.binomial(BITS, 0.5, 11_000)])))
    half = SimpleNamespace(chance=chance, null=chance.null(), known_pairs=())
    found = verdict_on(half, counts)
    assert relevant[: found.cut + 1].sum() >= 740


def test_words_are_held_against_their_own_distances(shard):
    """They lie at 40 bits from all pictures, which are 32 from each other, and at 30 from the right ones."""
    counts, relevant = query(np.random.default_rng(9), 60, near=0.4, far=0.7)
    kept = [
        relevant[: verdicts([Searched(shard, counts, counts, "text", across)])[0].cut + 1].sum()
        for across in (False, True)
    ]
    assert kept[0] < 5 < 40 < kept[1]


@pytest.mark.parametrize("few", [0, 1, 5])
@pytest.mark.filterwarnings("error")
def test_a_new_model_with_a_handful_of_items_has_no_null_of_their_distances(shard, few):
    """The very picture lies at 0 bits; its own few distances would take that for the middle of the unrelated ones."""
    old, _ = query(np.random.default_rng(10), 0)
    new = counted(np.zeros(few, int))
    found = verdicts([Searched(shard, counts, counts, "image") for counts in (new, old)])
    assert found[0].is_above(0) or few == 0
    assert found[0].expected[0] < 0.01
    assert not found[1].is_above(32)


@pytest.mark.parametrize("items", [0, 1, 49])
def test_few_items_say_nothing(shard, items):
    found = verdict_on(shard, counted(np.random.default_rng(8).binomial(BITS, 0.5, items)))
    assert (found.basis, found.word(3), found.number(3)) == ("none", "", "")
    assert found.is_above(BITS)
    assert "too few items" in found.why
