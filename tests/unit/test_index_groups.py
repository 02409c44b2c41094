"""Unique codes with posting lists, and sizes of ties."""

import numpy as np

from deephash.codes import BinaryCodes
from deephash.index import groups as module
from deephash.index import open_index
from deephash.index.faiss_flat import FlatEngine
from deephash.index.groups import GroupedEngine, UniqueGroups, count_unique, tie_sizes


def crowded(number: int, num_bits: int, distinct: int) -> BinaryCodes:
    random = np.random.default_rng(0)
    return BinaryCodes.from_bits(random.integers(0, 2, (distinct, num_bits))[random.integers(0, distinct, number)])


def test_groups_list_every_item_once():
    for num_bits in (20, 64, 150):
        codes = crowded(500, num_bits, 9)
        groups = UniqueGroups.of(codes)
        assert len(groups) == count_unique(codes) == 9
        assert sorted(groups.members.tolist()) == list(range(500))
        for g in range(9):
            rows = groups.members[groups.starts[g] : groups.starts[g + 1]]
            assert (np.diff(rows) > 0).all()
            assert codes[rows] == groups.codes[[g] * len(rows)]
        assert (np.diff(groups.members[groups.starts[:-1]]) > 0).all()  # in the order of their first items


def test_two_codes_with_one_key_stay_apart(monkeypatch):
    codes = crowded(60, 70, 5)
    honest = UniqueGroups.of(codes)
    monkeypatch.setattr(module, "mixed", lambda planes: np.zeros(planes.shape[1], np.uint64))
    clashing = UniqueGroups.of(codes)
    assert clashing.codes == honest.codes
    np.testing.assert_array_equal(clashing.members, honest.members)


def test_empty():
    none = crowded(1, 8, 1)[:0]
    assert len(UniqueGroups.of(none)) == 0
    assert count_unique(none) == 0


def test_memory_is_told():
    text = UniqueGroups.of(crowded(1000, 64, 4)).describe()
    assert "1,000 items share 4 unique codes" in text
    assert "the codes take 0.4 % of the memory" in text


def test_a_filter_can_change_the_first_item_of_a_group():
    """Group order is by first item; when that item is filtered out, another group may come first among equals."""
    bits = np.array([[1, 1, 0], [0, 1, 1], [0, 1, 1], [1, 1, 0], [0, 0, 0]])
    codes = BinaryCodes.from_bits(bits)
    index = open_index("scan", np.arange(5), codes)
    groups = UniqueGroups.of(codes)
    engine = GroupedEngine(groups, FlatEngine(groups.codes))
    query = BinaryCodes.from_bits([[1, 1, 1]])
    from deephash.index.row_filter import RowFilter

    for mask in ([0, 1, 1, 1, 0], [0, 0, 1, 1, 1], [1, 0, 1, 0, 1]):
        allowed = np.array(mask, bool)
        found = engine.search(query, 1, RowFilter(allowed))
        assert found.ids.tolist() == index.search(query, 1, allowed=np.flatnonzero(allowed)).ids.tolist()


def test_tie_sizes():
    codes = BinaryCodes.from_bits([[0, 0, 0], [0, 0, 1], [0, 1, 0], [1, 0, 0], [1, 1, 1]])
    index = open_index("scan", np.arange(5), codes)
    found = index.search(codes[:1], 3)
    assert tie_sizes(index, codes[:1], found).tolist() == [[1, 3, 3]]
    allowed = np.array([0, 1, 4])
    found = index.search(codes[:1], 3, allowed=allowed)
    assert tie_sizes(index, codes[:1], found, allowed=allowed).tolist() == [[1, 1, 1]]


def test_a_sample_never_says_many_where_few_codes_are_different(monkeypatch):
    monkeypatch.setattr(module, "SAMPLE", 2000)
    size = 100_000
    for seed in range(20):
        random = np.random.default_rng(seed)
        weights = random.random(size // 2 - 1) ** random.choice([0.0, 1.0, 5.0]) + 1e-9
        rows = random.choice(len(weights), size, p=weights / weights.sum())
        few = BinaryCodes(rows.astype(np.uint64)[:, None].view(np.uint8), 64)
        assert not module.surely_many(few, 0.5)
    lonely = BinaryCodes(np.arange(size, dtype=np.uint64)[:, None].view(np.uint8), 64)
    assert module.surely_many(lonely, 0.5)
    assert not module.surely_many(lonely[:7999], 0.5)  # too few for a sample: they are counted
