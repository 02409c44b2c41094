"""Second stage and its diagnostics: re-ranking by vectors, recall checks, shortlist lengths, windows."""

import numpy as np
import pytest

from deephash.codes import BinaryCodes
from deephash.errors import UsageError
from deephash.index import Neighbors, open_index, window
from deephash.index.measures import recall_by_distance
from deephash.index.rerank import asymmetric_scores, rerank, rerank_asymmetric, search_two_stage
from deephash.index.verify import choose_shortlist, float_neighbours, verify_recall
from deephash.index.window import WindowIndex

NUM, DIM, BITS = 600, 24, 48
IDS = np.arange(NUM) * 3 + 1


class Table:
    """Vectors by id, counting what is read."""

    def __init__(self, seed: int = 0) -> None:
        self.vectors = np.random.default_rng(seed).standard_normal((NUM, DIM)).astype(np.float16)
        self.reads: list[np.ndarray] = []

    def gather(self, ids: np.ndarray) -> np.ndarray:
        self.reads.append(ids)
        return self.vectors[(ids - 1) // 3]


@pytest.fixture
def table() -> Table:
    return Table()


def codes_of(vectors: np.ndarray) -> BinaryCodes:
    directions = np.random.default_rng(7).standard_normal((DIM, BITS))
    return BinaryCodes.from_continuous(vectors.astype(np.float64) @ directions)


@pytest.fixture
def stages(table: Table):
    queries = np.random.default_rng(1).standard_normal((8, DIM)).astype(np.float32)
    return open_index("scan", IDS, codes_of(table.vectors)), codes_of(queries), queries


def naive(table: Table, queries: np.ndarray, metric: str) -> np.ndarray:
    vectors = table.vectors.astype(np.float64)
    scores = queries.astype(np.float64) @ vectors.T
    if metric == "cosine":
        scores /= np.linalg.norm(vectors, axis=1) * np.linalg.norm(queries.astype(np.float64), axis=1)[:, None]
    return scores


@pytest.mark.parametrize("metric", ["cosine", "inner"])
def test_a_shortlist_of_everything_is_the_float_ranking(table, stages, metric):
    index, codes, queries = stages
    found = search_two_stage(index, codes, queries, table.gather, 10, shortlist=NUM, metric=metric)
    scores = naive(table, queries, metric)
    np.testing.assert_array_equal(found.ids, IDS[np.argsort(-scores, axis=1)[:, :10]])
    np.testing.assert_allclose(found.scores, -np.sort(-scores, axis=1)[:, :10], rtol=1e-3)
    np.testing.assert_array_equal(float_neighbours(queries, IDS, table.gather, 10, metric=metric), found.ids)


def test_a_shortlist_of_k_is_the_hamming_set_in_float_order(table, stages):
    index, codes, queries = stages
    found = search_two_stage(index, codes, queries, table.gather, 10, shortlist=10)
    near = index.search(codes, 10)
    np.testing.assert_array_equal(np.sort(found.ids), np.sort(near.ids))
    assert (np.diff(found.scores, axis=1) <= 0).all()
    for row in range(8):
        distance = dict(zip(near.ids[row].tolist(), near.distances[row].tolist(), strict=True))
        assert [distance[each] for each in found.ids[row].tolist()] == found.distances[row].tolist()


def test_each_vector_is_read_once_and_in_order(table):
    found = Neighbors(np.array([[4, 1, 7], [7, 10, 1]]), np.zeros((2, 3), np.int32))
    rerank(found, np.ones((2, DIM)), table.gather, 2, num_bits=BITS)
    assert [read.tolist() for read in table.reads] == [[1, 4, 7, 10]]


def test_blend(table, stages):
    index, codes, queries = stages
    near = index.search(codes, 40)
    pure = rerank(near, queries, table.gather, 40, num_bits=BITS)
    assert np.array_equal(pure.ids, rerank(near, queries, table.gather, 40, num_bits=BITS, beta=0.0).ids)
    blended = rerank(near, queries, table.gather, 40, num_bits=BITS, beta=0.3)
    extra = 0.3 * (BITS - 2 * blended.distances) / BITS
    for row in range(8):
        own = dict(zip(pure.ids[row].tolist(), pure.scores[row].tolist(), strict=True))
        wanted = [own[each] + more for each, more in zip(blended.ids[row].tolist(), extra[row].tolist(), strict=True)]
        np.testing.assert_allclose(blended.scores[row], wanted, rtol=1e-5)
    by_code = rerank(near, queries, table.gather, 40, num_bits=BITS, beta=1e6)
    assert (np.diff(by_code.distances, axis=1) >= 0).all()


def test_ties_are_ordered_by_id():
    found = Neighbors(np.array([[9, 2, 5]]), np.zeros((1, 3), np.int32))
    ranked = rerank(found, np.ones((1, 2)), lambda ids: np.ones((len(ids), 2), np.float16), 3, num_bits=8)
    assert ranked.ids.tolist() == [[2, 5, 9]]


def test_nothing_found_and_filtered(table, stages):
    index, codes, queries = stages
    found = search_two_stage(index, codes, queries, table.gather, 3, shortlist=20, allowed=np.empty(0, np.int64))
    assert found.ids.shape == (8, 0)
    allowed = IDS[::50]
    found = search_two_stage(index, codes, queries, table.gather, 3, shortlist=20, allowed=allowed)
    assert np.isin(found.ids, allowed).all()


def test_asymmetric_order_of_signs_is_the_hamming_order(stages):
    index, codes, _ = stages
    near = index.search(codes, 50)
    ranked = rerank_asymmetric(near, codes.signs(), index.codes_of, 50)
    np.testing.assert_array_equal(ranked.ids, near.ids)
    np.testing.assert_array_equal(ranked.scores, BITS - 2 * near.distances)


def test_asymmetric_scores_against_a_loop(table):
    codes = codes_of(table.vectors)
    values = np.random.default_rng(3).standard_normal((2, BITS)).astype(np.float32)
    scores = asymmetric_scores(values, codes)
    for row in (0, 17, 599):
        loop = sum(float(v) * (1 if bit else -1) for v, bit in zip(values[1], codes[row].bits()[0], strict=True))
        assert scores[1, row] == pytest.approx(loop, rel=1e-4, abs=1e-4)
    with pytest.raises(UsageError, match="cannot be scored"):
        asymmetric_scores(values[:, :5], codes)


def test_bad_input(table, stages):
    index, codes, queries = stages
    with pytest.raises(UsageError, match="cannot hold 10"):
        search_two_stage(index, codes, queries, table.gather, 10, shortlist=9)
    near = index.search(codes, 10)
    with pytest.raises(UsageError, match="'cosine' or 'inner'"):
        rerank(near, queries, table.gather, 3, num_bits=BITS, metric="l2")
    with pytest.raises(UsageError, match=r"shape \[8, D\]"):
        rerank(near, queries[:3], table.gather, 3, num_bits=BITS)
    with pytest.raises(UsageError, match="same model"):
        rerank(near, queries[:, :5], table.gather, 3, num_bits=BITS)


def test_shortlist_for_a_recall_target(table, stages):
    index, codes, queries = stages
    choice = choose_shortlist(index, codes, queries, IDS, table.gather, k=5, target=0.9)
    assert choice.recall >= 0.9
    recalls = [recall for _, recall in choice.curve]
    assert recalls == sorted(recalls)
    true = float_neighbours(queries, IDS, table.gather, 5)

    def recall(length: int) -> float:
        found = search_two_stage(index, codes, queries, table.gather, 5, shortlist=length).ids
        return float(np.mean([np.isin(one, two).mean() for one, two in zip(true, found, strict=True)]))

    assert recall(choice.length) == pytest.approx(choice.recall)
    assert choice.length == 5 or recall(choice.length - 1) < 0.9
    assert choose_shortlist(index, codes, queries, IDS, table.gather, k=5, target=1.0).recall == 1
    with pytest.raises(UsageError, match="recall target"):
        choose_shortlist(index, codes, queries, IDS, table.gather, target=1.5)


def test_recall_check_of_a_sound_and_of_a_lying_index(table):
    codes = codes_of(table.vectors)
    sound = verify_recall(open_index("faiss:flat", IDS, codes), IDS, codes, sample=50)
    assert (sound.recall, sound.sound, sound.queries, sound.k) == (1.0, True, 50, 10)
    assert "faiss:flat" in sound.engine

    class Liar:
        def search(self, queries, k):
            honest = open_index("scan", IDS, codes).search(queries, k)
            ids, distances = honest.ids.copy(), honest.distances.copy()
            ids[0, 0] = -1
            ids[1, 1] = ids[1, 0]
            distances[2, 3] += 5
            return Neighbors(ids, distances)

        def explain(self):
            return "liar"

    lying = verify_recall(Liar(), IDS, codes, queries=codes[:4])
    assert not lying.sound
    assert lying.unknown_ids == 2
    assert lying.wrong_distances >= 1
    with pytest.raises(UsageError, match="empty collection"):
        verify_recall(Liar(), IDS[:0], codes[:0])


def test_recall_is_fair_under_ties():
    exact = np.array([[0, 1, 1]])
    assert recall_by_distance(np.array([[0, 1, 1]]), exact) == 1
    assert recall_by_distance(np.array([[1, 1, 1]]), exact) == 1  # another of the tied items is as good
    assert recall_by_distance(np.array([[0, 1, 2]]), exact) == pytest.approx(2 / 3)
    assert recall_by_distance(np.array([[0]]), exact) == pytest.approx(1 / 3)


@pytest.mark.parametrize("numba", [True, False])
def test_windows_against_a_loop(monkeypatch, numba):
    monkeypatch.setattr(window, "has_numba", lambda: numba)
    random = np.random.default_rng(0)
    codes = BinaryCodes.from_bits(random.integers(0, 2, (400, 9)))
    ids = random.permutation(1000)[:400]
    values = random.integers(0, 12, 400).astype(float)
    values[::37] = np.nan
    index = WindowIndex(ids, codes, values, threads=2)
    queries = codes[:5]
    distances = queries.hamming(codes)
    windows = [{}, {"gte": 3, "lte": 3}, {"gt": 3, "lt": 4}, {"gte": 2, "lt": 9}, {"gt": 2, "lte": 9}]
    windows += [{"gte": 8, "lte": 3}, {"gte": 50}, {"lt": -1}, {"gte": -5, "gt": 0}]
    for bounds in windows:
        inside = ~np.isnan(values)
        for name, test in (("gte", np.greater_equal), ("gt", np.greater), ("lt", np.less), ("lte", np.less_equal)):
            if name in bounds:
                inside &= test(values, bounds[name])
        first, last = index.rows(**bounds)
        assert last - first == inside.sum()
        for k in (1, 20, 1000):
            found = index.search(queries, k, **bounds)
            for row in range(5):
                order = np.lexsort((ids[inside], distances[row][inside]))[:k]
                np.testing.assert_array_equal(found.ids[row], ids[inside][order])
                np.testing.assert_array_equal(found.distances[row], distances[row][inside][order])
    assert "rows 0.." in index.explain(lt=5)
    assert len(index) == 400
    with pytest.raises(UsageError, match="do not fit together"):
        WindowIndex(ids, codes, values[:5])
