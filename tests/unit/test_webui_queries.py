"""Queries of several parts: chips, sliders that encode nothing, filters, turns. On a small collection with words."""

import threading

import numpy as np
import pytest
from deephash.webui.actions import leave_out, mix, picture_query, steered_query
from deephash.webui.results import chips_html
from deephash.webui.session import Session
from deephash.webui.turns import ServerBusy, Turns
from deephash.webui.workspace import Workspace

from deephash.encoding.composed import compose_picture
from deephash.errors import UsageError
from deephash.search import Options, Sliders
from deephash.search.query import LONGEST_PHRASE, Query, phrase, words_query
from tests.coloured_squares import coloured
from tests.web.collections import colours_collection


@pytest.fixture(scope="module")
def workspace(tmp_path_factory) -> Workspace:
    base = tmp_path_factory.mktemp("queries")
    colours_collection(base / "colours.dh", base / "colours", count=24)
    return Workspace([base / "colours.dh"])


@pytest.fixture(scope="module")
def red(tmp_path_factory) -> Query:
    path = tmp_path_factory.mktemp("red") / "mine.png"
    coloured("red", 7).save(path)
    return picture_query(path)


def test_a_query_says_what_it_is_made_of(red):
    both = words_query("a dog", "snow", red)
    assert [(part.kind, part.weight) for part in both.parts] == [("image", 1.0), ("text", 1.0), ("text", -0.5)]
    assert both.label == "mine.png + “a dog” − “snow”"
    assert both.thumbnail.startswith("data:image/png;base64,")
    assert (both.worded, red.worded, words_query("a dog").worded) == (True, False, False)
    assert both.plus(phrase("big")).wanted == "a dog, big"
    for given in ("", "x" * (LONGEST_PHRASE + 1)):
        with pytest.raises(UsageError):
            words_query(given)
    with pytest.raises(UsageError, match="give some words"):
        phrase("  ")


def test_a_part_that_is_left_out_leaves_the_others(red):
    query = words_query("a dog", "snow", red, Sliders(beta=0.7))
    assert query.without(1).label == "mine.png − “snow”"
    assert query.without(1).sliders.beta == 0.7
    assert query.without(0).kind == "mixture"
    words = query.without(2).without(0)
    assert (words.kind, words.label) == ("words", "“a dog”")
    assert words.without(0) is None
    assert query.without(1).without(0) is None  # only what is not wanted would be left
    with pytest.raises(UsageError, match="no part 3"):
        query.without(3)


def test_every_chip_has_a_named_button(red):
    assert chips_html(red).count('<li class="dh-chip"') == 1
    found = chips_html(words_query("<b>a dog</b>", "snow", red))
    assert found.count('<li class="dh-chip') == 3
    assert found.count("<li") == found.count("<button") == 4  # and Change, for a phone
    assert 'aria-label="Leave “snow” out of the query"' in found
    assert "<b>a dog" not in found
    assert found.count("dh-unwanted") == 1


@pytest.mark.parametrize("sliders", [Sliders(), Sliders(1.4, 0.5, 0.75), Sliders(-0.5, 2, 0), Sliders(0, 0, 1)])
def test_sliders_give_the_code_of_the_formula(workspace, red, sliders):
    model = workspace.place().searcher.encoder.model
    expected = compose_picture(model, coloured("red", 7), "something blue").at(
        alpha_text=sliders.alpha_text, alpha_image=sliders.alpha_image, beta=sliders.beta
    )
    found = workspace.encode("colours", words_query("something blue", "", red, sliders))
    assert np.array_equal(found.bits()[0], expected >= 0)


def test_moving_a_slider_encodes_nothing_and_keeps_the_trail(workspace, red, monkeypatch):
    query = words_query("something blue", "", red, Sliders(beta=0.0, alpha_image=0.0))
    session = Session().ask(query)
    first = workspace.answer("colours", query, Options(k=6))
    encoder = workspace.place().searcher.encoder

    def fail(*_):
        raise AssertionError("a slider must not encode")

    for name in ("encode", "mixture"):
        monkeypatch.setattr(encoder, name, fail)
    view = mix(workspace, "colours", session, Sliders(beta=1.0), Options(k=6))
    assert len(view.session.trail) == 1
    assert view.asked.sliders == Sliders(beta=1.0)
    last = workspace.answer("colours", view.asked, Options(k=6))
    assert {hit.uri.split("_")[0] for hit in first.hits} == {"red"}
    assert {hit.uri.split("_")[0] for hit in last.hits} == {"blue"}


def test_an_item_with_words_goes_by_its_picture(workspace):
    searcher = workspace.place().searcher
    item = workspace.item_query("colours", int(searcher.snapshot.ids[0]))
    query = item.plus(phrase("something blue")).mixed(Sliders(beta=0.0, alpha_image=0.0))
    assert query.worded
    assert workspace.encode("colours", query) == searcher.code_of(query.parts[0].value[1])
    steered = steered_query(workspace, "colours", query, int(searcher.snapshot.ids[3]), -1)
    assert steered.label.count("−") == 1
    assert workspace.encode("colours", steered).num_bits == 24


def test_leaving_the_last_part_out_leads_to_the_examples(workspace):
    session = Session().ask(words_query("something blue"))
    view = leave_out(workspace, "colours", session, 0, Options())
    assert "dh-examples" in view.results
    assert view.chips == ""
    both = session.ask(session.current.plus(phrase("red", -1)))
    assert leave_out(workspace, "colours", both, 1, Options()).asked.label == "“something blue”"


# Turns ---------------------------------------------------------------------------------------------


def test_a_full_house_is_told_and_empties_again():
    turns = Turns(at_once=1, waiting=0)
    with turns, pytest.raises(ServerBusy, match="too many searches"), turns:
        pass
    with turns:
        pass


def test_whoever_waits_gets_a_turn():
    turns, went, order = Turns(at_once=1, waiting=1), threading.Event(), []

    def visit():
        with turns:
            order.append("second")
            went.set()

    visitor = threading.Thread(target=visit)
    with turns:
        visitor.start()
        order.append("first")
    assert went.wait(10)
    visitor.join(10)
    assert order == ["first", "second"]


def test_whoever_waits_too_long_is_told():
    turns = Turns(at_once=1, waiting=5, patience=0.01)
    with turns, pytest.raises(ServerBusy, match="too long"), turns:
        pass
    with turns:  # the seat was given back
        pass
