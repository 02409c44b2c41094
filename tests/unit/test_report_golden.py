"""Every number of a report is the one that 0.1.0 printed for the same codes. New figures may stand beside them."""

import gzip
import json
import re

import pytest

from tests.evaluation_golden import FILE, collected

SORT_OF_THE_MACHINE = re.compile("hashnet")  # its script sorts by np.argsort, whose order of ties AVX-512 changes
LATER = {"attack": "none", "levels": 1, "distance": "hamming"}
KEPT = json.loads(gzip.decompress(FILE.read_bytes()))


@pytest.fixture(scope="module")
def found():
    return collected()


def differences(kept, now, place=""):
    """Yield the places where ``now`` lacks something kept, or has it otherwise; numbers by more than rounding."""
    if isinstance(kept, dict) and isinstance(now, dict):
        yield from (f"{place}/{key} is gone" for key in kept.keys() - now.keys())
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


def with_names(data):
    """Lists of figures by metric and protocol, texts by phrase, so that another figure or line changes no place."""
    named = dict(data)
    for name in ("figures", "figures_in_full"):
        named[name] = {f"{each['metric']} {_then(each['protocol'])}": _then(each) for each in data[name]}
    for name in ("table", "markdown"):
        named[name] = {" ".join(part.split()): True for part in re.split("[\n,:]", data[name])}
    return named


def _then(value):
    """Leave out fields of protocols that 0.1.0 had not, where they say nothing."""
    if not isinstance(value, dict):
        return value
    return {key: _then(each) for key, each in value.items() if LATER.get(key) != each}


@pytest.mark.parametrize("name", KEPT)
def test_every_number_is_that_of_0_1_0(found, name):
    changed = differences(with_names(KEPT[name]), with_names(json.loads(json.dumps(found[name]))))
    assert [each for each in changed if not SORT_OF_THE_MACHINE.search(each)] == []
    assert found[name]["figures"][0]["label"] == KEPT[name]["figures"][0]["label"]  # the headline


def test_no_question_is_missing(found):
    assert list(found) == list(KEPT)
    assert len(KEPT["everything"]["figures"]) > 20
