"""Filters against a Python oracle, and every way to write nonsense."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from deephash.codes import BinaryCodes
from deephash.collection import Collection, Filter, parse_where
from deephash.collection.filters import Condition
from deephash.collection.globs import glob_to_regex, matches_glob
from deephash.collection.parser import as_filter
from deephash.errors import UsageError

NASTY = [
    "cat",
    "Cat",
    "it's",
    '"',
    "a\\b",
    "'; DROP TABLE rows; --",
    "%",
    "_",
    "*",
    "ü/ß",
    "日本",
    "a\nb",
    "",
    "x' OR 'a'='a",
    "`id`",
]
URIS = [f"{folder}/{number}.jpg" for folder in ("2023/05", "2023", "2024/01/x", "[a]") for number in range(6)]
TIMES = [datetime(2019, 1, 1), datetime(2023, 5, 31, 18, 0, 0, 123456), None]


def row(number: int) -> dict[str, Any]:
    return {
        "label": [*NASTY, None][number % (len(NASTY) + 1)],
        "count": [None, -(2**63), 0, 7, 2**53 + 1, 2**63 - 1][number % 6],
        "score": [None, -1.5, 0.0, 1e-300, 3.25][number % 5],
        "ok": [None, True, False][number % 3],
        "when": TIMES[number % 3],
    }


ROWS = [{"uri": uri} | row(number) for number, uri in enumerate(URIS)]


@pytest.fixture(scope="module")
def collection(tmp_path_factory: pytest.TempPathFactory) -> Collection:
    made = Collection.create(tmp_path_factory.mktemp("filters") / "x.dh", num_bits=8)
    codes = BinaryCodes(np.zeros((len(URIS), 1), np.uint8), 8)
    made.append(uris=URIS, codes=codes, attributes=[row(number) for number in range(len(URIS))])
    return made


def passes(part: Filter | Condition, values: Mapping[str, Any]) -> bool:
    """The oracle: what the documentation says, in plain Python."""
    if isinstance(part, Filter):
        results = [passes(inner, values) for inner in part.parts]
        return not results[0] if part.joint == "not" else all(results) if part.joint == "and" else any(results)
    mine = values["uri" if part.column == "path" else part.column]
    wanted = part.value
    if part.operation == "exists":
        return (mine is not None) == wanted
    if part.operation == "ne":
        return mine is None or mine != wanted
    if mine is None:
        return False
    if isinstance(mine, datetime) and isinstance(wanted, str):
        wanted = datetime.fromisoformat(wanted)
    if part.operation == "contains":
        return wanted.lower() in mine.lower()
    if part.operation == "glob":
        return re.match(glob_to_regex(wanted).replace(r"\z", r"\Z"), mine) is not None
    tests = {
        "eq": lambda: mine == wanted,
        "in": lambda: mine in wanted,
        "gt": lambda: mine > wanted,
        "gte": lambda: mine >= wanted,
        "lt": lambda: mine < wanted,
        "lte": lambda: mine <= wanted,
    }
    return bool(tests[part.operation]())


texts = st.one_of(st.sampled_from(NASTY), st.text(max_size=5))
whole = st.one_of(st.sampled_from([-(2**63), 2**63 - 1, 2**53, 2**53 + 1, 0, 7]), st.integers(-9, 9))
real = st.one_of(whole.map(float).filter(lambda x: abs(x) < 2**62), st.floats(-4, 4, allow_nan=False))
moments = st.sampled_from(["2019-01-01", "2023-05-31T18:00:00.123456", "2100-01-01"])
order = st.sampled_from(["eq", "ne", "gt", "gte", "lt", "lte"])
conditions = st.one_of(
    st.builds(Condition, st.just("label"), order, texts),
    st.builds(Condition, st.just("label"), st.just("contains"), texts),
    st.builds(Condition, st.just("label"), st.just("in"), st.lists(texts, max_size=3)),
    st.builds(
        Condition,
        st.just("path"),
        st.just("glob"),
        st.sampled_from(["2023/**", "2023/*", "**/1.jpg", "[[]a]/?.jpg", "*"]),
    ),
    st.builds(Condition, st.just("count"), order, whole | st.floats(-9, 9, allow_nan=False)),
    st.builds(Condition, st.just("count"), st.just("in"), st.lists(whole | st.just(0.5), max_size=3)),
    st.builds(Condition, st.just("score"), order, real),
    st.builds(Condition, st.just("ok"), st.sampled_from(["eq", "ne"]), st.booleans()),
    st.builds(Condition, st.just("when"), order.filter(lambda name: name != "ne"), moments),
    st.builds(Condition, st.sampled_from(["label", "count", "ok", "when"]), st.just("exists"), st.booleans()),
)
filters = st.recursive(
    conditions.map(lambda one: Filter("and", (one,))),
    lambda inner: st.one_of(
        st.builds(Filter, st.sampled_from(["and", "or"]), st.lists(inner, max_size=3).map(tuple)),
        st.builds(Filter, st.just("not"), inner.map(lambda one: (one,))),
    ),
    max_leaves=5,
)


@given(where=filters)
@settings(max_examples=120, deadline=None, suppress_health_check=list(HealthCheck))
def test_filters_do_what_python_does(collection: Collection, where: Filter) -> None:
    expected = [number for number, values in enumerate(ROWS) if passes(where, values)]
    assert collection.matching(where).tolist() == expected
    assert collection.matching(where.to_data()).tolist() == expected


@given(text=st.text())
@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
def test_no_text_can_break_out_of_its_quotes(collection: Collection, text: str) -> None:
    expected = [number for number, values in enumerate(ROWS) if values["label"] == text]
    assert collection.matching({"label": text}).tolist() == expected


@pytest.mark.parametrize(
    ("text", "data"),
    [
        ("label=cat and year>=2019", {"label": "cat", "year": {"gte": 2019}}),
        ('path~"2023/**" and size>1M', {"path": {"glob": "2023/**"}, "size": {"gt": 1_000_000}}),
        ("label in (cat, 'two words', 3)", {"label": ["cat", "two words", 3]}),
        ("taken >= 2023-05-31", {"taken": {"gte": "2023-05-31"}}),
        ("size < 1.5k", {"size": {"lt": 1500.0}}),
        ("ok = true and gone != FALSE", {"ok": True, "gone": {"ne": False}}),
        (r"label = 'it\'s'", {"label": "it's"}),
        ("x=-3 and y=+2.5e-1", {"x": -3, "y": 0.25}),
        ("caption contains dog", {"caption": {"contains": "dog"}}),
        ("taken exists", {"taken": {"exists": True}}),
        ("taken missing", {"taken": None}),
        ("a==1", {"a": 1}),
        ("", {}),
    ],
)
def test_text_and_data_say_the_same(text: str, data: dict) -> None:
    parsed = parse_where(text)
    assert parsed == as_filter(data) == as_filter(parsed.to_data())


def test_and_binds_closer_than_or_and_not_closest() -> None:
    parsed = parse_where("a=1 or b=2 and not c=3 or (d=4 or e=5) and f=6")
    a, b, c, d, e, f = (Condition(name, "eq", number) for number, name in enumerate("abcdef", 1))
    assert parsed == Filter(
        "or", (a, Filter("and", (b, Filter("not", (c,)))), Filter("and", (Filter("or", (d, e)), f)))
    )


@pytest.mark.parametrize(
    "text",
    ["label", "label=", "=cat", "label=cat and", "(label=cat", "label=cat)", "label=cat year=3", "label ~= 3", "not",
     "label in cat", "label in (cat", "label in ()", "label='cat", "a=1 or or b=2", "label=(", "!x", "a,b=1",
     "(" * 60 + "a=1" + ")" * 60],
)  # fmt: skip
def test_unreadable_text_says_where_and_what_would_be_right(text: str) -> None:
    with pytest.raises(UsageError, match=r"for example: label=cat|nests at most"):
        parse_where(text)


@given(text=st.text(alphabet="ab=<>~!()'\" ,andor\\1", max_size=30))
@settings(max_examples=200, deadline=None)
def test_any_text_is_a_filter_or_a_usage_error(text: str) -> None:
    with contextlib.suppress(UsageError):
        parse_where(text)


@pytest.mark.parametrize(
    ("where", "message"),
    [
        ({"lable": "cat"}, "no column 'lable'; did you mean 'label'"),
        ({"label": {"equals": 1}}, "unknown operation 'equals'"),
        ({"label": 3}, "holds text; compare it with text in quotes, not 3"),
        ({"count": "many"}, "compare it with a number"),
        ({"count": True}, "compare it with a number"),
        ({"count": 2**63}, "beyond 64-bit"),
        ({"score": float("nan")}, "finite"),
        ({"ok": "yes"}, "true or false"),
        ({"ok": {"gt": True}}, "needs an order"),
        ({"when": "last summer"}, "like 2023-05-31"),
        ({"count": {"glob": "1*"}}, "compares text"),
        ({"label": {"contains": 3}}, "compares text"),
        ({"label": {"in": "cat"}}, "takes a list"),
        ({"label": {"exists": "yes"}}, "true or false"),
        ({"label": {"gt": None}}, "'exists': false"),
        ({"path": {"glob": "[a"}}, "never closes"),
        ({"and": {"label": "cat"}}, "takes a list"),
        ({"or": ["label"]}, "a filter is a mapping"),
        ({3: 4}, "columns by text"),
        ([("label", "cat")], "a filter is a mapping"),
        ({"id": 3}, "no column 'id'"),
        ({"code": "x"}, "no column 'code'"),
        ({"label`; --": "x"}, "no column"),
        ({"label": "\ud800"}, "not valid Unicode"),
        ({"label": {"in": ["x"] * 10_001}}, "at most 10,000"),
    ],
)
def test_bad_filters_are_usage_errors(collection: Collection, where: Any, message: str) -> None:
    with pytest.raises(UsageError, match=re.escape(message)):
        collection.matching(where)


def test_deep_data_is_refused_instead_of_overflowing(collection: Collection) -> None:
    where: dict = {"label": "cat"}
    for _ in range(2000):
        where = {"not": where}
    with pytest.raises(UsageError, match="nests at most"):
        collection.matching(where)


def test_empty_filters(collection: Collection) -> None:
    assert len(collection.matching({})) == len(collection.matching("")) == len(URIS)
    assert not len(collection.matching({"or": []}))
    assert not len(collection.matching({"label": []}))


@pytest.mark.parametrize(
    ("path", "pattern", "matches"),
    [
        ("a/b/c.jpg", "*.jpg", True), ("a/b/c.jpg", "a/**", True), ("a/b/c.jpg", "a/*", True), ("a/b", "a/[!b]", False),
        ("ab/c.jpg", "a/**", False), ("a/b/c.jpg", "b", True), ("a/b/c.jpg", "**/c.jpg", True), ("a/x", "a?x", False),
        ("c.jpg", "**/c.jpg", True), ("a/bc", "a/?", False), ("thumbs/x.png", "thumbs/", True), ("a.b", "a?b", True),
        ("Ü.png", "?.png", True),
    ],
)  # fmt: skip
def test_exclusion_globs(path: str, pattern: str, matches: bool) -> None:
    assert matches_glob(path, pattern) is matches


def test_times_with_a_zone_are_compared_in_utc(collection: Collection) -> None:
    expected = collection.matching({"when": "2019-01-01"})
    assert len(expected)
    assert (collection.matching({"when": "2019-01-01T02:00:00+02:00"}) == expected).all()


def test_filter_reads_from_a_collection_without_rows(tmp_path: Path) -> None:
    empty = Collection.create(tmp_path / "x.dh", num_bits=8)
    assert not len(empty.matching("label=cat and not path~'a/**'"))
