"""The tab of duplicates in a real headless Chromium, and its list over REST."""

import contextlib
import csv
import io
import json
import threading

import httpx
import pytest
from PIL import Image, ImageFilter

from deephash.collection import Collection
from tests.web.conftest import Server, visiting

pytestmark = pytest.mark.browser
HOSTILE = "<img src=x onerror=document.title='run'>.jpg"


@pytest.fixture(scope="module")
def doubled(pictures, photo_model, tmp_path_factory):
    """Serves photographs of which two have copies: one a smaller one, one a smaller and an enlarged, blurred one."""
    base = tmp_path_factory.mktemp("doubled")
    folder = base / "photos"
    folder.mkdir()
    photos = [sorted((pictures / name).iterdir())[0] for name in ("accordion", "bonsai", "chair", "lotus", "revolver")]
    for number, photo in enumerate(photos):
        picture = Image.open(photo).convert("RGB")
        picture.save(folder / f"{number}.jpg", quality=95)
        if number < 2:
            small = picture.resize((picture.width // 2, picture.height // 2))
            small.save(folder / ("1_small.jpg" if number else HOSTILE), quality=85)
        if number == 1:
            large = picture.filter(ImageFilter.GaussianBlur(2)).resize((2 * picture.width, 2 * picture.height))
            large.save(folder / "1_enlarged.jpg", quality=90)
    files = sorted(folder.iterdir())
    made = Collection.create(base / "doubled.dh", num_bits=64, model=photo_model, root=folder)
    made.append(uris=[file.name for file in files], codes=photo_model.encode_images(files))
    running = Server([base / "doubled.dh"], read_only=True).start()
    yield running
    running.stop()


@pytest.fixture
def guest(chromium, doubled):
    with contextlib.contextmanager(visiting)(chromium, doubled) as opened:
        yield opened


def the_list(guest, radius):
    answer = httpx.get(f"{guest.address}api/duplicates", params={"radius": radius})
    return list(csv.DictReader(io.StringIO(answer.raise_for_status().text)))


def test_groups_lie_side_by_side_with_a_suggestion_and_a_reason(guest):
    guest.open()
    guest.tab("Duplicates")
    guest.page.wait_for_selector("#dh-duplicates .dh-copies")
    groups = guest.page.locator("#dh-duplicates .dh-copies")
    assert groups.count() == 2
    assert "Suggested to keep: 1.jpg (sharpest: " in groups.nth(0).inner_text()
    assert "is blurred" in groups.nth(0).inner_text()
    assert "Suggested to keep: 0.jpg (largest: " in groups.nth(1).inner_text()
    assert HOSTILE in groups.nth(1).inner_text()
    assert [groups.nth(group).locator("a.dh-hit").count() for group in (0, 1)] == [3, 2]
    assert guest.page.locator("#dh-duplicates .dh-keep").count() == 2
    assert "run" not in guest.page.title()
    assert "8 pictures" in guest.page.inner_text("#dh-duplicates")
    link = groups.nth(0).locator("a.dh-hit").first
    assert "?collection=doubled&id=" in link.get_attribute("href")
    link.click()  # shown large, and from there searched with
    guest.page.wait_for_selector("#dh-large dialog[open]")
    guest.page.click("#dh-large [data-act=requery]")
    guest.wait_status("8 of 8 pictures")
    assert guest.page.is_visible("#dh-results")


def test_a_smaller_radius_leaves_fewer_groups_and_the_list_follows(guest):
    guest.open()
    guest.tab("Duplicates")
    guest.page.wait_for_selector("#dh-duplicates .dh-copies")
    before = guest.page.inner_text("#dh-duplicates b >> nth=0")
    guest.page.focus("#dh-copies-radius input[type=range]")
    guest.page.keyboard.press("Home")  # the keyboard is enough
    guest.page.wait_for_selector("#dh-duplicates b:has-text('Within 0 bits')")
    assert guest.page.inner_text("#dh-duplicates b >> nth=0") != before
    lines = the_list(guest, 0)
    assert len(lines) < len(the_list(guest, 64))
    assert {line["distance"] for line in lines if line["verdict"] == "copy"} <= {"0"}


def test_the_list_is_downloaded_as_csv_and_as_jsonl(guest):
    guest.open()
    guest.tab("Duplicates")
    with guest.page.expect_download() as waited:
        guest.page.click(".dh-download:has-text('CSV')")
    lines = list(csv.DictReader(io.StringIO(waited.value.path().read_text())))
    assert waited.value.suggested_filename == "duplicates.csv"
    assert [(line["group"], line["path"], line["verdict"]) for line in lines if line["verdict"] == "keep"] == [
        ("1", "1.jpg", "keep"),
        ("2", "0.jpg", "keep"),
    ]
    with guest.page.expect_download() as waited:
        guest.page.click(".dh-download:has-text('JSONL')")
    records = [json.loads(line) for line in waited.value.path().read_text().splitlines()]
    assert [record["path"] for record in records] == [line["path"] for line in lines]
    assert {"group", "path", "verdict", "distance", "reason", "id"} == set(records[0])


def test_nothing_is_there_that_deletes(guest, doubled):
    guest.open()
    guest.tab("Duplicates")
    guest.page.wait_for_selector("#dh-duplicates .dh-copies")
    buttons = guest.page.locator("#dh-duplicates button").all_inner_texts()
    assert not [text for text in buttons if text not in ("Previous", "Next")]
    guest.page.locator("#dh-duplicates a.dh-hit").first.click()
    guest.page.wait_for_selector("#dh-large dialog[open]")
    assert not guest.page.is_visible("#dh-large .dh-remove")


def test_the_page_answers_while_copies_are_looked_for(chromium, doubled, monkeypatch):
    from deephash.webui import duplicates

    gate, find = threading.Event(), duplicates.find_pairs

    def gated(*given, **options):
        assert gate.wait(60)
        return find(*given, **options)

    monkeypatch.setattr(duplicates, "find_pairs", gated)
    monkeypatch.setattr("deephash.webui.duplicateroute.PATIENCE", 0.1)
    running = Server(doubled.paths, read_only=True).start()
    try:
        with contextlib.contextmanager(visiting)(chromium, running) as guest:
            guest.open()
            guest.tab("Duplicates")
            guest.page.wait_for_selector("#dh-duplicates progress")
            look = "node => [getComputedStyle(node).appearance, getComputedStyle(node).color]"
            assert guest.page.locator("#dh-duplicates progress").evaluate(look) == ["none", "rgb(15, 118, 110)"]
            busy = running.client().get("api/duplicates")
            assert busy.status_code == 503
            assert busy.headers["Retry-After"]
            guest.tab("Search")
            guest.click_result(0)  # nobody waits
            guest.tab("Duplicates")
            gate.set()
            guest.page.wait_for_selector("#dh-duplicates .dh-copies")
            assert running.client().get("api/duplicates", params={"radius": 64}).status_code == 200
            assert running.client().get("api/duplicates", params={"format": "exe"}).status_code == 422
    finally:
        gate.set()
        running.stop()
