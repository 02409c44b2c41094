"""Whom a targeted attack aims at: labels that a query does not have, drawn by a seed or read from a file."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deephash.collection.label_words import SEVERAL
from deephash.collection.tables import LABELS, NAME, PATH, read_table
from deephash.data.table import labelled
from deephash.errors import UsageError, did_you_mean
from deephash.evaluation.robustness import share_label

QUERY, TARGET = ("query", *NAME, *PATH), ("target", "targets", *LABELS)


def draw_targets(
    query_labels: NDArray[Any], database_labels: NDArray[Any], seed: int, *, allow_overlap: bool = False
) -> NDArray[Any]:
    """Return one target label a query, as its labels: drawn evenly from the label vectors that the database has.

    Args:
        query_labels: class numbers [Q] or multi-hot [Q, C].
        database_labels: likewise; unlabelled items are no target.
        seed: of the draw.
        allow_overlap: also targets that share a class with the query, as ProS-GAN draws them: part of the success is
            then no success of the attack.

    Raises:
        UsageError: a query that shares a class with every label there is.
    """
    candidates = np.unique(database_labels[labelled(database_labels)], axis=0)
    random = np.random.RandomState(seed)
    targets = []
    for number, label in enumerate(query_labels):
        able = candidates if allow_overlap else candidates[~shares_class(label, candidates)]
        if not len(able):
            raise UsageError(
                f"query {number} shares a class with every label of the database, so nothing is left to aim at; "
                "--allow-overlap aims all the same"
            )
        targets.append(able[random.randint(len(able))])
    return np.array(targets, dtype=database_labels.dtype)


def draw_shared_target(database_labels: NDArray[Any], seed: int) -> NDArray[Any]:
    """Return the one label, of those that the database has, to which an attack pulls all queries."""
    candidates = np.unique(database_labels[labelled(database_labels)], axis=0)
    return np.asarray(candidates[np.random.RandomState(seed).randint(len(candidates))])


def read_targets(path: Path, names: Sequence[str], words: Sequence[str], like: NDArray[Any]) -> NDArray[Any]:
    """Return the target labels of ``names`` from a table of two columns, ``query`` and ``target``.

    Args:
        path: CSV; a target of several classes joins their words by ``|``.
        names: of the queries.
        words: for the class numbers; numbers are taken too.
        like: labels of which shape: class numbers, or multi-hot.

    Raises:
        DataError: no such file, or no table.
        UsageError: a query without a target, an unknown class.
    """
    wanted = _rows(path)
    missing = [name for name in names if name not in wanted]
    if missing:
        raise UsageError(
            f"{path} has no target for {len(missing):,} of {len(names):,} queries, the first {missing[0]!r}"
        )
    number = {word: place for place, word in enumerate(words)}
    found = np.zeros((len(names), *like.shape[1:]), dtype=like.dtype)
    for row, name in enumerate(names):
        classes = [_class(word, number, path) for word in wanted[name].split(SEVERAL)]
        if like.ndim == 2:
            if max(classes) >= like.shape[1]:
                raise UsageError(f"{path}: class {max(classes)} is not one of {like.shape[1]}")
            found[row, classes] = 1
        elif len(classes) > 1:
            raise UsageError(f"{path}: {wanted[name]!r} names several classes, but every item here has one")
        else:
            found[row] = classes[0]
    return found


def write_targets(path: Path, names: Sequence[str], words: Sequence[str]) -> None:
    """Write the table that :func:`read_targets` reads."""
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow((QUERY[0], TARGET[0]))
        writer.writerows(zip(names, words, strict=True))


def require_useful(
    targets: NDArray[Any], query_labels: NDArray[Any], database_labels: NDArray[Any], *, allow_overlap: bool
) -> None:
    """Refuse targets that nothing carries, and those that a query has anyway.

    Raises:
        UsageError: with the first of them.
    """
    present = database_labels[labelled(database_labels)]
    for row, target in enumerate(targets):
        if not shares_class(target, present).any():
            raise UsageError(
                f"the target of query {row} is a label that no database item has; nothing could be found by it"
            )
    shared = share_label(query_labels, targets)
    if shared.any() and not allow_overlap:
        raise UsageError(
            f"{int(shared.sum()):,} targets share a class with their query, the first is query {int(shared.argmax())}: "
            "what they find is no success of the attack; --allow-overlap takes them all the same"
        )


def shares_class(label: Any, others: NDArray[Any]) -> NDArray[np.bool_]:
    """Return which of N labels share a class with one label, [N]."""
    if others.ndim == 1:
        return np.asarray(others == label)
    return np.asarray((others.astype(np.int64) @ np.asarray(label).astype(np.int64)) > 0)


def _rows(path: Path) -> dict[str, str]:
    table = read_table(path)
    queries, targets = (table.columns[table.require(names)] for names in (QUERY, TARGET))
    return dict(zip(queries, targets, strict=True))


def _class(word: str, number: dict[str, int], path: Path) -> int:
    if word in number:
        return number[word]
    if word.isascii() and word.isdigit():
        return int(word)
    raise UsageError(f"{path}: no class is called {word!r}{did_you_mean(word, list(number))}")
