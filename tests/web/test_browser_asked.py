"""The query panel always tells what the answers are for, in a real Chromium."""

import pytest

from tests.coloured_squares import coloured
from tests.web.test_browser import upload
from tests.web.test_browser_words import chips, press

pytestmark = pytest.mark.browser
BOX = "#dh-picture [data-testid=image] img, #dh-picture img"


def test_the_panel_never_keeps_an_older_picture(visit, tmp_path):
    for colour in ("red", "blue"):
        coloured(colour, 7).save(tmp_path / f"{colour}.png")
    visit.open("?collection=colours")
    assert chips(visit) == []
    upload(visit, str(tmp_path / "red.png"))
    visit.page.wait_for_selector(".dh-chip:has-text('red.png') img")
    visit.page.wait_for_selector(BOX)
    visit.click_result(3)
    visit.page.wait_for_selector(".dh-chip:has-text('red_') img")
    assert len(chips(visit)) == 1
    visit.page.wait_for_selector(BOX, state="detached")  # it was the picture before
    upload(visit, str(tmp_path / "blue.png"))
    visit.page.wait_for_selector(".dh-chip:has-text('blue.png')")
    press(visit, "something yellow")  # with the picture in the box
    visit.page.wait_for_function("document.querySelectorAll('.dh-chip').length === 2")
    assert chips(visit) == ["+blue.png50 %×", "+“something yellow”50 %×"]
    assert visit.page.locator(BOX).count() > 0
    visit.page.go_back()
    visit.page.wait_for_function("document.querySelectorAll('.dh-chip').length === 1")
    assert visit.page.locator(BOX).count() > 0  # the same picture
    visit.page.go_back()
    visit.page.go_back()
    visit.page.wait_for_selector(".dh-chip:has-text('red.png')")
    visit.page.wait_for_selector(BOX, state="detached")
    visit.page.get_by_role("button", name="Leave red.png out of the query").click()
    visit.page.wait_for_selector("#dh-results .dh-welcome")
    assert chips(visit) == []
