"""Checks of a split: each published mistake is found and named, and a sound split passes."""

from dataclasses import replace

import numpy as np
import pytest

from deephash.data.check import check_manifest, corrected, describe_split
from deephash.data.facts import require_facts
from deephash.data.manifests import SplitManifest, shipped_manifest


def manifest(query="q1 q2", train="t1 t2", database="t1 t2 d1", bare="", pairs=False, **labels):
    """Build a manifest of one entry a word; items in ``bare`` have no label."""
    names, numbers, splits = [], [], {}
    for split, words in (("query", query), ("train", train), ("database", database)):
        start = len(names)
        names += words.split()
        splits[split] = np.arange(start, len(names), dtype=np.int64)
    for name in names:
        numbers.append(() if name in bare.split() else labels.get(name, (0,)))
    return SplitManifest("toy/v1", tuple(names), tuple(numbers), splits, pairs=pairs)


def kinds(*arguments, **options):
    return {problem.kind: problem.items for problem in check_manifest(*arguments, **options)}


def test_a_sound_split_passes():
    assert check_manifest(manifest()) == []


@pytest.mark.parametrize("name", ["caltech101", "flowers17", "wiki", "fashion", "flickr8k_1000"])
def test_shipped_splits_are_sound(name):
    assert check_manifest(shipped_manifest(name), facts=require_facts(name)) == []


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"database": "t1 q2 q1"}, {"query-in-database": ("q1", "q2")}),
        ({"train": "t1 q1"}, {"query-in-train": ("q1",)}),
        ({"train": "t1 t1 t2"}, {"duplicate": ("t1",)}),
        ({"bare": "q2 d1"}, {"unlabelled": ("d1",)}),
        ({"database": ""}, {"empty-split": ()}),
        ({"query": ""}, {"empty-split": ()}),
    ],
)
def test_each_mistake_is_named(given, expected):
    assert kinds(manifest(**given)) == expected


def test_unlabelled_items_are_counted_in_each_split():
    found = check_manifest(manifest(bare="q2 d1 t1"))
    assert [problem.message for problem in found] == [
        "1 items of query have no label",
        "1 items of train have no label",
        "2 items of database have no label",
    ]


def test_the_same_item_with_two_labellings():
    two = manifest()
    two = replace(two, labels=((0,), (0,), (0,), (0,), (1,), (0,), (0,)))  # t1 in train, then t1 in database
    assert kinds(two) == {"two-labellings": ("t1",)}


def test_overlap_can_be_allowed_and_belongs_to_pairs():
    overlapping = manifest(database="t1 q2 q1")
    assert kinds(overlapping, allow_overlap=True) == {}
    assert kinds(manifest(database="q1 q2", pairs=True)) == {}


def test_counts_are_held_against_the_published_ones():
    found = check_manifest(manifest(), facts=require_facts("coco-hashnet"))
    said = " ".join(problem.message for problem in found)
    assert {problem.kind for problem in found} == {"wrong-count"}
    for words in (
        "query has 2 items; coco-hashnet has 5,000",
        "107,218",
        "1 classes; coco-hashnet has 80",
        "other way",
    ):
        assert words in said


def test_files_are_looked_for_and_compared(tmp_path):
    for name, content in {"q1": b"same", "q2": b"2", "t1": b"same", "t2": b"4"}.items():
        (tmp_path / name).write_bytes(content)
    found = {problem.kind: problem for problem in check_manifest(manifest(), root=tmp_path)}
    assert found["missing-file"].items == ("d1",)
    assert found["same-picture"].items == ("q1 = t1",)
    assert "1 hold a query" in found["same-picture"].message
    allowed = {problem.kind: problem for problem in check_manifest(manifest(), root=tmp_path, allow_overlap=True)}
    assert "hold a query" not in allowed["same-picture"].message


def test_a_corrected_split_is_sound():
    broken = manifest(query="q1 q2 q2 q3", train="t1 q1 t1", database="t1 q2 d1 d1", bare="q3")
    assert len(check_manifest(broken)) >= 3
    fixed = corrected(broken)
    assert check_manifest(fixed) == []
    assert {name: fixed.names_of(name) for name in fixed.splits} == {
        "query": ["q1", "q2"], "train": ["t1"], "database": ["t1", "d1"],
    }  # fmt: skip
    assert "corrected" in fixed.remarks[-1]


def test_a_leave_one_out_protocol_searches_its_queries_and_nobody_else():
    facts = replace(require_facts("cub200-dml"), query=2, train=2, database=2, classes=1)
    sound = manifest(query="q1 q2", train="t1 t2", database="q1 q2")
    assert check_manifest(sound, facts=facts) == []
    assert set(kinds(sound)) == {"query-in-database"}  # without the protocol it is the usual mistake
    assert corrected(sound, facts=facts).names_of("database") == ["q1", "q2"]
    strangers = manifest(query="q1 q2", train="t1 q2", database="q1 d1")
    assert kinds(strangers, facts=facts) == {"wrong-count": ("d1", "q2"), "query-in-train": ("q2",)}


@pytest.mark.parametrize(
    ("name", "counts", "source"),
    [
        ("nuswide-tc10", (2000, None, 184_577), "stated"),
        ("cub200-dml", (5924, 5864, 5924), "recalled"),
        ("sop", (60_502, 59_551, 60_502), "stated"),
        ("cars196", (8131, 8054, 8131), "recalled"),
        ("inshop", (14_218, 25_882, 12_612), "stated"),
        ("gldv2-100", (None, None, None), "stated"),
        ("roxford5k", (70, None, 4993), "recalled"),
        ("rparis6k", (70, None, 6322), "recalled"),
        ("coco-caption", (25_000, None, 5000), "stated"),
        ("imagenet100", (5000, 13_000, 128_503), "counted"),
    ],
)
def test_the_facts_say_how_they_are_known(name, counts, source):
    facts = require_facts(name)
    assert ((facts.query, facts.train, facts.database), facts.source) == (counts, source)


def test_statistics_of_a_split():
    rows = describe_split(manifest(query="q1 q1 q2", q1=(1, 2), bare="q2"))
    assert rows[0] == {
        "split": "query", "items": 3, "distinct": 2, "unlabelled": 1, "classes": 2, "smallest_class": 2,
        "largest_class": 2, "labels_an_item": pytest.approx(4 / 3),
    }  # fmt: skip
