"""The data sets keep the contract, read their real formats, and answer mistakes in words."""

import numpy as np
import pytest
import torch
from PIL import Image

from deephash.backbones import Backbone
from deephash.data import Cifar10, Digits, FeatureFile, Manifest, PictureFolder
from deephash.data.batch import SlicedBatches
from deephash.data.manifests import manifest_of_rule
from deephash.errors import DataError, DatasetNotFound, UsageError
from deephash.models import ITQ, LSH, OrthoHash
from deephash.testing.data_sets import DataModuleContract
from tests.e2e import miniatures


class TestDigits(DataModuleContract):
    backbone = Backbone("small_cnn:2", weights=None, frozen=True, image_size=8)

    def make_data(self, **options):
        return Digits(**options)

    def test_grey_values_as_vectors(self):
        data = Digits()
        data.attach(LSH(8, Backbone("features:64", weights=None)))
        assert data.splits["train"].features["image"].shape == (1295, 64)


class TestCifar10(DataModuleContract):
    @pytest.fixture(autouse=True)
    def file(self, tmp_path_factory):
        folder = tmp_path_factory.getbasetemp()
        self.path = folder / "cifar.npz"
        if not self.path.exists():
            miniatures.compact_cifar10(self.path)

    def make_data(self, **options):
        data = Cifar10(file=str(self.path), **options)
        data.setup()
        keep = {name: 40 if name == "train" else 20 for name in data.splits}
        for name, split in data.splits.items():  # a few of the thousands, so that the contract runs in a second
            same = "train" if name == "validation_database" else name
            data.splits[name] = split.without(set(split.rows[keep[same] :].tolist()))
        return data

    def test_without_holding_out_all_training_items_are_learned_from(self, data):
        whole = Cifar10(file=str(self.path), hold_out=False)
        whole.setup()
        assert len(whole.splits["train"]) == 5000
        assert whole.split_checksum == data.split_checksum

    def test_counts_and_protocol(self):
        data = Cifar10(file=str(self.path))
        data.setup()
        counts = {name: len(split) for name, split in data.splits.items()}
        assert counts["query"] == 1000
        assert counts["train"] + counts["validation_query"] == 5000
        assert counts["database"] == 5200
        assert (data.protocol_name, data.pictures) == ("cifar10-i/v1", "jpeg-q75")

    def test_items_have_the_names_of_the_manifest(self, data):
        first = int(np.load(self.path)["n_train"])
        manifest = manifest_of_rule("cifar10-i", data.table.labels, n_train_images=first)
        assert data.table.names == list(manifest.names)
        assert data.table.names[first] == "test/00000"

    def test_missing_data_says_what_to_do(self, tmp_path):
        with pytest.raises(DatasetNotFound, match=r"download=true"):
            Cifar10(root=str(tmp_path)).setup()

    def test_another_npz(self, tmp_path):
        np.savez(tmp_path / "a.npz", labels=np.zeros(3))
        with pytest.raises(DataError, match="lacks blob"):
            Cifar10(file=str(tmp_path / "a.npz")).setup()


class TestPictureFolder(DataModuleContract):
    @pytest.fixture(autouse=True)
    def folder(self, tmp_path):
        self.path = miniatures.picture_folder(tmp_path / "pictures", per_class=10)

    def make_data(self, **options):
        return PictureFolder(str(self.path), **options)

    def test_train_and_test_folders_decide(self, tmp_path):
        for part in ("train", "test"):
            miniatures.picture_folder(tmp_path / "parts" / part)
        data = PictureFolder(str(tmp_path / "parts"))
        data.setup()
        assert all(name.startswith("test/") for name in data.splits["query"].names)
        assert all(name.startswith("train/") for name in data.splits["database"].names)

    def test_damaged_pictures_are_listed_and_left_out(self):
        damaged = self.path / "class0" / "0.png"
        damaged.write_bytes(damaged.read_bytes()[:40])
        (self.path / "class1" / "1.jpg").write_text("no picture")
        for frozen in (True, False):
            data = PictureFolder(str(self.path))
            data.attach(OrthoHash(8, 3, Backbone("small_cnn:2", None, frozen, image_size=8)))
            assert set(data.skipped) == {"class0/0.png", "class1/1.jpg"}
            assert "2 pictures cannot be read" in data.notes[-1]
            assert not {"class0/0.png", "class1/1.jpg"} & {name for s in data.splits.values() for name in s.names}

    def test_classes_without_pictures_are_told(self):
        (self.path / "empty").mkdir()
        data = self.make_data()
        data.setup()
        assert data.notes == ["1 sub-folders hold no pictures: empty"]
        assert data.num_classes == 3

    def test_no_folder_and_no_classes(self, tmp_path):
        with pytest.raises(DatasetNotFound, match="not a folder"):
            PictureFolder(str(tmp_path / "no")).setup()
        Image.new("RGB", (4, 4)).save(tmp_path / "alone.png")
        (tmp_path / "flat").mkdir()
        with pytest.raises(DatasetNotFound, match="in sub-folders"):
            PictureFolder(str(tmp_path / "flat")).setup()

    def test_features_are_kept_on_disk_and_found_again(self, tmp_path, monkeypatch):
        model = LSH(8, Backbone("small_cnn:2", None, image_size=8))
        first = self.make_data(cache_dir=str(tmp_path / "cache"))
        first.attach(model)
        assert list((tmp_path / "cache").rglob("*.npy"))
        second = self.make_data(cache_dir=str(tmp_path / "cache"))
        monkeypatch.setattr(model.encoders["image"], "forward", lambda batch: pytest.fail("computed again"))
        second.attach(model)
        assert torch.equal(first.splits["train"].features["image"], second.splits["train"].features["image"])

    def test_other_weights_are_other_features(self, tmp_path):
        tables = []
        for seed in (0, 1):
            torch.manual_seed(seed)
            data = self.make_data(cache_dir=str(tmp_path / "cache"))
            data.attach(LSH(8, Backbone("small_cnn:2", None, image_size=8)))
            tables.append(data.splits["train"].features["image"])
        assert not torch.equal(*tables)


class TestManifest(DataModuleContract):
    @pytest.fixture(autouse=True)
    def file(self, tmp_path):
        pictures = miniatures.picture_folder(tmp_path / "pictures", per_class=9)
        self.path = miniatures.manifest(tmp_path / "items.csv", pictures, texts=True)

    def make_data(self, **options):
        return Manifest(str(self.path), **options)

    def test_parquet_is_the_same(self):
        from pyarrow import csv, parquet

        parquet.write_table(csv.read_csv(self.path), self.path.with_suffix(".parquet"))
        both = [Manifest(str(path)) for path in (self.path, self.path.with_suffix(".parquet"))]
        for data in both:
            data.setup()
        assert both[0].split_checksum == both[1].split_checksum
        assert np.array_equal(both[0].table.labels, both[1].table.labels)

    def test_several_labels_and_none(self, tmp_path):
        path = tmp_path / "many.csv"
        path.write_text("text,split,labels\na,query,x|y\nb,train,y\nc,train,\nd,train,x\n")
        table = Manifest(str(path)).table
        assert table.labels.tolist() == [[1, 1], [0, 1], [0, 0], [1, 0]]
        assert table.class_names == ["x", "y"]
        assert "1 of 4 items have no label" in table.notes[0]

    @pytest.mark.parametrize(
        ("text", "error", "says"),
        [
            ("paht,labels\na,b\n", UsageError, "did you mean 'path'"),
            ("path,split\na.png,trian\n", (UsageError, DatasetNotFound), "."),
            ("text,split,labels\na,trian,x\n", UsageError, "did you mean 'train'"),
            ("labels\nx\n", UsageError, "nor"),
            ("path,labels\n", DataError, "no items"),
            ("path,labels\nmissing.png,x\n", DatasetNotFound, "none of the pictures"),
            ("text\nhello\n", UsageError, "who is query"),
        ],
    )
    def test_mistakes(self, tmp_path, text, error, says):
        path = tmp_path / "wrong.csv"
        path.write_text(text)
        with pytest.raises(error, match=says):
            Manifest(str(path)).setup()


class TestFeatureFile(DataModuleContract):
    backbone = Backbone("features:6", weights=None)

    @pytest.fixture(autouse=True)
    def file(self, tmp_path):
        self.path = miniatures.feature_file(tmp_path / "features.npz", {"image": 6, "text": 4})

    def make_data(self, **options):
        return FeatureFile(str(self.path), **options)

    def test_another_width_is_refused(self):
        with pytest.raises(UsageError, match="use features:6"):
            self.make_data().attach(LSH(8, Backbone("features:7", weights=None)))

    @pytest.mark.parametrize(
        ("columns", "error", "says"),
        [
            ({"labels": np.zeros(3)}, UsageError, "image_features"),
            ({"image_features": np.zeros((3, 2))}, UsageError, "neither split nor labels"),
            ({"image_features": np.full((3, 2), np.nan), "labels": np.zeros(3)}, DataError, "NaN"),
            ({"image_features": np.zeros((3, 2)), "labels": np.zeros(4)}, UsageError, "other lengths"),
            ({"image_features": np.zeros((3, 2)), "labels": np.full(3, 0.5)}, UsageError, "class numbers"),
            ({"image_features": np.zeros((2, 2)), "split": np.array(["query", "tarin"])}, UsageError, "'train'"),
            ({"image_features": np.zeros(3), "labels": np.zeros(3)}, UsageError, r"\[N, D\]"),
        ],
    )
    def test_mistakes(self, tmp_path, columns, error, says):
        np.savez(tmp_path / "wrong.npz", **columns)
        with pytest.raises(error, match=says):
            FeatureFile(str(tmp_path / "wrong.npz")).setup()

    def test_no_file_and_no_npz(self, tmp_path):
        with pytest.raises(DatasetNotFound, match="no such file"):
            FeatureFile(str(tmp_path / "no.npz")).setup()
        (tmp_path / "text.npz").write_text("hello")
        with pytest.raises(DataError, match="plain arrays"):
            FeatureFile(str(tmp_path / "text.npz")).setup()


class TestMisfits:
    def test_batches_of_one(self):
        with pytest.raises(UsageError, match="batch_size"):
            Digits(batch_size=1)

    def test_a_model_of_texts(self):
        model = LSH(8, Backbone("features:64", weights=None))
        model.encoders["text"] = model.encoders["image"]
        with pytest.raises(UsageError, match="reads 'text'"):
            Digits().attach(model)

    def test_closed_forms_need_a_frozen_backbone(self):
        with pytest.raises(UsageError, match="frozen: true"):
            Digits().attach(ITQ(8, Backbone("small_cnn:2", None, frozen=False, image_size=8)))


def test_sliced_batches():
    table = {"a": torch.arange(10), "b": torch.arange(10) * 2}
    assert [len(batch["a"]) for batch in SlicedBatches(table, 4)] == [4, 4, 2]
    assert [len(batch["a"]) for batch in SlicedBatches(table, 4, drop_last=True)] == [4, 4]
    assert [len(batch["a"]) for batch in SlicedBatches(table, 40, drop_last=True)] == [10]
    shuffled = torch.cat([batch["b"] for batch in SlicedBatches(table, 3, shuffle=True)])
    assert sorted(shuffled.tolist()) == table["b"].tolist()
    with pytest.raises(UsageError, match="one length"):
        SlicedBatches({"a": torch.zeros(2), "b": torch.zeros(3)}, 2)


def test_batches_before_a_model_is_attached():
    data = Digits()
    data.setup()
    with pytest.raises(UsageError, match=r"call attach\(model\) of Digits first"):
        data.train_dataloader()
