"""Opening an index: kinds, options, ids, and what is explained."""

import subprocess
import sys

import numpy as np
import pytest

from deephash.codes import BinaryCodes
from deephash.errors import UsageError
from deephash.index import KINDS, AscendingIds, open_index, planner
from deephash.index.ids import positions
from deephash.index.planner import choose_engine, filter_first
from deephash.index.threads import in_parts, usable_threads
from deephash.testing.indexes import assert_same, brute_force, crowded_codes, rows_of


@pytest.fixture
def codes() -> BinaryCodes:
    return BinaryCodes.from_bits(np.random.default_rng(0).integers(0, 2, (50, 24)))


def test_misspelt_kind_gets_a_suggestion(codes):
    with pytest.raises(UsageError, match="did you mean 'faiss:multihash'") as caught:
        open_index("faiss:mutlihash", np.arange(50), codes)
    assert all(kind in str(caught.value) for kind in KINDS)


@pytest.mark.parametrize(
    ("kind", "options", "message"),
    [
        ("scan", {"nprobe": 4}, "nprobe is an option of faiss:ivf, not of scan"),
        ("faiss:flat", {"force": True}, "force is an option of faiss:hnsw"),
        ("faiss:ivf", {"nprobe": 0}, "nprobe is at least 1, not 0"),
        ("scan", {"threads": 0}, "threads is at least 1"),
    ],
)
def test_wrong_options(codes, kind, options, message):
    with pytest.raises(UsageError, match=message):
        open_index(kind, np.arange(50), codes, **options)


@pytest.mark.parametrize("ids", [np.arange(49), np.arange(50) / 2, np.arange(100).reshape(50, 2), np.zeros(50, int)])
def test_wrong_ids(codes, ids):
    with pytest.raises(UsageError):
        open_index("scan", ids, codes)


def test_auto_explains_its_choice(codes, monkeypatch):
    index = open_index("auto", np.arange(50), codes)
    assert index.explain().startswith("scan: exact; 50 codes of 24 bits")
    index.search(codes[:2], 3)
    assert "last: plain scan" in index.explain()
    assert choose_engine(10**6, 64, numba=False).choice == "faiss:flat"
    assert "Numba is not installed" in str(choose_engine(10**6, 64, numba=False))
    assert "faster than faiss:flat" in str(choose_engine(planner.HAS_MANY, 64, numba=True))


def test_explains_filter_and_empty(codes):
    index = open_index("scan", np.arange(50), codes)
    index.search(codes, 3, allowed=np.array([4, 7]))
    assert "filtered first: 2 codes gathered" in index.explain()
    index.search(codes[:1], 3, allowed=np.arange(40))
    assert "filtered last: 3 of the nearest 21" in index.explain()
    index.remove(np.array([49]))
    index.search(codes[:1], 9, allowed=np.arange(40))
    assert "filtered last: 9 of the nearest 32" in index.explain()
    index.search(codes[:5], 40, allowed=np.arange(40))
    assert "filter applied to rows under the cut-off" in index.explain()
    index.remove(np.arange(50))
    assert index.explain().startswith("empty")


def test_filter_before_or_after():
    assert filter_first(1_000_000, 1_000, 1)
    assert not filter_first(1_000_000, 900_000, 1)
    assert filter_first(1_000_000, 900_000, 100)
    assert not filter_first(1_000_000, 990_000, 100)
    assert filter_first(1_000_000, 400_000, 1, reused=True)


def test_a_prepared_filter_stays_right(codes):
    ids = np.arange(0, 500, 10)
    index = open_index("scan", ids, codes)
    allowed = np.array([10, 30, 40, 77])
    prepared = index.prepare(allowed)
    before = index.search(codes[:4], 9, allowed=prepared)
    np.testing.assert_array_equal(before.ids, index.search(codes[:4], 9, allowed=allowed).ids)
    index.remove(np.array([30]))
    index.add(np.array([77]), codes[:1])
    after = index.search(codes[:4], 9, allowed=prepared)
    assert sorted(after.ids[0].tolist()) == [10, 40, 77]
    np.testing.assert_array_equal(after.ids, index.search(codes[:4], 9, allowed=allowed).ids)


def test_unsorted_and_repeated_allowed_ids(codes):
    index = open_index("scan", np.arange(50) * 3, codes)
    messy, tidy = np.array([30, 3, 3, 149, -5]), np.array([3, 30])
    np.testing.assert_array_equal(index.search(codes, 5, allowed=messy).ids, index.search(codes, 5, allowed=tidy).ids)


def test_ids_known_to_ascend_answer_as_a_list_does():
    codes = BinaryCodes(np.random.default_rng(2).integers(0, 256, (70_000, 8), dtype=np.uint8), 64)
    index = open_index("scan", np.arange(70_000) * 2, codes)
    index.remove(np.arange(100))
    index.add(np.arange(1, 41, 2), codes[:20])
    for listed in (np.arange(0, 140_000, 5), np.arange(7), np.empty(0, np.int64), np.array([-3, 10**9])):
        known = AscendingIds(listed)
        for allowed in (known, index.prepare(known)):
            found, wanted = index.search(codes[:3], 4, allowed=allowed), index.search(codes[:3], 4, allowed=listed)
            np.testing.assert_array_equal(found.ids, wanted.ids)
            np.testing.assert_array_equal(found.distances, wanted.distances)


def test_ids_that_do_not_ascend_are_not_taken_for_such():
    for wrong in ([3, 1], [1, 1], np.append(np.arange(5000), 4999)):
        with pytest.raises(UsageError, match=r"numpy\.unique"):
            AscendingIds(np.asarray(wrong))
    with pytest.raises(UsageError, match="list of integers"):
        AscendingIds(np.array([0.5]))
    with pytest.raises(ValueError, match="read-only"):
        AscendingIds(np.arange(3)).ids[0] = 9


@pytest.mark.parametrize("gaps", [False, True])
def test_dense_filters_of_large_tables(gaps):
    random = np.random.default_rng(1)
    ids = np.arange(70_000) + 5 if not gaps else np.sort(random.choice(10**6, 70_000, replace=False))
    codes = BinaryCodes(random.integers(0, 256, (70_000, 8), dtype=np.uint8), 64)
    index = open_index("scan", ids, codes)
    allowed = np.concatenate([[-9], ids[random.random(70_000) < 0.5], [10**7]])
    found = index.search(codes[:3], 4, allowed=allowed)
    twice = index.search(codes[:3], 4, allowed=random.permutation(np.repeat(allowed, 2)))
    assert np.isin(found.ids, allowed).all()
    np.testing.assert_array_equal(found.ids, twice.ids)
    flat = open_index("faiss:flat", ids, codes).search(codes[:3], 4, allowed=allowed)
    np.testing.assert_array_equal(found.ids, flat.ids)
    whole = index.search(codes[:3], 4, allowed=ids)
    np.testing.assert_array_equal(whole.ids, index.search(codes[:3], 4).ids)


def test_a_filter_looked_up_last_gives_way_where_the_nearest_do_not_pass():
    """The items nearest to the query are all filtered out, so more than those fetched must be looked at."""
    bits = np.tril(np.ones((256, 256), bool), -1).repeat(30, axis=0)
    codes = BinaryCodes.from_bits(bits)
    query = BinaryCodes.from_bits(np.zeros((1, 256)))
    index = open_index("scan", np.arange(len(codes)) + 3, codes, threads=1)
    found = index.search(query, 5, allowed=np.arange(3503, 6503))
    assert found.ids.tolist() == [[3503, 3504, 3505, 3506, 3507]]
    assert "filter applied to rows under the cut-off" in index.explain()


def test_codes_of(codes):
    index = open_index("scan", np.arange(50) + 7, codes)
    index.add(np.array([8, 100]), codes[:2])
    index.remove(np.array([9]))
    assert index.codes_of(np.array([7, 8, 56, 100])) == codes[[0, 0, 49, 1]]
    assert index.codes_of(np.array([100, 7, 56, 7])) == codes[[1, 0, 49, 0]]
    np.testing.assert_array_equal(index.ids, np.append(np.delete(np.arange(50) + 7, 2), 100))
    assert len(index.codes_of(index.ids)) == len(index) == 50
    with pytest.raises(UsageError, match="1 of 2 ids are not in this index: 9"):
        index.codes_of(np.array([7, 9]))


def test_positions():
    ids = np.array([2, 5, 9])
    assert positions(np.array([1, 2, 9, 12]), ids).tolist() == [0, 2]
    assert positions(np.array([4, 5, 6]), np.array([4, 5])).tolist() == [0, 1]
    assert positions(np.array([], int), ids).tolist() == []


@pytest.mark.parametrize("largest_gap", [1, 2, 50])
def test_positions_of_many_ids(largest_gap):
    """A compiled loop looks many ids up; with gaps or without, it must agree with NumPy."""
    random = np.random.default_rng(largest_gap)
    ids = np.cumsum(random.integers(1, largest_gap + 1, 30_000)) - 500
    wanted = np.unique(random.integers(-2000, ids[-1] + 2000, 20_000))
    np.testing.assert_array_equal(positions(wanted, ids), np.flatnonzero(np.isin(ids, wanted)))
    np.testing.assert_array_equal(positions(ids, ids), np.arange(30_000))


@pytest.mark.parametrize("first", [0, 17])
@pytest.mark.parametrize("gap", [1, 3])
def test_long_lists_in_any_order(first, gap):
    """A list is not read before it must be; one that does not ascend, or names ids twice, is answered alike."""
    codes = crowded_codes(12_000, 64, distinct=12_000, seed=3)
    ids = np.arange(12_000) * gap + first
    index = open_index("scan", ids, codes, threads=1)
    index.remove(ids[5:9])
    random = np.random.default_rng(0)
    for share in (1.0, 0.9, 0.4, 0.05):
        allowed = random.permutation(np.repeat(random.choice(ids, int(share * len(ids)), replace=False), 2))
        living = np.setdiff1d(allowed, ids[5:9])
        for query in codes[:4]:
            found = index.search(query, 7, allowed=allowed)
            assert_same(rows_of(found), brute_force(ids, codes, query, 7, allowed=living))


def test_threads_share_the_work():
    assert in_parts(10, 3, lambda lo, hi: (lo, hi)) == [(0, 3), (3, 6), (6, 10)]
    assert in_parts(10, 3, lambda lo, hi: (lo, hi), at_least=8) == [(0, 10)]
    assert in_parts(0, 3, lambda lo, hi: (lo, hi)) == [(0, 0)]
    assert usable_threads(5) == 5
    assert usable_threads(None) >= 1


def test_torch_stays_out():
    program = (
        "import sys, numpy as np; from deephash.codes import BinaryCodes; from deephash.index import open_index;"
        "c = BinaryCodes.from_bits(np.eye(9)); open_index('auto', np.arange(9), c).search(c, 2);"
        "import deephash.index.verify, deephash.index.dedup, deephash.index.lsh, deephash.index.window;"
        "assert not {'torch', 'lightning'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
