"""Faiss kinds: what Faiss does silently and must not get through, and how approximate kinds behave."""

import numpy as np
import pytest

from deephash.codes import BinaryCodes
from deephash.errors import UsageError
from deephash.index import open_index
from deephash.index.faiss_approximate import HnswEngine, HnswOptions, IvfEngine, IvfOptions
from deephash.index.faiss_flat import FlatEngine, faiss_threads, search_filtered
from deephash.index.faiss_multihash import MultiHashEngine
from deephash.index.measures import recall_by_distance
from deephash.index.row_filter import RowFilter

from .test_index_scan import clustered_codes, random_codes


def islands(number: int, num_bits: int) -> BinaryCodes:
    """Distinct codes in tight clusters far from each other: a graph's links all stay inside a cluster."""
    random = np.random.default_rng(0)
    middles = random.integers(0, 2, (20, num_bits)).astype(bool)
    bits = middles[random.integers(0, 20, number)].copy()
    for row in bits:
        row[random.choice(num_bits, 3, replace=False)] ^= True
    return BinaryCodes.from_bits(bits)


def test_threads_are_put_back():
    import faiss

    before = faiss.omp_get_max_threads()
    with faiss_threads(1):
        assert faiss.omp_get_max_threads() == 1
    assert faiss.omp_get_max_threads() == before


def test_flat_orders_ties_at_the_cut_off_by_id():
    codes = BinaryCodes.from_bits(np.random.default_rng(0).integers(0, 2, (4000, 6)))
    for heap in (True, False):
        engine = FlatEngine(codes)
        engine._index.use_heap = heap
        found = engine.search(codes[:50], 333, None)
        distances = codes[:50].hamming(codes)
        for row in range(50):
            np.testing.assert_array_equal(found.ids[row], np.lexsort((np.arange(4000), distances[row]))[:333])


def test_ivf_widens_its_probes_until_k_are_found():
    codes = random_codes(2000, 64)
    index = open_index("faiss:ivf", np.arange(2000), codes, num_lists=40, nprobe=1)
    found = index.search(codes[:5], 1500)
    assert found.ids.shape == (5, 1500)
    assert all(len(np.unique(row)) == 1500 for row in found.ids)
    assert (np.diff(found.distances, axis=1) >= 0).all()
    assert "faiss:ivf: approximate, 2,000 codes in 40 lists, 1 visited" in index.explain()


def test_ivf_is_good_on_clustered_codes_and_better_with_more_probes():
    codes = clustered_codes(20_000, 64)
    queries = clustered_codes(50, 64, seed=9)
    exact = open_index("scan", np.arange(20_000), codes).search(queries, 10).distances
    recalls = []
    for nprobe in (1, 4, 64):
        index = open_index("faiss:ivf", np.arange(20_000), codes, num_lists=64, nprobe=nprobe)
        recalls.append(recall_by_distance(index.search(queries, 10).distances, exact))
    assert recalls == sorted(recalls)
    assert recalls[1] > 0.9
    assert recalls[2] == 1


def test_ivf_ids_survive_removal_and_adding():
    """IDMap over IVF gives wrong ids after a removal, and IVF reuses ids; ours are our own."""
    codes = random_codes(3000, 64)
    index = open_index("faiss:ivf", np.arange(3000) * 7, codes, num_lists=20, nprobe=20)
    index.remove(np.arange(0, 1500) * 7)
    index.add(np.array([3, 4]), codes[:2])
    assert index.search(codes[:2], 1).ids.ravel().tolist() == [3, 4]
    assert index.search(codes[2000:2005], 1).ids.ravel().tolist() == [7 * row for row in range(2000, 2005)]


def test_hnsw_is_refused_where_it_misses_neighbours():
    codes = islands(3000, 128)
    with pytest.raises(UsageError, match=r"misses neighbours on these codes: recall@10 0\.\d+ .*force=True"):
        open_index("faiss:hnsw", np.arange(3000), codes, ef_search=16, neighbours=4)
    forced = open_index("faiss:hnsw", np.arange(3000), codes, ef_search=16, neighbours=4, force=True)
    assert forced.search(codes[:3], 5).ids.shape == (3, 5)


def test_hnsw_sees_no_duplicates():
    """Raw HNSW loses items among duplicates; over unique codes every item of a group is found, by id."""
    base = random_codes(300, 64)
    codes = base[np.repeat(np.arange(300), 20)]
    index = open_index("faiss:hnsw", np.arange(6000), codes)
    found = index.search(base, 20)
    np.testing.assert_array_equal(found.ids, np.arange(6000).reshape(300, 20))
    assert not found.distances.any()
    assert "6,000 items share 300 unique codes" in index.explain()


def test_an_open_hnsw_gives_way_to_the_scan_when_codes_come_to_defeat_it(monkeypatch):
    codes = random_codes(400, 64)
    index = open_index("faiss:hnsw", np.arange(400), codes)
    monkeypatch.setattr(HnswEngine, "recall", lambda self, codes: 0.5)
    monkeypatch.setattr("deephash.index.live.REBUILD_AT_LEAST", 1)
    index.remove(np.arange(200))
    assert "misses neighbours" in index.explain()
    assert index.search(codes[300:301], 1).ids.tolist() == [[300]]


def test_hnsw_answers_are_completed_where_the_graph_falls_short():
    engine = HnswEngine(random_codes(200, 64), HnswOptions(ef_search=4))
    engine._fetch = lambda queries, fetch: (  # type: ignore[method-assign]
        np.full((len(queries), fetch), 2**31 - 1, np.int32),
        np.full((len(queries), fetch), -1, np.int64),
    )
    found = engine.search(random_codes(200, 64)[:4], 5, None)
    assert (found.ids >= 0).all()
    assert found.ids[:, 0].tolist() == [0, 1, 2, 3]


def test_multihash_radius_needs_no_scan_up_to_its_reach():
    codes = clustered_codes(5000, 64)
    engine = MultiHashEngine(codes)
    scanned = []
    engine._exact = type("Spy", (), {"search_radius": lambda self, *a: scanned.append(1) or []})()
    for radius in range(8):
        expected = FlatEngine(codes).search_radius(codes[:20], radius, None)
        found = engine.search_radius(codes[:20], radius, None)
        assert all(np.array_equal(one.ids, two.ids) for one, two in zip(found, expected, strict=True))
    assert not scanned
    engine.search_radius(codes[:20], 8, None)
    assert scanned


def test_a_filter_by_over_fetching_is_completed_exactly():
    """The filter lets only far items pass, so that what was fetched holds none of them."""
    codes = BinaryCodes.from_bits(np.concatenate([np.zeros((900, 16)), np.ones((100, 16))]))
    exact = FlatEngine(codes)
    asked = []

    def search(queries: BinaryCodes, k: int):
        asked.append(k)
        return exact.search(queries, k, None)

    mask = np.arange(1000) >= 900
    found = search_filtered(search, exact, codes[:2], 3, RowFilter(mask))
    assert found.ids.tolist() == [[900, 901, 902]] * 2
    assert asked == [61]
    search_filtered(search, exact, codes[:2], 50, RowFilter(mask))
    assert asked == [61]  # most of the table would have to be fetched: searched exactly at once


def test_ivf_filters_exactly_on_dense_and_sparse_filters():
    codes = clustered_codes(4000, 64)
    engine = IvfEngine(codes, IvfOptions(num_lists=10, nprobe=10))
    for rate in (0.9, 0.01):
        within = RowFilter(np.random.default_rng(0).random(4000) < rate)
        found, expected = engine.search(codes[:9], 5, within), FlatEngine(codes).search(codes[:9], 5, within)
        np.testing.assert_array_equal(found.ids, expected.ids)
