"""What every CodeIndex must do, inherited by the test of each kind."""

import numpy as np
import pytest

from deephash.codes import BinaryCodes, hamming_distance
from deephash.errors import UsageError
from deephash.index import CodeIndex, Neighbors


def crowded_codes(number: int, num_bits: int, *, distinct: int, seed: int) -> BinaryCodes:
    """Return random codes of which only ``distinct`` differ."""
    random = np.random.default_rng(seed)
    pool = random.integers(0, 2, (distinct, num_bits))
    return BinaryCodes.from_bits(pool[random.integers(0, distinct, number)])


def brute_force(
    ids: np.ndarray, codes: BinaryCodes, queries: BinaryCodes, k: int | None, *, radius: int | None = None, allowed=None
) -> list[Neighbors]:
    """The oracle: all distances, sorted by (distance, id)."""
    passes = np.ones(len(ids), bool) if allowed is None else np.isin(ids, allowed)
    answers = []
    for row in hamming_distance(queries, codes):
        order = [i for i in np.lexsort((ids, row)) if passes[i] and (radius is None or row[i] <= radius)][:k]
        answers.append(Neighbors(ids[order], row[order].astype(np.int32)))
    return answers


def assert_same(found: list[Neighbors], expected: list[Neighbors]) -> None:
    """Compare answers, ids and distances."""
    assert len(found) == len(expected)
    for one, two in zip(found, expected, strict=True):
        np.testing.assert_array_equal(one.ids, two.ids)
        np.testing.assert_array_equal(one.distances, two.distances)


def rows_of(found: Neighbors) -> list[Neighbors]:
    """Return the answer of each query."""
    return [Neighbors(ids, distances) for ids, distances in zip(found.ids, found.distances, strict=True)]


class CodeIndexContract:
    """Inherit and give ``open``; the answers are compared with brute force, on random and on duplicated codes."""

    def open(self, ids: np.ndarray, codes: BinaryCodes) -> CodeIndex:
        raise NotImplementedError

    @pytest.fixture(params=["random", "duplicated"])
    def table(self, request: pytest.FixtureRequest) -> tuple[np.ndarray, BinaryCodes, BinaryCodes]:
        """(ids in no order and with gaps, codes, queries)."""
        random = np.random.default_rng(5)
        ids = random.permutation(2000)[:400].astype(np.int64) - 500
        distinct = 400 if request.param == "random" else 7
        codes = crowded_codes(400, 36, distinct=distinct, seed=1)
        queries = BinaryCodes.concatenate([crowded_codes(5, 36, distinct=5, seed=2), codes[:4]])
        return ids, codes, queries

    def test_nearest(self, table):
        ids, codes, queries = table
        index = self.open(ids, codes)
        assert len(index) == 400
        assert index.num_bits == 36
        for k in (1, 10, 57, 400):
            found = index.search(queries, k)
            assert found.ids.dtype == np.int64
            assert found.distances.dtype == np.int32
            assert_same(rows_of(found), brute_force(ids, codes, queries, k))

    def test_more_neighbours_than_items(self, table):
        ids, codes, queries = table
        found = self.open(ids, codes).search(queries, 5000)
        assert found.ids.shape == (9, 400)
        assert (found.ids >= ids.min()).all()

    def test_radius_is_inclusive(self, table):
        ids, codes, queries = table
        index = self.open(ids, codes)
        for radius in (0, 1, 3, 12, 17, 36, 99):
            assert_same(index.search_radius(queries, radius), brute_force(ids, codes, queries, None, radius=radius))

    @pytest.mark.parametrize("share", [1.0, 0.5, 0.1, 0.01])
    def test_filter(self, table, share):
        ids, codes, queries = table
        index = self.open(ids, codes)
        chosen = np.random.default_rng(3).choice(ids, max(1, int(share * len(ids))), replace=False)
        allowed = np.sort(np.append(chosen, 10_000))  # one id that is not there
        found = index.search(queries, 20, allowed=allowed)
        assert_same(rows_of(found), brute_force(ids, codes, queries, 20, allowed=allowed))
        near = index.search_radius(queries, 12, allowed=allowed)
        assert_same(near, brute_force(ids, codes, queries, None, radius=12, allowed=allowed))

    def test_nothing_allowed(self, table):
        ids, codes, queries = table
        index = self.open(ids, codes)
        nothing = np.empty(0, np.int64)
        assert index.search(queries, 3, allowed=nothing).ids.shape == (9, 0)
        assert [len(found) for found in index.search_radius(queries, 36, allowed=nothing)] == [0] * 9

    def test_add_replaces_and_remove_removes(self, table):
        ids, codes, queries = table
        index = self.open(ids, codes)
        truth = dict(zip(ids.tolist(), codes, strict=True))
        changed = np.array([ids[0], ids[1], 7777, 7778])
        index.add(changed, crowded_codes(4, 36, distinct=2, seed=9))
        truth.update(zip(changed.tolist(), crowded_codes(4, 36, distinct=2, seed=9), strict=True))
        gone = np.array([ids[1], ids[2], 7778, 123456])
        index.remove(gone)
        for each in gone.tolist():
            truth.pop(each, None)
        now = np.array(sorted(truth))
        held = BinaryCodes.concatenate([truth[each] for each in now.tolist()])
        assert len(index) == len(now)
        assert_same(rows_of(index.search(queries, 50)), brute_force(now, held, queries, 50))
        assert_same(index.search_radius(queries, 14), brute_force(now, held, queries, None, radius=14))
        allowed = np.sort(now[::3])
        found = index.search(queries, 50, allowed=allowed)
        assert_same(rows_of(found), brute_force(now, held, queries, 50, allowed=allowed))

    def test_emptied_and_filled_again(self, table):
        ids, codes, queries = table
        index = self.open(ids, codes)
        index.remove(ids)
        assert len(index) == 0
        assert index.search(queries, 3).ids.shape == (9, 0)
        index.add(ids[:60], codes[:60])
        assert_same(rows_of(index.search(queries, 9)), brute_force(ids[:60], codes[:60], queries, 9))

    def test_opened_empty(self):
        index = self.open(np.empty(0, np.int64), crowded_codes(1, 36, distinct=1, seed=0)[:0])
        assert len(index) == 0
        assert index.search(crowded_codes(2, 36, distinct=1, seed=0), 4).ids.shape == (2, 0)
        assert [len(found) for found in index.search_radius(crowded_codes(2, 36, distinct=1, seed=0), 4)] == [0, 0]

    def test_one_item(self):
        codes = crowded_codes(1, 36, distinct=1, seed=0)
        found = self.open(np.array([42]), codes).search(codes, 3)
        assert found.ids.tolist() == [[42]]
        assert found.distances.tolist() == [[0]]

    def test_refusals(self, table):
        ids, codes, queries = table
        index = self.open(ids, codes)
        with pytest.raises(UsageError, match="36 bits"):
            index.search(BinaryCodes.from_bits(np.ones((1, 40), bool)), 1)
        with pytest.raises(UsageError, match="at least 1"):
            index.search(queries, 0)
        with pytest.raises(UsageError, match="at least 0"):
            index.search_radius(queries, -1)
        with pytest.raises(UsageError, match="more than once"):
            index.add(np.array([5, 5]), codes[:2])
        with pytest.raises(UsageError, match="each code needs one id"):
            index.add(np.array([5]), codes[:2])

    def test_explains_itself(self, table):
        ids, codes, queries = table
        index = self.open(ids, codes)
        index.search(queries, 3)
        index.remove(ids[:2])
        assert "2 removed rows masked" in index.explain()
