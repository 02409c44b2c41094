"""Shapes of published splits whose lists nobody handed on: so many queries, so many training items, search the rest.

Only the shape is published, so what is drawn here has the counts of the papers and not their lists; the names of these
rules end in ``-drawn``. Items without a label are drawn into no list and searched by nobody.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from deephash.errors import UsageError

Rows: TypeAlias = NDArray[np.int64]
Build: TypeAlias = Callable[[NDArray, int | None, np.random.RandomState], dict[str, Rows]]
"""(labels, number of official training pictures, generator) -> query, train, database."""

OURS = "Our own draw in a published shape, not the published list:"
WITHOUT_LABEL = "items without a label are in no list."


def each_label(query: int, train: int) -> Build:
    """Draw ``query`` and ``train`` items of every label; all but the queries is searched.

    An item of several labels is drawn once, for one of them; the rarest label chooses first.
    """

    def build(labels: NDArray, _n_train_images: int | None, draw: np.random.RandomState) -> dict[str, Rows]:
        members = _members(labels)
        asks, learned = _of_each(members, (query, train), draw)
        rows = _labelled(labels)
        return {"query": asks, "train": learned, "database": np.setdiff1d(rows, asks)}

    build.__doc__ = (
        f"{OURS} {query:,} queries and {train:,} training items of each label, an item of several labels drawn once, "
        f"the rarest label first; all but the queries is searched; {WITHOUT_LABEL}"
    )
    return build


def from_all(query: int, train: int, *, train_is_searched: bool, remark: str = "") -> Build:
    """Draw ``query`` and ``train`` items of all labelled ones, whatever their labels; the rest is searched."""

    def build(labels: NDArray, _n_train_images: int | None, draw: np.random.RandomState) -> dict[str, Rows]:
        rows = _labelled(labels)
        if len(rows) <= query + train:
            raise UsageError(
                f"{len(rows):,} items have a label; this rule draws {query:,} queries and {train:,} training items "
                "and searches the rest, so it needs more"
            )
        drawn = draw.permutation(rows)
        asks, learned = drawn[:query], drawn[query : query + train]
        return {"query": asks, "train": learned, "database": drawn[query if train_is_searched else query + train :]}

    rest = "all but the queries" if train_is_searched else "neither a query nor a training item"
    searched = f"{rest} is searched" if train_is_searched else f"what is {rest} is searched"
    build.__doc__ = f"{OURS} {query:,} queries and {train:,} training items of all{remark}; {searched}; {WITHOUT_LABEL}"
    return build


def official_queries(train: int) -> Build:
    """Let the official test pictures ask; the official training part is searched, ``train`` items a label learned."""

    def build(labels: NDArray, n_train_images: int | None, draw: np.random.RandomState) -> dict[str, Rows]:
        if n_train_images is None:
            raise UsageError(
                "this split rule needs n_train_images (--train-images), the number of official training pictures at "
                "the front; the others ask"
            )
        rows = _labelled(labels)
        searched = rows[rows < n_train_images]
        (learned,) = _of_each(_members(labels[:n_train_images]), (train,), draw)
        return {"query": rows[rows >= n_train_images], "train": learned, "database": searched}

    build.__doc__ = (
        f"{OURS} official validation pictures ask; {train:,} training items of each class; the official training part "
        f"is searched; {WITHOUT_LABEL}"
    )
    return build


# Parts -------------------------------------------------------------------------------------------------


def _labelled(labels: NDArray) -> Rows:
    return np.flatnonzero(labels >= 0 if labels.ndim == 1 else labels.any(axis=1))


def _members(labels: NDArray) -> dict[int, Rows]:
    """Return the rows of every label, ascending."""
    if labels.ndim == 2:
        return {number: np.flatnonzero(labels[:, number]) for number in range(labels.shape[1])}
    return {int(number): np.flatnonzero(labels == number) for number in np.unique(labels[labels >= 0])}


def _of_each(members: dict[int, Rows], counts: tuple[int, ...], draw: np.random.RandomState) -> list[Rows]:
    """Draw disjoint lists of ``counts`` items of each label, rarest label first; no item is drawn twice."""
    lists: list[Rows] = [np.zeros(0, dtype=np.int64) for _ in counts]
    for number in sorted(members, key=lambda number: (len(members[number]), number)):
        free = draw.permutation(np.setdiff1d(members[number], np.concatenate(lists)))
        if len(free) < sum(counts):
            raise UsageError(
                f"label {number} has {len(members[number]):,} items of which {len(free):,} are not drawn yet; "
                f"this rule draws {' and '.join(map(str, counts))} of each label"
            )
        parts = np.split(free, np.cumsum(counts))
        lists = [np.concatenate([chosen, part]) for chosen, part in zip(lists, parts, strict=False)]
    return lists
