"""An index on a real Milvus server keeps the contract of every index."""

import numpy as np
import pytest

from deephash.codes import BinaryCodes
from deephash.index import CodeIndex, open_index
from deephash.testing.indexes import CodeIndexContract


class TestMilvus(CodeIndexContract):
    @pytest.fixture(autouse=True)
    def _table(self, address):
        self.address = address

    def open(self, ids: np.ndarray, codes: BinaryCodes) -> CodeIndex:
        return open_index(self.address, ids, codes)

    def test_explains_itself(self, table):
        ids, codes, queries = table
        index = self.open(ids, codes)
        index.search(queries, 3)
        assert "BIN_FLAT, strong consistency; 9 queries, k 3" in index.explain()
