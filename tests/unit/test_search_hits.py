"""Near-duplicates and remarks, against plain loops and hand-made codes."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from deephash.codes import BinaryCodes
from deephash.errors import UsageError
from deephash.search import Hit, group_near_duplicates, remarks


def random_codes(count: int, bits: int, seed: int = 0) -> BinaryCodes:
    return BinaryCodes.from_bits(np.random.default_rng(seed).integers(0, 2, (count, bits)))


def hit(rank: int, distance: int, tie: int = 1, bits: int = 64) -> Hit:
    return Hit(rank, rank, f"{rank}.jpg", distance, 1 - distance / bits, bits, tie)


@given(st.integers(0, 30), st.integers(1, 24), st.integers(0, 8), st.integers(0, 99))
def test_groups_agree_with_a_plain_loop(count, bits, radius, seed):
    codes = random_codes(count, bits, seed)
    found = group_near_duplicates(codes, radius)
    expected: list[int] = []
    for i in range(count):
        leaders = [j for j in range(i) if expected[j] == j and (codes[i].bits() != codes[j].bits()).sum() <= radius]
        expected.append(leaders[0] if leaders else i)
    assert found == expected


def test_groups_do_not_chain():
    codes = BinaryCodes.from_hex(["00", "01", "03", "07"])
    assert group_near_duplicates(codes, 1) == [0, 0, 2, 2]


def test_a_negative_radius_is_refused():
    with pytest.raises(UsageError, match="at least 0"):
        group_near_duplicates(random_codes(2, 8), -1)


def test_remarks_name_the_same_code_ties_and_copies_that_were_looked_at():
    codes = BinaryCodes.from_hex(["00" * 8, "00" * 7 + "0f", "00" * 7 + "0e", "ff" * 8, "ff" * 8])
    hits = [hit(1, 0), hit(2, 4, tie=2), hit(3, 4, tie=2), hit(4, 64), hit(5, 64)]
    same = ["same code as the query", "tie: 2 items at 4"]
    assert remarks(hits, codes) == [*same, "", "", "same code as #4"]
    assert remarks(hits, codes, copies={(2, 3), (4, 5)}) == [*same, "near-duplicate of #2", "", "near-duplicate of #4"]
    assert remarks([], codes[:0]) == []
