"""Lists of items in the forms of others, as Manifest and data check read them."""

import json
import tarfile

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import parquet

from deephash.data import Manifest
from deephash.data.items.hugging_face import class_names
from deephash.data.items.reading import read_items
from deephash.errors import DataError, DatasetNotFound, UsageError
from tests import item_lists
from tests.item_lists import NAMES, is_square_of


def sizes(data):
    data.setup()
    return {name: len(split) for name, split in data.splits.items() if not name.startswith("validation")}


def test_oml_columns_say_who_asks(tmp_path):
    data = Manifest(str(item_lists.oml(tmp_path)), hold_out=False)
    assert sizes(data) == {"train": 16, "query": 8, "database": 8}
    assert data.splits["query"].rows.tolist() == list(range(16, 24))
    assert data.class_names == ["0", "1", "2", "3"]
    assert data.notes == [f"{tmp_path / 'df.csv'} has columns that are not used: category"]
    assert sizes(Manifest(str(tmp_path / "df.csv")))["train"] == 12  # four validate, as nobody of them is a query


def test_items_that_ask_and_are_searched_are_told(tmp_path):
    lines = [line.replace("True,False", "True,True") for line in item_lists.oml(tmp_path).read_text().splitlines()]
    (tmp_path / "df.csv").write_text("\n".join(lines))
    data = Manifest(str(tmp_path / "df.csv"))
    assert sizes(data)["database"] == 16
    assert any("8 items ask and are searched" in note and "--leave-one-out" in note for note in data.notes)


@pytest.mark.parametrize("word", ["validation", "val", "Valid"])
def test_validation_asks_where_nobody_else_does(tmp_path, word):
    rows = [f"{row},c{row % 2},{word if row < 6 else 'train'}" for row in range(20)]
    (tmp_path / "a.csv").write_text("\n".join(["text,label,split", *rows]))
    data = Manifest(str(tmp_path / "a.csv"))
    assert sizes(data) == {"train": 12, "query": 6, "database": 14}
    assert any("nobody is in split query" in note for note in data.notes)
    (tmp_path / "a.csv").write_text("\n".join(["text,label,split", *rows, "x,c0,test"]))
    data = Manifest(str(tmp_path / "a.csv"))
    assert sizes(data)["query"] == 1
    assert len(data.splits["validation_query"]) == 6


@pytest.mark.parametrize(
    ("content", "error", "says"),
    [
        ("text,label,labels\na,x,y\n", UsageError, "both 'label' and 'labels'"),
        ("text,is_query\na,perhaps\n", DataError, "line 2: is_query is true or false, not 'perhaps'"),
        ("text,label,split\na,x,tset\n", UsageError, "item 0 is in split 'tset'"),
    ],
)
def test_tables_that_say_two_things(tmp_path, content, error, says):
    (tmp_path / "a.csv").write_text(content)
    with pytest.raises(error, match=says):
        Manifest(str(tmp_path / "a.csv")).setup()


def test_items_of_no_split_are_counted(tmp_path):
    (tmp_path / "a.csv").write_text("text,label,split\na,x,train\nb,x,train\nc,x,query\nd,x,\n")
    data = Manifest(str(tmp_path / "a.csv"), hold_out=False)
    assert sizes(data) == {"train": 2, "query": 1, "database": 2}
    assert "1 of 4 items are in no split and are left out" in data.notes


def test_coco_has_labels_captions_and_parts(tmp_path):
    data = Manifest(str(item_lists.coco(tmp_path / "coco")), hold_out=False)
    assert sizes(data) == {"train": 24, "query": 8, "database": 24}
    assert data.class_names == sorted(NAMES)
    assert data.table.labels.shape == (32, 4)
    assert data.table.labels.sum(axis=1).tolist() == [2, *[1] * 23, 2, *[1] * 7]
    assert data.table.sources["text"](1) == "a green square one green square"
    assert is_square_of(data.table.sources["image"](25), 1)
    assert data.table.names[24] == "val2017/000000.png"


@pytest.mark.parametrize("kind", ["instances", "captions"])
def test_one_coco_file_is_divided(tmp_path, kind):
    folder = item_lists.coco(tmp_path / "coco")
    data = Manifest(str(folder / "annotations" / f"{kind}_train2017.json"))
    assert sizes(data)["query"] == 5  # a fifth, rounded
    assert {"image", "text"} == set(data.table.sources)
    assert data.table.names[3] == "000003.png"


def test_coco_captions_alone_are_instances(tmp_path):
    folder = item_lists.coco(tmp_path / "coco")
    (folder / "annotations" / "instances_val2017.json").unlink()
    data = Manifest(str(folder / "annotations" / "captions_val2017.json"))
    assert sizes(data) == {"train": 6, "query": 2, "database": 2}
    assert data.table.labels is None
    assert np.array_equal(data.splits["query"].rows, data.splits["database"].rows)


def changed(folder, kind, change):
    file = folder / "annotations" / f"{kind}_val2017.json"
    document = json.loads(file.read_text())
    change(document)
    file.write_text(json.dumps(document))
    return file


@pytest.mark.parametrize(
    ("kind", "change", "says"),
    [
        ("instances", lambda d: d["annotations"][2].update(image_id=5), r"annotations\[2\] is of image id 5"),
        (
            "instances",
            lambda d: d["annotations"][2].update(category_id=12),
            "category_id 12, which none of the 4 categories has",
        ),
        ("instances", lambda d: d["annotations"][0].update(category_id=[1]), r"category_id \[1\]"),
        ("captions", lambda d: d["annotations"][1].pop("caption"), r"annotations\[1\] has neither 'caption' nor"),
        ("captions", lambda d: d["images"][1].update(file_name="../x.png"), "leads out of its folder"),
        ("captions", lambda d: d["images"][1].update(id=1000), "as one before it"),
        ("captions", lambda d: d.pop("images"), "no list 'images'"),
        ("captions", lambda d: d.update(images=[]), "lists no images"),
        ("instances", lambda d: d.update(categories=[{"id": 1}]), "'categories' is a list"),
    ],
)
def test_coco_mistakes(tmp_path, kind, change, says):
    file = changed(item_lists.coco(tmp_path / "coco"), kind, change)
    with pytest.raises(DataError, match=says):
        read_items(file)


def test_coco_pictures_that_are_not_there(tmp_path):
    folder = item_lists.coco(tmp_path / "coco")
    file = folder / "annotations" / "instances_val2017.json"
    (folder / "val2017" / "000003.png").unlink()
    data = Manifest(str(file))
    assert data.notes[0].startswith("1 pictures of the list do not exist; the first: 000003.png")
    with pytest.raises(DatasetNotFound, match="none of the pictures"):
        Manifest(str(file), root=str(tmp_path / "elsewhere")).setup()
    assert len(read_items(file, folder / "val2017").missing_files()) == 1
    (tmp_path / "no.json").write_text("[]")
    with pytest.raises(DataError, match="no COCO file"):
        read_items(tmp_path / "no.json")


@pytest.mark.parametrize("write", [item_lists.saved_to_disk, item_lists.hub_folder])
def test_hugging_face_folders(tmp_path, write):
    data = Manifest(str(write(tmp_path / "set")), hold_out=False)
    assert sizes(data) == {"train": 24, "query": 8, "database": 24}
    assert data.class_names == sorted(NAMES)
    rows = [next(row for row, name in enumerate(data.table.names) if f"{part}" in name) for part in ("test", "train")]
    assert [is_square_of(data.table.sources["image"](row + 5), 5) for row in rows] == [True, True]
    assert data.table.sources["text"](rows[0] + 1) == "a green square"
    assert data.class_names[data.table.labels[rows[0] + 1]] == "green"


def test_one_parquet_file_with_pictures_is_divided(tmp_path):
    parquet.write_table(item_lists.rows_of(20), tmp_path / "all.parquet")
    data = Manifest(str(tmp_path / "all.parquet"), hold_out=False)
    assert sizes(data) == {"train": 16, "query": 4, "database": 16}
    table = (
        item_lists.rows_of(20).drop_columns(["image"]).append_column("path", pa.array([f"{n}.png" for n in range(20)]))
    )
    parquet.write_table(table, tmp_path / "paths.parquet")  # a table of text, as before
    assert read_items(tmp_path / "paths.parquet").names[3] == "3.png"


def test_hugging_face_mistakes(tmp_path):
    good = item_lists.rows_of(8)
    wrong = good.set_column(1, "label", pa.array([0, 1, 2, 3, 4, 0, 0, -1], pa.int64()))
    folder = item_lists.saved_to_disk(tmp_path / "range", {"train": good, "test": wrong})
    with pytest.raises(DataError, match="label is 4, but its 4 classes are numbered from 0 to 3"):
        read_items(folder)
    both = good.append_column("labels", good["label"])
    with pytest.raises(UsageError, match="both 'label' and 'labels'"):
        read_items(item_lists.saved_to_disk(tmp_path / "both", {"train": both}))
    with pytest.raises(UsageError, match="neither pictures nor a column text"):
        read_items(item_lists.saved_to_disk(tmp_path / "bare", {"train": good.select(["label"])}))
    (folder / "train" / "data-00000-of-00002.arrow").unlink()
    (folder / "train" / "data-00000-of-00002.arrow").write_bytes(b"nonsense")
    with pytest.raises(DataError, match="cannot be read"):
        read_items(folder)
    (tmp_path / "empty").mkdir()
    with pytest.raises(UsageError, match="no list of items"):
        read_items(tmp_path / "empty")


def test_several_classes_of_an_item():
    inner = {"_type": "ClassLabel", "names": ["a", "b"]}
    features = {
        "one": inner,
        "old": {"_type": "Sequence", "feature": inner},
        "new": [inner],
        "text": {"_type": "Value"},
    }
    assert class_names(features) == {"one": ["a", "b"], "old": ["a", "b"], "new": ["a", "b"]}


def test_webdataset_tars(tmp_path):
    folder = item_lists.tars(tmp_path / "shards")
    data = Manifest(str(folder), hold_out=False)
    assert sizes(data) == {"train": 24, "query": 8, "database": 24}
    assert data.class_names == ["0", "1", "2", "3"]
    assert is_square_of(data.table.sources["image"](17), 17)
    assert data.table.sources["text"](17) == "a green square"
    for name in ("train-{000000..000001}.tar", "train-*.tar"):
        assert len(read_items(folder / name)) == 24
    with pytest.raises(DatasetNotFound, match=r"train-000002\.tar"):
        read_items(folder / "train-{000000..000002}.tar")


def test_tars_with_labels_in_json_and_torn_ones(tmp_path):
    import io

    with tarfile.open(tmp_path / "a.tar", "w") as archive:
        for row in range(6):
            said = json.dumps({"labels": ["x", "y"][: 1 + row % 2], "split": "test" if row < 2 else "train"}).encode()
            for suffix, content in (("png", item_lists.png(row)), ("json", said)):
                member = tarfile.TarInfo(f"{row}.{suffix}")
                member.size = len(content)
                archive.addfile(member, io.BytesIO(content))
    items = read_items(tmp_path / "a.tar")
    assert items.labels == ["x", "x|y"] * 3
    assert items.split == ["test", "test", "train", "train", "train", "train"]
    content = (tmp_path / "a.tar").read_bytes()
    (tmp_path / "torn.tar").write_bytes(content[:1000])
    with pytest.raises(DataError, match="torn"):
        read_items(tmp_path / "torn.tar")
