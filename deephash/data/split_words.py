"""Splits as words: what a column, a file's name or a folder calls them, and rows of each."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deephash.data.protocols import Splits
from deephash.errors import UsageError, did_you_mean

SPLITS = ("train", "query", "database", "validation_query", "validation_database")
_ALSO = {
    "training": "train",
    "test": "query",
    "testing": "query",
    "val": "validation_query",
    "valid": "validation_query",
    "validation": "validation_query",
    "gallery": "database",
}


def known_word(word: str) -> str | None:
    """Return the split that a word stands for, in any case; None for a word that stands for none."""
    name = _ALSO.get(word.lower(), word.lower())
    return name if name in SPLITS else None


def split_of_name(name: str) -> str:
    """Return the split that a file's or folder's name begins with, as ``train-00000.tar`` does; "" without one."""
    first = name.split("/")[-1]
    for mark in "-_.":
        first = first.partition(mark)[0]
    return known_word(first.rstrip("0123456789")) or ""


def members_of_splits(words: Iterable[str], origin: str) -> dict[str, list[int]]:
    """Return the rows of each split named in ``words`` (one string an item, names joined by commas).

    Where nobody is ``query``, validation items ask; where nobody is ``database``, training items are searched.

    Raises:
        UsageError: a word that names no split.
    """
    splits: dict[str, list[int]] = {}
    for row, text in enumerate(words):
        for given in filter(None, (part.strip() for part in text.split(","))):
            name = known_word(given)
            if name is None:
                raise UsageError(f"{origin}: item {row} is in split {given!r}" + did_you_mean(given, list(SPLITS)))
            splits.setdefault(name, []).append(row)
    if "query" not in splits and "validation_database" not in splits and "validation_query" in splits:
        splits["query"] = splits.pop("validation_query")
    splits.setdefault("database", list(splits.get("train", [])))
    return splits


def named_splits(words: Sequence[str], origin: str) -> Splits:
    """Return :func:`members_of_splits` as arrays; query, train and database are always there."""
    splits = members_of_splits(words, origin)
    return {name: np.array(splits.get(name, []), dtype=np.int64) for name in dict.fromkeys((*SPLITS[:3], *splits))}


def with_validation(splits: Splits, labels: NDArray[Any] | None, seed: int) -> Splits:
    """Hold a tenth of the training items out as validation queries, unless ``splits`` has some already."""
    if len(splits.get("validation_query", ())) or labels is None:
        rest = np.setdiff1d(splits["train"], splits.get("validation_query", np.empty(0, np.int64)))
        return {"validation_database": rest, **splits}
    train = splits["train"]
    draw = np.random.RandomState([seed, 1])
    if labels.ndim == 2:
        groups = [train]
    else:
        groups = [train[labels[train] == number] for number in np.unique(labels[train]) if number >= 0]
    drawn = [draw.permutation(group)[: max(1, round(0.1 * len(group)))] for group in groups if len(group) > 1]
    held = np.sort(np.concatenate(drawn)) if drawn else np.empty(0, dtype=np.int64)
    return splits | {"validation_query": held, "validation_database": np.setdiff1d(train, held)}


def notes_of_splits(words: Sequence[str]) -> list[str]:
    """Return what the reader of a split should know: items of none, items that find themselves, who asks instead."""
    parts = [{known_word(word.strip()) for word in text.split(",")} for text in words]
    nowhere = sum(not text.strip(" ,") for text in words)
    notes = [f"{nowhere:,} of {len(words):,} items are in no split and are left out"] if nowhere else []
    if both := sum({"query", "database"} <= names for names in parts):
        notes.append(
            f"{both:,} items ask and are searched, so each finds itself first; "
            "deephash evaluate RUN --leave-one-out lets each search the others only"
        )
    if not any("query" in names for names in parts) and any("validation_query" in names for names in parts):
        notes.append("nobody is in split query, so validation items ask, and others validate: a tenth of train")
    return notes
