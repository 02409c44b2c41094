"""Published shapes drawn from a user's list: counts, items of several labels, items without one, and all formats."""

import numpy as np
import pytest

from deephash.cli.main import main
from deephash.data.check import check_manifest
from deephash.data.draws import each_label, from_all
from deephash.data.facts import facts_of
from deephash.data.label_lists import read_label_list
from deephash.data.manifests import manifest_of_rule, read_manifest
from deephash.data.protocols import build_split, find_rule, split_checksum, split_rules
from deephash.errors import DataError, DatasetNotFound, UsageError

DRAW = np.random.default_rng(1)
TABLE = (DRAW.random((16_000, 21)) < np.linspace(0.06, 0.3, 21)).astype(np.uint8)
TABLE[:40] = 0
DRAWN = [name for name in split_rules() if name.endswith("-drawn")]


@pytest.mark.parametrize("name", DRAWN)
def test_counts_are_those_of_the_published_shape(name):
    splits, facts = build_split(name, TABLE, n_train_images=11_000, seed=0), facts_of(name)
    labelled = set(np.flatnonzero(TABLE.any(axis=1)).tolist())
    query, train, database = (set(splits[part].tolist()) for part in ("query", "train", "database"))
    for part, rows in (("query", query), ("train", train), ("database", database)):
        assert len(rows) == len(splits[part])
        assert rows <= labelled
    assert not query & (train | database)
    assert (train <= database) if facts.train_in_database else not train & database
    assert query | train | database == labelled
    if name == "imagenet100-drawn":
        assert query == {row for row in labelled if row >= 11_000}
        assert len(train) == 130 * 21
    else:
        assert len(query) == facts.query
        assert len(train) == (facts.train or 5_000)  # nuswide-tc10: papers differ


def test_every_label_gets_its_share_and_nobody_is_drawn_twice():
    splits = build_split("nuswide-21", TABLE, seed=3)
    assert (TABLE[splits["query"]].sum(axis=0) >= 100).all()
    assert (TABLE[splits["train"]].sum(axis=0) >= 500).all()
    alone = build_split("nuswide-21", np.tile(np.arange(5), 2000), seed=3)
    assert np.bincount(alone["query"] % 5).tolist() == [100] * 5
    assert np.bincount(alone["train"] % 5).tolist() == [500] * 5


def test_the_rarest_label_chooses_first():
    """Label 1 has three items, all of label 0 too; a draw that began with label 0 could take them away."""
    labels = np.zeros((60, 2), np.uint8)
    labels[:, 0] = 1
    labels[:3, 1] = 1
    for seed in range(20):
        splits = each_label(2, 1)(labels, None, np.random.RandomState(seed))
        assert len(splits["query"]) == 4
        assert len(set(splits["query"].tolist()) & {0, 1, 2}) == 2
        assert len(set(splits["train"].tolist()) & {0, 1, 2}) == 1
        assert sorted(splits["database"]) == sorted(set(range(60)) - set(splits["query"].tolist()))


def test_the_draw_is_pinned():
    """Golden lists: whoever changes a draw must raise the rule's version."""
    labels = (np.arange(16_000)[:, None] % np.array([2, 3, 5, 7]) == 0).astype(np.uint8)
    assert {name: split_checksum(build_split(name, labels))[7:19] for name in PINNED} == PINNED
    assert split_checksum(build_split("nuswide-21", labels, seed=1))[7:19] != PINNED["nuswide-21"]


PINNED = {"nuswide-21": "a8685edd1838", "voc2012": "fc7fdd576a49", "mirflickr-dcmh": "70adf3990b83"}


def test_the_name_says_whose_draw_it_is():
    manifest = manifest_of_rule("nuswide-21", TABLE, seed=0, names=tuple(f"{row}.jpg" for row in range(len(TABLE))))
    assert manifest.protocol == find_rule("nuswide-21-drawn/v1").protocol == "nuswide-21-drawn/v1"
    assert "not the published list" in manifest.remarks[0]
    without = int((~TABLE.any(axis=1)).sum())
    assert manifest.remarks[1] == f"{without} of 16000 items have no label and are in no list"
    problems = check_manifest(manifest, facts=facts_of(manifest.protocol))
    assert [(problem.kind, problem.message[:8]) for problem in problems] == [("wrong-count", "database")]


@pytest.mark.parametrize(
    ("build", "labels", "message"),
    [
        (each_label(2, 3), [0] * 9 + [1] * 4, r"label 1 has 4 items of which 4 are not drawn yet; .* 2 and 3 of each"),
        (each_label(1, 1), np.array([[1, 0]] * 5), "label 1 has 0 items"),
        (from_all(3, 4, train_is_searched=True), [0] * 7 + [-1] * 9, "7 items have a label; .* 3 queries and 4"),
    ],
)
def test_too_few_items_are_refused(build, labels, message):
    with pytest.raises(UsageError, match=message):
        build(np.array(labels), None, np.random.RandomState(0))


def test_official_parts_must_be_known():
    with pytest.raises(UsageError, match="--train-images"):
        build_split("imagenet100", np.arange(5))


# The list of the user --------------------------------------------------------------------------------------

WORDS = [["sky"], ["sea", "sky"], [], ["dog"]]


def written(folder, kind):
    path = folder / f"list.{kind}"
    if kind == "txt":
        rows = [" ".join(str(int(word in item)) for word in ("dog", "sea", "sky")) for item in WORDS]
        path.write_text("".join(f"{row}.jpg {bits}\n" for row, bits in enumerate(rows)))
    else:
        separator = {"csv": ",", "tsv": "\t"}[kind]
        lines = [["name", "size", "labels"], *([f"{row}.jpg", "3", " | ".join(item)] for row, item in enumerate(WORDS))]
        path.write_text("".join(separator.join(line) + "\n" for line in lines))
    return path


@pytest.mark.parametrize("kind", ["csv", "tsv", "txt"])
def test_lists_of_all_kinds_say_the_same(tmp_path, kind):
    found = read_label_list(written(tmp_path, kind))
    assert found.names == ("0.jpg", "1.jpg", "2.jpg", "3.jpg")
    assert found.labels == ((2,), (1, 2), (), (0,))
    assert found.class_names == (() if kind == "txt" else ("dog", "sea", "sky"))


def test_class_numbers_stay_what_they_are(tmp_path):
    (tmp_path / "n.csv").write_text("path,class\na,7\nb,\nc,10\n")
    assert read_label_list(tmp_path / "n.csv").label_array().tolist() == [7, -1, 10]


@pytest.mark.parametrize(
    ("words", "classes", "names"),
    [
        (["01", "1"], [0, 1], ("01", "1")),
        (["99999999999999999999", "1"], [1, 0], ("1", "99999999999999999999")),
        (["-1", "1"], [-1, 1], ()),
        (["-1", "cat"], [0, 1], ("-1", "cat")),
    ],
)
def test_no_two_classes_become_one(tmp_path, words, classes, names):
    (tmp_path / "l.csv").write_text("name,label\n" + "".join(f"{i},{word}\n" for i, word in enumerate(words)))
    found = read_label_list(tmp_path / "l.csv")
    assert (found.label_array().tolist(), found.class_names) == (classes, names)


@pytest.mark.parametrize(
    ("text", "error", "message"),
    [
        ("", UsageError, "its head line is: empty"),
        ("a,labels\nx,1\n", UsageError, "no column name or names or path or .* or id; .* a, labels"),
        ("name,tags\nx,1\n", UsageError, "no column labels or label or class"),
        ("name,labels\nx,1\ny\n", DataError, "line 3: 1 cells where the first line names 2 columns"),
        ("name,labels\n,1\n", UsageError, "is not empty"),
    ],
)
def test_lists_that_cannot_be_read_are_named(tmp_path, text, error, message):
    (tmp_path / "list.csv").write_text(text)
    with pytest.raises(error, match=message):
        read_label_list(tmp_path / "list.csv")
    with pytest.raises(DatasetNotFound):
        read_label_list(tmp_path / "other.csv")


def test_the_command_draws_from_a_table(tmp_path, capsys):
    lines = ["name,labels", *(f"{row}.jpg,{row % 20 if row else ''}" for row in range(11_540))]
    (tmp_path / "voc.csv").write_text("\n".join(lines))
    words = ["data", "split", "--protocol", "voc2012", "--labels", str(tmp_path / "voc.csv"), "--seed", "5"]
    assert main([*words, "--out", str(tmp_path / "voc.tsv")]) == 0
    told = capsys.readouterr().err
    assert "voc2012-drawn/v1 seed 5" in told
    assert "not the published list" in told
    assert "1 of 11540 items have no label" in told
    manifest = read_manifest(tmp_path / "voc.tsv")
    assert {name: len(rows) for name, rows in manifest.splits.items() if "validation" not in name} == {
        "query": 1000, "train": 4000, "database": 6539,
    }  # fmt: skip
    (tmp_path / "voc.csv").write_text("\n".join([*lines, lines[-1]]))
    assert main(words) == 2
    assert "1 items are listed again, e.g. '11539.jpg'" in capsys.readouterr().err
