"""Counts are whole, numbers are finite, and every public border says so in one sentence."""

import numpy as np
import pytest

from deephash.backbones import Backbone
from deephash.codes import BinaryCodes
from deephash.errors import UsageError
from deephash.evaluation.scores import Settings
from deephash.index import open_index
from deephash.index.dedup import near_duplicates, near_pairs
from deephash.models import LSH
from deephash.numbers import real, whole
from deephash.search.hits import group_near_duplicates

CODES = BinaryCodes.from_bits(np.random.default_rng(0).integers(0, 2, (20, 16)))
IDS = np.arange(20)
NO_COUNTS = [2.0, True, np.float32(2), "2", None, float("nan"), [2], np.bool_(True)]


def test_whole_numbers_of_any_integer_type_pass():
    assert [whole(value, "n") for value in (3, np.int8(3), np.uint64(3), np.array(3))] == [3, 3, 3, 3]
    with pytest.raises(UsageError, match=r"^n is 1 to 4, not 5$"):
        whole(5, "n", least=1, most=4)


@pytest.mark.parametrize("value", NO_COUNTS)
def test_what_is_no_count(value):
    with pytest.raises(UsageError, match="n is a whole number of at least 0"):
        whole(value, "n")


@pytest.mark.parametrize("value", [float("nan"), float("inf"), "1", True, None, [1], 10**400])
def test_what_is_no_number(value):
    with pytest.raises(UsageError, match=r"x is a (finite )?number"):
        real(value, "x", least=0, most=1)


BORDERS = {
    "search": lambda n: open_index("faiss:flat", IDS, CODES).search(CODES[:1], n),
    "scan": lambda n: open_index("scan", IDS, CODES).search(CODES[:1], n),
    "radius": lambda n: open_index("scan", IDS, CODES).search_radius(CODES[:1], n),
    "threads": lambda n: open_index("scan", IDS, CODES, threads=n or "none"),
    "pairs": lambda n: near_pairs(IDS, CODES, n),
    "duplicates": lambda n: near_duplicates(IDS, CODES, n),
    "groups": lambda n: group_near_duplicates(CODES, n),
    "num_bits": lambda n: BinaryCodes(CODES.packed, n),
    "num_levels": lambda n: BinaryCodes(CODES.packed, 16, n),
    "model": lambda n: LSH(n, Backbone("features:8", weights=None)),
    "ranks": lambda n: Settings(ranks=(n,)),
    "resamples": lambda n: Settings(resamples=n),
}


@pytest.mark.parametrize("value", NO_COUNTS)
@pytest.mark.parametrize("border", BORDERS)
def test_no_border_lets_it_pass(border, value):
    with pytest.raises(UsageError, match=r"whole number|is a number"):
        BORDERS[border](value)
