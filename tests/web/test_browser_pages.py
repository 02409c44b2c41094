"""Compare, collection, evaluation, live changes and restart, in a real headless Chromium."""

import contextlib
import threading

import numpy as np
import pytest

from deephash.codes import BinaryCodes
from deephash.collection import Collection
from deephash.reports import evaluate_codes
from tests.paths import shared_data
from tests.web.conftest import Server, visiting
from tests.web.made import own_copy
from tests.web.test_browser import choose

pytestmark = pytest.mark.browser


@pytest.fixture
def live(made, pictures, tmp_path):
    """A server of its own: its collection may be changed, and it may be restarted."""
    running = Server([own_copy(made, "photos", tmp_path / "live.dh", pictures)]).start()
    yield running
    running.stop()


@pytest.fixture
def guest(chromium, live):
    with contextlib.contextmanager(visiting)(chromium, live) as opened:
        yield opened


def test_compare_two_models_and_two_lengths(visit):
    visit.open()
    visit.tab("Compare")
    visit.page.wait_for_selector("#dh-compare .dh-note:has-text('Search something first')")
    assert "Both collections hold the same 96 pictures." in visit.page.inner_text("#dh-compare .dh-in-common")
    visit.tab("Search")
    visit.click_result(4)
    visit.tab("Compare")
    visit.page.wait_for_selector("#dh-compare .dh-sides")
    sides = visit.page.locator("#dh-compare .dh-sides section")
    assert sides.count() == 2
    assert [sides.nth(side).locator(".dh-hit").count() for side in (0, 1)] == [10, 10]
    text = visit.page.inner_text("#dh-compare")
    assert "overlap@10" in text
    assert "8 bytes an item" in text
    assert "4 bytes an item" in text
    visit.page.click("#dh-right input")
    visit.page.click("[role=option]:has-text('photos, first 32 bits')")
    visit.page.wait_for_selector("#dh-compare h3:has-text('photos, first 32 bits')")
    visit.page.click("#dh-right input")
    visit.page.click("[role=option]:has-text('photos, re-ranked by vectors')")
    visit.page.wait_for_selector("#dh-compare h3:has-text('photos, re-ranked by vectors')")
    text = visit.page.inner_text("#dh-compare")
    for words in ("8 bytes + 512 of its vector an item", "mean move", "Kendall", "search", "encode"):
        assert words in text
    assert visit.page.inner_text("#dh-compare .dh-asked").endswith(".jpg")
    link = sides.nth(0).locator("a.dh-hit").nth(2)
    item = link.get_attribute("data-id")
    with visit.page.context.expect_page() as opened:  # as any link
        link.click(modifiers=["ControlOrMeta"])
    opened.value.wait_for_selector(f'#dh-results .dh-card:first-child .dh-hit[data-id="{item}"]')
    opened.value.close()
    visit.search_with(link)  # leads back to the search tab
    visit.page.wait_for_selector(".dh-trail li:nth-child(2)")
    assert visit.page.is_visible("#dh-results")


def test_a_picture_of_the_other_side_is_searched_in_its_own_collection(visit):
    visit.open("?id=2")  # something is nearer than chance, so a line is offered
    visit.wait_status("24 of 96")
    visit.page.click(".dh-suggest")
    visit.page.wait_for_selector("#dh-results .dh-card:nth-child(24)", state="detached")
    visit.tab("Compare")
    visit.page.wait_for_selector("#dh-compare .dh-sides")
    visit.page.click("#dh-right input")
    visit.page.click("[role=option]:has-text('colours'):not(:has-text(','))")
    visit.page.wait_for_selector("#dh-compare h3:has-text('colours')")
    said = visit.page.inner_text("#dh-compare .dh-in-common")
    assert "different pictures: 0 are in both, 96 only in photos, 40 only in colours" in said
    visit.search_with(visit.page.locator("#dh-compare section").nth(1).locator("a.dh-hit").first)
    visit.wait_status("24 of 40 pictures")  # the cut-off was that of the other collection
    visit.page.wait_for_selector("#dh-words", state="visible")  # and this one's model reads words
    assert visit.page.input_value("#dh-name input") == "colours"


def test_the_collection_page_tells_what_is_there(visit):
    visit.open()
    visit.tab("Collection")
    visit.page.wait_for_selector("#dh-facts .dh-tiles")
    text = visit.page.inner_text("#dh-facts")
    for words in ("96", "different codes", "8 bytes", "float32 take 256", "exact", "version"):
        assert words in text
    assert visit.page.locator("#dh-facts .dh-balance rect.bar").count() == 64


def test_the_evaluation_page_shows_a_report(visit, pictures, tmp_path):
    generator = np.random.default_rng(0)
    labels = np.repeat(np.arange(4), 25)
    bits = (generator.random((100, 32)) < 0.15) ^ np.repeat(generator.integers(0, 2, (4, 32)), 25, axis=0).astype(bool)
    codes = BinaryCodes.from_bits(bits)
    files = sorted(file.relative_to(pictures).as_posix() for file in pictures.rglob("*.jpg"))
    names = [*files[12:24], *(f"gone/{number}.jpg" for number in range(8)), *files[24:96], *files[:8]]
    report = evaluate_codes(
        codes[::5],
        codes[np.arange(100) % 5 > 0],
        labels[::5],
        labels[np.arange(100) % 5 > 0],
        query_names=names[:20],
        database_names=names[20:],
        method="four noisy words",
    )
    (tmp_path / "report.json").write_text(report.to_json())
    visit.open()
    visit.tab("Evaluation")
    visit.page.wait_for_selector("#dh-report:has-text('No report yet')")
    assert visit.page.locator("#dh-pages > .tab-wrapper [role=tab]").count() == 7  # none twice
    visit.page.set_input_files("#dh-report-file input[type=file]", str(tmp_path / "report.json"))
    visit.page.wait_for_selector("#dh-report h3:has-text('four noisy words')")
    assert f"{report.headline.value:.4f}" in visit.page.inner_text("#dh-report")
    assert visit.page.locator("#dh-report polyline.line").count() == 2
    told = visit.page.locator("#dh-report .dh-figures tbody th").first
    assert "How far in front the right answers stand" in told.inner_text()
    assert told.get_attribute("title") in told.inner_text()
    rows = visit.page.locator("#dh-report .dh-hard")
    assert rows.count() == 12
    hard = report.hardest[0]
    answers = rows.first.locator(".dh-grid .dh-card")
    assert answers.locator(".dh-path").all_inner_texts() == list(hard.nearest[:6])
    marks = ["✓" if right else "✗" for right in hard.relevant[:6]]
    assert answers.locator(".dh-facts b").all_inner_texts() == marks
    assert "✗" in marks
    assert answers.locator("a.dh-hit").count() == len(marks) == 5
    choose(visit, "#dh-name", "digits")
    # A query of the report asks the collection on show, whoever keeps the picture.
    # Its start page, else that may come after the answer to the click.
    visit.page.wait_for_selector("#dh-results h2:has-text('600 pictures')", state="attached")
    visit.search_with(visit.page.locator("#dh-report a.dh-hit").first)
    visit.wait_status("24 of 600 pictures")
    (tmp_path / "bad.json").write_text("{}")
    visit.page.reload()
    visit.page.wait_for_selector("#dh-results .dh-hit")
    visit.tab("Evaluation")
    visit.page.set_input_files("#dh-report-file input[type=file]", str(tmp_path / "bad.json"))
    visit.page.wait_for_selector("#dh-report .dh-error")


def test_adding_searching_undoing_and_removing(guest, live):
    photo = sorted(shared_data("caltech101", "test", "dalmatian").iterdir())[0]
    guest.open()
    guest.tab("Collection")
    guest.page.set_input_files("#dh-add input[type=file]", [str(photo), __file__])
    guest.page.wait_for_selector("#dh-said:has-text('Added 1 picture. Left out: test_browser_pages.py')")
    added = int(Collection.open(live.paths[0]).ids()[-1])
    guest.tab("Search")
    guest.page.set_input_files("#dh-picture input[type=file]", str(photo))
    guest.wait_status("24 of 97 pictures")
    assert guest.shown()[0] == added
    guest.tab("Collection")
    guest.page.click("#dh-undo")
    guest.page.wait_for_selector("#dh-said:has-text('taken out again')")
    assert len(Collection.open(live.paths[0])) == 96
    assert not list((live.paths[0] / "uploads").iterdir())
    guest.tab("Search")
    guest.wait_status("24 of 96 pictures")
    removed = guest.show_large(0)
    guest.page.click("#dh-large .dh-remove")
    guest.wait_status("24 of 95 pictures")
    assert removed not in guest.shown()
    guest.page.click("#dh-toast:has-text('Removed 1 picture.') .dh-take-back")
    guest.wait_status("24 of 96 pictures")
    assert guest.shown()[0] == removed
    guest.page.wait_for_selector("#dh-toast .dh-toast:has-text('put back')")
    assert not guest.page.query_selector_all("#dh-results .dh-remove")  # no thumbnail has such a button
    guest.show_large(0)
    guest.page.click("#dh-large .dh-remove")
    guest.wait_status("24 of 95 pictures")
    guest.tab("Collection")
    guest.page.click("#dh-undo")
    guest.page.wait_for_selector("#dh-said:has-text('put back')")
    assert len(Collection.open(live.paths[0])) == 96


def test_a_collection_that_changes_under_the_page(guest, live):
    guest.open()
    item = guest.click_result(0)
    Collection.open(live.paths[0]).remove([guest.shown()[1]])
    gone = guest.shown()[1]
    guest.show_large(1)
    guest.page.click("#dh-large [data-act=requery]")
    guest.page.wait_for_selector(f"#dh-results .dh-error:has-text('{gone}')")
    guest.page.click(".dh-trail [data-step='0']")
    guest.wait_status("24 of 95 pictures")
    assert guest.shown()[0] == item


def test_after_a_restart_the_page_works_again(guest, live):
    guest.open()
    item = guest.click_result(2)
    live.stop()
    live.start()
    guest.page.reload()
    guest.wait_status("24 of 96 pictures")  # the address still names the query
    assert guest.shown()[0] == item
    guest.click_result(1)


def test_read_only_offers_no_changes(chromium, made, pictures, tmp_path):
    running = Server([own_copy(made, "photos", tmp_path / "fixed.dh", pictures)], read_only=True).start()
    try:
        with contextlib.contextmanager(visiting)(chromium, running) as guest:
            guest.open()
            guest.click_result(0)
            guest.show_large(0)
            assert not guest.page.is_visible("#dh-large .dh-remove")
            guest.page.keyboard.press("Escape")
            guest.tab("Collection")
            guest.page.wait_for_selector("#dh-facts .dh-tiles")
            assert not guest.page.is_visible("#dh-add")
    finally:
        running.stop()


def test_progress_is_shown_while_pictures_are_added(guest, live, monkeypatch):
    encoder = live.workspace.place().searcher.encoder.model
    encode, go_on, seen = encoder.encode, threading.Event(), []

    def gated(kind, value, **options):
        seen.append(kind)
        assert len(seen) < 2 or go_on.wait(30)
        return encode(kind, value, **options)

    monkeypatch.setattr(encoder, "encode", gated)
    photos = sorted(shared_data("caltech101", "test", "dalmatian").iterdir())[:3]
    guest.open()
    guest.tab("Collection")
    guest.page.wait_for_selector("#dh-facts .dh-tiles")
    guest.page.set_input_files("#dh-add input[type=file]", [str(photo) for photo in photos])
    guest.page.wait_for_selector("text=1/3 pictures")
    assert len(Collection.open(live.paths[0])) == 96  # none is there before all are
    go_on.set()
    guest.page.wait_for_selector("#dh-said:has-text('Added 3 pictures.')")
    guest.page.wait_for_selector("text=1/3 pictures", state="detached")


def test_a_visitor_too_many_is_told_that_the_server_is_busy(chromium, made, pictures, tmp_path, monkeypatch):
    monkeypatch.setattr("deephash.webui.app.CONCURRENT", 1)
    monkeypatch.setattr("deephash.webui.app.WAITING", 1)
    running = Server([own_copy(made, "photos", tmp_path / "busy.dh", pictures)]).start()
    answer, go_on, inside = running.workspace.answer, threading.Event(), threading.Semaphore(0)

    def gated(*given):
        inside.release()
        assert go_on.wait(30)
        return answer(*given)

    try:
        with contextlib.ExitStack() as stack:
            visitors = [stack.enter_context(contextlib.contextmanager(visiting)(chromium, running)) for _ in range(3)]
            for visitor in visitors:
                visitor.open()
            monkeypatch.setattr(running.workspace, "answer", gated)
            for visitor in visitors:
                visitor.show_large(0)
                with visitor.page.expect_response("**/queue/join*"):
                    visitor.page.click("#dh-large .dh-primary")
                if visitor is visitors[0]:
                    assert inside.acquire(timeout=30)
            visitors[2].page.wait_for_selector("text=currently busy. Please try again")
            assert visitors[2].page.is_visible("#dh-results .dh-examples")  # what was there stays
            go_on.set()
            for visitor in visitors[:2]:
                visitor.wait_status("24 of 96 pictures")
    finally:
        go_on.set()
        running.stop()
