"""Cells of tables: what is a number, what is no label, and names that look like headings."""

import os

import numpy as np
import pytest

from deephash.codes import BinaryCodes
from deephash.collection import Collection
from deephash.collection.attributes import read_attributes
from deephash.collection.exports import export_codes
from deephash.collection.folder import hash_of_file
from deephash.collection.imports import import_codes
from deephash.collection.kinds import guess_kind
from deephash.collection.label_words import without_unlabelled
from deephash.collection.tables import LABELS, NAME, TEXT
from deephash.data import Manifest
from deephash.data.manifests import read_item_table
from deephash.scoring.sides import Draw, collection_pair
from tests.e2e.miniatures import picture_folder
from tests.unit.test_tables import names_of, write


@pytest.mark.parametrize(
    ("cells", "kind"),
    [
        (["1", "-5"], "integer"),
        (["1", "2.5"], "number"),
        (["1e3", ".5", "-0.5"], "number"),
        (["007"], "text"),
        (["00.5"], "text"),
        (["+4930123456"], "text"),
        (["1_000"], "text"),
        (["12345678901234567890"], "text"),
        (["1e999"], "text"),
        (["nan"], "text"),
        (["\u0663.5"], "text"),
    ],
)
def test_numbers_are_what_anybody_would_call_numbers(cells, kind):
    assert guess_kind("column", cells) == kind


@pytest.mark.parametrize("name", [*LABELS, *NAME, *TEXT, "Category"])
def test_whatever_may_be_read_as_labels_and_names_stays_as_written(name):
    assert guess_kind(name, ["yes", "no"]) == guess_kind(name, ["1.10", "1"]) == "text"


@pytest.mark.parametrize("name", ["hash", "code", "ad"])
def test_a_picture_may_be_called_like_a_heading(tmp_path, name):
    made = Collection.create(tmp_path / "x.dh", num_bits=16)
    made.append(uris=[name, "b"], codes=BinaryCodes(np.array([[1, 2], [3, 4]], np.uint8), 16))
    export_codes(made, tmp_path / "o.hex", "hex")
    assert names_of(import_codes(tmp_path / "o.hex", tmp_path / "back.dh")) == [name, "b"]


@pytest.mark.parametrize(
    ("words", "kept"),
    [
        (["0", "-1", "12"], ["0", "", "12"]),
        (["0|3", "-1", ""], ["0|3", "", ""]),
        (["-1", "-1"], ["", ""]),
        (["cat", "-1"], ["cat", "-1"]),
        (["007", "-1"], ["007", "-1"]),
        (["-2", "-1"], ["-2", "-1"]),
    ],
)
def test_minus_one_among_numbers_is_no_label(tmp_path, words, kept):
    assert without_unlabelled(words) == kept
    picture_folder(tmp_path / "p", classes=1, per_class=len(words))
    rows = [f"p/class0/{row}.png,{word}" for row, word in enumerate(words)]
    table = Manifest(str(write(tmp_path, "items.csv", "\n".join(["path,label", *rows])))).read()
    assert table.class_names == sorted({part for word in kept for part in word.split("|") if part})


def test_a_collection_is_scored_without_items_of_minus_one(tmp_path):
    codes = BinaryCodes.from_bits(np.random.default_rng(0).integers(0, 2, (40, 16)))
    labels = ["-1" if row % 4 == 0 else str(row % 4) for row in range(40)]
    made = Collection.create(tmp_path / "x.dh", num_bits=16)
    made.append(uris=[f"{row}" for row in range(40)], codes=codes, attributes=[{"label": word} for word in labels])
    pair = collection_pair(made, Draw())
    found = [word for side in (pair.query, pair.database) for word in side.labels]
    assert (found.count(""), found.count("-1")) == (10, 0)


def test_the_row_numbers_of_pandas_are_no_attribute(tmp_path):
    found = read_attributes(write(tmp_path, "a.csv", ",path,stars\n0,a.png,3\n1,b.png,4\n"))
    assert dict(found) == {"a.png": {"stars": 3}, "b.png": {"stars": 4}}


def test_the_check_of_a_split_reads_labels_as_training_does(tmp_path):
    rows = ["path,label,split", "a.png,-1,train", "b.png,1,query", "c.png,-1,query"]
    found = read_item_table(write(tmp_path, "items.csv", "\n".join(rows)))
    assert (found.labels, found.class_names) == (((), (0,), ()), ("1",))


@pytest.mark.posix
def test_a_pipe_among_training_pictures_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe.png")
    assert hash_of_file(tmp_path / "pipe.png") is None
