"""Words, words with a picture, and the camera, in a real headless Chromium."""

import contextlib

import pytest

from deephash.codes import BinaryCodes
from deephash.collection import Collection
from deephash.collection.hubs import store_hub_bank
from deephash.search import Searcher
from tests.coloured_squares import coloured
from tests.web.conftest import Server, visiting
from tests.web.made import own_copy

pytestmark = pytest.mark.browser
CONTRAST = """selector => {
    const light = colour => {
        const parts = colour.match(/[\\d.]+/g).slice(0, 3).map(Number).map(value => value / 255);
        const [r, g, b] = parts.map(value => value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4);
        return 0.2126 * r + 0.7152 * g + 0.0722 * b;
    };
    const text = light(getComputedStyle(document.querySelector(selector)).color);
    const page = light(getComputedStyle(document.body).backgroundColor);
    return (Math.max(text, page) + 0.05) / (Math.min(text, page) + 0.05);
}"""  # the contrast ratio of WCAG 2


def colours_shown(visit) -> list[str]:
    """Colours of the visible results, in order."""
    return [path.split("_")[0] for path in visit.page.locator("#dh-results .dh-path").all_inner_texts()]


def press(visit, words: str, button: str = "#dh-go") -> None:
    """Type words and press a button; the number of steps on the trail grows by one."""
    steps = visit.page.locator(".dh-trail li").count()
    visit.page.fill("#dh-words :is(input, textarea)", words)
    visit.page.click(button)
    visit.page.wait_for_selector(f".dh-trail li:nth-child({steps + 1}) button[aria-current=step]")


def slide(visit, slider: str, value: float) -> None:
    """Move one of the three sliders as the keyboard or a drag does."""
    visit.page.locator(f"#{slider} input[type=range]").evaluate(
        "(node, value) => { node.value = value; node.dispatchEvent(new Event('input', {bubbles: true})); }", value
    )


def wait_first(visit, colour: str) -> None:
    visit.page.wait_for_function(
        "colour => document.querySelector('#dh-results .dh-path')?.textContent.startsWith(colour)", arg=colour
    )


def chips(visit) -> list[str]:
    return [text.replace("\n", "") for text in visit.page.locator(".dh-chip").all_inner_texts()]


def test_words_find_pictures_and_stay_in_the_address(visit):
    visit.open("?collection=colours")
    press(visit, "something blue")
    assert colours_shown(visit)[:9].count("blue") == 9
    assert "q=something+blue" in visit.page.url
    visit.page.reload()
    visit.wait_status("24 of 40")
    assert colours_shown(visit)[:9].count("blue") == 9
    visit.page.fill("#dh-words :is(input, textarea)", "un chien")  # none of these words is known
    visit.page.click("#dh-go")
    visit.page.wait_for_selector("#dh-results .dh-error")


def test_three_sliders_search_again_at_once_without_encoding(visit, server, tmp_path, monkeypatch):
    coloured("red", 7).save(tmp_path / "mine.png")
    visit.open("?collection=colours")
    visit.page.set_input_files("#dh-picture input[type=file]", str(tmp_path / "mine.png"))
    visit.wait_status("24 of 40")
    assert not visit.page.is_visible("#dh-mixing")  # nothing to mix yet
    press(visit, "something blue")
    visit.page.wait_for_selector("#dh-mixing", state="visible")

    def fail(*_):
        raise AssertionError("a slider must not encode")

    monkeypatch.setattr(server.workspace.place("colours").searcher.encoder, "mixture", fail)
    slide(visit, "dh-beta", 1)
    wait_first(visit, "blue")
    slide(visit, "dh-alpha-image", 0)
    slide(visit, "dh-beta", 0)
    wait_first(visit, "red")
    assert colours_shown(visit)[:8].count("red") >= 7
    slide(visit, "dh-alpha-image", 2)
    wait_first(visit, "blue")
    visit.page.locator("#dh-alpha-image input[type=range]").focus()
    for _ in range(20):
        visit.page.keyboard.press("ArrowLeft")  # down to 0, by the keyboard alone
    wait_first(visit, "red")
    assert visit.page.locator(".dh-trail li").count() == 2  # a slider makes no step
    visit.page.click(".dh-back")
    visit.page.wait_for_selector("#dh-mixing", state="hidden")


def test_words_are_added_and_taken_away_as_chips(visit, tmp_path):
    coloured("red", 7).save(tmp_path / "mine.png")
    visit.open("?collection=colours")
    visit.page.set_input_files("#dh-picture input[type=file]", str(tmp_path / "mine.png"))
    visit.wait_status("24 of 40")
    assert chips(visit) == ["+mine.png×"]
    press(visit, "something blue", "#dh-add-words")
    press(visit, "red", "#dh-less-words")
    assert chips(visit) == ["+mine.png50 %×", "+“something blue”50 %×", "−“red”× 0.5×"]
    assert visit.page.input_value("#dh-words :is(input, textarea)") == ""
    slide(visit, "dh-beta", 0.7)
    wait_first(visit, "blue")
    assert colours_shown(visit)[:8].count("red") <= 1
    visit.page.wait_for_selector(".dh-chip:has-text('70 %')")
    assert chips(visit)[:2] == ["+mine.png30 %×", "+“something blue”70 %×"]
    visit.page.get_by_role("button", name="Leave mine.png out of the query").click()
    visit.page.wait_for_function("document.querySelectorAll('.dh-chip').length === 2")
    assert not visit.page.is_visible("#dh-mixing")
    assert colours_shown(visit)[:8].count("blue") == 8
    focused = visit.page.evaluate("document.activeElement.getAttribute('aria-label')")
    assert focused == "Leave “something blue” out of the query"  # the focus stays among the chips
    visit.page.get_by_role("button", name="Leave “red” out of the query").press("Enter")
    visit.page.wait_for_function("document.querySelectorAll('.dh-chip').length === 1")
    visit.page.click(".dh-back")
    visit.page.wait_for_function("document.querySelectorAll('.dh-chip').length === 2")
    visit.page.get_by_role("button", name="Leave “something blue” out of the query").click()
    visit.page.wait_for_selector("#dh-results .dh-welcome")  # nothing wanted is left


def test_words_change_a_picture_of_the_collection(visit):
    visit.open("?collection=colours&id=1")
    visit.wait_status("24 of 40")
    press(visit, "something yellow", "#dh-add-words")
    slide(visit, "dh-beta", 1)
    wait_first(visit, "yellow")
    assert len(chips(visit)) == 2
    visit.page.click("#dh-less-words")  # without any words
    visit.page.wait_for_selector("#dh-results .dh-error:has-text('give some words')")
    assert len(chips(visit)) == 2  # the query is still there


def test_words_are_offered_only_where_the_model_reads_them(visit):
    visit.open()
    assert not visit.page.is_visible("#dh-words")
    visit.page.click("#dh-name input")
    visit.page.click("[role=option]:has-text('colours')")
    visit.page.wait_for_selector("#dh-words", state="visible")
    visit.open("?collection=photos&q=two+dogs")
    visit.page.wait_for_selector("#dh-results .dh-error:has-text('reads pictures, not words')")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_small_text_is_dark_enough_to_read(visit, scheme):
    visit.page.emulate_media(color_scheme=scheme)
    visit.open("?id=1")
    visit.wait_status("24 of 96")
    for selector in ("#dh-status .dh-status", "#dh-status a", "#dh-results .dh-path", "[role=tab][aria-selected=true]"):
        assert visit.page.evaluate(CONTRAST, selector) >= 4.5, selector


def test_a_photograph_from_the_camera_is_searched(visit):
    visit.page.context.grant_permissions(["camera"])
    visit.open()
    visit.page.click("#dh-picture button[aria-label='Capture from camera']")
    visit.page.click("#dh-picture button:has-text('Click to Access Webcam')")
    visit.page.wait_for_function("document.querySelector('#dh-picture video')?.readyState >= 2")
    visit.page.click("#dh-picture button[aria-label='capture photo']")
    visit.wait_status("24 of 96 pictures")
    assert len(visit.shown()) == 24


def test_pictures_that_turn_up_for_everything_are_put_back(chromium, made, tmp_path):
    """The box is there where a collection keeps typical queries; its answers are those of the search itself."""
    path = own_copy(made, "colours", tmp_path / "colours.dh", made / "colours")
    codes = Collection.open(path).codes()[1]
    store_hub_bank(Collection.open(path), "text", BinaryCodes.concatenate([codes[:10:2]] * 4))
    searcher = Searcher.open(path)
    usual, corrected = ([hit.id for hit in searcher.by_text("red", 24, correct_hubs=on)] for on in (False, True))
    assert usual != corrected
    running = Server([path], read_only=True).start()
    with contextlib.contextmanager(visiting)(chromium, running) as visit:
        visit.open("?q=red")
        visit.wait_status("24 of 40")
        assert visit.shown() == usual
        visit.page.click("#dh-options > button")
        visit.page.check("#dh-hubs input")
        visit.page.wait_for_url("**hubs=1*")
        assert visit.shown() == corrected
        visit.page.reload()
        visit.wait_status("24 of 40")
        assert visit.shown() == corrected
        visit.page.click("#dh-options > button")
        visit.page.uncheck("#dh-hubs input")
        visit.page.wait_for_function("!location.search.includes('hubs')")
        assert visit.shown() == usual
    running.stop()


def test_a_collection_without_typical_queries_offers_no_correction(visit):
    visit.open("?id=1")
    visit.page.click("#dh-options > button")
    visit.page.wait_for_selector("#dh-group", state="visible")
    assert not visit.page.is_visible("#dh-hubs")
