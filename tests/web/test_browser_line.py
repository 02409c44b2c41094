"""The line in the list of results, and what is no match, in a real Chromium."""

import re

import numpy as np
import pytest
from PIL import Image

from tests.web.test_browser import upload

pytestmark = pytest.mark.browser


def test_the_line_is_drawn_in_the_list_and_ends_it_only_when_asked_to(visit):
    visit.open("?collection=digits&id=3&k=200")
    visit.wait_status("200 of 600")
    order = visit.page.eval_on_selector_all(
        "#dh-results .dh-grid > *",
        "all => all.map(one => one.matches('.dh-line') ? '|' : one.matches('.dh-far') ? 'f' : 'n').join('')",
    )
    assert re.fullmatch(r"n+\|f+", order)  # one line: what is near, then what is not, all of it to be seen
    assert len(visit.shown()) == 200
    assert visit.page.inner_text(".dh-line") == "no nearer than chance from here on"
    assert "nearer than chance" in visit.page.inner_text("#dh-results .dh-card:nth-child(2) .dh-word")
    assert visit.page.inner_text("#dh-results .dh-card:nth-child(1) .dh-word") == "the query itself"
    visit.page.click(".dh-suggest")
    visit.page.wait_for_selector(".dh-line", state="detached")
    assert len(visit.shown()) == order.index("|")


def test_noise_is_no_match_and_what_is_nearest_stays_visible(visit, tmp_path):
    draw = np.random.default_rng(0)
    Image.fromarray(draw.integers(0, 256, (64, 64, 3), dtype=np.uint8)).save(tmp_path / "noise.png")
    visit.open("?collection=photos")
    upload(visit, tmp_path / "noise.png")
    visit.wait_status("24 of 96")
    assert visit.page.inner_text("#dh-results .dh-message h3") == "No match"
    assert visit.page.locator("#dh-results .dh-grid > :first-child").get_attribute("class") == "dh-line"
    assert visit.page.locator("#dh-results .dh-card.dh-far").count() == len(visit.shown()) == 24
