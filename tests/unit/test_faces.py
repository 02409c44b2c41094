"""What a notebook shows of things, and the tables they become; whatever others wrote is escaped."""

from __future__ import annotations

import builtins
from html.parser import HTMLParser

import numpy as np
import pytest

from deephash import BinaryCodes, Collection, Searcher
from deephash.errors import UsageError
from deephash.faces import Html, html_bars, html_table
from deephash.ingest import index_folder
from deephash.reports import evaluate_codes
from deephash.search import Hits, Options, Part, Query
from tests.e2e.collection_child import tiny_model
from tests.unit.test_sources_shards import png

HOSTILE = '<img src=x onerror="alert(1)">'


class Tags(HTMLParser):
    """Tags and their attributes, in order."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.found.append((tag, dict(attrs)))
        if tag not in ("img", "br", "rect"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        if tag != "rect":
            assert self.open.pop() == tag

    def of(self, tag):
        return [attributes for name, attributes in self.found if name == tag]


def well_formed(text: str) -> Tags:
    tags = Tags(text)
    assert not tags.open
    assert not any(name.startswith("on") for _, attributes in tags.found for name in attributes)
    assert not tags.of("script")
    return tags


@pytest.fixture(scope="module")
def collection(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pictures")
    for seed in range(5):
        (folder / f"{seed}.png").write_bytes(png(seed))
    out = folder.parent / "faces.dh"
    index_folder(folder, out, tiny_model(), attributes={"0.png": {"title": HOSTILE}})
    return Collection.open(out)


def test_hits_show_pictures_and_become_tables(collection):
    hits = Searcher.open(collection.path).by_image(png(0), k=5)
    assert isinstance(hits, Hits)
    assert hits == list(hits)  # a list as before
    tags = well_formed(hits._repr_html_())
    assert len(tags.of("img")) == 5
    assert all(picture["src"].startswith("data:image/jpeg;base64,") for picture in tags.of("img"))
    assert HOSTILE not in hits._repr_html_()
    table = hits.to_arrow()
    assert table.column("path").to_pylist()[0] == "0.png"
    assert table.column("title").to_pylist() == [HOSTILE, None, None, None, None]
    assert hits.to_pandas()["distance"].tolist() == [hit.distance for hit in hits]
    assert Hits().to_arrow().num_rows == 0
    assert "no hits" in Hits()._repr_html_()


def test_an_answer_shows_how_far_everything_is(collection):
    answer = Searcher.open(collection.path).ask(Query.of(Part("item", 1)), Options(k=3))
    tags = well_formed(answer._repr_html_())
    assert len(tags.of("img")) == 3
    assert len(tags.of("rect")) == np.count_nonzero(answer.counts)


def test_pictures_that_are_gone_leave_an_empty_cell(collection, tmp_path):
    codes = BinaryCodes.from_bits(np.eye(4, 16, dtype=int))
    alone = Collection.create(tmp_path / "codes.dh", num_bits=16)
    alone.append(uris=["a", "b", "../../etc/passwd", "d"], codes=codes)
    shown = well_formed(alone._repr_html_())
    assert shown.of("img") == []
    assert len(Searcher.open(alone.path).by_codes(codes[:1])._repr_html_()) > 100


def test_a_collection_shows_itself_and_becomes_a_table(collection):
    assert len(well_formed(collection._repr_html_()).of("img")) == 5
    table = collection.to_arrow()
    ids, codes = collection.codes()
    assert table.column("id").to_pylist() == ids.tolist()
    assert table.column("code").to_pylist() == codes.hex()
    assert collection.to_pandas().set_index("path").loc["0.png", "title"] == HOSTILE


def test_codes_show_how_even_their_bits_are():
    codes = BinaryCodes.from_bits(np.arange(6)[:, None] >> np.arange(5) & 1)
    tags = well_formed(codes._repr_html_())
    assert len(tags.of("rect")) == 3  # bits 3 and 4 are never set
    assert codes.to_arrow().column("code").to_pylist() == codes.hex()
    assert codes.to_pandas()["code"].tolist() == codes.hex()
    well_formed(codes[:0]._repr_html_())


def test_a_report_shows_its_figures():
    rng = np.random.default_rng(0)
    codes, labels = BinaryCodes.from_bits(rng.integers(0, 2, (60, 16))), rng.integers(0, 3, 60)
    report = evaluate_codes(codes[:10], codes[10:], labels[:10], labels[10:], method=HOSTILE)
    html = report._repr_html_()
    tags = well_formed(html)
    assert HOSTILE not in html
    assert len(tags.of("tr")) == 1 + len(report.figures)
    assert report.to_arrow().column("value").to_pylist() == [figure.value for figure in report.figures]
    assert set(report.to_pandas()["protocol"]) == {str(figure.protocol) for figure in report.figures}


def test_tables_escape_everything_but_html():
    text = html_table([(HOSTILE, Html("<b>x</b>"), None, 0.123456)], (HOSTILE, "", "", ""))
    assert HOSTILE not in text
    assert "<b>x</b>" in text
    assert "0.1235" in text
    well_formed(html_bars([0, 0], title=HOSTILE))
    well_formed(html_bars([], title=""))


def test_without_pandas_its_command_is_named(monkeypatch):
    real = builtins.__import__
    monkeypatch.setattr("deephash.faces.import_module", lambda name: real("nothing_called_so"))
    with pytest.raises(UsageError, match="pip install pandas"):
        BinaryCodes.from_bits([[0, 1]]).to_pandas()
