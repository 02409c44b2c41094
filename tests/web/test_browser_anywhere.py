"""Pictures given anywhere on the page, more results, sizes, and the keyboard help, in a real Chromium."""

import base64
from pathlib import Path

import pytest

from tests.web.test_browser import outside_photo

pytestmark = pytest.mark.browser
TRANSFER = """const data = new DataTransfer();
    for (const [name, type, text] of files) {
        data.items.add(new File([Uint8Array.from(atob(text), letter => letter.charCodeAt(0))], name, {type}));
    }
    const at = document.querySelector(selector);"""
DROP = f"""([files, selector]) => {{ {TRANSFER}
    const event = kind => new DragEvent(kind, {{bubbles: true, cancelable: true, dataTransfer: data}});
    at.dispatchEvent(event('dragenter'));
    const veiled = !document.querySelector('.dh-veil').hidden;
    const stays = !at.dispatchEvent(event('drop'));
    return [veiled, stays];
}}"""
PASTE = f"""([files, selector]) => {{ {TRANSFER}
    at.dispatchEvent(new ClipboardEvent('paste', {{bubbles: true, cancelable: true, clipboardData: data}}));
}}"""


def photo(name: str) -> list[str]:
    return [f"{name}.jpg", "image/jpeg", base64.b64encode(Path(outside_photo(name)).read_bytes()).decode()]


def chips(visit) -> list[str]:
    return visit.page.locator(".dh-chip span").all_inner_texts()


def test_several_pictures_dropped_beside_the_box_are_one_query(visit, server):
    visit.open()
    veiled, stays = visit.page.evaluate(DROP, [[photo("sunflower"), photo("chair")], "#dh-results"])
    assert (veiled, stays) == (True, True)  # the browser does not leave the page for the picture
    visit.wait_status("24 of 96")
    assert chips(visit) == ["sunflower.jpg", "chair.jpg"]
    assert visit.page.locator(".dh-chip img").count() == 2
    assert visit.page.locator(".dh-veil").is_hidden()
    visit.page.get_by_role("button", name="Leave sunflower.jpg out of the query").click()
    visit.page.wait_for_function("document.querySelectorAll('.dh-chip').length === 1")
    expected = server.workspace.place("photos").searcher.by_image(outside_photo("chair"), 24)
    visit.page.wait_for_selector(f'#dh-results .dh-card:first-child .dh-hit[data-id="{expected[0].id}"]')
    assert visit.shown() == [hit.id for hit in expected]


def test_a_picture_pasted_while_a_field_has_the_focus_is_searched(visit):
    visit.open("?id=1")
    visit.wait_status("24 of 96")
    visit.page.click("#dh-options > button")
    visit.page.focus("#dh-where :is(input, textarea)")
    visit.page.evaluate(PASTE, [[photo("lotus")], "#dh-where :is(input, textarea)"])
    visit.page.wait_for_selector(".dh-trail li:nth-child(2) [aria-current]")
    assert chips(visit) == ["lotus.jpg"]


def test_what_is_no_picture_or_too_many_is_explained(visit):
    visit.open()
    visit.page.evaluate(DROP, [[["<b>x.png", "image/png", "bm8gcGljdHVyZQ=="]], "#dh-results"])
    visit.page.wait_for_selector("#dh-results .dh-error:has-text('<b>x.png')")
    visit.page.evaluate(DROP, [[photo("lotus")] * 13, "#dh-results"])
    visit.page.wait_for_selector("#dh-results .dh-error:has-text('between 1 and 12 pictures')")


def test_more_results_come_without_a_jump(visit):
    visit.open("?id=1")
    visit.wait_status("24 of 96")
    before = visit.shown()
    visit.page.locator(".dh-further").scroll_into_view_if_needed()
    scrolled = visit.page.evaluate("scrollY")
    visit.page.click(".dh-further")
    visit.wait_status("48 of 96")
    assert visit.page.evaluate("scrollY") == scrolled > 0
    assert visit.shown()[:24] == before
    assert "k=48" in visit.page.url
    visit.page.click(".dh-further")
    visit.wait_status("96 of 96")
    assert visit.page.locator(".dh-further").count() == 0  # that is all
    visit.page.reload()
    visit.wait_status("96 of 96")
    visit.click_result(3)
    visit.wait_status("24 of 96")  # another query begins at its beginning
    visit.page.go_back()
    visit.wait_status("96 of 96")


def test_more_ends_at_the_cutoff(visit):
    visit.open("?id=1&within=29")
    visit.page.wait_for_selector(".dh-end")
    reach = int(visit.page.inner_text(".dh-end small").split(" of ")[1].split(" within")[0])
    assert visit.page.inner_text(".dh-within .n") == str(reach)
    visit.page.click(".dh-further")
    visit.wait_status(f"{reach} of 96")
    assert visit.page.locator(".dh-further").count() == 0


def test_the_size_of_thumbnails_is_remembered(visit):
    visit.open("?id=1")
    visit.wait_status("24 of 96")
    small = visit.page.locator("#dh-results .dh-hit img").first.bounding_box()["width"]
    visit.page.click("[data-size=large]")
    large = visit.page.locator("#dh-results .dh-hit img").first.bounding_box()["width"]
    assert large > 1.8 * small
    visit.page.wait_for_function("document.querySelector('#dh-results .dh-hit img').currentSrc.endsWith('side=512')")
    visit.open("?id=2")
    visit.page.wait_for_selector("[data-size=large][aria-pressed=true]")
    assert visit.page.locator("#dh-results .dh-hit img").first.bounding_box()["width"] == large


def test_the_keyboard_help_opens_closes_and_gives_the_focus_back(visit):
    visit.open("?id=1")
    visit.wait_status("24 of 96")
    visit.page.locator("#dh-results .dh-hit").nth(2).focus()
    visit.page.keyboard.press("?")
    visit.page.wait_for_selector(".dh-help[open]")
    for key in ("/", "x", "Backspace", "Home", "?"):
        assert visit.page.locator(f".dh-help kbd:text-is('{key}')").count() >= 1
    visit.page.keyboard.press("Backspace")  # sleeps meanwhile
    visit.page.keyboard.press("Escape")
    visit.page.wait_for_selector(".dh-help[open]", state="detached")
    rank = visit.page.evaluate("document.activeElement.dataset.rank")
    assert rank == "3"
    visit.page.click("#dh-options > button")
    visit.page.focus("#dh-where :is(input, textarea)")
    visit.page.keyboard.press("?")
    assert visit.page.input_value("#dh-where :is(input, textarea)") == "?"
    assert visit.page.locator(".dh-help[open]").count() == 0
    visit.page.click(".dh-keys")
    visit.page.wait_for_selector(".dh-help[open]")
