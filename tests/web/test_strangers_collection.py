"""What somebody else's collection or report can do to a visitor: nothing but be shown."""

import math
import os

import numpy as np
import pytest

from deephash.codes import BinaryCodes
from deephash.collection import Collection
from tests.web.conftest import Server, visiting

MARKUP = [
    '"><img src=x onerror="window.hit=1">.png',
    "<script>window.hit=1</script>.png",
    "' onmouseover='window.hit=1.png",
    "javascript:window.hit=1",
    "</style><svg onload=window.hit=1>",
    "{{window.hit=1}} ${window.hit=1}.png",
    "&lt;img src=x onerror=window.hit=1&gt;",
]


@pytest.fixture(scope="module")
def hostile(tmp_path_factory):
    base = tmp_path_factory.mktemp("hostile")
    path = base / "<b onclick=window.hit=1>x.dh"
    collection = Collection.create(path, num_bits=16, root=base)
    bits = np.random.default_rng(0).integers(0, 2, (40, 16))
    uris = [f"{row}{MARKUP[row % len(MARKUP)]}" for row in range(40)]
    attributes = [
        {"label": MARKUP[row % 3], "kind": MARKUP[row % 2], "share": [math.nan, math.inf, 0.5][row % 3]}
        for row in range(40)
    ]
    collection.append(uris=uris, codes=BinaryCodes.from_bits(bits), attributes=attributes)
    running = Server([path], read_only=True).start()
    yield running
    running.stop()


@pytest.mark.browser
def test_markup_in_names_and_labels_stays_text(chromium, hostile):
    for visit in visiting(chromium, hostile):
        visit.open()
        visit.click_result(1)
        visit.page.wait_for_selector("#dh-results .dh-path")
        shown = visit.page.inner_text("#dh-results")
        assert "<script>window.hit=1</script>.png" in shown
        visit.page.hover("#dh-results .dh-hit >> nth=2")
        for _ in visit.show_large(0), *range(7):
            visit.page.wait_for_selector("#dh-large dd")
            assert visit.page.inner_text("#dh-large dd") == visit.page.locator("#dh-large dd").first.text_content()
            visit.page.keyboard.press("ArrowRight")
        assert visit.page.locator("#dh-large :is(script, svg, b[onclick], img[onerror])").count() == 0
        visit.page.keyboard.press("Escape")
        visit.page.click("#dh-options button")
        for name in ("Compare", "Collection", "Evaluation", "Search"):
            visit.tab(name)
            visit.page.wait_for_timeout(400)
        assert visit.page.evaluate("window.hit") is None
        assert visit.page.locator("#dh-results img[src='x'], #dh-results script, #dh-facts script").count() == 0


def test_values_that_json_has_no_word_for_are_answered(hostile):
    """NaN and infinite attributes: null, never a server error."""
    with hostile.client() as client:
        answer = client.post("api/search", data={"id": 0, "k": 40})
        assert answer.status_code == 200
        shares = [hit["attributes"].get("share") for hit in answer.json()["hits"]]
        assert set(shares) <= {None, 0.5}
        assert "NaN" not in answer.text
        assert "Infinity" not in answer.text
        for item in range(3):
            assert client.get(f"api/items/{item}").status_code == 200


def test_a_read_only_page_has_no_event_that_changes_anything(hostile, server):
    page = hostile.guard.app.routes[-1].app.get_blocks()
    names = {fn.fn.__name__ for fn in page.fns.values()}
    changing = {"on_add", "on_remove", "on_tag", "on_undo", "on_take_back"}
    costly = {"on_attack", "on_method"}
    assert not names & (changing | costly)
    usual = {fn.fn.__name__ for fn in server.guard.app.routes[-1].app.get_blocks().fns.values()}
    assert usual - names == changing | costly
    before = Collection.open(hostile.paths[0]).version
    with hostile.client() as client:
        answer = client.post("api/add", files={"pictures": ("a.png", b"x")})
        assert (answer.status_code, "read-only" in answer.json()["error"]) == (400, True)
        for event in hostile.guard.events.keys() ^ server.guard.events.keys():
            sent = {"data": [], "fn_index": event, "session_hash": "x"}
            assert client.post("gradio_api/queue/join", json=sent).status_code == 404
    assert Collection.open(hostile.paths[0]).version == before


def test_the_files_of_a_strangers_collection_lie_in_its_folder(tmp_path):
    """Rows that name other files, addresses and devices: a refusal each, and nothing of them leaves."""
    (tmp_path / "secret.txt").write_text("a secret")
    (tmp_path / "x").mkdir()
    (tmp_path / "x" / "loop").symlink_to(tmp_path / "x" / "loop")
    os.mkfifo(tmp_path / "x" / "fifo")
    uris = [
        "/etc/hostname",
        "../secret.txt",
        "/dev/zero",
        "http://127.0.0.1:1/a.png",
        "file:///etc/hostname",
        "a\nb",
        "loop",
        "fifo",
        ".",
        "x" * 5000,
    ]
    collection = Collection.create(tmp_path / "x.dh", num_bits=16, root=tmp_path / "x")
    ids = collection.append(uris=uris, codes=BinaryCodes.from_bits(np.eye(len(uris), 16, dtype=int)))
    running = Server([tmp_path / "x.dh"]).start()
    try:
        with running.client() as client:
            for item in ids.tolist():
                answer = client.get(f"api/items/{item}/thumbnail", timeout=5)
                assert answer.status_code in (400, 404), answer.text
                assert answer.headers["content-type"] in ("image/png", "application/json")
                assert b"a secret" not in answer.content
                assert str(tmp_path) not in answer.text
    finally:
        running.stop()
