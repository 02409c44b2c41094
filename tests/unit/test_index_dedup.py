"""Near-duplicates: complete pairs, groups, and the streaming filter."""

import numpy as np
import pytest

from deephash.codes import BinaryCodes
from deephash.errors import DataError, UsageError
from deephash.index import bloom, dedup
from deephash.index.bands import band_bounds, band_keys, band_masks
from deephash.index.bloom import BloomDedup, band_recall, best_bands, bloom_bits, error_per_band, mix64, random_hit_rate
from deephash.index.dedup import near_duplicates, near_pairs


def crowded(number: int, num_bits: int, seed: int) -> BinaryCodes:
    random = np.random.default_rng(seed)
    base = random.integers(0, 2, (max(2, number // 5), num_bits)).astype(bool)
    bits = base[random.integers(0, len(base), number)] ^ (random.random((number, num_bits)) < 0.04)
    return BinaryCodes.from_bits(bits)


def flip(codes: BinaryCodes, distance: int, seed: int = 0) -> BinaryCodes:
    bits, random = codes.bits(), np.random.default_rng(seed)
    for row in bits:
        row[random.choice(codes.num_bits, distance, replace=False)] ^= True
    return BinaryCodes.from_bits(bits)


@pytest.mark.parametrize("numba", [True, False])
@pytest.mark.parametrize("num_bits", [12, 64, 100])
@pytest.mark.parametrize("radius", [0, 1, 3, 7, 12])
def test_pairs_are_complete(monkeypatch, numba, num_bits, radius):
    monkeypatch.setattr(dedup, "has_numba", lambda: numba)
    codes = crowded(300, num_bits, seed=radius)
    ids = np.random.default_rng(1).permutation(900)[:300]
    pairs = near_pairs(ids, codes, radius)
    distances = codes.hamming(codes)
    expected = {
        (min(ids[a], ids[b]), max(ids[a], ids[b]), distances[a, b])
        for a in range(300)
        for b in range(a)
        if distances[a, b] <= radius
    }
    found = list(zip(pairs.first.tolist(), pairs.second.tolist(), pairs.distances.tolist(), strict=True))
    assert len(found) == len(set(found)) == len(pairs)
    assert set(found) == expected
    assert found == sorted(found)


@pytest.mark.parametrize("radius", [0, 9, 30])
def test_pairs_of_class_codes_are_those_of_the_simple_loop(radius):
    """Few codes, each of very many items: whole blocks of pairs at once, and the same pairs in the same order."""
    random = np.random.default_rng(4)
    codes = BinaryCodes.from_bits(random.integers(0, 2, (5, 32))[random.integers(0, 5, 200)])
    ids = random.permutation(2**40 + np.arange(200))
    apart = codes.hamming(codes)
    expected = sorted(
        (min(ids[a], ids[b]), max(ids[a], ids[b]), apart[a, b])
        for a in range(200)
        for b in range(a)
        if apart[a, b] <= radius
    )
    pairs = near_pairs(ids, codes, radius)
    assert list(zip(pairs.first, pairs.second, pairs.distances, strict=True)) == expected
    assert (pairs.first.dtype, pairs.distances.dtype) == (np.int64, np.int32)
    assert len(expected) > 3000


def test_bands_are_used_where_they_narrow_down(monkeypatch):
    monkeypatch.setattr(dedup, "_scanned_pairs", lambda codes, radius: pytest.fail("all compared with all"))
    codes = BinaryCodes(np.random.default_rng(0).integers(0, 256, (3000, 16), dtype=np.uint8), 128)
    both = BinaryCodes.concatenate([codes, flip(codes[:40], 3)])
    assert len(near_pairs(np.arange(3040), both, 3)) == 40


def test_a_chain_is_one_component_and_two_stars():
    chain = BinaryCodes.from_bits(np.tri(7, 6, -1, dtype=int))  # each code differs from the next by one bit
    ids = np.arange(7)
    (component,) = near_duplicates(ids, chain, 1, grouping="chain")
    assert component.kept == 0
    assert component.others.tolist() == [1, 2, 3, 4, 5, 6]
    assert component.distances.tolist() == [1, 2, 3, 4, 5, 6]
    stars = near_duplicates(ids, chain, 1)
    assert [(star.kept, star.others.tolist()) for star in stars] == [(0, [1]), (2, [3]), (4, [5])]
    wide = near_duplicates(ids, chain, 2)
    assert [len(star) for star in wide] == [3, 3]


@pytest.mark.parametrize("grouping", ["star", "chain"])
def test_groups_do_not_depend_on_the_order(grouping):
    codes, ids = crowded(200, 40, seed=3), np.random.default_rng(5).permutation(500)[:200]
    order = np.random.default_rng(2).permutation(200)
    first = near_duplicates(ids, codes, 4, grouping=grouping)
    second = near_duplicates(ids[order], codes[order], 4, grouping=grouping)
    assert [(g.kept, g.others.tolist(), g.distances.tolist()) for g in first] == [
        (g.kept, g.others.tolist(), g.distances.tolist()) for g in second
    ]
    seen = [each for group in first for each in [group.kept, *group.others.tolist()]]
    assert len(seen) == len(set(seen))
    if grouping == "star":
        assert all((group.distances <= 4).all() for group in first)


def test_chained_groups_are_the_connected_components():
    codes = crowded(150, 32, seed=8)
    near = codes.hamming(codes) <= 3
    label = np.arange(150)
    for _ in range(150):
        label = np.array([label[near[row]].min() for row in range(150)])
    groups = near_duplicates(np.arange(150), codes, 3, grouping="chain")
    expected = [np.flatnonzero(label == each).tolist() for each in np.unique(label) if (label == each).sum() > 1]
    assert sorted(sorted([g.kept, *g.others.tolist()]) for g in groups) == sorted(expected)


def test_the_highest_priority_is_kept():
    codes = BinaryCodes.from_bits(np.zeros((4, 8)))
    (group,) = near_duplicates(np.array([3, 1, 2, 9]), codes, 0, priority=[5, 7, 7, 1])
    assert group.kept == 1
    assert group.others.tolist() == [2, 3, 9]


def test_no_duplicates_and_no_items():
    codes = BinaryCodes.from_bits(np.eye(8))
    assert near_duplicates(np.arange(8), codes, 1) == []
    assert near_duplicates(np.arange(0), codes[:0], 3) == []
    assert len(near_pairs(np.arange(0), codes[:0], 3)) == 0


def test_bad_input():
    codes = BinaryCodes.from_bits(np.eye(8))
    for wrong in (
        {"radius": -1},
        {"grouping": "clique"},
        {"priority": [1, 2]},
        {"ids": np.arange(7)},
        {"ids": np.zeros(8, int)},
    ):
        with pytest.raises(UsageError):
            near_duplicates(**{"ids": np.arange(8), "codes": codes, "radius": 1, **wrong})
    with pytest.raises(UsageError, match=r"1\.\.8 bands, not 9"):
        band_bounds(8, 9)


def test_bands_cover_all_bits_and_keep_their_order():
    codes = crowded(50, 150, seed=1)
    bounds = band_bounds(150, 4)
    assert bounds[0][0] == 0
    assert bounds[-1][1] == 150
    assert {high - low for low, high in bounds} <= {37, 38}
    assert np.bitwise_count(band_masks(codes, bounds)).sum(axis=1).tolist() == [high - low for low, high in bounds]
    for wide in (bounds, [(0, 150)], [(0, 70), (70, 150)]):
        keys = band_keys(codes, wide)
        for band, (low, high) in enumerate(wide):
            same = (codes.bits()[:, None, low:high] == codes.bits()[None, :, low:high]).all(axis=2)
            np.testing.assert_array_equal(keys[band][:, None] == keys[band][None, :], same)
    words = np.random.default_rng(0).integers(0, 2, (2, 64)).astype(bool)
    one, two = np.concatenate([words[0], words[1]]), np.concatenate([words[1], words[0]])
    keys = band_keys(BinaryCodes.from_bits([one, two]), [(0, 128)])[0]
    assert keys[0] != keys[1]  # a key that summed its words could not tell these apart


# The streaming filter ----------------------------------------------------------------------------------


def test_sizes_and_errors_of_the_paper():
    assert [best_bands(*each) for each in ((0.8, 128), (0.5, 256), (0.5, 128), (0.9, 128))] == [
        (9, 13),
        (42, 6),
        (25, 5),
        (5, 25),
    ]
    for bands, per_item, total in ((9, 28.5, 1.25), (42, 31.7, 6.50)):
        bits = bloom_bits(39_000_000, error_per_band(1e-5, bands))
        assert bits / 39e6 == pytest.approx(per_item, abs=0.05)
        assert bands * bits / 8e9 == pytest.approx(total, abs=0.01)
    assert 1 - (1 - error_per_band(1e-5, 42)) ** 42 == pytest.approx(1e-5)


@pytest.mark.parametrize(
    ("num_bits", "bands", "distance", "expected"),
    [
        (64, 2, 4, 0.113),
        (64, 4, 6, 0.583),
        (128, 4, 8, 0.352),
        (128, 8, 8, 0.997),
        (128, 8, 12, 0.885),
        (256, 8, 12, 0.896),
    ],
)
def test_recall_of_bands(num_bits, bands, distance, expected):
    assert band_recall(num_bits, bands, distance) == pytest.approx(expected, abs=5e-4)


def test_random_hits():
    assert random_hit_rate(10**6, 64, 2) == pytest.approx(4.7e-4, rel=0.01)
    assert random_hit_rate(10**6, 64, 4) == 1
    with pytest.raises(UsageError, match="equal bands"):
        band_recall(64, 3, 2)


def planted(distance: int, number: int = 1000) -> tuple[BinaryCodes, BinaryCodes]:
    codes = BinaryCodes(np.random.default_rng(distance).integers(0, 256, (number, 16), dtype=np.uint8), 128)
    return codes, flip(codes, distance, seed=distance)


@pytest.mark.parametrize(
    ("distance", "low", "high"), [(0, 1, 1), (4, 1, 1), (7, 1, 1), (8, 0.987, 1), (12, 0.86, 0.91)]
)
def test_planted_duplicates_share_a_band(distance, low, high):
    """128 bits in 8 bands: certain up to 7 flipped bits, then as the formula says."""
    codes, twins = planted(distance)
    bounds = band_bounds(128, 8)
    shared = (band_keys(codes, bounds) == band_keys(twins, bounds)).any(axis=0).mean()
    assert low <= shared <= high


@pytest.mark.parametrize("numba", [True, False])
def test_stream(monkeypatch, numba):
    monkeypatch.setattr(bloom, "has_numba", lambda: numba)
    codes, twins = planted(3, number=300)
    filters = BloomDedup(1000, 128, bands=4, error=1e-6)
    assert not filters.add_or_seen(codes).any()
    assert filters.inserted == 300
    assert filters.seen(twins).all()
    assert filters.add_or_seen(twins).all()
    assert filters.inserted == 300
    inside = BinaryCodes.concatenate([planted(9, 5)[0], planted(9, 5)[0]])
    assert filters.add_or_seen(inside).tolist() == [False] * 5 + [True] * 5  # duplicates within one call


def test_error_at_half_full_and_overfull():
    capacity, error = 20_000, 0.02
    random = np.random.default_rng(0)
    fresh = BinaryCodes(random.integers(0, 256, (20_000, 32), dtype=np.uint8), 256)
    for inserted in (capacity // 2, capacity, 2 * capacity):
        filters = BloomDedup(capacity, 256, bands=4, error=error)
        codes = BinaryCodes(random.integers(0, 256, (inserted, 32), dtype=np.uint8), 256)
        places = filters._hashes(codes)
        for band in range(4):
            bits = places[band].ravel()
            np.bitwise_or.at(filters._words[band], bits >> np.uint64(6), np.uint64(1) << (bits & np.uint64(63)))
        expected = filters.expected_error(inserted)
        measured = filters.seen(fresh).mean()
        assert measured == pytest.approx(expected, abs=3 * (expected / 20_000) ** 0.5 + 0.1 * expected)
        assert filters.current_error == pytest.approx(expected, rel=0.1)
        assert filters.seen(codes).all()  # never a false negative
        if inserted == capacity:
            assert expected == pytest.approx(error, rel=0.1)
            assert filters.fill == pytest.approx(0.5, abs=0.02)


def test_a_full_filter_refuses():
    filters = BloomDedup(10, 64)
    codes = BinaryCodes(np.random.default_rng(0).integers(0, 256, (11, 8), dtype=np.uint8), 64)
    filters.add_or_seen(codes[:10])
    with pytest.raises(UsageError, match="sized for 10 items"):
        filters.add_or_seen(codes[10:])
    with pytest.raises(UsageError, match="64 bits"):
        filters.seen(BinaryCodes.from_bits(np.eye(9)))
    with pytest.raises(UsageError, match="capacity"):
        BloomDedup(0, 64)


def test_filters_beyond_32_bits_use_all_their_places(monkeypatch):
    filters = BloomDedup(1000, 64, bands=1)
    monkeypatch.setattr(filters, "size", 1 << 40)
    codes = BinaryCodes(np.random.default_rng(0).integers(0, 256, (500, 8), dtype=np.uint8), 64)
    places = filters._hashes(codes)
    assert (places > np.uint64(1 << 32)).mean() > 0.99
    assert int(places.max()) < 1 << 40


def test_merging_saving_and_loading(tmp_path):
    one, two, both = (BloomDedup(100, 64, seed=4) for _ in range(3))
    codes = BinaryCodes(np.random.default_rng(0).integers(0, 256, (60, 8), dtype=np.uint8), 64)
    one.add_or_seen(codes[:30])
    two.add_or_seen(codes[30:])
    both.add_or_seen(codes)
    one.merge(two)
    np.testing.assert_array_equal(one._words, both._words)
    path = tmp_path / "seen.npz"
    one.save(path)
    loaded = BloomDedup.load(path)
    assert loaded.settings == one.settings
    assert loaded.inserted == 60
    assert loaded.seen(codes).all()
    for other in (BloomDedup(101, 64, seed=4), BloomDedup(100, 64, seed=5), BloomDedup(100, 64, bands=5, seed=4)):
        with pytest.raises(UsageError, match="equal settings"):
            one.merge(other)


def test_damaged_files_are_refused(tmp_path):
    path = tmp_path / "seen.npz"
    with pytest.raises(DataError, match="not a file written"):
        BloomDedup.load(path)
    path.write_bytes(b"nothing of the kind")
    with pytest.raises(DataError, match="not a file written"):
        BloomDedup.load(path)
    np.savez(path, words=np.zeros((1, 2), np.uint64), inserted=1, settings=np.array([10, 64, 4, 0]), error=1e-3)
    with pytest.raises(DataError, match="damaged"):
        BloomDedup.load(path)
    for settings in ([10**15, 64, 4, 0], [10, 10**12, 4, 0], [10, 64, 0, 0], [0, 64, 4, 0], [10], [-1, -1, -1, -1]):
        np.savez(path, words=np.zeros((4, 4), np.uint64), inserted=1, settings=np.array(settings), error=1e-3)
        with pytest.raises(DataError, match="not a file written"):
            BloomDedup.load(path)


def test_mixing_is_a_bijection_on_samples():
    keys = np.arange(100_000, dtype=np.uint64)
    assert len(np.unique(mix64(keys))) == 100_000
