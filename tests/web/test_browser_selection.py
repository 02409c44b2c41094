"""Results that are selected, listed and tagged, in a real Chromium."""

import contextlib
import csv
import json
from pathlib import Path

import pytest

from tests.web.collections import random_collection
from tests.web.conftest import Server, visiting

pytestmark = pytest.mark.browser
BAR = ".dh-bar-below"


def selected(visit) -> list[int]:
    return visit.page.eval_on_selector_all(
        "#dh-results .dh-selected .dh-hit", "hits => hits.map(hit => Number(hit.dataset.id))"
    )


def listed(visit, form: str) -> str:
    with visit.page.expect_download() as download:
        visit.page.click(f"{BAR} [data-form={form}]")
    assert download.value.suggested_filename == f"selected.{form}"
    return Path(download.value.path()).read_text()


def test_results_are_selected_by_box_range_and_key_and_listed(visit, server):
    visit.open("?id=1")
    visit.wait_status("24 of 96")
    shown = visit.shown()
    assert not visit.page.is_visible(BAR)
    visit.page.locator("#dh-results .dh-card").nth(2).hover()
    visit.page.locator("#dh-results .dh-pick input").nth(2).check()
    visit.page.locator("#dh-results .dh-hit").nth(5).click(modifiers=["Shift"])
    assert selected(visit) == shown[2:6]
    assert visit.page.locator("#dh-large dialog[open]").count() == 0
    visit.page.locator("#dh-results .dh-hit").nth(3).focus()
    visit.page.keyboard.press("x")
    assert selected(visit) == [shown[2], *shown[4:6]]
    assert visit.page.inner_text(f"{BAR} b") == "3 selected"
    rows = list(csv.DictReader(listed(visit, "csv").splitlines()))
    items = server.workspace.place("photos").searcher.collection.items([shown[2], *shown[4:6]])
    assert [(row["path"], row["label"], int(row["size"])) for row in rows] == [
        (item.uri, item.attributes["label"], item.attributes["size"]) for item in items
    ]
    lines = [json.loads(line) for line in listed(visit, "jsonl").splitlines()]
    assert [line["id"] for line in lines] == [item.id for item in items]
    visit.page.click(".dh-further")
    visit.wait_status("48 of 96")
    assert selected(visit) == [shown[2], *shown[4:6]]  # further answers keep them
    visit.page.keyboard.press("Escape")
    assert selected(visit) == []
    assert not visit.page.is_visible(BAR)


def test_tags_are_written_shown_and_taken_back(chromium, tmp_path):
    random_collection(tmp_path / "few.dh", 40, 32)
    server = Server([tmp_path / "few.dh"]).start()
    with contextlib.contextmanager(visiting)(chromium, server) as visit:
        visit.open("?id=1&show=tags,path")
        visit.wait_status("24 of 40")
        chosen = visit.shown()[1:3]
        visit.page.locator("#dh-results .dh-hit").nth(1).focus()
        visit.page.keyboard.press("x")
        visit.page.keyboard.press("ArrowRight")
        visit.page.keyboard.press("Shift+X")
        visit.page.fill(f"{BAR} input", "<i>at  the sea")
        visit.page.keyboard.press("Enter")
        visit.page.wait_for_selector(".dh-toast:has-text('Tagged 2 pictures “<i>at the sea”')")
        assert visit.page.locator("#dh-results .dh-fact[data-name=tags]").all_inner_texts() == ["<i>at the sea"] * 2
        collection = server.workspace.place("few").searcher.collection
        assert [item.attributes["tags"] for item in collection.items(chosen)] == ["<i>at the sea"] * 2
        visit.page.click("#dh-options > button")
        visit.page.click("[data-attribute=tags] [data-value]")
        visit.wait_status("2 of 40")
        other = visit.page.context.new_page()
        other.goto(visit.page.url)  # the address gives the chip back, not words
        other.wait_for_selector("#dh-status:has-text('2 of 40')")
        other.click("#dh-options > button")
        other.wait_for_selector("[data-attribute=tags] [data-value][aria-pressed=true]")
        assert other.input_value("#dh-where :is(input, textarea)") == ""
        other.close()
        visit.page.click("[data-attribute=tags] [data-value]")
        visit.wait_status("24 of 40")
        visit.page.click(".dh-take-back")
        visit.page.wait_for_selector("#dh-results .dh-fact[data-name=tags]", state="detached")
        assert all(
            "tags" not in item.attributes for item in server.workspace.place("few").searcher.collection.items(chosen)
        )
    server.stop()


def test_a_read_only_server_lists_but_takes_no_tags(chromium, tmp_path):
    random_collection(tmp_path / "few.dh", 40, 32)
    server = Server([tmp_path / "few.dh"], read_only=True).start()
    with contextlib.contextmanager(visiting)(chromium, server) as visit:
        visit.open("?id=1")
        visit.wait_status("24 of 40")
        visit.page.locator("#dh-results .dh-hit").nth(1).focus()
        visit.page.keyboard.press("x")
        assert listed(visit, "csv").startswith("path,id")
        assert not visit.page.is_visible(f"{BAR} form")
    server.stop()


def test_on_a_phone_a_long_press_selects(chromium, server):
    with contextlib.contextmanager(visiting)(chromium, server, has_touch=True) as phone:
        phone.page.set_viewport_size({"width": 390, "height": 844})
        phone.open("?id=1")
        phone.wait_status("24 of 96")
        phone.page.locator("#dh-results .dh-hit").nth(0).evaluate(
            """async hit => {
                const touch = kind => hit.dispatchEvent(new PointerEvent(kind, {bubbles: true, pointerType: 'touch'}));
                touch('pointerdown');
                await new Promise(done => setTimeout(done, 700));
                touch('pointerup');
                hit.click();
            }"""
        )
        assert selected(phone) == [1]
        assert phone.page.locator("#dh-large dialog[open]").count() == 0
        phone.page.locator("#dh-results .dh-pick").nth(1).tap()  # now every picture has its box
        assert len(selected(phone)) == 2
        bar = phone.page.locator(BAR).bounding_box()
        assert 0 <= bar["x"] <= bar["x"] + bar["width"] <= 390
