"""Filters by chips, sliders and dates, and what stands under each picture, in a real Chromium."""

import contextlib
import time

import pytest

from tests.web.conftest import visiting

pytestmark = pytest.mark.browser
SLIDE = """(node, step) => {
    node.value = step;
    for (const kind of ['input', 'change']) node.dispatchEvent(new Event(kind, {bubbles: true}));
}"""


def opened(visit, suffix: str = "?id=1"):
    visit.open(suffix)
    visit.page.wait_for_selector("#dh-results [data-rank]")
    visit.page.click("#dh-options > button")
    visit.page.wait_for_selector(".dh-filters", state="visible")
    return visit.page


def folders(visit) -> set[str]:
    return {text.split("/")[0] for text in visit.page.locator("#dh-results .dh-path").all_inner_texts()}


def test_chips_have_plain_names_and_the_counts_of_the_collection(visit):
    page = opened(visit)
    assert page.locator(".dh-filters legend").all_inner_texts()[:2] == ["Class", "Folder"]
    assert "chair12" in page.inner_text("[data-value=chair]").replace("\n", "")
    page.click("[data-value=chair]")
    visit.wait_status("12 of 96")
    page.click("[data-value=lotus]")
    visit.wait_status("24 of 96")
    page.click("[data-value=outdoors]")
    visit.wait_status("12 of 96")
    assert folders(visit) == {"lotus"}
    page.click(".dh-clear-picks")
    page.wait_for_function("!new URLSearchParams(location.search).has('where')")
    assert page.locator(".dh-filters [aria-pressed=true]").count() == 0


def test_dates_and_sizes_have_the_real_bounds(visit, server):
    items = server.workspace.place("photos").searcher.collection
    sizes = sorted(items.table(["size"]).column("size").to_pylist())
    page = opened(visit)
    first, last = page.locator("[data-attribute=taken] input").all()
    assert (first.get_attribute("min"), last.get_attribute("max")) == ("2021-01-01", "2021-07-10")
    last.fill("2021-01-05")  # 1, 3 and 5 January, until midnight
    last.press("Tab")
    visit.wait_status("3 of 96")
    page.click(".dh-clear-picks")
    visit.wait_status("24 of 96")
    assert page.inner_text("[data-attribute=size] output") == f"{sizes[0] / 1000:.1f} kB – {sizes[-1] / 1000:.0f} kB"
    page.locator("[data-attribute=size] input").last.evaluate(SLIDE, 100)
    page.wait_for_url("**size*")
    middle = (sizes[0] + sizes[-1]) // 2
    visit.wait_status(f"{min(24, sum(size <= middle for size in sizes))} of 96")
    page.wait_for_selector(f".dh-end:has-text('of {sum(size <= middle for size in sizes)}')")
    page.reload()
    page.wait_for_selector(f".dh-end:has-text('of {sum(size <= middle for size in sizes)}')")
    page.click("#dh-options > button")
    assert page.locator("[data-attribute=size] input").last.input_value() == "100"


def test_a_filter_that_is_not_offered_is_refused(visit):
    page = opened(visit)
    page.evaluate("document.querySelector('[data-value=chair]').dataset.value = 'no such class'")
    page.click("[data-value='no such class']")
    page.wait_for_selector("#dh-results .dh-error:has-text('no longer offered')")


def test_cards_show_what_was_chosen_here_and_in_the_address(visit, chromium, server):
    page = opened(visit)
    assert page.locator("#dh-results .dh-fact").count() == 0  # the folder says the class already
    page.click("[data-show=label]")
    page.wait_for_selector("#dh-results .dh-fact[data-name=label]")
    page.click("[data-show=size]")
    page.wait_for_url("**show=label%2Csize*")
    shown = page.locator("#dh-results .dh-card >> nth=0").locator(".dh-fact").all_inner_texts()
    assert shown[0] == "accordion"
    assert shown[1].endswith(" kB")
    there = page.url.removeprefix(visit.address)
    visit.open("?id=7")  # a later visit of the same browser
    page.wait_for_selector("#dh-results .dh-fact[data-name=size]")
    with contextlib.contextmanager(visiting)(chromium, server) as other:
        other.open(there)
        other.page.wait_for_selector("#dh-results .dh-fact[data-name=size]")
        assert other.page.locator("#dh-results .dh-path").count() == 0
        other.open("?id=7")  # somebody else's choice is not kept
        other.page.wait_for_selector("#dh-results .dh-path")
        assert other.page.locator("#dh-results .dh-fact").count() == 0


def test_sliders_have_plain_names_and_their_symbols_in_the_tooltip(visit):
    visit.open("?collection=colours&id=1&q=blue")
    visit.page.wait_for_selector("#dh-mixing", state="visible")
    said = visit.page.inner_text("#dh-mixing")
    assert not set("αβ") & set(said)
    visit.page.hover("#dh-beta")
    assert visit.page.get_attribute("#dh-beta", "title") == "β"
    for words in ("Picture or words", "Weight of the words", "Change of the picture"):
        assert words in said


def test_quick_clicks_are_all_answered_by_a_slow_server(visit, server, monkeypatch):
    """An event that has to wait keeps what it carries: Gradio's own always_last would lose it."""
    page = opened(visit)
    kind = type(server.workspace.place("photos").searcher)
    ask = kind.ask

    def slowly(*given, **named):
        time.sleep(0.5)
        return ask(*given, **named)

    monkeypatch.setattr(kind, "ask", slowly)
    for name in ("chair", "lotus", "bonsai"):
        page.click(f"[data-value={name}]")
    page.wait_for_url("**chair*lotus*")
    page.wait_for_selector(".dh-end:has-text('24 of 36')")
    assert page.locator("#dh-results .dh-error").count() == 0
    item = visit.click_result(2)
    page.go_back()
    page.go_forward()
    page.go_back()
    page.wait_for_selector('#dh-results [data-turn="3"]', state="attached")  # those of the two steps before pass by
    assert visit.shown()[0] != item
    assert "id=1&" in page.url
    assert page.get_attribute("#dh-results [data-link]", "data-link") in page.url
