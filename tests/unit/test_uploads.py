"""Pictures handed over on the page: one decode, one pass, the codes that indexing gives."""

import io

import numpy as np
import pytest
from deephash.webui.live import add_pictures
from deephash.webui.workspace import Workspace
from PIL import Image

from deephash.collection import Collection
from deephash.collection.hubs import complete_hub_biases, store_hub_bank
from deephash.errors import UnreadablePicture, UsageError
from deephash.ingest import index_folder
from deephash.ingest.uploads import add_uploads
from deephash.pictures import opening
from deephash.search import Searcher
from tests.e2e.collection_child import tiny_model

LIMIT = 1 << 20


def png(seed, side=24):
    file = io.BytesIO()
    Image.fromarray(np.random.default_rng(seed).integers(0, 256, (side, side, 3), dtype=np.uint8)).save(file, "PNG")
    return file.getvalue()


@pytest.fixture
def model():
    return tiny_model()


@pytest.fixture
def collection(tmp_path, model):
    (tmp_path / "pictures").mkdir()
    (tmp_path / "pictures" / "0.png").write_bytes(png(0))
    index_folder(tmp_path / "pictures", tmp_path / "x.dh", model, keep_vectors=True, engine="torch")
    return Collection.open(tmp_path / "x.dh")


def test_adding_on_the_page_decodes_each_picture_once_and_runs_the_network_once(collection, monkeypatch):
    workspace = Workspace([collection.path])
    decoded, ran, decode = [], [], opening.decode
    monkeypatch.setattr(opening, "decode", lambda *given: (decoded.append(1), decode(*given))[1])
    encoder = workspace.place().searcher.encoder.model
    encoder.model.encoders["image"].register_forward_hook(lambda _, rows, __: ran.append(len(rows[0])))
    told = []
    change = add_pictures(
        workspace, "x", [("a.png", png(1)), ("b.png", png(2))], progress=lambda *said: told.append(said)
    )
    assert (len(decoded), ran) == (2, [1, 1])
    assert told == [(1, 2), (2, 2)]
    assert len(change.ids) == 2
    assert workspace.place().searcher.by_id(change.ids[0], 1)[0].id == change.ids[0]


def test_uploads_get_what_indexing_gives(collection, model, tmp_path):
    (added,), skipped = add_uploads(collection, model, [("../../a dog.png", png(5))], most_bytes=LIMIT)
    assert not skipped
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "5.png").write_bytes(png(5))
    index_folder(tmp_path / "other", tmp_path / "y.dh", model, keep_vectors=True)
    indexed = Collection.open(tmp_path / "y.dh")
    ids, codes = collection.codes()
    assert codes[ids == added] == indexed.codes()[1]
    assert np.array_equal(collection.vectors([added]), indexed.vectors(indexed.ids()))
    mine, theirs = collection.items([added])[0], indexed.items(indexed.ids())[0]
    assert mine.content_hash == theirs.content_hash
    names = ("width", "height", "size")
    assert [mine.attributes[name] for name in names] == [theirs.attributes[name] for name in names]
    assert mine.attributes["folder"] == "uploads"
    assert "label" not in mine.attributes
    assert mine.uri == f"collection:uploads/{mine.content_hash}.png"
    assert collection.picture_path(mine).read_bytes() == png(5)


def test_uploads_are_corrected_by_the_bank_that_the_collection_keeps(collection, model):
    bank = model.encode_images([Image.new("RGB", (8, 8), (shade, 0, 0)) for shade in (0, 90, 200)])
    assert store_hub_bank(collection, "image", bank) == 1
    add_uploads(collection, model, [("a.png", png(8))], most_bytes=LIMIT)
    assert complete_hub_biases(collection) == 0
    assert len(Searcher.open(collection.path).by_image(png(8), 2, correct_hubs=True)) == 2


def test_what_cannot_be_taken_is_named_and_the_others_are_taken(collection, model):
    files = [
        ("old.png", png(0)),
        ("bad.png", b"x"),
        ("big.png", png(3, 64)),
        ("new.png", png(4)),
        ("twice.png", png(4)),
    ]
    ids, skipped = add_uploads(collection, model, files, most_bytes=len(png(4, 32)))
    assert len(ids) == 1
    reasons = dict(skipped)
    assert "already in the collection" in reasons["old.png"]
    assert "already in the collection" in reasons["twice.png"]
    assert "not a picture in a known format" in reasons["bad.png"]
    assert "larger than" in reasons["big.png"]
    assert len(collection.refresh()) == 2
    before = collection.version
    with pytest.raises(UnreadablePicture, match=r"nothing was added\. bad\.png: not a picture"):
        add_uploads(collection, model, [("bad.png", b"x")], most_bytes=LIMIT)
    with pytest.raises(UnreadablePicture, match="larger than 1 MiB"):
        add_uploads(collection, model, [("big.png", bytes(LIMIT + 1))], most_bytes=LIMIT)
    assert collection.refresh().version == before
    assert not [path for path in (collection.path / "uploads").iterdir() if path.name.startswith(".")]


def test_the_precision_of_the_collection_is_kept(tmp_path, model, monkeypatch):
    (tmp_path / "pictures").mkdir()
    (tmp_path / "pictures" / "0.png").write_bytes(png(0))
    index_folder(tmp_path / "pictures", tmp_path / "rough.dh", model, precision="bf16")
    rough = Collection.open(tmp_path / "rough.dh")
    (added,), _ = add_uploads(rough, model, [("a.png", png(7))], most_bytes=LIMIT)
    (tmp_path / "pictures" / "7.png").write_bytes(png(7))
    index_folder(tmp_path / "pictures", tmp_path / "again.dh", model, precision="bf16")
    again = Collection.open(tmp_path / "again.dh")
    wanted = again.find(["7.png"])["7.png"]
    ids, codes = rough.codes()
    other_ids, other = again.codes()
    assert codes[ids == added] == other[other_ids == wanted]


def test_a_collection_without_a_model_takes_no_pictures(tmp_path):
    Collection.create(tmp_path / "codes.dh", num_bits=8)
    with pytest.raises(UsageError, match="has no model"):
        add_pictures(Workspace([tmp_path / "codes.dh"]), "codes", [("a.png", png(1))])
