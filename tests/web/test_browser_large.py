"""The dialog that shows a picture large, and the links that results are, in a real Chromium."""

import contextlib

import pytest
from PIL import Image

from tests.web.conftest import visiting

pytestmark = pytest.mark.browser
OPEN = "#dh-large dialog[open]"


def known(visit) -> dict[str, str]:
    """What the dialog tells of the picture."""
    visit.page.wait_for_selector("#dh-large dd")
    names, values = (visit.page.locator(f"#dh-large {tag}").all_inner_texts() for tag in ("dt", "dd"))
    return dict(zip(names, values))


def test_a_click_shows_the_picture_large_with_all_that_is_known(visit, server, pictures):
    visit.open("?id=1")
    visit.wait_status("24 of 96")
    item = visit.show_large(4)
    collection = server.workspace.place("photos").searcher.collection
    found = collection.items([item])[0]
    told = known(visit)
    with Image.open(pictures / found.uri) as original:
        assert told["Original"].startswith(f"{original.width} × {original.height} pixels, ")
    assert told["File"] == found.uri
    assert told["Class"] == found.attributes["label"]
    assert not {"width", "size"} & told.keys()  # they are told once
    distance = int(visit.page.locator("#dh-results .dh-facts b").nth(4).inner_text())
    assert visit.page.locator("#dh-large .dh-bits .diff").count() == distance
    assert visit.page.inner_text("#dh-large .dh-view-word").startswith(f"{distance} of 64 bits differ")
    visit.page.wait_for_function("document.querySelector('#dh-large img').naturalWidth > 100")
    with visit.page.expect_download() as download:
        visit.page.click("#dh-large .dh-save")
    assert download.value.suggested_filename == found.uri.split("/")[-1]
    with Image.open(download.value.path()) as saved:
        assert saved.size == original.size
    assert not saved.getexif()


def test_the_dialog_by_keyboard(visit):
    visit.open("?id=1")
    visit.wait_status("24 of 96")
    shown = visit.shown()
    visit.page.locator("#dh-results .dh-hit").nth(2).focus()
    visit.page.keyboard.press("Enter")
    visit.page.wait_for_selector(f"{OPEN} .dh-primary:focus")
    visit.page.keyboard.press("ArrowRight")
    visit.page.keyboard.press("ArrowRight")
    visit.page.keyboard.press("ArrowLeft")
    visit.page.wait_for_selector(f"#dh-large img[src*='items/{shown[3]}/']")
    visit.page.keyboard.press("Escape")
    visit.page.wait_for_selector(OPEN, state="detached")
    visit.page.wait_for_selector(f'#dh-results .dh-hit[data-id="{shown[3]}"]:focus')  # where one has come to
    visit.page.keyboard.press("Enter")
    visit.page.wait_for_selector(f"{OPEN} .dh-primary:focus")
    visit.page.keyboard.press("Backspace")  # means nothing while the dialog is open
    visit.page.keyboard.press("Enter")
    visit.page.wait_for_selector(f'#dh-results .dh-card:first-child .dh-hit[data-id="{shown[3]}"]')
    assert visit.page.locator(OPEN).count() == 0


def test_the_bits_always_differ_from_the_query(visit):
    """Whatever was pointed at, turned to or searched with before: never from another result."""
    visit.open("?id=1")
    visit.wait_status("24 of 96")
    visit.click_result(4)
    for place, turns in ((0, 0), (1, 0), (2, 3), (7, 1)):
        visit.page.locator("#dh-results .dh-hit").nth((place + 5) % 20).hover()
        visit.show_large(place)
        for _ in range(turns):
            visit.page.keyboard.press("ArrowRight")
        distance = visit.page.locator("#dh-results .dh-facts b").nth(place + turns).inner_text()
        assert visit.page.inner_text("#dh-large .dh-diff") == f"{distance} of 64 bits differ from the query"
        assert visit.page.locator("#dh-large .dh-bits .diff").count() == int(distance)
        visit.page.keyboard.press("Escape")
        visit.page.wait_for_selector(OPEN, state="detached")


def test_the_ends_have_no_further_picture_and_a_click_beside_closes(visit):
    visit.open("?id=1")
    visit.wait_status("24 of 96")
    visit.show_large(0)
    assert not visit.page.is_visible("#dh-large [data-turn='-1']")
    assert visit.page.is_visible("#dh-large [data-turn='1']")
    visit.page.mouse.click(10, 10)
    visit.page.wait_for_selector(OPEN, state="detached")


@pytest.mark.parametrize("how", [{"modifiers": ["Control"]}, {"button": "middle"}])
def test_a_result_is_a_link_to_its_own_search(visit, how):
    visit.open("?id=1")
    visit.wait_status("24 of 96")
    item = visit.shown()[3]
    with visit.page.context.expect_page() as opened:
        visit.page.locator("#dh-results .dh-hit").nth(3).click(**how)
    other = opened.value
    other.wait_for_selector(f'#dh-results .dh-card:first-child .dh-hit[data-id="{item}"][data-rank="1"]')
    assert f"collection=photos&id={item}" in other.url
    assert visit.page.locator(OPEN).count() == 0


def test_the_path_is_copied_and_more_like_it_is_asked(visit):
    visit.page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    visit.open("?id=1")
    visit.wait_status("24 of 96")
    visit.show_large(5)
    path = known(visit)["File"]
    visit.page.click("#dh-large [data-act=copy]")
    visit.page.wait_for_selector("#dh-large [data-act=copy]:has-text('Copied')")
    assert visit.page.evaluate("navigator.clipboard.readText()") == path
    visit.page.click("#dh-large [data-act=steer][data-sign='1']")
    visit.page.wait_for_selector(f".dh-trail li:nth-child(2) button[title$='+ {path}']")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_phone_shows_picture_and_buttons_at_once(chromium, server, scheme):
    with contextlib.contextmanager(visiting)(chromium, server, color_scheme=scheme, has_touch=True) as phone:
        phone.page.set_viewport_size({"width": 390, "height": 844})
        phone.open("?id=1")
        phone.wait_status("24 of 96")
        phone.show_large(1)
        known(phone)
        for one in phone.page.locator("#dh-large .dh-acts :is(button, a):visible, #dh-large .dh-shut").all():
            box = one.bounding_box()
            assert box["height"] >= 44, one
            assert 0 <= box["x"] <= box["x"] + box["width"] <= 390
            assert box["y"] + box["height"] <= 844
        image = phone.page.locator("#dh-large img").bounding_box()
        assert image["height"] > 200
