"""Codes of several levels from a folder to answers: index, search by picture and item, filters, the page's record."""

import json

import numpy as np
import pytest
import torch
from PIL import Image

from deephash.backbones import Backbone
from deephash.cli.main import main
from deephash.codes.levels import symmetric_scores
from deephash.collection import Collection
from deephash.ingest import index_folder
from deephash.models import BEBR
from deephash.search import Options, Part, Query, Searcher


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    root, draw = tmp_path_factory.mktemp("levels"), np.random.default_rng(0)
    for row in range(90):
        (root / "p" / f"class{row % 3}").mkdir(parents=True, exist_ok=True)
        base = np.full((24, 24, 3), 60 * (row % 3) + 30) + draw.normal(0, 30, (24, 24, 3))
        Image.fromarray(base.clip(0, 255).astype(np.uint8)).save(root / "p" / f"class{row % 3}" / f"{row}.png")
    torch.manual_seed(0)
    model = BEBR(20, Backbone("small_cnn:8", weights=None, image_size=24), levels=3, hidden=32).eval()
    index_folder(root / "p", root / "x.dh", model)
    return root


def expected(collection, item, k, among=None):
    ids, codes = collection.codes(collection.current.column)
    rows = np.arange(len(ids)) if among is None else np.flatnonzero(np.isin(ids, among))
    query = codes[int(np.flatnonzero(ids == item)[0])]
    scores = symmetric_scores(query, codes[rows])[0]
    order = sorted(range(len(rows)), key=lambda place: (-scores[place], ids[rows[place]] != item, ids[rows[place]]))[:k]
    return [int(ids[rows[place]]) for place in order], [float(scores[place]) for place in order]


def test_the_collection_holds_every_level(world):
    collection = Collection.open(world / "x.dh")
    _, codes = collection.codes(collection.current.column)
    assert (codes.num_bits, codes.num_levels, codes.packed.shape) == (20, 3, (90, 9))


@pytest.mark.parametrize("where", [None, "label = class1", "width > 3"])
def test_answers_come_in_the_order_of_the_symmetric_distance(world, where):
    searcher = Searcher.open(world / "x.dh")
    answer = searcher.ask(Query.of(Part("item", 7)), Options(15, where=where))
    passed = None
    if where == "label = class1":
        passed = [
            item.id for item in searcher.collection.items(searcher.snapshot.ids) if item.attributes["label"] == "class1"
        ]
    ids, scores = expected(searcher.collection, 7, 15, passed)
    assert [hit.id for hit in answer.hits] == ids
    assert [hit.similarity for hit in answer.hits] == pytest.approx(scores)
    assert all(hit.distance == int(answer.code.hamming(code)[0, 0]) for hit, code in zip(answer.hits, answer.codes))
    assert "symmetric distance over 3 levels" in answer.engine
    assert [hit.id for hit in searcher.by_id(7, 15, where=where)] == ids


def test_a_filter_that_is_asked_often_becomes_a_window_and_answers_alike(world, monkeypatch):
    monkeypatch.setattr("deephash.index.planner.HAS_MANY", 10)
    monkeypatch.setattr("deephash.index.planner.WINDOW_EARNED", 2)
    searcher = Searcher.open(world / "x.dh")
    sizes = sorted(item.attributes["size"] for item in searcher.collection.items(searcher.snapshot.ids))
    found = [searcher.by_id(7, 9, where=f"size <= {sizes[60]}") for _ in range(4)]
    assert all([hit.id for hit in each] == [hit.id for hit in found[0]] for each in found)
    assert "window" in searcher.ask(Query.of(Part("item", 7)), Options(9, where=f"size <= {sizes[60]}")).engine


def test_the_command_line_finds_a_picture_by_itself(world, capsys):
    picture = sorted((world / "p" / "class2").iterdir())[4]
    assert main(["search", str(world / "x.dh"), str(picture), "-k", "5", "--json"]) in (0, 1)
    first = json.loads(capsys.readouterr().out.splitlines()[0])
    assert (first["path"].split("/")[0], first["distance"]) == ("class2", 0)
    assert first["similarity"] == pytest.approx(1)


def test_both_engines_give_the_same_planes(world):
    by_onnx, by_torch = (Searcher.open(world / "x.dh", engine=engine) for engine in ("onnx", "torch"))
    picture = sorted((world / "p" / "class0").iterdir())[0]
    codes = [each.encode(Query.of(Part("image", picture))).code for each in (by_onnx, by_torch)]
    assert codes[0] == codes[1]
