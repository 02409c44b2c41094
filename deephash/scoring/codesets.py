"""Codes by themselves: health, the flip rate between two sets, unrelated items that share a code."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deephash.collection.label_words import parse_labels
from deephash.errors import UsageError
from deephash.evaluation.arrays import is_labelled
from deephash.evaluation.codefile import CodeFile, number_labels, read_code_file

SHOWN = 10  # items listed of a comparison
EXAMPLES = 3  # names listed of a class in a collision


@dataclass(frozen=True)
class CodeDifference:
    """How two sets of codes of the same items differ.

    Attributes:
        items: in both.
        num_bits: K.
        matched_by: ``name`` or ``order``.
        only_first: items of the first that the second lacks.
        only_second: the other way round.
        flipped_bits: bits that differ, over all items.
        flip_rate: their share.
        changed_codes: items with at least one flipped bit.
        changed_share: their share.
        worst_bit: the bit that flips most often.
        worst_bit_rate: in what share of the items.
        most_changed: (name or row, distance) of the items that moved furthest.
    """

    items: int
    num_bits: int
    matched_by: str
    only_first: int
    only_second: int
    flipped_bits: int
    flip_rate: float
    changed_codes: int
    changed_share: float
    worst_bit: int
    worst_bit_rate: float
    most_changed: tuple[tuple[str, int], ...]


@dataclass(frozen=True)
class Collision:
    """A code that items without a common label share: ``classes`` lists (class, items, example names)."""

    code: str
    size: int
    classes: tuple[tuple[str, int, str], ...]


def read_code_set(path: str | Path, *, label: str = "label") -> CodeFile:
    """Read an ``.npz`` of codes or a collection (labels: its attribute ``label``); words are numbered."""
    if (Path(path) / "collection.json").is_file():
        return _read_collection(Path(path), label)
    found = read_code_file(path)
    if found.labels is None:
        return found
    [labels], words = number_labels([(found.source, found.labels)])
    return replace(found, labels=labels, class_names=words or found.class_names)


def compare_code_sets(first: CodeFile, second: CodeFile) -> CodeDifference:
    """Count differing bits, item by item.

    Raises:
        UsageError: different lengths of code, nothing in common, or sets of different size without names.
    """
    if (first.codes.num_bits, first.codes.num_levels) != (second.codes.num_bits, second.codes.num_levels):
        raise UsageError(
            f"{first.source} has {first.codes.describe()}, {second.source} has {second.codes.describe()}: "
            "only codes of one length can be compared bit by bit"
        )
    here, there, matched_by = _matched(first, second)
    if not len(here):
        raise UsageError(f"{first.source} and {second.source} have no item in common")
    flipped = first.codes[here].bits().reshape(len(here), -1) ^ second.codes[there].bits().reshape(len(here), -1)
    distances, by_bit = flipped.sum(axis=1), flipped.mean(axis=0)
    furthest = np.argsort(-distances, kind="stable")[:SHOWN]
    names = first.names if first.names is not None else np.arange(len(first)).astype(str)
    return CodeDifference(
        items=len(here),
        num_bits=flipped.shape[1],
        matched_by=matched_by,
        only_first=len(first) - len(here),
        only_second=len(second) - len(there),
        flipped_bits=int(distances.sum()),
        flip_rate=float(flipped.mean()),
        changed_codes=int((distances > 0).sum()),
        changed_share=float((distances > 0).mean()),
        worst_bit=int(by_bit.argmax()),
        worst_bit_rate=float(by_bit.max()),
        most_changed=tuple((str(names[here[row]]), int(distances[row])) for row in furthest if distances[row]),
    )


def find_collisions(codes: CodeFile) -> list[Collision]:
    """Return the codes shared by items that have no label in common with each other, most items first.

    Unlabelled items are left out; without any labels every shared code is returned.
    """
    rows = np.arange(len(codes)) if codes.labels is None else np.flatnonzero(is_labelled(codes.labels))
    _, bucket, counts = np.unique(codes.codes.packed[rows], axis=0, return_inverse=True, return_counts=True)
    order = np.argsort(bucket.ravel(), kind="stable")
    groups = np.split(rows[order], np.cumsum(counts)[:-1]) if len(rows) else []
    found = [_collision(codes, group) for group in groups if len(group) > 1 and _is_mixed(codes.labels, group)]
    return sorted(found, key=lambda each: (-each.size, each.code))


# Parts -------------------------------------------------------------------------------------------------


def _read_collection(path: Path, label: str) -> CodeFile:
    from deephash.collection import Collection

    collection = Collection.open(path)
    ids, codes = collection.codes(collection.the_one_space("compare its codes"))
    has_label = label in collection.attribute_kinds
    table = collection.table(["uri", *([label] if has_label else [])])
    rows = np.searchsorted(table.column("id").to_numpy(), ids)
    names = np.array(table.column("uri").to_pylist(), dtype=str)[rows]
    said = table.column(label).to_pylist() if has_label else []
    labels, class_names = parse_labels(["" if word is None else str(word) for word in said])
    if not class_names:
        return CodeFile(codes, None, names, source=str(path))
    return CodeFile(codes, labels[rows], names, class_names=tuple(class_names), source=str(path))


def _matched(first: CodeFile, second: CodeFile) -> tuple[NDArray[np.int64], NDArray[np.int64], str]:
    if first.names is not None and second.names is not None:
        for side in (first, second):
            if side.names is not None and len(np.unique(side.names)) != len(side):
                raise UsageError(f"{side.source} has items of the same name, which cannot be matched")
        _, here, there = np.intersect1d(first.names, second.names, return_indices=True)
        return here, there, "name"
    if len(first) != len(second):
        raise UsageError(
            f"{first.source} has {len(first):,} codes and {second.source} {len(second):,}; without an array 'names' in "
            "both they can only be matched by order, and that needs equal numbers"
        )
    return np.arange(len(first)), np.arange(len(first)), "order"


def _is_mixed(labels: NDArray[Any] | None, group: NDArray[np.int64]) -> bool:
    """Whether two items of the group share no label."""
    if labels is None:
        return True
    sets = np.unique(labels[group], axis=0)
    if labels.ndim == 1:
        return len(sets) > 1
    return bool((sets.astype(np.int64) @ sets.T.astype(np.int64) == 0).any())


def _collision(codes: CodeFile, group: NDArray[np.int64]) -> Collision:
    members: dict[str, list[str]] = {}
    for row in group.tolist():
        name = codes.names[row] if codes.names is not None else f"row {row}"
        members.setdefault(_class_of(codes, row), []).append(str(name))
    sizes = Counter({name: len(found) for name, found in members.items()})
    classes = tuple((name, size, ", ".join(members[name][:EXAMPLES])) for name, size in sizes.most_common())
    return Collision(codes.codes[int(group[0])].hex()[0], len(group), classes)


def _class_of(codes: CodeFile, row: int) -> str:
    if codes.labels is None:
        return "-"
    label = codes.labels[row]
    numbers = np.flatnonzero(label).tolist() if codes.labels.ndim == 2 else [int(label)]
    words = codes.class_names
    return ", ".join(words[number] if number < len(words) else str(number) for number in numbers)
