"""Half-paired splits and the picture-text data sets: fixed splits, stored masks, no way from a half to its partner."""

import json

import numpy as np
import pytest
import torch
from PIL import Image

from deephash.backbones import Backbone
from deephash.data import FashionItems, FeatureFile, Flickr8k, Manifest, PairingMask, SemiPaired, Wiki
from deephash.errors import DataError, DatasetNotFound, UsageError
from deephash.models import RREH, CCAHash
from tests.paths import shared_data


@pytest.fixture
def feature_file(tmp_path):
    draw = np.random.default_rng(0)
    split = np.array(["train,database"] * 80 + ["query"] * 20)
    columns = {"image_features": draw.standard_normal((100, 6)), "text_features": draw.standard_normal((100, 4))}
    np.savez(tmp_path / "features.npz", labels=np.arange(100) % 5, split=split, **columns)
    return str(tmp_path / "features.npz")


@pytest.mark.parametrize("scheme", ["shuffle", "missing"])
def test_masks_are_what_they_say(scheme):
    rows = np.arange(10, 110)
    mask = PairingMask.draw(rows, 0.3, scheme, seed=4)
    again = PairingMask.draw(rows, 0.3, scheme, seed=4)
    for name in ("pairs", "image_alone", "text_alone"):
        np.testing.assert_array_equal(getattr(mask, name), getattr(again, name))
        assert (np.diff(getattr(mask, name)) > 0).all()
    assert len(mask.pairs) == 30
    assert set(mask.pairs) | set(mask.image_alone) | set(mask.text_alone) == set(rows)
    if scheme == "shuffle":
        np.testing.assert_array_equal(mask.image_alone, mask.text_alone)
    else:
        assert len(mask.image_alone) == len(mask.text_alone) == 35
        assert not set(mask.image_alone) & set(mask.text_alone)
    assert set(PairingMask.draw(rows, 0.3, scheme, seed=5).pairs) != set(mask.pairs)


def test_lone_halves_have_rows_of_their_own(feature_file):
    data = SemiPaired(FeatureFile(feature_file), share=0.25, mask_seed=1)
    data.setup()
    train = data.splits["train"]
    assert len(train) == 20 + 60 + 60
    has = [train.present[name] for name in ("image", "text")]
    assert [flags.sum() for flags in has] == [80, 80]
    assert (has[0] | has[1]).all()
    assert (has[0] & has[1]).sum() == 20
    assert data.splits["query"].present["text"].all()
    np.testing.assert_array_equal(data.splits["query"].rows, np.arange(80, 100))
    np.testing.assert_array_equal(data.splits["database"].rows, np.arange(80))
    assert data.protocol_name == "features-shuffle25/v1"


def test_missing_halves_are_missing_in_the_database_too(feature_file):
    data = SemiPaired(FeatureFile(feature_file), share=0.5, scheme="missing")
    data.setup()
    database = data.splits["database"]
    assert len(database) == 80
    assert database.present["image"].sum() == database.present["text"].sum() == 60
    assert set(database.rows) == set(data.splits["train"].rows)


def test_absent_halves_are_not_scored(feature_file):
    from deephash.scoring.encoding import encoded_side

    data = SemiPaired(FeatureFile(feature_file), share=0.5, scheme="missing")
    model = RREH(4, Backbone("features:6"), Backbone("features:4"))
    data.attach(model)
    model.fit(data.splits["train"].columns())
    side = encoded_side(model, data, "database", "text")
    present = data.splits["database"].present["text"]
    assert len(side) == present.sum() == 60
    np.testing.assert_array_equal(side.names, np.array(data.splits["database"].names)[present])
    np.testing.assert_array_equal(side.labels, data.splits["database"].labels[present])


def test_the_split_never_reshuffles_and_the_mask_is_kept(feature_file, tmp_path):
    file = str(tmp_path / "mask.npz")
    one = SemiPaired(FeatureFile(feature_file), share=0.25, mask_seed=1, mask_file=file)
    two = SemiPaired(FeatureFile(feature_file), share=0.9, mask_seed=7, mask_file=file)
    for data in (one, two):
        data.setup()
        data.setup()
    assert one.split_checksum == two.split_checksum
    other = SemiPaired(FeatureFile(feature_file), share=0.25, mask_seed=2)
    other.setup()
    assert other.split_checksum != one.split_checksum
    np.savez(tmp_path / "mask.npz", pairs=np.arange(3), image_alone=np.arange(0), text_alone=np.arange(0))
    with pytest.raises(UsageError, match="other training items"):
        SemiPaired(FeatureFile(feature_file), mask_file=file).setup()
    np.savez(tmp_path / "mask.npz", pairs=np.arange(3))
    with pytest.raises(DataError, match="not a mask"):
        PairingMask.load(file)


def test_no_query_is_trained_on_and_rreh_fits(feature_file):
    data = SemiPaired(FeatureFile(feature_file), share=0.25)
    model = RREH(4, Backbone("features:6"), Backbone("features:4"))
    data.attach(model)
    origin = {name.partition("#")[0] for name in data.splits["train"].names}
    assert not origin & set(data.splits["query"].names)
    (batch,) = data.train_dataloader()
    model.fit(batch)
    codes = data.codes(model, "query", modality="text")
    assert len(codes) == 20
    alone = model.encode({"text_features": batch["text_features"][:1]})
    assert alone == model.encode({"text_features": batch["text_features"]})[0], "codes do not depend on batch mates"


def test_what_cannot_be_taken_apart(tmp_path, feature_file):
    np.savez(tmp_path / "one.npz", image_features=np.zeros((10, 2)), labels=np.arange(10) % 2)
    with pytest.raises(UsageError, match="no text"):
        SemiPaired(FeatureFile(str(tmp_path / "one.npz"))).setup()
    with pytest.raises(UsageError, match="did you mean 'missing'"):
        PairingMask.draw(np.arange(4), 0.5, "misssing")
    with pytest.raises(UsageError, match="within"):
        PairingMask.draw(np.arange(4), 1.5)


@pytest.fixture
def listed(tmp_path):
    """Twelve pictures in a table, and sentence vectors beside it; the fifth line has none."""
    lines = ["path,split,labels"]
    for row in range(12):
        Image.new("RGB", (8, 8), (20 * row, 0, 0)).save(tmp_path / f"{row}.png")
        lines.append(f"{row}.png,{'query' if row < 2 else 'train'},{'xy'[row % 2]}")
    (tmp_path / "items.csv").write_text("\n".join(lines) + "\n")
    vectors = np.random.default_rng(0).normal(size=(12, 5))
    vectors[4] = np.nan
    np.save(tmp_path / "sentences.npy", vectors)
    return tmp_path, vectors


def test_sentence_vectors_beside_a_table_of_pictures(listed):
    folder, vectors = listed
    data = Manifest(str(folder / "items.csv"), text_vectors=str(folder / "sentences.npy"), hold_out=False)
    pictures = Backbone("small_cnn:4", None, image_size=8)
    model = CCAHash(4, pictures, Backbone("features:5"))
    data.attach(model)
    train = data.splits["train"]
    expected = torch.from_numpy(np.nan_to_num(vectors[train.rows])).float()
    torch.testing.assert_close(train.features["text"], expected)
    assert (train.rows[~train.columns()["has_text"].numpy()] == [4]).all()
    model.fit(train.columns())
    assert len(data.codes(model, "query", modality="text")) == 2
    other = Manifest(str(folder / "items.csv"))
    assert data.table.checksum != other.table.checksum


@pytest.mark.parametrize(
    ("content", "error", "says"),
    [
        (None, DatasetNotFound, "no such file"),
        (np.zeros((11, 5)), DataError, r"\[12, D\]"),
        (np.zeros(12), DataError, "a row a line"),
        (np.array(["a"] * 12)[:, None], DataError, "must hold numbers"),
        (np.full((12, 2), np.inf), DataError, "infinite"),
    ],
)
def test_sentence_vectors_that_do_not_fit(listed, content, error, says):
    folder, _ = listed
    (folder / "sentences.npy").unlink()
    if content is not None:
        np.save(folder / "sentences.npy", content)
    with pytest.raises(error, match=says):
        Manifest(str(folder / "items.csv"), text_vectors=str(folder / "sentences.npy")).setup()


def test_wiki_is_the_official_split():
    data = Wiki(str(shared_data("wiki", "wiki_features.npz")))
    data.setup()
    assert {name: len(split) for name, split in data.splits.items()} | {"train": 2173} == {
        "train": 2173,
        "query": 693,
        "database": 2173,
        "validation_query": len(data.splits["validation_query"]),
        "validation_database": len(data.splits["validation_database"]),
    }
    assert data.num_classes == 10
    assert data.table.vectors["text"].shape == (2866, 10)


def test_wiki_wrong_files(tmp_path, feature_file):
    with pytest.raises(DatasetNotFound):
        Wiki(str(tmp_path / "none.npz")).setup()
    with pytest.raises(DataError, match="lacks image_train"):
        Wiki(feature_file).setup()


@pytest.fixture
def flickr(tmp_path):
    lines = []
    for row in range(12):
        Image.new("RGB", (20, 16), (20 * row, 100, 50)).save(tmp_path / f"{row}.jpg")
        lines.append({"file": f"{row}.jpg", "captions": [f"caption {n} of picture {row}" for n in range(5)]})
    (tmp_path / "captions.jsonl").write_text("\n".join(map(json.dumps, lines)))
    return tmp_path


def test_flickr8k(flickr):
    data = Flickr8k(str(flickr), text="2", test_items=4)
    data.setup()
    assert {name: len(split) for name, split in data.splits.items()} == {"train": 8, "query": 4, "database": 4}
    assert not set(data.splits["train"].rows) & set(data.splits["query"].rows)
    assert data.table.sources["text"](3) == "caption 2 of picture 3"
    assert Flickr8k(str(flickr)).table.sources["text"](3).startswith("caption 0 of picture 3 caption 1")
    assert data.table.sources["image"](3).size == (20, 16)
    assert data.captions(1)[4] == "caption 4 of picture 1"
    model = RREH(4, Backbone("small_cnn:4", weights=None), Backbone("tfidf:30", weights=None), num_anchors=4)
    data.attach(model)
    assert not model.encoders["text"].needs_texts
    assert data.splits["query"].features["text"].shape == (4, 30)
    with pytest.raises(UsageError, match="test_items"):
        Flickr8k(str(flickr), test_items=12).setup()
    (flickr / "captions.jsonl").write_text('{"file": 1}')
    with pytest.raises(DataError, match="line 1 lacks captions"):
        Flickr8k(str(flickr)).setup()
    (flickr / "captions.jsonl").write_text("{")
    with pytest.raises(DataError, match="not JSON"):
        Flickr8k(str(flickr)).setup()
    with pytest.raises(DatasetNotFound):
        Flickr8k(str(flickr / "nowhere")).setup()


def test_fashion_items():
    data = FashionItems(str(shared_data("fashion")))
    data.setup()
    assert len(data.splits["query"]) == 800
    assert len(data.splits["database"]) == 4000 + 6201
    assert data.num_classes == 40
    assert data.table.sources["image"](5).size == (60, 80)
    assert "  " not in data.table.sources["text"](5)
    assert torch.from_numpy(data.splits["train"].labels).bincount().min() >= 50


def test_fashion_files_must_fit(tmp_path):
    np.savez(tmp_path / "fashion_images.npz", blob=np.zeros(3, np.uint8), offsets=np.zeros(3, np.int64))
    (tmp_path / "fashion_items.jsonl").write_text('{"title": "a", "type": "b", "split": "train"}')
    with pytest.raises(DataError, match="does not hold 1 pictures"):
        FashionItems(str(tmp_path)).setup()
