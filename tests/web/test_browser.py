"""The page in a real headless Chromium: what visitors do, once each."""

import contextlib
import re
from pathlib import Path

import pytest
from PIL import Image

from tests.paths import shared_data
from tests.web.conftest import Visit, visiting

pytestmark = pytest.mark.browser

GLYPHS = {  # strokes on a sheet of 336 pixels
    "0": [[(168, 50), (100, 110), (90, 200), (130, 280), (190, 285), (240, 220), (235, 120), (168, 50)]],
    "1": [[(168, 50), (168, 290)]],
    "7": [[(90, 60), (235, 60), (150, 290)]],
}


def outside_photo(name: str = "sunflower", number: int = 0) -> str:
    return str(sorted(shared_data("caltech101", "test", name).iterdir())[number])


def upload(visit: Visit, path: str) -> None:
    visit.page.set_input_files("#dh-picture input[type=file]", path)


def test_the_first_page_shows_examples_and_no_foreign_request(visit):
    visit.open()
    assert len(visit.shown()) == 12
    assert "96 pictures" in visit.page.inner_text("#dh-results h2")
    for picture in visit.page.query_selector_all("#dh-results img"):
        assert picture.get_attribute("alt")
    buttons = visit.page.query_selector_all("#dh-results button")
    assert all(button.get_attribute("aria-label") for button in buttons)
    assert visit.page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")


def test_upload_then_click_then_back(visit, server):
    visit.open()
    upload(visit, outside_photo())
    visit.wait_status("24 of 96 pictures")
    uploaded = visit.shown()
    assert len(uploaded) == 24
    path = outside_photo()
    expected = server.workspace.place("photos").searcher.by_image(path, 24)
    assert uploaded == [hit.id for hit in expected]
    item = visit.click_result(1)
    assert visit.shown()[0] == item
    assert visit.page.inner_text("#dh-results .dh-card:first-child .dh-facts b") == "0"
    assert f"id={item}" in visit.page.url
    visit.page.click(".dh-back")
    visit.page.wait_for_selector('.dh-trail li:first-child button[aria-current="step"]')
    assert visit.shown() == uploaded
    assert "id=" not in visit.page.url  # a picture never travels in the address, its code does
    assert re.search(r"code=[0-9a-f]{16}$", visit.page.url)


def test_the_address_names_an_item_query(visit):
    visit.open("?collection=other&id=5")
    visit.wait_status("32 bits")
    assert visit.shown()[0] == 5


def test_bad_uploads_are_explained_and_the_page_goes_on(visit, tmp_path):
    visit.open()
    for name, content in (("notes.jpg", b"no picture"), ("cut.png", b"\x89PNG\r\n\x1a\n" + b"\0" * 20)):
        (tmp_path / name).write_bytes(content)
        upload(visit, str(tmp_path / name))
        visit.page.wait_for_selector(f"#dh-results .dh-error:has-text('{name}')")
        assert "Traceback" not in visit.page.content()
        visit.page.wait_for_selector("#dh-picture img", state="detached")  # the box is free for the next one
    upload(visit, outside_photo())
    visit.wait_status("24 of 96 pictures")
    visit.page.click("#dh-picture button[aria-label='Remove Image']")
    visit.page.wait_for_selector("#dh-results .dh-welcome")


def test_code_view_follows_hover_and_focus(visit):
    visit.open()
    visit.click_result(2)
    assert len(visit.page.query_selector_all(".dh-bits i")) == 64
    for place in (0, 5):
        card = visit.page.locator("#dh-results .dh-hit").nth(place)
        card.hover()
        distance = int(visit.page.locator("#dh-results .dh-facts b").nth(place).inner_text())
        assert visit.page.inner_text(".dh-diff").startswith(f"{distance} bit")
        assert visit.page.locator(".dh-bits i.diff").count() == distance
    visit.page.locator("#dh-results .dh-hit").nth(3).focus()
    assert visit.page.inner_text(".dh-diff").endswith("#4")


def test_keyboard_walks_searches_and_goes_back(visit):
    visit.open()
    first = visit.click_result(0)
    visit.page.locator("#dh-results .dh-hit").first.focus()
    visit.page.keyboard.press("ArrowRight")
    focused = visit.page.evaluate("Number(document.activeElement.dataset.id)")
    assert focused == visit.shown()[1]
    visit.page.keyboard.press("Enter")
    visit.page.wait_for_selector("#dh-large dialog[open] .dh-primary:focus")
    visit.page.keyboard.press("Enter")
    visit.page.wait_for_selector(f'#dh-results .dh-card:first-child .dh-hit[data-id="{focused}"]:focus')
    visit.page.keyboard.press("Backspace")
    visit.page.wait_for_selector(f'#dh-results .dh-card:first-child .dh-hit[data-id="{first}"]')
    visit.page.wait_for_selector(f'#dh-results .dh-hit[data-id="{focused}"]:focus')
    visit.page.locator(".dh-trail li:nth-child(2) button").press("Enter")
    visit.page.wait_for_selector(".dh-trail li:nth-child(2) [aria-current]:focus")
    visit.page.locator(".dh-back").press("Enter")
    visit.page.wait_for_selector(".dh-trail li:nth-child(1) [aria-current]:focus")  # for going back ends here


def test_the_cutoff_slider_by_keyboard(visit):
    visit.open("?id=1")
    visit.wait_status("24 of 96")
    visit.page.locator(".dh-cutoff").focus()
    for _ in range(5):
        visit.page.keyboard.press("ArrowLeft")
    visit.page.wait_for_selector(".dh-within:has-text('within 59 bits')")
    visit.page.keyboard.press("Home")
    visit.page.wait_for_selector("#dh-results .dh-card:nth-child(2)", state="detached")  # only the item itself is left
    assert visit.page.inner_text(".dh-within").startswith("1 within 0 bits")
    visit.page.keyboard.press("ArrowRight")
    visit.page.wait_for_selector(".dh-cutoff[aria-valuetext='1 bit']:focus")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_focus_is_seen_wherever_it_goes(visit, scheme):
    visit.page.emulate_media(color_scheme=scheme)
    visit.open("?id=1")
    visit.wait_status("24 of 96")
    unseen = []
    for _ in range(24):  # header, tabs, query, options, cut-off, code, trail, list, first result and its tools
        visit.page.keyboard.press("Tab")
        style, width, what = visit.page.evaluate(
            """() => {
                const style = getComputedStyle(document.activeElement);
                return [style.outlineStyle, style.outlineWidth, document.activeElement.outerHTML.slice(0, 80)];
            }"""
        )
        unseen += [] if (style, width) == ("solid", "3px") else [what]
    assert unseen == []


def test_another_collection_starts_without_filters_and_cutoff(visit):
    visit.open("?id=1")
    visit.wait_status("24 of 96")
    visit.page.locator(".dh-cutoff").focus()
    visit.page.keyboard.press("Home")
    visit.page.wait_for_selector("#dh-results .dh-card:nth-child(2)", state="detached")
    visit.page.click("#dh-options button")
    visit.page.fill("#dh-where :is(input, textarea)", "label = accordion")
    choose(visit, "#dh-name", "digits")  # 32 bits, another model, no such label
    visit.wait_status("24 of 600")
    assert visit.page.input_value("#dh-where :is(input, textarea)") == ""
    assert visit.page.get_attribute(".dh-cutoff", "aria-valuetext") == "32 bits"
    assert "id=" not in visit.page.url  # the item is none of this collection; its code by this model leads here
    assert re.search(r"collection=digits&code=[0-9a-f]{8}$", visit.page.url)


def test_the_cutoff_hides_results_and_says_when_nothing_is_near(visit):
    visit.open()
    upload(visit, outside_photo("dalmatian"))
    visit.wait_status("24 of 96")
    slider = visit.page.locator(".dh-cutoff")
    distances = [int(text) for text in visit.page.locator("#dh-results .dh-facts b").all_inner_texts()]
    move = "node => { node.value = %d; node.dispatchEvent(new Event('%s', {bubbles: true})) }"
    slider.evaluate(move % (distances[3], "input"))
    within = sum(distance <= distances[3] for distance in distances)
    assert len(visit.shown()) == within  # at once, without the server
    assert visit.page.inner_text(".dh-within .n") == str(within)
    slider.evaluate(move % (2, "change"))
    visit.page.wait_for_selector("text=No match within 2 bits")
    assert f"at {distances[0]} of 64 bits" in visit.page.inner_text(".dh-message")
    visit.page.click(".dh-action")
    visit.page.wait_for_selector(f'#dh-results .dh-card[data-distance="{distances[0]}"]')


def test_filter_fold_and_number_of_results(visit):
    visit.open()
    visit.click_result(0)
    visit.page.click("#dh-options button")
    visit.page.fill("#dh-where :is(input, textarea)", "label = chair")
    visit.page.keyboard.press("Enter")
    visit.wait_status("12 of 96")
    assert {text.split("/")[0] for text in visit.page.locator("#dh-results .dh-path").all_inner_texts()} == {"chair"}
    visit.page.fill("#dh-where :is(input, textarea)", "label = nobody")
    visit.page.keyboard.press("Enter")
    visit.page.wait_for_selector("text=No item passes the filter")
    visit.page.fill("#dh-where :is(input, textarea)", "colour = red")
    visit.page.keyboard.press("Enter")
    visit.page.wait_for_selector("#dh-results .dh-error:has-text('colour')")
    visit.page.fill("#dh-where :is(input, textarea)", "")
    visit.page.keyboard.press("Enter")
    visit.wait_status("24 of 96")


def choose(visit: Visit, dropdown: str, value: str) -> None:
    visit.page.click(f"{dropdown} input")
    visit.page.click(f"[role=option]:has-text('{value}')")


def test_near_duplicates_fold_together(visit):
    visit.open("?collection=colours&id=1")
    visit.wait_status("24 of 40")
    assert len(visit.shown()) == 24
    visit.page.click("#dh-options button")
    visit.page.check("#dh-group input")
    visit.page.wait_for_selector("#dh-results .dh-note:has-text('+ 9 of nearly this code')")
    assert len(visit.shown()) == 3  # one of each colour that is near enough
    visit.page.wait_for_selector("#dh-near", state="visible")
    visit.page.fill("#dh-near input[type=number]", "16")
    visit.page.locator("#dh-near input[type=number]").press("Enter")
    visit.page.wait_for_url("**fold=1&near=16*")
    visit.page.wait_for_function("document.querySelectorAll('#dh-results .dh-card').length === 1")
    visit.page.reload()
    visit.page.wait_for_selector("#dh-results .dh-card")
    assert len(visit.shown()) == 1
    visit.page.click("#dh-options > button")
    assert visit.page.input_value("#dh-near input[type=number]") == "16"
    visit.page.uncheck("#dh-group input")
    visit.page.wait_for_selector("#dh-results .dh-card:nth-child(24)")


def test_reranking_by_stored_vectors(visit, server):
    visit.open("?id=1")
    visit.wait_status("24 of 96")
    by_code = visit.shown()
    visit.page.click("#dh-options button")
    visit.page.check("#dh-rerank input")
    visit.wait_status("in order of their vectors")
    expected = [hit.id for hit in server.workspace.place("photos").searcher.by_id(1, 24, rerank=200)]
    assert visit.shown() == expected != by_code
    assert visit.page.locator("#dh-results .dh-note:has-text('vectors: 1.000')").count() == 1
    choose(visit, "#dh-name", "colours")  # keeps no vectors
    visit.page.wait_for_selector("#dh-rerank", state="hidden")


def test_steering_towards_and_away(visit):
    visit.open()
    visit.click_result(0)
    card = visit.page.locator("#dh-results .dh-card").nth(7)
    card.hover()
    card.locator('.dh-steer[data-sign="1"]').click()
    visit.page.wait_for_selector(".dh-trail li:nth-child(2)")
    assert " + " in visit.page.get_attribute(".dh-trail li:nth-child(2) button", "title")


def test_download_of_the_list(visit):
    visit.open()
    visit.click_result(0)
    with visit.page.expect_download() as download:
        visit.page.click("text=Download list")
    lines = Path(download.value.path()).read_text().splitlines()
    assert lines[0] == "rank,distance,similarity,path,id,tie_size"
    assert len(lines) == 25


@pytest.mark.parametrize("digit", list(GLYPHS))
def test_drawing_a_digit_finds_that_digit(visit, digit):
    visit.open("?collection=digits")
    visit.tab("Draw")
    box = visit.page.locator("#dh-draw canvas").bounding_box()
    scale = box["width"] / 336
    for stroke in GLYPHS[digit]:
        points = [(box["x"] + x * scale, box["y"] + y * scale) for x, y in stroke]
        visit.page.mouse.move(*points[0])
        visit.page.mouse.down()
        for point in points[1:]:
            visit.page.mouse.move(*point, steps=4)
        visit.page.mouse.up()
    visit.wait_status("24 of 600")
    paths = visit.page.locator("#dh-results .dh-path").all_inner_texts()[:10]
    assert sum(path.startswith(f"{digit}/") for path in paths) >= 8
    assert len(visit.page.query_selector_all(".dh-trail li")) == 1


def test_two_visitors_do_not_disturb_each_other(visit, chromium, server):
    visit.open()
    with contextlib.contextmanager(visiting)(chromium, server) as other:
        other.open("?collection=other")
        one, two = visit.click_result(3), other.click_result(3)
        visit.click_result(1)
        assert len(visit.page.query_selector_all(".dh-trail li")) == 2
        assert len(other.page.query_selector_all(".dh-trail li")) == 1
        assert other.shown()[0] == two
        assert f"id={one}" not in other.page.url or one == two


def test_a_pasted_picture_is_searched(visit):
    visit.open()
    visit.page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    visit.page.evaluate(
        """async address => {
            const bitmap = await createImageBitmap(await (await fetch(address)).blob());
            const canvas = new OffscreenCanvas(bitmap.width, bitmap.height);
            canvas.getContext('2d').drawImage(bitmap, 0, 0);
            const png = await canvas.convertToBlob({type: 'image/png'});
            await navigator.clipboard.write([new ClipboardItem({'image/png': png})]);
            return (await navigator.clipboard.read()).length;
        }""",
        "api/items/30/thumbnail?side=1024",
    )
    visit.page.click("#dh-picture button[aria-label='Paste from clipboard']")
    visit.wait_status("24 of 96")
    assert visit.shown()[0] == 30


def test_a_phone_in_the_dark(chromium, server):
    with contextlib.contextmanager(visiting)(chromium, server, color_scheme="dark", has_touch=True) as phone:
        phone.page.set_viewport_size({"width": 390, "height": 844})
        phone.open()
        phone.click_result(0)
        assert phone.page.evaluate("document.documentElement.scrollWidth") <= 390
        strip, first, insight = (
            phone.page.locator(one).first.bounding_box() for one in (".dh-chip", ".dh-hit", "#dh-insight")
        )
        assert strip["y"] < first["y"] < 500  # the answers begin on the first screen
        assert first["y"] + first["height"] < 844 < insight["y"]
        assert not phone.page.is_visible("#dh-picture")
        for one in phone.page.locator("#dh-chips button:visible, #dh-trail button:visible").all():
            assert one.bounding_box()["height"] >= 44
        menu = phone.page.locator("#dh-pages .overflow-menu > button").first.bounding_box()
        assert min(menu["width"], menu["height"]) >= 44
        for name in ("Collection", "Evaluation", "Attack"):  # every tab is reached
            phone.page.locator("#dh-pages .overflow-menu > button").first.click()
            phone.page.click(f"#dh-pages .overflow-dropdown button:has-text('{name}')")
            phone.page.wait_for_selector("#dh-results", state="hidden")
            phone.tab("Search")
            phone.page.wait_for_selector("#dh-results", state="visible")
        phone.page.click(".dh-change")
        phone.page.wait_for_selector("#dh-picture", state="visible")
        shade = phone.page.evaluate("getComputedStyle(document.body).backgroundColor.match(/\\d+/g).map(Number)")
        assert max(shade[:3]) < 60


def test_large_text_keeps_everything_reachable(visit):
    visit.page.set_viewport_size({"width": 640, "height": 430})  # what 200 % zoom leaves of 1280 x 860
    visit.open()
    visit.click_result(0)
    assert visit.page.evaluate("document.documentElement.scrollWidth") <= 640


def test_an_unreadable_picture_of_the_collection_shows_a_placeholder(visit, server, pictures):
    path = pictures / "lotus" / "image_0001.jpg"
    if not path.exists():
        path = sorted((pictures / "lotus").iterdir())[0]
    kept = path.read_bytes()
    try:
        path.unlink()
        uri = path.relative_to(pictures).as_posix()
        _, item = server.workspace.find([uri])[uri]
        visit.open(f"?id={item}")
        visit.wait_status("24 of 96")
        assert visit.shown()[0] == item
        answer = visit.page.request.get(f"{server.address}api/items/{item}/thumbnail?side=77")
        assert answer.status == 404
        assert answer.headers["content-type"] == "image/png"
    finally:
        path.write_bytes(kept)


def test_a_large_photograph_from_a_phone_is_taken(visit, tmp_path):
    photo = Image.open(outside_photo("sunflower", 2)).convert("RGB").resize((4000, 3000))
    photo.save(tmp_path / "IMG_2023 große Blüte.jpg", quality=90)
    visit.open()
    upload(visit, str(tmp_path / "IMG_2023 große Blüte.jpg"))
    visit.wait_status("24 of 96")
    assert "große" in visit.page.get_attribute(".dh-trail li button", "title")
