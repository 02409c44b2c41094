"""Named split rules: counts of the protocols, no overlap, and the same lists for the same seed everywhere."""

import numpy as np
import pytest

from deephash.data.protocols import build_split, find_rule, short_checksum, split_checksum, split_rules
from deephash.errors import UsageError

LABELS = np.random.default_rng(5).permuted(np.repeat(np.arange(10), 6000).reshape(10, 6000), axis=0).T.reshape(-1)


def sizes(splits):
    return {name: len(rows) for name, rows in splits.items()}


@pytest.mark.parametrize(
    ("name", "query", "train", "database"),
    [
        ("cifar10-i", 1000, 5000, 59000),
        ("cifar10-i-disjoint", 1000, 5000, 54000),
        ("cifar10-ii", 10000, 50000, 50000),
        ("cifar10-iii", 3000, 35000, 15000),
    ],
)
def test_counts_are_those_of_the_protocol(name, query, train, database):
    splits = build_split(name, LABELS, n_train_images=50000, seed=0)
    assert (len(splits["query"]), len(splits["train"]), len(splits["database"])) == (query, train, database)
    for rows in splits.values():
        assert rows.dtype == np.int64
        assert (np.diff(rows) > 0).all()


@pytest.mark.parametrize("name", sorted(split_rules()))
def test_no_query_is_searched_or_learned_from(name):
    splits = build_split(name, LABELS, n_train_images=50000, seed=3)
    query = set(splits["query"].tolist())
    assert query
    assert not query & set(splits["database"].tolist())
    assert not query & set(splits["train"].tolist())


@pytest.mark.parametrize("name", sorted(split_rules()))
def test_validation_is_a_part_of_train(name):
    splits = build_split(name, LABELS, n_train_images=50000, seed=3)
    asks, searched = set(splits["validation_query"].tolist()), set(splits["validation_database"].tolist())
    assert asks
    assert not asks & searched
    assert asks | searched == set(splits["train"].tolist())
    assert len(asks) == pytest.approx(len(splits["train"]) / 10, abs=5)  # a tenth of each of ten classes


def test_cifar10_i_is_balanced():
    splits = build_split("cifar10-i", LABELS, seed=1)
    assert np.bincount(LABELS[splits["query"]]).tolist() == [100] * 10
    assert np.bincount(LABELS[splits["train"]]).tolist() == [500] * 10
    assert set(splits["train"].tolist()) <= set(splits["database"].tolist())


def test_disjoint_is_the_same_draw():
    joint, disjoint = (build_split(name, LABELS, seed=4) for name in ("cifar10-i", "cifar10-i-disjoint"))
    assert np.array_equal(joint["query"], disjoint["query"])
    assert np.array_equal(joint["train"], disjoint["train"])


def test_unseen_classes_are_unseen():
    splits = build_split("cifar10-iii", LABELS, n_train_images=50000, seed=2)
    learned, asked = set(LABELS[splits["train"]].tolist()), set(LABELS[splits["query"]].tolist())
    assert (len(learned), len(asked)) == (7, 3)
    assert not learned & asked
    assert set(LABELS[splits["database"]].tolist()) == asked


def test_a_seed_names_one_split():
    first, again, other = (build_split("cifar10-i", LABELS, seed=seed) for seed in (0, 0, 1))
    assert split_checksum(first) == split_checksum(again) != split_checksum(other)


def test_the_draw_is_pinned():
    """Golden lists: whoever changes the draw must raise the rule's version."""
    splits = build_split("cifar10-i", np.arange(60000) % 10, seed=0)
    assert split_checksum(splits) == PINNED
    assert short_checksum(PINNED) == PINNED[:19]


PINNED = "sha256:6aa8b250238b22900f1297f9b88290cc34a7e0b5a531f6ee51d02224b099b85c"


def test_checksum_ignores_order_and_validation_but_sees_every_list():
    splits = {"query": [3, 1], "train": [4], "database": [5, 6]}
    same = {"query": [1, 3], "train": [4], "database": np.array([6, 5]), "validation_query": [4]}
    assert split_checksum(splits) == split_checksum(same)
    moved = {"query": [3], "train": [1, 4], "database": [5, 6]}
    assert split_checksum(moved) != split_checksum(splits)
    assert split_checksum({"query": ["a", "b"]}) != split_checksum({"query": ["ab"]})


def test_global_generator_is_untouched():
    np.random.seed(0)
    before = np.random.get_state()[1].copy()
    build_split("cifar10-i", LABELS)
    assert np.array_equal(before, np.random.get_state()[1])


def test_multi_hot_labels_can_be_split_by_official_parts():
    labels = np.eye(4, dtype=np.uint8)[np.arange(50) % 4]
    splits = build_split("official", labels, n_train_images=40)
    assert sizes(splits) == {
        "query": 10, "train": 40, "database": 40, "validation_query": 4, "validation_database": 36,
    }  # fmt: skip


def test_unlabelled_items_are_never_drawn():
    labels = np.array([-1] * 100 + [0] * 700 + [1] * 700)
    splits = build_split("cifar10-i", labels)
    assert (labels[splits["query"]] >= 0).all()
    assert (labels[splits["train"]] >= 0).all()


@pytest.mark.parametrize(
    ("name", "labels", "options", "message"),
    [
        ("cifar10-1", LABELS, {}, "did you mean 'cifar10-i"),
        ("cifar10-i/v9", LABELS, {}, "cifar10-i/v1"),
        ("cifar10-ii", LABELS, {}, "n_train_images"),
        ("cifar10-ii", LABELS, {"n_train_images": 60000}, "between 1 and 59999"),
        ("cifar10-i", [0, 1, 2], {}, "class 0 has 1 items"),
        ("cifar10-i", np.eye(3), {}, "multi-hot"),
        ("cifar10-i", [], {}, "class numbers"),
        ("cifar10-i", np.zeros((2, 2, 2)), {}, "class numbers"),
    ],
)
def test_what_cannot_be_split_is_refused(name, labels, options, message):
    with pytest.raises(UsageError, match=message):
        build_split(name, labels, **options)


def test_every_rule_says_what_it_does():
    for rule in split_rules().values():
        assert rule.summary.endswith((".", ")."))
        assert find_rule(rule.protocol) is rule
