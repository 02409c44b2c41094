"""Codes by themselves: flips, collisions, and the same answers from a file and from a collection."""

import numpy as np
import pytest

from deephash.codes import BinaryCodes
from deephash.collection import Collection
from deephash.errors import UsageError
from deephash.evaluation.codefile import CodeFile
from deephash.evaluation.health import code_health
from deephash.scoring.codesets import compare_code_sets, find_collisions, read_code_set

BITS = np.random.default_rng(0).integers(0, 2, (30, 20))
NAMES = np.array([f"n{i:02}" for i in range(30)])


def code_set(bits, names=None, labels=None, words=(), source="x.npz"):
    labels = None if labels is None else np.array(labels)
    return CodeFile(BinaryCodes.from_bits(bits), labels, names, class_names=words, source=source)


def test_flips_are_counted_by_name_in_any_order():
    changed = BITS.copy()
    changed[3, :5] ^= 1
    changed[7, 2] ^= 1
    order = np.random.default_rng(1).permutation(30)[:25]
    found = compare_code_sets(code_set(BITS, NAMES), code_set(changed[order], NAMES[order]))
    kept = [row for row in (3, 7) if row in order]
    flips = sum({3: 5, 7: 1}[row] for row in kept)
    assert (found.items, found.only_first, found.only_second, found.matched_by) == (25, 5, 0, "name")
    assert (found.flipped_bits, found.changed_codes) == (flips, len(kept))
    assert found.flip_rate == pytest.approx(flips / 500)
    assert found.most_changed == tuple((f"n{row:02}", {3: 5, 7: 1}[row]) for row in kept)


def test_without_names_order_decides():
    changed = BITS.copy()
    changed[:, 4] ^= 1
    found = compare_code_sets(code_set(BITS), code_set(changed, NAMES))
    assert (found.matched_by, found.worst_bit, found.worst_bit_rate, found.changed_share) == ("order", 4, 1.0, 1.0)
    same = compare_code_sets(code_set(BITS), code_set(BITS))
    assert (same.flip_rate, same.most_changed) == (0, ())


@pytest.mark.parametrize(
    ("second", "message"),
    [
        (code_set(BITS[:, :19], NAMES), "only codes of one length"),
        (code_set(BITS[:10]), "can only be matched by order"),
        (code_set(BITS, np.array([f"m{i}" for i in range(30)])), "no item in common"),
        (code_set(BITS, np.array(["m"] * 30)), "items of the same name"),
    ],
)
def test_what_cannot_be_compared_is_refused(second, message):
    with pytest.raises(UsageError, match=message):
        compare_code_sets(code_set(BITS, NAMES), second)


def test_collisions_are_codes_of_unrelated_items():
    bits = np.zeros((6, 8), dtype=int)
    bits[4:] = 1
    found = find_collisions(code_set(bits, labels=[0, 0, 1, -1, 2, 2], words=("cat", "dog", "emu"), names=NAMES[:6]))
    assert len(found) == 1
    assert (found[0].code, found[0].size) == ("00", 3)
    assert found[0].classes == (("cat", 2, "n00, n01"), ("dog", 1, "n02"))
    without = find_collisions(code_set(bits))
    assert [(group.code, group.size) for group in without] == [("00", 4), ("ff", 2)]


def test_multi_label_items_collide_when_two_share_nothing():
    bits = np.zeros((3, 8), dtype=int)
    assert find_collisions(code_set(bits, labels=[[1, 1, 0], [0, 1, 1], [0, 1, 0]])) == []
    chain = find_collisions(code_set(bits, labels=[[1, 1, 0], [0, 1, 1], [0, 0, 1]]))
    assert chain[0].size == 3
    assert {name for name, _, _ in chain[0].classes} == {"0, 1", "1, 2", "2"}


def test_collisions_of_nothing():
    assert find_collisions(code_set(np.zeros((2, 8)), labels=[-1, -1])) == []


def test_items_of_a_collection_may_have_several_labels(tmp_path):
    collection = Collection.create(tmp_path / "c.dh", num_bits=8)
    words = ["cat|dog", "cat", "dog", None]
    same = BinaryCodes.from_bits(np.zeros((4, 8)))
    collection.append(uris=list("abcd"), codes=same, attributes=[{"label": word} for word in words])
    held = read_code_set(tmp_path / "c.dh")
    assert held.class_names == ("cat", "dog")
    assert held.labels.tolist() == [[1, 1], [1, 0], [0, 1], [0, 0]]
    assert find_collisions(held)[0].size == 3  # a cat and a dog share nothing; who is both shares with each


def test_a_collection_and_a_file_say_the_same(tmp_path):
    codes, labels = BinaryCodes.from_bits(BITS[:, :6]), ["cat", "dog", "emu"] * 10
    codes.save(tmp_path / "c.npz", labels=np.array(labels), names=NAMES)
    collection = Collection.create(tmp_path / "c.dh", num_bits=6)
    collection.append(uris=NAMES.tolist(), codes=codes, attributes=[{"kind": word} for word in labels])
    file, held = read_code_set(tmp_path / "c.npz"), read_code_set(tmp_path / "c.dh", label="kind")
    first, second = (code_health(side.codes, labels=side.labels) for side in (file, held))
    assert first == second
    assert find_collisions(file) == find_collisions(held)
    assert compare_code_sets(file, held).flipped_bits == 0
    assert read_code_set(tmp_path / "c.dh").labels is None
