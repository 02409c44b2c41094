"""axe-core over every tab, light and dark: no serious and no critical finding."""

import contextlib
from pathlib import Path

import axe_playwright_python
import pytest

from tests.web.conftest import visiting

pytestmark = pytest.mark.browser
AXE = Path(axe_playwright_python.__file__).with_name("axe.min.js").read_text(encoding="utf8")
READY = {
    "Search": "#dh-results .dh-hit",
    "Browse": "#dh-browse .dh-shelf",
    "Duplicates": "#dh-duplicates :is(.dh-copies, .dh-message:not(.dh-working))",
    "Compare": "#dh-compare .dh-sides",
    "Collection": "#dh-facts .dh-tiles",
    "Evaluation": "#dh-report .dh-message",
    "Attack": "#dh-attack-outcome .dh-message",
}


def findings(page) -> list[str]:
    """Run axe-core; return what is serious or critical."""
    page.evaluate(AXE)
    found = page.evaluate("async () => (await axe.run(document, {resultTypes: ['violations']})).violations")
    return [
        f"{rule['impact']} {rule['id']}: {node['html'][:160]} at {node['target']}: {node['failureSummary'][:200]}"
        for rule in found
        if rule["impact"] in ("serious", "critical")
        for node in rule["nodes"]
    ]


@pytest.fixture(scope="module", params=["light", "dark"])
def shown(request, chromium, server):
    """A visitor who has searched once, so that every tab has something to show."""
    with contextlib.contextmanager(visiting)(chromium, server, color_scheme=request.param, bypass_csp=True) as guest:
        guest.open("?id=2")
        guest.wait_status("of 96")
        yield guest


@pytest.mark.parametrize("tab", list(READY))
def test_nothing_serious_on_a_tab(shown, tab):
    shown.tab(tab)
    shown.page.wait_for_selector(READY[tab], timeout=60_000)
    assert findings(shown.page) == []


def test_nothing_serious_on_the_map(shown):
    shown.tab("Browse")
    shown.page.click("#dh-way label:has-text('Map')")
    shown.page.wait_for_selector("#dh-browse canvas", timeout=60_000)
    assert findings(shown.page) == []


def test_a_fault_would_be_found(shown):
    shown.page.evaluate("document.body.insertAdjacentHTML('beforeend', '<img id=fault src=favicon.ico>')")
    assert any("image-alt" in finding for finding in findings(shown.page))
    shown.page.evaluate("document.querySelector('#fault').remove()")
    assert findings(shown.page) == []
