"""Ranges of one column as windows: the same items, distances and counts as by Lance, and the reason shown."""

from datetime import datetime

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from deephash.codes import BinaryCodes
from deephash.collection import Collection
from deephash.collection.parser import as_filter
from deephash.collection.windows import Window, sort_keys, window_of
from deephash.errors import UsageError
from deephash.index import open_index, planner
from deephash.index.planner import window_or_filter
from deephash.index.window import WindowIndex
from deephash.search import Options, Part, Query, Searcher
from deephash.search.narrowing import Narrowing, Selections

COUNT = 240
WHOLE = [-(2**63), 2**63 - 1, -(2**53) - 1, 2**53 + 1, 0, 1, -1, 2019]
REAL = [0.0, -0.0, float("inf"), float("-inf"), float("nan"), 1e-300, -1.5, 2.5, 1e300, 2019.0]
TIMES = [datetime(1969, 12, 31, 23, 59, 59, 999_999), datetime(1970, 1, 1), datetime(2023, 5, 31, 18), datetime.max]
VALUES = {"whole": WHOLE, "real": REAL, "taken": TIMES}
BOUNDS = {
    "whole": st.one_of(st.sampled_from(WHOLE), st.integers(-3, 3), st.floats(-3, 3)),
    "real": st.one_of(st.sampled_from([v for v in REAL if np.isfinite(v)]), st.floats(-3, 3), st.integers(-3, 3)),
    "taken": st.one_of(st.sampled_from(TIMES), st.sampled_from(["2023-05-31T20:00+02:00", "2023-05-31", "1970-01-01"])),
}


@pytest.fixture(scope="module")
def collection(tmp_path_factory):
    path = tmp_path_factory.mktemp("windows") / "x.dh"
    random = np.random.default_rng(0)
    codes = BinaryCodes.from_bits(random.integers(0, 2, (COUNT, 9)))
    rows = [{name: values[random.integers(len(values))] for name, values in VALUES.items()} for _ in range(COUNT)]
    for row in rows[::7]:
        del row[list(VALUES)[random.integers(3)]]
    created = Collection.create(path, num_bits=9, vector_dim=3)
    created.append(
        uris=[f"{i}.jpg" for i in range(COUNT)], codes=codes, attributes=rows, vectors=random.normal(size=(COUNT, 3))
    )
    return created


@st.composite
def ranges(draw):
    column = draw(st.sampled_from(list(VALUES)))
    names = draw(st.lists(st.sampled_from(["eq", "gt", "gte", "lt", "lte"]), min_size=1, max_size=3, unique=True))
    return {column: {name: draw(BOUNDS[column]) for name in names}}


@given(where=ranges())
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_window_holds_the_rows_that_the_filter_finds(collection, where):
    window = window_of(as_filter(where), collection.attribute_kinds)
    table = collection.table([window.column])
    table = table.filter(table.column(window.column).is_valid())
    keys = sort_keys(table.column(window.column))
    inside = table.column("id").to_numpy()[(keys >= window.first) & (keys <= window.last)]
    assert inside.tolist() == collection.matching(where).tolist()


@given(where=ranges(), k=st.sampled_from([1, 7, 1000]), query=st.integers(0, COUNT - 1))
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_searches_answer_alike_by_window_and_by_filter(collection, where, k, query):
    ids, codes = collection.codes()
    index = open_index("scan", ids, codes, threads=1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(planner, "HAS_MANY", 0)
        patch.setattr(planner, "WINDOW_EARNED", 2)
        narrowing = Narrowing(Selections(collection), index)
        by_filter, by_window = narrowing.among(where), narrowing.among(where)
    assert by_filter.allowed is not None
    assert by_window.allowed is None
    wanted = by_filter.index.search(codes[query], k, allowed=by_filter.allowed)
    found = by_window.index.search(codes[query], k, allowed=by_window.allowed)
    np.testing.assert_array_equal(found.ids, wanted.ids)
    np.testing.assert_array_equal(found.distances, wanted.distances)
    np.testing.assert_array_equal(by_window.counts(codes[query]), by_filter.counts(codes[query]))
    item = int(ids[query])
    assert (item in by_window) == (item in by_filter) == (item in collection.matching(where))


def test_hits_are_the_same_once_the_window_is_earned(collection, monkeypatch):
    monkeypatch.setattr(planner, "HAS_MANY", 0)
    monkeypatch.setattr(planner, "WINDOW_EARNED", 4)
    searcher = Searcher.open(collection.path)
    item = int(collection.matching("real >= 0 and real < 3")[5])
    vector = collection.vectors([item])

    def answers():
        plain = searcher.ask(Query.of(Part("item", item)), Options(20, where="real >= 0 and real < 3"))
        reason = plain.engine.split("\nfilter: ")[1]
        near = searcher.by_codes(searcher.code_of(item), 5, where={"real": {"gte": 0, "lt": 3}})
        best = searcher.by_codes(searcher.code_of(item), 5, where="real >= 0", vector=vector, rerank=20)
        return plain.hits, near, best, reason

    *before, filtered = answers()
    *after, windowed = answers()
    assert after == before
    assert filtered.startswith("list of ids: range 1 of real; sorting the codes by it pays from the 4th on; ")
    assert windowed.startswith("window: range 4 of real, so the codes are kept sorted by it; rows ")
    assert "filter" not in searcher.ask(Query.of(Part("item", item)), Options(3)).engine
    with pytest.raises(UsageError, match="finite"):
        searcher.by_id(item, where={"real": {"gte": float("inf")}})


@pytest.mark.parametrize(
    "where",
    [
        "",
        "whole != 3",
        "whole in (1, 2)",
        "whole exists",
        "not whole > 3",
        "whole > 3 or whole < 1",
        "path = a",
        "whole > 3 and real > 2",
        "whole > 3 and path ~ 'a*'",
    ],
)
def test_other_filters_are_no_windows(collection, where):
    assert window_of(as_filter(where), collection.attribute_kinds) is None


def test_windows_are_closed_ranges_of_keys(collection):
    kinds = collection.attribute_kinds
    assert window_of(as_filter("whole > 3 and whole < 9"), kinds) == Window("whole", 4, 8)
    assert window_of(as_filter("whole > 3 and (whole >= 2.5 and whole <= 9.5)"), kinds) == Window("whole", 4, 9)
    assert window_of(as_filter("whole > 9 and whole < 3"), kinds) == Window("whole", 0, -1)
    assert window_of(as_filter({"whole": {"gt": 2**63 - 1}}), kinds) == Window("whole", 0, -1)
    assert window_of(as_filter("taken = 1970-01-01"), kinds) == Window("taken", 0, 0)


def test_the_planner_says_why():
    assert window_or_filter(10**6, None, 0).choice == "list of ids"
    assert "within some milliseconds" in window_or_filter(100, "year", 99).reason
    assert window_or_filter(10**6, "year", planner.WINDOW_EARNED - 1).choice == "list of ids"
    assert window_or_filter(10**6, "year", planner.WINDOW_EARNED).choice == "window"


def test_a_window_takes_no_second_filter():
    codes = BinaryCodes.from_bits(np.eye(8))
    part = WindowIndex(np.arange(8), codes, np.arange(8)).slice(gte=2)
    assert part.num_bits == 8
    with pytest.raises(UsageError, match="filter by itself"):
        part.search(codes, 1, allowed=np.arange(3))
