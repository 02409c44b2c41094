"""A second look: equal codes are copies only where the pixels agree, and never by the codes of classes alone."""

import numpy as np
import pytest
from PIL import Image

from deephash.codes import BinaryCodes
from deephash.collection import Collection
from deephash.search import Options, Part, Query, Searcher, second_look
from tests.paths import shared_data


@pytest.fixture
def collection(tmp_path):
    """A photograph, its copy as a small JPEG, another photograph of nearly the same code, and a file that is gone."""
    photos = sorted(shared_data("caltech101", "test", "dalmatian").iterdir())[:2]
    for photo, name in zip(photos, ("one.png", "other.png")):
        Image.open(photo).convert("RGB").save(tmp_path / name)
    one = Image.open(tmp_path / "one.png")
    one.resize((one.width // 2, one.height // 2)).save(tmp_path / "copy.jpg", quality=70)
    codes = BinaryCodes.from_hex(["0f" * 8, "0f" * 7 + "0e", "0f" * 7 + "0d", "0f" * 8, "f0" * 8])
    made = Collection.create(tmp_path / "x.dh", num_bits=64, root=tmp_path)
    made.append(uris=["one.png", "copy.jpg", "other.png", "gone.png", "far.png"], codes=codes)
    return made


def remarks(collection):
    answer = Searcher.open(collection.path).ask(
        Query.of(Part("code", BinaryCodes.from_hex(["0f" * 7 + "ff"]))), Options(4)
    )
    return {hit.uri: remark.partition("; ")[0] for hit, remark in zip(answer.hits, answer.remarks)}


def test_only_pictures_that_agree_are_near_duplicates(collection):
    found = remarks(collection)
    first = next(iter(found))
    assert first == "one.png"
    assert found["copy.jpg"] == "near-duplicate of #1"
    assert "near-duplicate" not in found["other.png"]
    assert found["gone.png"] == "same code as #1"


def test_codes_of_classes_are_not_looked_at(collection, monkeypatch):
    monkeypatch.setattr("deephash.search.answer.has_class_codes", lambda collection, column: True)
    assert "near-duplicate" not in remarks(collection)["copy.jpg"]
    assert remarks(collection)["gone.png"] == "same code as #1"


def test_no_more_pictures_are_looked_at_than_an_answer_may_cost(collection, monkeypatch):
    opened = []
    monkeypatch.setattr(second_look, "_miniatures", lambda collection, item: opened.append(item.id))
    ids = collection.ids()[:2].tolist()
    assert second_look.copies_among(collection, [tuple(ids)] * 100) == set()
    assert np.unique(opened).tolist() == ids
    assert second_look.copies_among(collection, []) == set()
