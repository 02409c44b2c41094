"""What is offered to filter by, what was picked, what cards and lists say, and tags; without a browser."""

import csv
import json
from datetime import date, datetime

import numpy as np
import pytest
from deephash.webui.cards import facts_html
from deephash.webui.changes import Change
from deephash.webui.filters import Choice, Offers, offered
from deephash.webui.filtersview import cards_html, filters_html
from deephash.webui.filterwords import in_words
from deephash.webui.listroute import as_csv, as_lines
from deephash.webui.live import undo
from deephash.webui.pageoptions import MOST_CARDS, read_cards
from deephash.webui.picks import Picks, joined, read_picks, taken_apart
from deephash.webui.plainnames import in_bytes, plain_name, plain_value
from deephash.webui.tagging import tag_items
from deephash.webui.workspace import Workspace

from deephash.codes import BinaryCodes
from deephash.collection import Collection, Item
from deephash.collection.parser import as_filter
from deephash.errors import UsageError
from deephash.search import Hit, Options
from tests.web.collections import random_collection


@pytest.fixture
def collection(tmp_path) -> Collection:
    """Six pictures: two classes, folders that repeat them, three days, sizes, captions that all differ."""
    made = Collection.create(tmp_path / "x.dh", num_bits=8)
    rows = [
        {
            "label": "cat" if number < 4 else "dog",
            "folder": "cats" if number < 4 else "dogs",
            "kind": "<b>" if number % 2 else "plain",
            "taken": datetime(2021, 5, 1 + number % 3, 18),
            "size": 1000 * (number + 1),
            "score": number / 4,
        }
        for number in range(6)
    ]
    codes = BinaryCodes.from_bits(np.zeros((6, 8), int))
    made.append(uris=[f"{number}.jpg" for number in range(6)], codes=codes, attributes=rows)
    return made


def test_what_is_offered_is_counted(collection):
    offers = offered(collection)
    assert [choice.attribute for choice in offers.choices] == ["label", "folder", "kind"]
    assert offers.choice("label").values == (("cat", 4), ("dog", 2))
    assert [span.attribute for span in offers.spans] == ["taken", "size", "score"]
    assert (offers.span("size").smallest, offers.span("size").largest) == (1000, 6000)
    assert set(offers.attributes) == {"label", "folder", "kind", "taken", "size", "score"}  # not what nobody has


def test_a_folder_of_each_class_is_not_offered_twice(tmp_path):
    made = Collection.create(tmp_path / "x.dh", num_bits=8)
    rows = [{"label": name, "folder": name} for name in ("cat", "cat", "dog")]
    made.append(uris=list("abc"), codes=BinaryCodes.from_bits(np.zeros((3, 8), int)), attributes=rows)
    assert [choice.attribute for choice in offered(made).choices] == ["label"]


def test_values_that_are_no_number_bound_nothing(tmp_path):
    made = Collection.create(tmp_path / "x.dh", num_bits=8)
    rows = [{"score": value, "never": float("nan")} for value in (float("nan"), 1.0, float("inf"), 2.5)]
    made.append(uris=list("abcd"), codes=BinaryCodes.from_bits(np.zeros((4, 8), int)), attributes=rows)
    assert [(span.attribute, span.smallest, span.largest) for span in offered(made).spans] == [("score", 1.0, 2.5)]
    assert [json.loads(line)["attributes"].get("score") for line in as_lines(made.items(made.ids())).splitlines()] == [
        None,
        1.0,
        None,
        2.5,
    ]


def test_ranges_include_both_ends_and_the_last_day(collection):
    offers, ids = offered(collection), collection.ids()
    sent = {"choices": {"label": ["cat"]}, "ranges": {"taken": ["2021-05-01", "2021-05-02"], "size": ["2000", ""]}}
    picks = read_picks(sent, offers)
    assert collection.matching(joined(picks, "")).tolist() == [ids[1], ids[3]]
    assert collection.matching(joined(picks, "score > 0.5")).tolist() == [ids[3]]
    assert joined(read_picks({}, offers), " ") is None


def test_an_address_gives_the_picks_back(collection):
    offers = offered(collection)
    sent = {
        "choices": {"label": ["cat", "dog"], "kind": ["<b>"]},
        "ranges": {"taken": ["", "2021-05-02"], "size": ["2000", "4500.5"]},
    }
    picks = read_picks(sent, offers)
    again, left = taken_apart(in_words(joined(picks, "score > 0.5 and not (label = dog)")), offers)
    assert dict(again.choices) == dict(picks.choices)
    assert dict(again.ranges) == {"taken": (None, date(2021, 5, 2)), "size": (2000, 4500.5)}
    assert "score > 0.5" in left
    assert "not" in left
    before = collection.matching(joined(picks, "score > 0.5 and not (label = dog)")).tolist()
    assert collection.matching(joined(again, left)).tolist() == before
    for words in ("label = cat or size > 3", "label =", "not (label = cat)"):
        assert not taken_apart(words, offers)[0].choices
    assert taken_apart("label =", offers)[1] == "label ="  # the search says what is wrong with it


@pytest.mark.parametrize("tags", [["sea"], ["sea", "2019"], ["true", "1.5"]])
def test_tags_of_an_address_are_picks_again(tags):
    """As they were written: a tag that looks like a number or a truth value is text."""
    known = Choice("tags", tuple((tag, 1) for tag in ("sea", "2019", "true", "1.5")))
    offers = Offers(choices=(known, Choice("label", (("1", 2),))))
    for more in ({}, {"label": ["1"]}):
        picks = Picks({"tags": tags, **more})
        again, left = taken_apart(in_words(joined(picks, "")), offers)
        assert (dict(again.choices), left) == (dict(picks.choices), "")
    both = 'tags contains "sea" and tags contains "2019"'  # chips mean "one of these", so the second stays in words
    again, left = taken_apart(both, offers)
    assert (dict(again.choices), left) == ({"tags": ["sea"]}, 'tags contains "2019"')
    for words in ("tags contains other", "tags contains sea or label = 1", "not (tags contains sea)"):
        again, left = taken_apart(words, offers)
        assert not again.choices
        assert as_filter(left) == as_filter(words)


@pytest.mark.parametrize(
    "sent",
    [
        None,
        [],
        {"choices": []},
        {"choices": {"label": "cat"}},
        {"choices": {"label": ["nobody"]}},
        {"choices": {"uri": ["0.jpg"]}},
        {"choices": {"label": [["cat"]]}},
        {"ranges": {"label": ["a", "b"]}},
        {"ranges": {"size": ["1"]}},
        {"ranges": {"size": ["many", ""]}},
        {"ranges": {"size": ["nan", ""]}},
        {"ranges": {"size": ["", "inf"]}},
        {"ranges": {"taken": ["yesterday", ""]}},
    ],
)
def test_picks_that_are_none_are_refused(collection, sent):
    with pytest.raises(UsageError):
        read_picks(sent, offered(collection))


def test_names_of_strangers_never_become_markup(collection):
    html = filters_html(offered(collection), Picks({"kind": ["<b>"]}))
    assert "<b>" not in html
    assert 'data-value="&lt;b&gt;" aria-pressed="true"' in html
    assert filters_html(Offers(), Picks()) == ""
    hit = Hit(1, 1, "a/<i>.jpg", 0, 1.0, 8, 1, {"note": '<img src="x">', "size": 1234})
    for cards in (None, ("note", "path"), ("nothing",)):
        assert "<i>.jpg" not in facts_html(hit, cards)
        assert "<img" not in facts_html(hit, cards)


def test_cards_say_the_class_where_no_folder_does(collection):
    hit = Hit(1, 1, "43356.jpg", 0, 1.0, 8, 1, {"label": "cat", "size": 1234, "taken": datetime(2021, 5, 1)})
    assert facts_html(hit, None).index(">cat<") < facts_html(hit, None).index("43356.jpg")
    assert ">cat<" not in facts_html(Hit(1, 1, "cat/43356.jpg", 0, 1.0, 8, 1, {"label": "cat"}), None)
    chosen = facts_html(hit, ("taken", "size", "nothing"))
    assert [part.split("<")[0] for part in chosen.split(">")[1::2]] == ["2021-05-01", "1.2 kB"]
    assert "43356.jpg" in facts_html(hit, ("nothing",))  # an empty card would say nothing at all
    offers = offered(collection)
    assert cards_html(offers, ("size", "label")).index("File size") < cards_html(offers, ("size", "label")).index(
        "Class"
    )


def test_what_cards_show_is_read_from_an_address_without_trust():
    assert read_cards("title, colour,title") == ("title", "colour")
    assert read_cards("") is None
    assert read_cards("<b>,../x") is None
    assert len(read_cards([f"a{number}" for number in range(99)])) == MOST_CARDS
    assert read_cards([None, {"a": 1}, "path"]) == ("path",)


def test_plain_names_and_units():
    named = {name: plain_name(name) for name in ("taken_at", "file_size", "label", "mtime", "iso_speed", "size", "_")}
    assert list(named.values()) == ["Taken", "File size", "Class", "Changed", "Iso speed", "File size", "_"]
    assert [in_bytes(count) for count in (999, 1500, 23_456, 3_400_000, 5e9)] == [
        "999 B",
        "1.5 kB",
        "23 kB",
        "3.4 MB",
        "5.0 GB",
    ]
    assert plain_value("width", 640) == "640 px"
    assert plain_value("ready", True) == "yes"
    assert len(plain_value("caption", "x" * 999)) == 120


def test_lists_run_nothing_in_a_spreadsheet():
    items = [
        Item(1, "=cmd.jpg", "", {"note": "@SUM(1)", "taken": datetime(2021, 5, 1)}),
        Item(2, "b,\n.jpg", "", {"n": -1}),
    ]
    rows = list(csv.reader(as_csv(items).splitlines(keepends=True)))
    assert rows[0] == ["path", "id", "note", "taken", "n"]
    assert rows[1] == ["'=cmd.jpg", "1", "'@SUM(1)", "2021-05-01T00:00:00", ""]
    assert rows[2] == ["b,\n.jpg", "2", "", "", "-1"]
    assert [json.loads(line)["path"] for line in as_lines(items).splitlines()] == ["=cmd.jpg", "b,\n.jpg"]


# Tags ----------------------------------------------------------------------------------------------


@pytest.fixture
def workspace(tmp_path) -> Workspace:
    random_collection(tmp_path / "few.dh", 6, 16)
    return Workspace([tmp_path / "few.dh"])


def tags(workspace) -> list[str | None]:
    collection = workspace.place().searcher.collection
    return [item.attributes.get("tags") for item in collection.items(collection.ids())]


def test_tags_join_what_is_there_and_go_alone(workspace):
    ids = workspace.place().searcher.collection.ids().tolist()
    first = tag_items(workspace, "few", ids[:2], " the   sea ")
    assert str(first) == "Tagged 2 pictures “the sea”."
    second = tag_items(workspace, "few", ids[1:3], "2021")
    assert tags(workspace) == ["the sea", "the sea, 2021", "2021", None, None, None]
    third = tag_items(workspace, "few", ids, "the sea")
    assert len(third.ids) == 4  # the others have it
    undo(workspace, first)  # others have changed the collection since; only this tag goes
    assert tags(workspace) == [None, "2021", "2021, the sea", "the sea", "the sea", "the sea"]
    undo(workspace, third)
    undo(workspace, second)
    assert tags(workspace) == [None] * 6
    Collection.open(workspace.place().searcher.path).remove(ids[:1])
    undo(workspace, Change("few", "tag", tuple(ids[:2]), 1, 2, tag="the sea"))  # nothing left to take off


def test_tags_are_offered_one_by_one(workspace):
    ids = workspace.place().searcher.collection.ids().tolist()
    tag_items(workspace, "few", ids[:3], "sea")
    tag_items(workspace, "few", ids[2:3], "sun")
    place = workspace.place()
    assert place.offers().choice("tags").values == (("sea", 3), ("sun", 1))
    picked = joined(read_picks({"choices": {"tags": ["sun"]}}, place.offers()), "")
    answer = workspace.answer("few", workspace.item_query("few", ids[0]), Options(where=picked))
    assert [hit.id for hit in answer.hits] == [ids[2]]


@pytest.mark.parametrize("tag", ["", "  ", "a,b", "x" * 61, "a\x00b", "a\u202eb"])
def test_a_tag_that_is_none_is_refused(workspace, tag):
    with pytest.raises(UsageError, match="a tag is"):
        tag_items(workspace, "few", [1], tag)


def test_who_may_not_write_tags_nothing(workspace):
    for ids in ([], [99], list(range(2000))):
        with pytest.raises(UsageError):
            tag_items(workspace, "few", ids, "sea")
    workspace.read_only = True
    with pytest.raises(UsageError, match="read-only"):
        tag_items(workspace, "few", [1], "sea")
    assert tags(workspace) == [None] * 6
