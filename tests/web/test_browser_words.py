"""Words, words with a picture, and the camera, in a real headless Chromium."""

import pytest

from tests.web.collections import coloured

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


def say(visit, plus: str, minus: str = "", share: float | None = None) -> None:
    """Type words and search; the number of steps on the trail grows by one."""
    steps = visit.page.locator(".dh-trail li").count()
    if share is not None:
        visit.page.fill("#dh-share input[type=number]", str(share))
        visit.page.keyboard.press("Tab")
    visit.page.fill("#dh-minus :is(input, textarea)", minus)
    visit.page.fill("#dh-words :is(input, textarea)", plus)
    visit.page.click("#dh-go")
    visit.page.wait_for_selector(f".dh-trail li:nth-child({steps + 1}) button[aria-current=step]")


def test_words_find_pictures_and_stay_in_the_address(visit):
    visit.open("?collection=colours")
    say(visit, "something blue")
    assert colours_shown(visit)[:9].count("blue") == 9
    assert "q=something+blue" in visit.page.url
    visit.page.reload()
    visit.wait_status("24 of 40")
    assert colours_shown(visit)[:9].count("blue") == 9
    visit.page.fill("#dh-words :is(input, textarea)", "un chien")  # none of these words is known
    visit.page.click("#dh-go")
    visit.page.wait_for_selector("#dh-results .dh-error")


def test_the_slider_goes_from_the_picture_to_the_words(visit, tmp_path):
    coloured("red", 7).save(tmp_path / "mine.png")
    visit.open("?collection=colours")
    visit.page.set_input_files("#dh-picture input[type=file]", str(tmp_path / "mine.png"))
    visit.wait_status("24 of 40")
    found = {}
    for share in (0.0, 1.0):
        say(visit, "something blue", share=share)
        found[share] = colours_shown(visit)[:8]
    assert found[0.0].count("red") >= 7
    assert found[1.0].count("blue") >= 7
    say(visit, "something blue", minus="red", share=0.7)
    assert "mine.png + “something blue” − “red”" in visit.page.get_attribute(".dh-trail [aria-current]", "title")
    assert colours_shown(visit)[:8].count("red") <= 1


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
