"""The exact scan: pivot lists, band tables, ties, large k, and giving up where a helper does not pay."""

import numpy as np
import pytest

from deephash.codes import BinaryCodes
from deephash.index import planner, scan
from deephash.index.faiss_flat import FlatEngine
from deephash.index.multi_index import BandTables
from deephash.index.scan import ScanEngine


def random_codes(number: int, num_bits: int, seed: int = 0) -> BinaryCodes:
    return BinaryCodes(np.random.default_rng(seed).integers(0, 256, (number, num_bits // 8), dtype=np.uint8), num_bits)


def clustered_codes(number: int, num_bits: int, *, centres: int = 40, seed: int = 0) -> BinaryCodes:
    random = np.random.default_rng(seed)
    middles = random.integers(0, 2, (centres, num_bits)).astype(bool)
    bits = middles[random.integers(0, centres, number)] ^ (random.random((number, num_bits)) < 0.05)
    return BinaryCodes.from_bits(bits)


def assert_like_faiss(engine: ScanEngine, codes: BinaryCodes, queries: BinaryCodes, k: int) -> None:
    found, expected = engine.search(queries, k, None), FlatEngine(codes).search(queries, k, None)
    np.testing.assert_array_equal(found.distances, expected.distances)
    np.testing.assert_array_equal(found.ids, expected.ids)


@pytest.mark.parametrize("num_bits", [64, 128, 192, 256])
@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("prune", [False, True])
def test_large_tables(num_bits, threads, prune):
    codes = clustered_codes(140_000, num_bits)
    engine = ScanEngine(codes, threads=threads, prune=prune)
    queries = clustered_codes(7, num_bits, seed=3)
    assert_like_faiss(engine, codes, queries[:1], 10)
    assert_like_faiss(engine, codes, queries, 300)
    if prune:
        assert "pivots" in engine.explain()


def test_codes_longer_than_the_unrolled_loops():
    codes = clustered_codes(6000, 640)
    queries = codes[:4]
    engine = ScanEngine(codes, prune=True)
    assert_like_faiss(engine, codes, queries, 9)
    assert "of the codes touched, 0 of 4 queries scanned plainly" in engine.explain()
    expected = FlatEngine(codes).search_radius(queries, 90, None)
    for one, two in zip(engine.search_radius(queries, 90, None), expected, strict=True):
        np.testing.assert_array_equal(one.ids, two.ids)


def test_ties_across_threads_and_blocks():
    """Every code is the same: the first k rows must come, whichever thread met them."""
    codes = BinaryCodes(np.zeros((200_000, 8), np.uint8), 64)
    for prune in (False, True):
        found = ScanEngine(codes, threads=2, prune=prune).search(codes[:1], 500, None)
        assert found.ids.tolist() == [list(range(500))]


def test_distances_that_fall_from_row_to_row():
    """The worst case for a cut-off: every later row is nearer, so the candidates' buffer overflows again and again."""
    bits = np.tril(np.ones((256, 256), bool), -1)[::-1].repeat(40, axis=0)
    codes = BinaryCodes.from_bits(bits)
    query = BinaryCodes.from_bits(np.zeros((1, 256)))
    for prune in (False, True):
        assert_like_faiss(ScanEngine(codes, threads=1, prune=prune), codes, query, 37)


def test_pruning_pays_on_clusters_and_is_left_out_on_random_codes(monkeypatch):
    monkeypatch.setattr(planner, "PRUNING_PAYS_BELOW", 0.15)  # so small a table cannot reach the usual share
    monkeypatch.setattr(scan, "SMALL", 1000)
    clustered = ScanEngine(clustered_codes(20_000, 64))
    clustered.warm()
    clustered.search(clustered_codes(3, 64, seed=1), 10, None)
    assert "pruned scan" in clustered.explain()
    codes = random_codes(20_000, 64)
    plain = ScanEngine(codes)
    plain.warm()
    plain.search(random_codes(3, 64, seed=1), 10, None)
    assert "pruning: left out" in plain.explain()
    assert "plain scan" in plain.explain()


def test_a_pruned_search_gives_up_where_it_does_not_pay():
    codes = random_codes(20_000, 64)
    engine = ScanEngine(codes, prune=True)
    queries = random_codes(5, 64, seed=1)
    assert_like_faiss(engine, codes, queries, 10)
    assert "5 of 5 queries scanned plainly" in engine.explain()


def test_helpers_are_built_when_earned(monkeypatch):
    monkeypatch.setattr(planner, "PRUNING_PAYS_BELOW", 0.15)
    monkeypatch.setattr(scan, "SMALL", 1000)
    codes = clustered_codes(10_000, 64)
    engine = ScanEngine(codes)
    engine.search(codes[:50], 10, None)
    assert "not needed so far" in engine.explain()
    engine.search(codes[50:110], 10, None)  # 110 queries > sqrt(10,000)
    assert "pruned scan" in engine.explain()
    engine.search_radius(codes[:10], 1, None)
    assert "band tables" not in engine.explain()
    monkeypatch.setattr(planner, "LOOK_UP_COST", 1)
    engine.search_radius(codes[:60], 1, None)
    assert "band tables" in engine.explain()


@pytest.mark.parametrize("num_bits", [16, 40, 64, 72, 128])
def test_band_tables_are_complete(num_bits, monkeypatch):
    monkeypatch.setattr(planner, "LOOK_UP_COST", 1)  # so that all radii that can be looked up are
    random = np.random.default_rng(num_bits)
    base = random.integers(0, 2, (40, num_bits)).astype(bool)
    bits = base[random.integers(0, 40, 30_000)] ^ (random.random((30_000, num_bits)) < 0.08)
    bits[100:] ^= random.random((29_900, num_bits)) < 0.3  # mostly far away, so that look-ups stay affordable
    codes = BinaryCodes.from_bits(bits)
    engine = ScanEngine(codes, prune=False)
    engine._build_tables()
    queries = BinaryCodes.from_bits(base[:6])
    for radius in range(0, 12):
        found = engine.search_radius(queries, radius, None)
        expected = FlatEngine(codes).search_radius(queries, radius, None)
        for one, two in zip(found, expected, strict=True):
            np.testing.assert_array_equal(one.ids, two.ids)
            np.testing.assert_array_equal(one.distances, two.distances)
        if radius == 0:
            assert "by band tables" in engine.explain()


def test_flips_cover_every_way_to_spread_a_distance():
    """Whatever way r differing bits fall into the bands, some band has at most as many as are flipped there."""
    tables = BandTables(np.zeros((3, 2), np.int32), np.zeros((3, 1), np.int32))
    for radius in range(10):
        flips = tables.flips(radius)
        for one in range(radius + 1):
            for two in range(radius + 1 - one):
                spread = np.array([one, two, radius - one - two])
                assert (spread <= flips).any()


def test_crowded_buckets_go_back_to_the_scan():
    codes = BinaryCodes(np.zeros((80_000, 8), np.uint8), 64)
    engine = ScanEngine(codes, prune=False)
    engine.warm()
    (found,) = engine.search_radius(codes[:1], 2, None)
    assert len(found) == 80_000
    assert "1 by the plain scan" in engine.explain()
