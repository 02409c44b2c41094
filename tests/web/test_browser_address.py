"""Back, Forward, reload and shared addresses, in a real Chromium."""

import contextlib

import pytest

from tests.coloured_squares import coloured
from tests.web.conftest import visiting
from tests.web.test_browser import outside_photo, upload
from tests.web.test_browser_words import chips, press, slide, wait_first

pytestmark = pytest.mark.browser


def address(visit) -> str:
    return visit.page.url.removeprefix(visit.address)


def wait_first_id(visit, item: int) -> None:
    visit.page.wait_for_selector(f'#dh-results .dh-card:first-child .dh-hit[data-id="{item}"]')


def shared(chromium, server, suffix: str) -> list[int]:
    """What somebody else sees at the same address."""
    with contextlib.contextmanager(visiting)(chromium, server) as other:
        other.open(suffix)
        other.page.wait_for_selector("#dh-results [data-rank]")
        return other.shown()


def test_back_and_forward_walk_the_queries(visit, server):
    visit.open()
    examples = visit.shown()
    upload(visit, outside_photo())
    visit.page.wait_for_url("**code=*")
    visit.wait_status("24 of 96")
    uploaded, there = visit.shown(), address(visit)
    first, second = visit.click_result(1), visit.click_result(2)
    visit.page.go_back()
    wait_first_id(visit, first)
    assert f"id={first}" in address(visit)
    visit.page.go_back()
    visit.page.wait_for_selector(".dh-trail li:nth-child(1) [aria-current]")
    assert (visit.shown(), address(visit)) == (uploaded, there)
    assert visit.page.locator(".dh-trail li").count() == 3  # what lies ahead is still there
    visit.page.go_back()
    visit.page.wait_for_selector("#dh-results .dh-welcome")
    assert visit.shown() == examples
    for _ in range(3):
        visit.page.go_forward()
    wait_first_id(visit, second)
    visit.page.keyboard.press("Backspace")  # the same Back as the browser's
    wait_first_id(visit, first)
    visit.page.go_forward()
    wait_first_id(visit, second)


def test_after_a_reload_back_still_leads_to_what_was_before(visit):
    visit.open("?id=1")
    visit.wait_status("24 of 96")
    before = visit.shown()
    item = visit.click_result(3)
    visit.page.reload()
    wait_first_id(visit, item)
    visit.page.go_back()
    wait_first_id(visit, 1)
    assert visit.shown() == before


def test_an_uploaded_picture_is_found_again_by_its_code(visit, chromium, server):
    visit.open()
    upload(visit, outside_photo())
    visit.page.wait_for_url("**code=*")
    visit.wait_status("24 of 96")
    uploaded, there = visit.shown(), address(visit)
    visit.page.reload()
    visit.wait_status("24 of 96")
    assert (visit.shown(), address(visit)) == (uploaded, there)
    assert shared(chromium, server, there) == uploaded


def test_filters_and_options_are_in_the_address(visit, chromium, server):
    visit.open("?id=1")
    visit.wait_status("24 of 96")
    everything = visit.shown()
    visit.page.click("#dh-options button")
    visit.page.click("[data-value=chair]")
    visit.wait_status("12 of 96")
    visit.page.fill("[data-attribute=taken] input >> nth=1", "2021-03-31")
    visit.page.keyboard.press("Tab")
    visit.page.wait_for_url("**taken*")
    visit.page.check("#dh-group input")
    visit.page.wait_for_url("**fold=1*")
    chosen, there = visit.shown(), address(visit)
    assert 0 < len(chosen) < 12
    visit.page.reload()
    visit.page.wait_for_selector("#dh-results [data-rank]")
    assert (visit.shown(), address(visit)) == (chosen, there)
    visit.page.click("#dh-options button")
    assert visit.page.get_attribute("[data-value=chair]", "aria-pressed") == "true"
    assert visit.page.input_value("[data-attribute=taken] input >> nth=1") == "2021-03-31"
    assert visit.page.input_value("#dh-where :is(input, textarea)") == ""  # all of it is picked
    assert shared(chromium, server, there) == chosen
    visit.open("?id=1")
    visit.wait_status("24 of 96")
    visit.page.go_back()
    visit.page.wait_for_url("**fold=1*")
    visit.page.wait_for_function("n => document.querySelectorAll('#dh-results .dh-hit').length === n", arg=len(chosen))
    assert visit.shown() == chosen != everything


def test_words_with_an_item_and_their_sliders_are_in_the_address(visit, chromium, server, tmp_path):
    visit.open("?collection=colours&id=1")
    visit.wait_status("24 of 40")
    press(visit, "something yellow", "#dh-add-words")
    press(visit, "red", "#dh-less-words")
    slide(visit, "dh-beta", 0.9)
    wait_first(visit, "yellow")
    visit.page.wait_for_url("**beta=0.9*")
    said, there = visit.shown(), address(visit)
    assert "id=1&q=something+yellow&not=red" in there
    visit.page.reload()
    wait_first(visit, "yellow")
    assert visit.shown() == said
    assert len(chips(visit)) == 3
    assert visit.page.input_value("#dh-beta input[type=number]") == "0.9"
    assert shared(chromium, server, there) == said


def test_a_slider_is_no_step_of_the_history(visit, tmp_path):
    coloured("red", 7).save(tmp_path / "mine.png")
    visit.open("?collection=colours")
    upload(visit, str(tmp_path / "mine.png"))
    visit.wait_status("24 of 40")
    press(visit, "something blue")
    steps = visit.page.evaluate("history.length")
    slide(visit, "dh-beta", 1)
    wait_first(visit, "blue")
    assert visit.page.evaluate("history.length") == steps
    visit.page.go_back()
    wait_first(visit, "red")


@pytest.mark.parametrize("wrong", ["?code=zz", "?code=00ff", "?id=1&k=9999", "?q=&not=x&id=abc"])
def test_an_address_that_leads_nowhere_says_so(visit, wrong):
    visit.open(wrong)
    visit.page.wait_for_selector("#dh-results .dh-error")
    assert "Something went wrong" not in visit.page.inner_text("#dh-results")
