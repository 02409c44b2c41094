"""Every number of a report is the one that 0.1.0 printed for the same codes."""

import gzip
import json

import pytest

from tests.evaluation_golden import FILE, collected

KEPT = json.loads(gzip.decompress(FILE.read_bytes()))


@pytest.fixture(scope="module")
def found():
    return collected()


def differences(kept, now, place=""):
    """Yield the places at which two pieces of JSON data differ; numbers by more than rounding."""
    if isinstance(kept, dict) and isinstance(now, dict):
        yield from (f"{place}/{key} is in one only" for key in kept.keys() ^ now.keys())
        for key in kept.keys() & now.keys():
            yield from differences(kept[key], now[key], f"{place}/{key}")
    elif isinstance(kept, list) and isinstance(now, list):
        if len(kept) != len(now):
            yield f"{place} has {len(now)} entries, not {len(kept)}"
        for number, pair in enumerate(zip(kept, now, strict=False)):
            yield from differences(*pair, f"{place}/{number}")
    elif isinstance(kept, float) and isinstance(now, float):
        if now != pytest.approx(kept, rel=1e-12, abs=1e-12, nan_ok=True):
            yield f"{place} is {now!r}, not {kept!r}"
    elif kept != now:
        yield f"{place} is {now!r}, not {kept!r}"


@pytest.mark.parametrize("name", KEPT)
def test_every_number_is_that_of_0_1_0(found, name):
    assert list(differences(KEPT[name], json.loads(json.dumps(found[name])))) == []


def test_no_question_is_missing(found):
    assert list(found) == list(KEPT)
    assert len(KEPT["everything"]["figures"]) > 20
