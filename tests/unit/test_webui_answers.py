"""One answer and what is said about it: of one version, with a cut-off that fits, in plain grammar."""

import os
import re
from dataclasses import replace

import numpy as np
import pytest
from deephash.webui import collectionview
from deephash.webui.actions import start
from deephash.webui.codeview import code_html, histogram_html
from deephash.webui.collectionview import collection_facts, collection_html
from deephash.webui.compare import Variant, compare
from deephash.webui.evaluationview import read_report
from deephash.webui.results import counted, nothing_found_html, results_html, status_html
from deephash.webui.workspace import Workspace

from deephash.codes import BinaryCodes
from deephash.collection import Collection
from deephash.errors import DataError
from deephash.reports.report import LONGEST
from deephash.search import Options, finding
from tests.web.collections import random_collection

BITS = 16


@pytest.fixture
def workspace(tmp_path) -> Workspace:
    """``few`` holds 40 codes of 16 bits, ``short`` 30 of 8 bits."""
    random_collection(tmp_path / "few.dh", 40, BITS)
    random_collection(tmp_path / "short.dh", 30, 8, seed=1)
    return Workspace([tmp_path / "few.dh", tmp_path / "short.dh"])


def test_an_answer_is_of_one_version_though_the_collection_changes_meanwhile(workspace, monkeypatch):
    search = finding.find

    def removed_meanwhile(snapshot, *given):
        found = search(snapshot, *given)
        Collection.open(snapshot.collection.path).remove([found.hits[1].id])
        return found

    monkeypatch.setattr("deephash.search.searcher.find", removed_meanwhile)
    answer = workspace.answer("few", workspace.item_query("few", 1), Options(k=5))
    assert len(answer.codes) == len(answer.hits) == 5
    assert answer.total == answer.counts.sum() == 40
    assert len(workspace.place("few").searcher) == 39


def test_a_cutoff_of_longer_codes_ends_at_the_last_bit(workspace):
    answer = workspace.answer("short", workspace.item_query("short", 1), Options(max_distance=BITS))
    drawn = histogram_html(answer)
    assert 'max="8" value="8"' in drawn
    assert min(float(width) for width in re.findall(r'width="([-\d.]+)"', drawn)) >= 0


def test_what_is_said_has_plain_grammar(workspace):
    assert [counted(number, "bit") for number in (0, 1, 2, 2000)] == ["0 bits", "1 bit", "2 bits", "2,000 bits"]
    query = workspace.item_query("few", 1)
    line = re.sub(r"<[^>]+>", "", status_html(workspace.answer("few", query, Options(k=1))))
    assert line.startswith("1 of 40 pictures 16 bits search")
    assert line.endswith("Download list")
    nothing = workspace.answer("few", query, Options(k=1, max_distance=1, where="uri = nobody.jpg"))
    assert "No item passes the filter" in nothing_found_html(nothing)
    assert "no result to compare" in code_html(nothing)
    assert ">0</b> within" in histogram_html(nothing)
    far = workspace.answer("few", query, Options(max_distance=1))
    assert "No match within 1 bit<" in nothing_found_html(far)
    assert "start with one of these" in start(workspace, "few").results.lower()
    assert "draw" not in start(workspace, "few").results  # no model, so nothing else can be asked


def test_only_an_item_of_the_collection_itself_has_an_address(workspace):
    query = workspace.item_query("few", 1)
    answer = workspace.answer("few", query, Options(k=2))
    assert 'data-link="?collection=few&amp;id=1&amp;k=2"' in results_html(answer)
    stranger = replace(answer, query=workspace.item_query("short", 1))
    assert re.search(r'data-link="\?collection=few&amp;code=[0-9a-f]{4}&amp;k=2"', results_html(stranger))


def test_shorter_codes_are_those_of_this_workspace_and_this_version(workspace, tmp_path):
    other = tmp_path / "elsewhere"
    other.mkdir()
    random_collection(other / "few.dh", 40, BITS, seed=9)
    for one in (workspace, Workspace([other / "few.dh"])):
        for _ in range(2):  # the second time with one item less
            found = compare(one, one.item_query("few", 1), Variant("few", 8), Variant("few"), 10)
            snapshot = one.place("few").searcher.snapshot
            bits = snapshot.codes_of(snapshot.ids).prefix(8).bits()
            expected = np.sort((bits != snapshot.codes_of([1]).prefix(8).bits()).sum(axis=1))[:10]
            assert [hit.distance for _, hit in found.left.hits] == expected.tolist()
            Collection.open(snapshot.collection.path).remove([found.left.hits[3][0].id])


def test_the_share_of_items_that_share_a_code(tmp_path):
    collection = Collection.create(tmp_path / "twins.dh", num_bits=8)
    codes = BinaryCodes.from_hex(["0f", "0f", "33", "33", "ff"])
    collection.append(uris=[f"{row}.jpg" for row in range(5)], codes=codes)
    place = Workspace([tmp_path / "twins.dh"]).place()
    facts = collection_facts(place)
    assert (facts.unique, facts.shared, [group.size for group in facts.collisions]) == (3, 4, [2, 2])
    assert "80 % of the items share their code" in collection_html(place)


@pytest.mark.posix
def test_a_report_is_read_like_every_file_of_others(tmp_path):
    os.mkfifo(tmp_path / "pipe.json")
    (tmp_path / "long.json").touch()
    os.truncate(tmp_path / "long.json", LONGEST + 1)
    (tmp_path / "folder").mkdir()
    said = {"pipe.json": "pipe", "long.json": "longer than 16", "folder": "no such report"}
    for name, says in said.items():
        with pytest.raises(DataError, match=says) as refused:
            read_report(tmp_path / name)
        assert str(tmp_path) not in str(refused.value)  # visitors see it


def test_the_balance_of_bits_is_counted_by_blocks(workspace, monkeypatch):
    monkeypatch.setattr(collectionview, "BLOCK", 7)
    place = workspace.place("few")
    bits = place.searcher.collection.codes()[1].bits()
    assert collection_facts(place).balance == pytest.approx(bits.mean(axis=0))


def test_bits_within_noise_are_pale_where_it_is_known_which(workspace):
    answer = workspace.answer("few", workspace.item_query("few", 1), Options(k=1))
    assert "noisy" not in code_html(answer)
    sure = np.where(np.arange(BITS) < 3, 0.6, 0.99)
    drawn = code_html(replace(answer, probabilities=sure))
    assert [int(bit) for bit in re.findall(r'noisy" data-bit="(\d+)"', drawn)] == [0, 1, 2]
    certainty = 1 - (3 * 4 * 0.6 * 0.4 + 13 * 4 * 0.99 * 0.01) / BITS
    assert f"Certainty {certainty:.2f}; 3 pale bits within noise" in drawn
