"""The documentation site: it is built strictly, asks nobody for anything, and names every method."""

import re
import subprocess
import sys
from html.parser import HTMLParser

import pytest

from deephash.models.catalogue import methods
from tests.paths import ROOT

OUTSIDE = re.compile(r"""(?:src|srcset|@import|url\()\s*=?\s*["'(]?\s*(?:https?:)?//""")


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    folder = tmp_path_factory.mktemp("site")
    words = [sys.executable, "-m", "mkdocs", "build", "--strict", "-q", "-d", str(folder)]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return folder


def test_every_page_is_there_and_loads_nothing_from_elsewhere(site):
    pages = sorted(site.rglob("*.html"))
    assert len(pages) > 80
    for page in pages:
        loaded = _Loaded()
        loaded.feed(page.read_text(encoding="utf-8"))
        assert not [address for address in loaded.found if "//" in address], page
    for style in site.rglob("*.css"):
        assert not OUTSIDE.search(style.read_text(encoding="utf-8").replace("http://www.w3.org", "")), style


def test_the_reference_has_every_method_and_no_markup_is_left(site):
    text = (site / "reference" / "methods" / "index.html").read_text(encoding="utf-8")
    lacking = [name for name, cls in methods().items() if f'id="{cls.__module__}.{name}"' not in text]
    assert not lacking, f"docs/reference/methods.md lacks {lacking}"
    for page in (site / "reference").rglob("*.html"):
        assert ":func:" not in page.read_text(encoding="utf-8")
        assert "=====" not in page.read_text(encoding="utf-8")


def test_links_that_lead_out_are_words_without_a_home(site):
    text = (site / "formats" / "index.html").read_text(encoding="utf-8")
    assert not [link for link in re.findall(r'href="([^"]*)"', text) if "deephash/foreign" in link]
    assert "collection.json" in text


def test_the_example_of_the_quickstart_runs():
    text = (ROOT / "docs" / "quickstart.md").read_text(encoding="utf-8")
    blocks = [block for block in re.findall(r"```python\n(.*?)```", text, flags=re.S) if "evaluate" in block]
    assert blocks
    for block in blocks:
        exec(compile(block, "quickstart.md", "exec"), {})


class _Loaded(HTMLParser):
    """Collects what a browser fetches by itself."""

    def __init__(self):
        super().__init__()
        self.found = []

    def handle_starttag(self, tag, attrs):
        known = dict(attrs)
        if tag in ("script", "img", "iframe", "source"):
            self.found.append(known.get("src") or "")
        if tag == "link" and known.get("rel") in ("stylesheet", "preload", "icon", "modulepreload", "preconnect"):
            self.found.append(known.get("href") or "")
