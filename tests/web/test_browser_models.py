"""A collection of several models in a real headless Chromium: answers are marked, the collection page tells them."""

import json
import urllib.request

import numpy as np
import pytest
from PIL import Image

from deephash.collection import Collection
from deephash.ingest import index_folder
from tests.e2e.collection_child import tiny_model
from tests.web.conftest import Server, visiting

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def upgraded(tmp_path_factory):
    """Forty pictures by one model, ten by another of other length."""
    folder, rng = tmp_path_factory.mktemp("models"), np.random.default_rng(0)
    (folder / "pictures").mkdir()
    for row in range(40):
        Image.fromarray(rng.integers(0, 256, (8, 8, 3), np.uint8)).save(folder / "pictures" / f"{row:02}.png")
    index_folder(folder / "pictures", folder / "two.dh", tiny_model(16, 0))
    Collection.open(folder / "two.dh").publish(tiny_model(32, 1), same_space=False, evidence={"forced": True})
    for row in range(40, 50):
        Image.fromarray(rng.integers(0, 256, (8, 8, 3), np.uint8)).save(folder / "pictures" / f"{row:02}.png")
    index_folder(folder / "pictures", folder / "two.dh")
    running = Server([folder / "two.dh"]).start()
    yield running
    running.stop()


@pytest.fixture
def visit(chromium, upgraded):
    yield from visiting(chromium, upgraded)


def test_answers_of_several_models_are_marked(visit):
    visit.open("?id=3")
    visit.wait_status("answers of several models, in the order of how probable their distance is by chance")
    cards = visit.page.locator("#dh-results .dh-card .dh-note").all_inner_texts()
    assert any("model 1, " in text and "by chance" in text for text in cards)
    assert any("model 2, " in text and "by chance" in text for text in cards)
    bits = {text.split("/")[1][:2] for text in visit.page.locator("#dh-results .dh-facts").all_inner_texts()}
    assert bits == {"16", "32"}
    first = visit.page.locator("#dh-results .dh-card").first
    assert first.locator(".dh-hit").get_attribute("data-id") == "3"


def test_hovering_an_answer_of_another_model_compares_no_bits(visit):
    visit.open("?id=3")
    codes = [card.get_attribute("data-code") for card in visit.page.locator("#dh-results .dh-hit").all()]
    assert {len(code) for code in codes} == {0, 8}  # of the query's own model, or none
    visit.page.locator('#dh-results .dh-hit[data-code=""]').first.hover()
    assert visit.complaints == []


def test_the_collection_page_tells_the_models(visit):
    visit.open()
    visit.tab("Collection")
    visit.page.wait_for_selector(".dh-facts-page h3:has-text('Models')")
    text = visit.page.inner_text(".dh-facts-page")
    assert "not shown to be compatible; forced" in text
    assert "figures of codes are of the 10 items that it encoded" in text


def test_the_route_says_the_same(upgraded):
    request = urllib.request.Request(upgraded.address.rstrip("/") + "/api/search", b"id=3&k=50", method="POST")
    found = json.loads(urllib.request.urlopen(request, timeout=30).read())
    assert {hit["model_version"] for hit in found["hits"]} == {1, 2}
    probabilities = [hit["by_chance"] for hit in found["hits"]]
    assert probabilities[1:] == sorted(probabilities[1:])
    assert found["notes"] == []
    assert found["total"] == 50
