"""Streams as files and as data: who comes when, checksums, replay, never a query in training."""

import json

import numpy as np
import pytest
from PIL import Image

from deephash.backbones import Backbone
from deephash.data import Digits, FeatureFile, Manifest, StreamTask
from deephash.data.stream_drawing import class_stream, domain_stream, extended, modality_stream
from deephash.data.streams import Stream, Task, read_stream
from deephash.errors import DataError, DatasetNotFound, UsageError
from deephash.models import LSH, OrthoHash
from deephash.testing.data_sets import DataModuleContract

DIGITS = {"class_path": "deephash.data.Digits", "init_args": {}}


@pytest.fixture(scope="module")
def digits():
    return Digits()


@pytest.fixture
def stream_file(digits, tmp_path):
    path = tmp_path / "digits.json"
    class_stream(digits, DIGITS, [5, 3, 2]).save(path)
    return path


def feature_file(folder, per_class=20, classes=("a", "b", "c"), name="f.npz", **more):
    rng = np.random.default_rng(0)
    labels = np.repeat(np.arange(len(classes)), per_class)
    path = folder / name
    centres = rng.normal(size=(len(classes), 8))
    features = (centres[labels] + 0.1 * rng.normal(size=(len(labels), 8))).astype(np.float32)
    np.savez(
        path, image_features=features, labels=labels, class_names=np.array(classes),
        names=np.array([f"{classes[number]}{row}" for row, number in enumerate(labels)]), **more,
    )  # fmt: skip
    return path


class TestStreamTask(DataModuleContract):
    def make_data(self, **options):
        return StreamTask(str(self.file), **options)

    @pytest.fixture(autouse=True)
    def _file(self, stream_file):
        self.file = stream_file


# The file ------------------------------------------------------------------------------------------------


def test_a_stream_is_read_as_it_was_written(stream_file, digits):
    again = read_stream(stream_file)
    assert again == class_stream(digits, DIGITS, [5, 3, 2])
    assert [len(task.classes) for task in again.tasks] == [5, 3, 2]
    assert set(again.classes) == set(digits.class_names)


def test_the_seed_draws_the_order_and_a_given_order_is_kept(digits):
    first, other = (class_stream(digits, DIGITS, [5, 5], seed=seed) for seed in (0, 1))
    assert first.classes != other.classes
    assert first.checksum() != other.checksum()
    given = class_stream(digits, DIGITS, [2, 1], order=["9", "0", "4"])
    assert given.classes == ("9", "0", "4")
    assert given.tasks[1].classes == ("4",)


def test_every_item_of_the_base_keeps_its_part(digits):
    stream, base = class_stream(digits, DIGITS, [5, 5]), Digits()
    base.setup()
    for part in ("query", "database", "validation_query"):
        listed = {name for task in stream.tasks for name in task.items[part]}
        assert listed == set(base.splits[part].names)


def test_an_edited_list_is_refused(stream_file):
    record = json.loads(stream_file.read_text())
    lists = record["tasks"][0]["items"]
    lists["query"].append(lists["train,database"].pop())
    stream_file.write_text(json.dumps(record))
    with pytest.raises(DataError, match="items of task 1 are not those of its checksum"):
        read_stream(stream_file)


def _tiny(**parts):
    return {"train": ("a",), "query": ("q",), "database": ("a",), **parts}


def test_a_query_is_never_in_training():
    later = Task("two", _tiny(train=("b",), query=("r",), database=("b",)))
    Stream("class", DIGITS, "p/v1", ("x",), (Task("one", _tiny()), later))
    for part in ("train", "database"):
        wrong = Task("two", {"train": ("b",), "query": ("r",), "database": ("b",), part: ("b", "r")})
        with pytest.raises(DataError, match="'r' asks, and is learned from or searched"):
            Stream("class", DIGITS, "p/v1", ("x",), (Task("one", _tiny()), wrong))


def test_an_item_is_of_one_task_only():
    again = Task("two", _tiny(query=("r",)))
    with pytest.raises(DataError, match="'a' is an item of two tasks"):
        Stream("class", DIGITS, "p/v1", ("x",), (Task("one", _tiny()), again))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"format_version": 99}, "stream format 99"),
        ({"tasks": []}, "length of 0"),
        ({"kind": "odd"}, "one of class, domain, modality"),
        ({"data": {"class_path": "os.system"}}, None),
    ],
)
def test_a_strangers_file_is_read_with_care(stream_file, change, message):
    record = json.loads(stream_file.read_text()) | change
    stream_file.write_text(json.dumps(record))
    if message is None:  # the file is sound, the data set is not built
        with pytest.raises(UsageError, match=r"names os\.system, which is not one of deephash"):
            StreamTask(str(stream_file))
        return
    with pytest.raises(DataError if "99" not in message else Exception, match=message):
        read_stream(stream_file)


def test_a_missing_file_says_how_to_make_one(tmp_path):
    with pytest.raises(DatasetNotFound, match="deephash data stream"):
        read_stream(tmp_path / "no.json")


def test_bad_requests_are_one_sentence(digits):
    with pytest.raises(UsageError, match="divides 11 classes, and the data has 10"):
        class_stream(digits, DIGITS, [6, 5])
    with pytest.raises(UsageError, match=r"'nine' is no class"):
        class_stream(digits, DIGITS, [1, 1], order=["nine", "1"])
    with pytest.raises(UsageError, match="no change of pictures"):
        domain_stream(digits, DIGITS, corruptions=["clean", "rotation:9"])
    with pytest.raises(UsageError, match="has no column 'season'"):
        domain_stream(digits, DIGITS, by="season")
    with pytest.raises(UsageError, match="has image, not 'text'"):
        modality_stream(digits, DIGITS, [["image"], ["text"]])


# The data of a task --------------------------------------------------------------------------------------


def made(path, **options):
    data = StreamTask(str(path), **options)
    data.setup()
    return data


def test_a_task_has_its_own_training_items_and_everybody_so_far_asks(stream_file):
    stream, data = read_stream(stream_file), made(stream_file, task=2)
    own = set(stream.tasks[1].items["train"])
    assert set(data.splits["train"].names) == own - set(stream.tasks[1].items["validation_query"])
    for part in ("query", "database", "validation_query"):
        assert set(data.splits[part].names) == {name for task in stream.tasks[:2] for name in task.items[part]}
    assert set(np.unique(data.splits["query"].sessions)) == {1, 2}
    assert data.num_classes == 10
    first_classes = data.splits["train"].labels
    assert first_classes.min() == 5  # numbers are places in the whole stream's order
    assert first_classes.max() == 7


@pytest.mark.parametrize("replay", [0, 50, "all"])
def test_replay_draws_earlier_training_items_by_seed(stream_file, replay):
    data, again = (made(stream_file, task=3, replay=replay) for _ in range(2))
    assert data.splits["train"].names == again.splits["train"].names
    old = data.splits["train"].sessions < 3
    stream = read_stream(stream_file)
    able = {
        name for task in stream.tasks[:2] for name in set(task.items["train"]) - set(task.items["validation_query"])
    }
    assert set(np.array(data.splits["train"].names)[old]) <= able
    assert old.sum() == (len(able) if replay == "all" else replay)
    if replay == 50:
        assert made(stream_file, task=3, replay=50, seed=1).splits["train"].names != data.splits["train"].names


def test_batches_say_which_task_a_row_came_with(tmp_path):
    path = feature_file(tmp_path)
    stream = tmp_path / "s.json"
    description = {"class_path": "deephash.data.FeatureFile", "init_args": {"path": str(path)}}
    class_stream(FeatureFile(str(path)), description, [2, 1], order=["a", "b", "c"]).save(stream)
    data = made(stream, task=2, replay=5)
    data.attach(LSH(8, Backbone("features:8", weights=None)))
    (batch,) = data.train_dataloader()
    assert batch["session"].tolist().count(1) == 5
    assert ((batch["session"] == 2) == (batch["labels"] == 2)).all()


def test_items_of_several_labels_come_with_the_last_of_them(tmp_path):
    rng = np.random.default_rng(0)
    labels = (rng.random((120, 3)) < 0.4).astype(np.uint8)
    np.savez(tmp_path / "m.npz", image_features=rng.normal(size=(120, 4)).astype(np.float32), labels=labels)
    description = {"class_path": "deephash.data.FeatureFile", "init_args": {"path": str(tmp_path / "m.npz")}}
    class_stream(FeatureFile(str(tmp_path / "m.npz")), description, [2, 1], order=["2", "0", "1"]).save(
        tmp_path / "s.json"
    )
    data = made(tmp_path / "s.json", task=2)
    assert data.table.labels.shape == (120, 3)
    assert np.array_equal(data.table.labels, labels[:, [2, 0, 1]])
    assert (data.splits["train"].labels[:, 2] == 1).all()
    unlabelled = ~labels.any(axis=1)
    assert (data.table.sessions[unlabelled] == 0).all()


def test_domains_by_a_column_and_by_changes_of_the_pictures(tmp_path, digits):
    lines = ["path,label,season"]
    for row in range(40):
        Image.new("RGB", (8, 8), (row, 0, 0)).save(tmp_path / f"{row}.png")
        lines.append(f"{row}.png,{'xy'[row % 2]},{'summer' if row < 20 else 'winter'}")
    (tmp_path / "items.csv").write_text("\n".join(lines))
    description = {"class_path": "deephash.data.Manifest", "init_args": {"path": str(tmp_path / "items.csv")}}
    stream = domain_stream(Manifest(str(tmp_path / "items.csv")), description, by="season", values=["winter", "summer"])
    assert [task.name for task in stream.tasks] == ["winter", "summer"]
    assert all(int(name[:-4]) >= 20 for name in stream.tasks[0].items["train"])

    domain_stream(digits, DIGITS, corruptions=["clean", "rotation:5"]).save(tmp_path / "turned.json")
    data = made(tmp_path / "turned.json", task=2)
    sides = [np.flatnonzero(data.table.sessions == number)[0] for number in (1, 2)]
    same = [np.array_equal(data.table.sources["image"](row), digits.table.sources["image"](row)) for row in sides]
    assert same == [True, False]
    assert "image" not in data.table.vectors  # grey values would be the unturned ones
    assert data.table.checksum != digits.table.checksum
    assert "rotation:5" in data.pictures
    counts = [np.bincount(data.table.labels[data.table.sessions == number], minlength=10) for number in (1, 2)]
    assert np.abs(counts[0] - counts[1]).max() <= 4  # divided by class


def test_a_modality_arrives_later(tmp_path):
    rng = np.random.default_rng(0)
    both = {f"{half}_features": rng.normal(size=(60, 4)).astype(np.float32) for half in ("image", "text")}
    np.savez(tmp_path / "p.npz", labels=np.arange(60) % 3, **both)
    description = {"class_path": "deephash.data.FeatureFile", "init_args": {"path": str(tmp_path / "p.npz")}}
    base = FeatureFile(str(tmp_path / "p.npz"))
    modality_stream(base, description, [["image"], ["image", "text"]]).save(tmp_path / "s.json")
    data = made(tmp_path / "s.json", task=2, replay="all")
    assert data.splits["train"].present["image"].all()
    assert np.array_equal(data.splits["train"].present["text"], data.splits["train"].sessions == 2)


def test_a_grown_data_set_adds_a_task_and_leaves_the_others_alone(tmp_path):
    old = feature_file(tmp_path)
    describe = lambda path: {"class_path": "deephash.data.FeatureFile", "init_args": {"path": str(path)}}  # noqa: E731
    stream = class_stream(FeatureFile(str(old)), describe(old), [2, 1])
    with pytest.raises(UsageError, match="nothing new to learn"):
        extended(stream, FeatureFile(str(old)), describe(old))
    grown = feature_file(tmp_path, classes=("a", "b", "c", "aa"), name="grown.npz")
    more = extended(stream, FeatureFile(str(grown)), describe(grown))
    assert more.tasks[:2] == stream.tasks
    assert more.checksum(2) == stream.checksum()
    assert more.classes == (*stream.classes, "aa")
    more.save(tmp_path / "more.json")
    assert set(made(tmp_path / "more.json", task=3).splits["train"].labels) == {3}


def test_items_that_are_gone_are_named(tmp_path):
    path = feature_file(tmp_path)
    description = {"class_path": "deephash.data.FeatureFile", "init_args": {"path": str(path)}}
    class_stream(FeatureFile(str(path)), description, [2, 1]).save(tmp_path / "s.json")
    feature_file(tmp_path, per_class=10)
    with pytest.raises(DataError, match=r"items of the task .* are not in the data any more, the first"):
        made(tmp_path / "s.json")


def test_a_later_task_needs_an_earlier_one_in_the_file(stream_file):
    with pytest.raises(UsageError, match="has tasks 1 to 3, not 4"):
        StreamTask(str(stream_file), task=4)
    with pytest.raises(UsageError, match="0 or more, not -1"):
        StreamTask(str(stream_file), replay=-1)


def test_one_cache_on_disk_serves_all_tasks(stream_file, tmp_path):
    backbone = Backbone("small_cnn:2", weights=None, frozen=True, image_size=8)
    folders = set()
    import torch

    for number in (1, 2):
        torch.manual_seed(0)
        data = made(stream_file, task=number, cache_dir=str(tmp_path / "cache"))
        data.attach(OrthoHash(8, 10, backbone))
        folders |= {path.name for path in (tmp_path / "cache").iterdir()}
    assert len(folders) == 1


def test_domains_by_an_array_of_a_feature_file(tmp_path):
    path = feature_file(tmp_path, season=np.array(["dry", "wet"] * 30))
    description = {"class_path": "deephash.data.FeatureFile", "init_args": {"path": str(path)}}
    stream = domain_stream(FeatureFile(str(path)), description, by="season")
    assert [task.name for task in stream.tasks] == ["dry", "wet"]
    assert all(int(name[1:]) % 2 == 1 for name in stream.tasks[1].every_name())
    with pytest.raises(UsageError, match="no array 'seasn' of one entry an item"):
        domain_stream(FeatureFile(str(path)), description, by="seasn")
    with pytest.raises(UsageError, match="no item has season = 'hot'"):
        domain_stream(FeatureFile(str(path)), description, by="season", values=["hot", "dry"])
