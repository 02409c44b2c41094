"""Each kind of index keeps the contract."""

import numpy as np
import pytest

from deephash.codes import BinaryCodes
from deephash.index import CodeIndex, engines, open_index, planner
from deephash.testing.indexes import CodeIndexContract, assert_same, brute_force, crowded_codes, rows_of


class TestAuto(CodeIndexContract):
    def open(self, ids: np.ndarray, codes: BinaryCodes) -> CodeIndex:
        return open_index("auto", ids, codes)


class TestScan(CodeIndexContract):
    def open(self, ids: np.ndarray, codes: BinaryCodes) -> CodeIndex:
        return open_index("scan", ids, codes, threads=2)


class TestScanPruned(CodeIndexContract):
    def open(self, ids: np.ndarray, codes: BinaryCodes) -> CodeIndex:
        return open_index("scan", ids, codes, prune=True)


class TestScanOfUniqueCodes(CodeIndexContract):
    @pytest.fixture(autouse=True)
    def _group_always(self, monkeypatch):
        monkeypatch.setattr(engines, "HAS_MANY", 1)
        monkeypatch.setattr(planner, "HAS_MANY", 1)

    def open(self, ids: np.ndarray, codes: BinaryCodes) -> CodeIndex:
        return open_index("scan", ids, codes)


class TestScanWithoutNumba(CodeIndexContract):
    @pytest.fixture(autouse=True)
    def _hide_numba(self, monkeypatch):
        monkeypatch.setattr(engines, "has_numba", lambda: False)

    def open(self, ids: np.ndarray, codes: BinaryCodes) -> CodeIndex:
        index = open_index("scan", ids, codes)
        assert not len(ids) or "Numba is not installed" in index.explain()
        return index


class TestScanOfMappedCodes(CodeIndexContract):
    @pytest.fixture(autouse=True)
    def _folder(self, tmp_path, monkeypatch):
        self.folder = tmp_path
        monkeypatch.setattr("deephash.index.mapped.PIECE", 64)

    def open(self, ids: np.ndarray, codes: BinaryCodes) -> CodeIndex:
        if not len(codes):
            return open_index("scan", ids, codes)
        order = np.argsort(ids)
        path = self.folder / "codes.npy"
        np.save(path, codes.packed[order])
        index = open_index("scan", ids[order], BinaryCodes(np.load(path, mmap_mode="r"), codes.num_bits))
        assert "memory-mapped" in index.explain()
        return index


class TestFaissFlat(CodeIndexContract):
    def open(self, ids: np.ndarray, codes: BinaryCodes) -> CodeIndex:
        return open_index("faiss:flat", ids, codes, threads=1)


class TestFaissMultihash(CodeIndexContract):
    def open(self, ids: np.ndarray, codes: BinaryCodes) -> CodeIndex:
        return open_index("faiss:multihash", ids, codes)


class TestFaissIvfOfAllLists(CodeIndexContract):
    def open(self, ids: np.ndarray, codes: BinaryCodes) -> CodeIndex:
        return open_index("faiss:ivf", ids, codes, num_lists=10, nprobe=10)


class TestFaissHnswOfLongList(CodeIndexContract):
    """With a candidate list as long as the table the graph is exact, so the contract holds in full."""

    def open(self, ids: np.ndarray, codes: BinaryCodes) -> CodeIndex:
        return open_index("faiss:hnsw", ids, codes, ef_search=1000)


@pytest.mark.parametrize("kind", ["scan", "faiss:flat", "faiss:multihash"])
@pytest.mark.parametrize("num_bits", [1, 5, 8, 63, 64, 65, 100, 128, 129, 192, 256, 300])
def test_any_length(kind, num_bits):
    ids = np.arange(300)
    codes = crowded_codes(300, num_bits, distinct=200, seed=num_bits)
    queries = crowded_codes(6, num_bits, distinct=6, seed=1)
    index = open_index(kind, ids, codes)
    assert_same(rows_of(index.search(queries, 11)), brute_force(ids, codes, queries, 11))
    radius = num_bits // 3
    assert_same(index.search_radius(queries, radius), brute_force(ids, codes, queries, None, radius=radius))


@pytest.mark.parametrize("kind", ["scan", "faiss:flat", "faiss:multihash", "faiss:hnsw"])
def test_codes_of_several_levels(kind):
    random = np.random.default_rng(0)
    codes = BinaryCodes.from_bits(random.integers(0, 2, (80, 2, 21)))
    ids = np.arange(80)
    index = open_index(kind, ids, codes)
    assert_same(rows_of(index.search(codes[:5], 80)), brute_force(ids, codes, codes[:5], 80))
    assert_same(index.search_radius(codes[:5], 42), brute_force(ids, codes, codes[:5], None, radius=42))
