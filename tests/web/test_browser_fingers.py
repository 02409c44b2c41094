"""Fingers, motion and weight: what a phone, a careful eye and a slow line need. In a real Chromium."""

import contextlib

import pytest

from tests.web.conftest import visiting

pytestmark = pytest.mark.browser
PHONE = {"has_touch": True, "is_mobile": True}
# Gradio measures its tabs by copies of them that nobody sees, one pixel high.
SMALL = """root => [...document.querySelectorAll(`${root} :is(a, button, input, select, textarea, summary)`)]
    .filter(node => node.checkVisibility({opacityProperty: true, visibilityProperty: true}) && !node.disabled)
    .map(node => [node, (node.matches('[type=checkbox]') && node.closest('label') || node).getBoundingClientRect()])
    .filter(([node, {width, height}]) => height > 1 && Math.min(width, height) < 43.5)
    .map(([node, {width, height}]) => `${Math.round(width)} x ${Math.round(height)} ${node.outerHTML.slice(0, 80)}`)"""
MOVING = """() => [...document.querySelectorAll('.gradio-container *')].map(node => [node, getComputedStyle(node)])
    .filter(([node, style]) => style.transitionDuration.split(', ').some(time => parseFloat(time) > 0)
        || (style.animationName !== 'none' && parseFloat(style.animationDuration) > 0))
    .map(([node]) => node.outerHTML.slice(0, 80))"""
WEIGHT = 254_867 + 176_475  # bytes of scripts and styles, and of the page, in November 2026 before its filters and tags


@pytest.mark.parametrize("suffix", ["", "?id=1", "?collection=colours&id=1&q=blue&fold=1"])
def test_fingers_have_44_pixels(chromium, server, suffix):
    with contextlib.contextmanager(visiting)(chromium, server, **PHONE) as phone:
        phone.page.set_viewport_size({"width": 390, "height": 844})
        phone.open(suffix)
        if suffix:
            phone.page.wait_for_selector("#dh-results [data-rank]")
            assert phone.page.evaluate(SMALL, "#dh-search") == []
            phone.page.click(".dh-change")
        phone.page.click("#dh-options > button")
        phone.page.wait_for_selector("#dh-where", state="visible")
        for summary in phone.page.locator(".dh-filters summary").all():
            summary.click()
        assert phone.page.evaluate(SMALL, ".gradio-container") == []
        assert phone.page.evaluate("document.documentElement.scrollWidth") <= 390


@pytest.mark.parametrize("suffix", ["?id=1", "?collection=digits&id=3", "?collection=colours&q=red"])
def test_the_status_takes_two_lines_of_a_phone(chromium, server, suffix):
    with contextlib.contextmanager(visiting)(chromium, server, **PHONE) as phone:
        phone.page.set_viewport_size({"width": 390, "height": 844})
        phone.open(suffix)
        phone.page.wait_for_selector("#dh-status .dh-parts")
        lines = phone.page.evaluate(
            """() => new Set([...document.querySelectorAll('#dh-status .dh-part')].filter(part => part.offsetParent)
                .map(part => Math.round(part.getBoundingClientRect().bottom / 12))).size"""
        )
        assert 1 <= lines <= 2
        assert "Download list" in phone.page.inner_text("#dh-status")


def test_nothing_moves_for_who_asked_for_calm(chromium, server):
    with contextlib.contextmanager(visiting)(chromium, server, reduced_motion="reduce") as calm:
        calm.open("?id=1")
        calm.wait_status("24 of 96")
        calm.page.click("#dh-options > button")
        calm.page.wait_for_selector(".dh-filters", state="visible")
        calm.show_large(1)
        assert calm.page.evaluate(MOVING) == []
    with contextlib.contextmanager(visiting)(chromium, server, reduced_motion="no-preference") as lively:
        lively.open("?id=1")
        assert lively.page.evaluate(MOVING) != []  # else the test would see nothing at all


def test_the_page_weighs_no_more_than_before(visit):
    finished = []
    visit.page.on("requestfinished", lambda request: finished.append(request))
    visit.open()
    visit.page.wait_for_selector("#dh-results .dh-hit")
    visit.page.wait_for_timeout(1000)  # what is loaded behind
    paths = {request.url.removeprefix(visit.address).split("?")[0]: request for request in finished}
    weighed = {
        path: request.sizes()["responseBodySize"] for path, request in paths.items() if not path.startswith("api/")
    }
    page = {path: size for path, size in weighed.items() if not path.startswith("gradio_api/")}
    assert len(page) > 30
    assert sum(page.values()) <= WEIGHT
