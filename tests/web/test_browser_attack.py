"""The attack tab in a real headless Chromium, and what it does without one."""

import io

import numpy as np
import pytest
from deephash.webui.attack import METHODS, Attacks, Wish, outcome_html
from deephash.webui.workspace import Workspace
from PIL import Image

from deephash.errors import UsageError
from deephash.search import Part, Query
from tests.web.conftest import Server
from tests.web.test_browser import choose

pytestmark = pytest.mark.browser


def test_an_item_is_attacked_and_its_neighbours_change(visit):
    visit.open("?collection=digits&id=7")
    visit.tab("Attack")
    assert "Search with one picture" in visit.page.inner_text("#dh-attack-outcome")
    visit.page.click("#dh-attack-go")
    visit.page.wait_for_selector(".dh-attacked")
    text = visit.page.inner_text(".dh-attacked")
    assert "bits turned" in text
    assert "after JPEG 90" in text
    sides = visit.page.locator(".dh-attacked section")
    assert [sides.nth(side).locator(".dh-hit").count() for side in (0, 1)] == [6, 6]
    names = [sides.nth(side).locator("bdi").all_inner_texts() for side in (0, 1)]
    assert names[0] != names[1]
    with visit.page.expect_download() as waiting:
        visit.page.click(".dh-download")
    assert waiting.value.suggested_filename == "attacked.png"
    picture = Image.open(io.BytesIO(waiting.value.path().read_bytes()))
    assert picture.mode == "RGB"
    visit.search_with(sides.nth(1).locator("a.dh-hit").nth(0))  # leads back to the search tab
    visit.page.wait_for_selector(".dh-trail li:nth-child(2)")


def test_the_slider_of_the_budget_attacks_again(visit):
    visit.open("?collection=digits&id=7")
    visit.tab("Attack")
    visit.page.fill("#dh-attack-levels input[type=number]", "0")
    visit.page.locator("#dh-attack-levels input[type=number]").blur()
    visit.page.wait_for_selector(".dh-attacked:has-text('0 of')")
    visit.page.click("#dh-attack-go")
    visit.page.wait_for_selector(".dh-attacked")


def test_a_collision_asks_for_an_item(visit):
    visit.open("?collection=digits&id=7")
    visit.tab("Attack")
    choose(visit, "#dh-attack-method", METHODS["collide"])
    visit.page.click("#dh-attack-go")
    visit.page.wait_for_selector("#dh-attack-outcome .dh-error:has-text('give the number of an item')")
    visit.page.fill("#dh-attack-towards :is(input, textarea)", "100")
    visit.page.click("#dh-attack-go")
    visit.page.wait_for_selector(".dh-attacked:has-text('from the code to take')")
    visit.page.fill("#dh-attack-towards :is(input, textarea)", "123456")
    visit.page.click("#dh-attack-go")
    visit.page.wait_for_selector("#dh-attack-outcome .dh-error:has-text('no item 123456')")


def test_words_are_not_attacked(visit):
    visit.open("?collection=colours&q=red")
    visit.tab("Attack")
    visit.page.click("#dh-attack-go")
    visit.page.wait_for_selector("#dh-attack-outcome .dh-error:has-text('one picture first')")


def test_a_read_only_server_attacks_nothing(chromium, server):
    reader = Server(server.paths[:1], read_only=True).start()
    try:
        page = chromium.new_page()
        page.goto(reader.address)
        page.wait_for_selector("#dh-results .dh-hit")
        assert page.get_by_role("tab", name="Attack", exact=True).count() == 0
        page.close()
    finally:
        reader.stop()


@pytest.mark.parametrize("method", [name for name in METHODS if name != "collide"])
def test_every_attack_of_the_page_keeps_its_budget(server, method):
    attacks = Attacks(Workspace(server.paths[2:3]))
    query = Query("item", (Part("item", ("digits", 11)),))
    found = attacks.run("digits", query, Wish(method, 8, 20))
    change = np.asarray(found.attacked, dtype=int) - np.asarray(found.clean, dtype=int)
    assert np.abs(change).max() <= 8
    assert found.before.hits[0].distance == 0
    assert "data:image/png;base64," in outcome_html(found)


@pytest.mark.parametrize(
    ("wish", "says"),
    [
        (lambda: Wish("magic", 8, 10), "no attack"),
        (lambda: Wish("hag", 900, 10), "grey levels"),
        (lambda: Wish("hag", 8, 100_000), "steps"),
        (lambda: Wish("collide", 8, 10), "number of an item"),
    ],
)
def test_wishes_out_of_bounds_are_refused(wish, says):
    with pytest.raises(UsageError, match=says):
        wish()
