"""Manifests: text that is read back unchanged, shipped ones that fit the data, and changes that are noticed."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deephash.data.facts import facts_of, known_splits, require_facts
from deephash.data.manifests import (
    SplitManifest,
    cifar10_labels,
    manifest_of_rule,
    parse_manifest,
    read_hashnet_lists,
    read_manifest,
    shipped_manifest,
    shipped_manifests,
    write_manifest,
)
from deephash.data.protocols import build_split, split_checksum
from deephash.errors import DataError, DatasetNotFound, UsageError
from tests.paths import shared_data

names = st.text(st.characters(codec="utf-8", exclude_categories=("C", "Zl", "Zp")), min_size=1)
entries = st.lists(
    st.tuples(
        names, st.lists(st.integers(0, 300), max_size=3, unique=True), st.sets(st.sampled_from(["query", "train"]))
    ),
    max_size=20,
)


@settings(deadline=None)  # a machine that others share may pause for a quarter of a second
@given(entries)
def test_every_manifest_survives_its_text(rows):
    splits = {
        name: np.array([i for i, (_, _, parts) in enumerate(rows) if name in parts], dtype=np.int64)
        for name in ("query", "train")
        if any(name in parts for _, _, parts in rows)
    }
    manifest = SplitManifest("x/v1", tuple(row[0] for row in rows), tuple(tuple(row[1]) for row in rows), splits)
    again = parse_manifest(manifest.to_text())
    assert (again.names, again.labels) == (manifest.names, manifest.labels)
    assert {name: list(rows) for name, rows in again.splits.items()} == {k: list(v) for k, v in splits.items()}
    assert again.checksum == manifest.checksum
    assert again.to_text() == manifest.to_text()


def small():
    return SplitManifest(
        protocol="toy/v1",
        names=("a b.jpg", "c.jpg", "d.jpg"),
        labels=((0,), (1, 2), ()),
        splits={"query": np.array([0]), "database": np.array([1, 2])},
        class_names=("cat", "dog", "emu"),
        seed=3,
        remarks=("a remark: with a colon",),
    )


def test_the_text_is_the_documented_one():
    lines = small().to_text().splitlines()
    assert lines[0] == "# deephash-manifest: 1"
    assert "# classes: cat | dog | emu" in lines
    assert lines[-3:] == ["query\ta b.jpg\t0", "database\tc.jpg\t1,2", "database\td.jpg\t"]
    again = parse_manifest(small().to_text())
    assert (again.seed, again.class_names, again.remarks, again.pairs) == (
        3,
        small().class_names,
        small().remarks,
        False,
    )


def test_labels_as_arrays():
    assert small().label_array().tolist() == [[1, 0, 0], [0, 1, 1], [0, 0, 0]]
    single = SplitManifest("x", ("a", "b"), ((1,), ()), {})
    assert single.label_array().tolist() == [1, -1]
    assert single.num_classes == 2


def test_a_changed_line_is_noticed(tmp_path):
    write_manifest(small(), tmp_path / "m.tsv")
    text = (tmp_path / "m.tsv").read_text()
    (tmp_path / "m.tsv").write_text(text.replace("c.jpg", "x.jpg"))
    with pytest.raises(DataError, match="changed since it was written"):
        read_manifest(tmp_path / "m.tsv")
    meant = "\n".join(line for line in text.replace("c.jpg", "x.jpg").split("\n") if not line.startswith("# checksum"))
    (tmp_path / "m.tsv").write_text(meant)
    assert read_manifest(tmp_path / "m.tsv").names[1] == "x.jpg"
    assert [path.name for path in tmp_path.iterdir()] == ["m.tsv"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "no split manifest"),
        ("query\ta\t0\n", "no split manifest"),
        ("# deephash-manifest: 2\n", "format 2"),
        ("# deephash-manifest: 1\nquery a 0\n", ":2: a line is"),
        ("# deephash-manifest: 1\nqueries\ta\t0\n", "did you mean 'query'"),
        ("# deephash-manifest: 1\nquery\ta\tcat\n", ":2: a line is"),
        ("# deephash-manifest: 1\nquery\t\t1\n", "not empty"),
    ],
)
def test_what_is_no_manifest_is_refused(text, message):
    with pytest.raises((DataError, UsageError), match=message):
        parse_manifest(text)


def test_missing_and_binary_files_are_named(tmp_path):
    with pytest.raises(DatasetNotFound, match="deephash data list"):
        read_manifest(tmp_path / "none.tsv")
    (tmp_path / "b.tsv").write_bytes(bytes(range(256)))
    with pytest.raises(DataError, match="cannot be read as text"):
        read_manifest(tmp_path / "b.tsv")


def test_hashnet_lists(tmp_path):
    (tmp_path / "test.txt").write_text("val/a b.jpg 0 1 0\nval/c.jpg 1 0 1\n\n")
    (tmp_path / "db.txt").write_text("train/0.jpg 0 0 0\n")
    found = read_hashnet_lists(
        {"query": tmp_path / "test.txt", "database": tmp_path / "db.txt"}, protocol="coco-hashnet"
    )
    assert found.names == ("val/a b.jpg", "val/c.jpg", "train/0.jpg")
    assert found.labels == ((1,), (0, 2), ())
    assert {name: rows.tolist() for name, rows in found.splits.items()} == {"query": [0, 1], "database": [2]}


@pytest.mark.parametrize("line", ["a.jpg", "a.jpg cat", "a.jpg 0 1", "a.jpg 0 1 0 2"])
def test_odd_lines_of_lists_are_named(line, tmp_path):
    (tmp_path / "l.txt").write_text("first.jpg 0 1 0\n" + line + "\n")
    with pytest.raises(DataError, match=r"l\.txt:2"):
        read_hashnet_lists({"query": tmp_path / "l.txt"})


def test_names_and_splits_that_would_break_the_file_are_refused():
    with pytest.raises(UsageError, match="tab"):
        SplitManifest("x", ("a\tb",), ((0,),), {})
    with pytest.raises(UsageError, match="no split is called 'test'"):
        SplitManifest("x", ("a",), ((0,),), {"test": np.array([0])})
    with pytest.raises(UsageError, match="1 names but 2"):
        SplitManifest("x", ("a",), ((0,), (1,)), {})


@pytest.mark.parametrize("name", shipped_manifests())
def test_shipped_manifests_have_the_counts_that_are_told(name):
    manifest, facts = shipped_manifest(f"{name}/v1"), require_facts(name)
    sizes = {split: len(rows) for split, rows in manifest.splits.items()}
    assert sizes == {"query": facts.query, "train": facts.train, "database": facts.database}


@pytest.mark.parametrize("name", ["caltech101", "flowers17", "flickr8k_1000"])
def test_shipped_names_are_the_files(name):
    folder = shared_data(name)
    there = {str(path.relative_to(folder)) for path in folder.rglob("*.jpg")}
    assert set(shipped_manifest(name).names) == there


def test_flowers_split_is_the_first_sixty_of_eighty():
    manifest = shipped_manifest("flowers17")
    for name in manifest.names_of("train"):
        assert (int(name[-8:-4]) - 1) % 80 < 60
    for name in manifest.names_of("query"):
        assert (int(name[-8:-4]) - 1) % 80 >= 60


def test_cifar10_labels_are_those_of_the_data():
    with np.load(shared_data("cifar10", "cifar10_jpeg.npz")) as table:
        assert np.array_equal(cifar10_labels(), table["labels"])


def test_a_drawn_manifest_names_official_positions():
    manifest = manifest_of_rule("cifar10-i", cifar10_labels(), n_train_images=50_000, seed=0)
    assert (manifest.names[0], manifest.names[49_999], manifest.names[50_000]) == (
        "train/00000",
        "train/49999",
        "test/00000",
    )
    assert {name: len(rows) for name, rows in manifest.splits.items()} == {
        "query": 1000, "train": 5000, "database": 59000, "validation_query": 500, "validation_database": 4500,
    }  # fmt: skip
    rows = build_split("cifar10-i", cifar10_labels(), n_train_images=50_000, seed=0)
    assert manifest.checksum == split_checksum(rows) == CIFAR10_I_SEED_0  # what a run on CIFAR-10 says
    assert parse_manifest(manifest.to_text()).checksum == CIFAR10_I_SEED_0


# Golden: the split that `deephash data split --protocol cifar10-i --seed 0` has always written.
CIFAR10_I_SEED_0 = "sha256:8af3a9eb5635dc1e4ad241245b83bde4eac887385bfdd33c08eaaafc2c4864de"


def test_unknown_names_get_suggestions():
    with pytest.raises(UsageError, match="did you mean 'caltech101'"):
        shipped_manifest("caltech")
    with pytest.raises(UsageError, match="did you mean 'coco-hashnet'"):
        require_facts("coco-hashnets")
    assert facts_of("my own") is None


def test_facts_are_consistent():
    for name, facts in known_splits().items():
        assert facts.name == name
        assert facts.source in ("counted", "code", "stated", "recalled")
        assert facts.remark
        if facts.train_in_database and facts.train and facts.database:
            assert facts.train <= facts.database
