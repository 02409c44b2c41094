"""kNN classification accuracy: a cheap and telling monitor of how well codes separate classes.

The voting rule. The k nearest items vote for their class, each with one vote; the class with the most votes wins, and
classes that draw share the decision evenly, so a query may score 1/2. Unlabelled items take a place but cast no vote; a
query whose neighbours are all unlabelled is wrong. Where items are tied at the k-th distance:

- ``expected``: they cast *expected* votes: each the chance that it is among the k. This is one election by expected
  votes, not the mean over the elections of all orders;
- ``optimistic`` / ``pessimistic``: 1 where some (every) choice of the tied items lets the query's class win. How a draw
  between classes is decided is as arbitrary as the order, so it is decided for (against) the query. The expected vote
  and every single order lie between the two;
- ``stable``, ``random:SEED``: the first k items of that order vote.

Both bounds follow in closed form from two numbers a class: its votes nearer than the k-th distance and its items at it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from deephash.codes import BinaryCodes
from deephash.errors import UsageError
from deephash.evaluation.arrays import as_codes
from deephash.evaluation.averaging import mean_over_queries
from deephash.evaluation.groups import FloatArray, IntArray
from deephash.evaluation.neighbourhoods import find_edges, neighbour_blocks
from deephash.evaluation.rankings import sort_of_ties

EQUAL_VOTES = 1e-9  # shares like 1/3 are summed in different orders; votes this close are a draw
BALLOTS = 1 << 18  # queries x classes counted at once


def knn_accuracy(
    query_codes: BinaryCodes | ArrayLike,
    database_codes: BinaryCodes | ArrayLike,
    *,
    query_labels: ArrayLike,
    database_labels: ArrayLike,
    k: int = 20,
    ties: str = "expected",
) -> float:
    """Mean share of the decision that the k nearest items give to the class of the query; see the module.

    Raises:
        UsageError: multi-hot labels, an unknown ``ties``, or k outside 1..N.
    """
    queries, database = as_codes(query_codes, "query codes"), as_codes(database_codes, "database codes")
    correct = knn_correct(queries, database, query_labels, database_labels, k, policies=[ties])
    return mean_over_queries(correct[:, 0])


def knn_correct(
    queries: BinaryCodes,
    database: BinaryCodes,
    query_labels: ArrayLike,
    database_labels: ArrayLike,
    k: int,
    *,
    policies: Sequence[str] = ("expected",),
    own: IntArray | None = None,
) -> FloatArray:
    """Share of the decision for the own class of each query under each tie policy, [Q, P]; NaN for class -1.

    With ``own``, the database row of each query, no query votes on itself.

    Raises:
        UsageError: as ``knn_accuracy``.
    """
    truth, classes = np.asarray(query_labels), np.asarray(database_labels)
    if truth.ndim != 1 or classes.ndim != 1 or truth.dtype.kind not in "iu" or classes.dtype.kind not in "iu":
        raise UsageError("kNN accuracy needs class numbers [Q] and [N], not multi-hot labels")
    if (len(truth), len(classes)) != (len(queries), len(database)):
        raise UsageError(f"{len(truth)} and {len(classes)} labels for {len(queries)} and {len(database)} codes")
    num_classes = int(max(truth.max(initial=0), classes.max(initial=0))) + 1
    correct = np.empty((len(queries), len(policies)))
    step = max(1, BALLOTS // num_classes)
    for start in range(0, len(queries), step):
        rows = slice(start, start + step)
        itself = None if own is None else own[rows]
        votes = count_votes(queries[rows], database, classes, k, num_classes, own=itself)
        wanted = np.maximum(truth[rows], 0)
        for column, ties in enumerate(policies):
            if ties in _ELECTIONS:
                correct[rows, column] = _ELECTIONS[ties](votes, wanted)
            else:
                voters = _first_in_order(queries[rows], database, k, ties, itself)
                correct[rows, column] = _share_of_decision(_tally(classes[voters], num_classes), wanted)
    return np.where(truth[:, None] >= 0, correct, np.nan)


@dataclass(frozen=True, slots=True, eq=False)
class Votes:
    """What is known of the k nearest items of Q queries among C classes.

    Attributes:
        sure: votes of items that are among the k in every order, int64 [Q, C].
        tied: items at the k-th distance, where they do not all fit, int64 [Q, C].
        items: such items, unlabelled ones included, [Q].
        places: how many of them are among the k, [Q].
    """

    sure: IntArray
    tied: IntArray
    items: IntArray
    places: IntArray

    @property
    def expected(self) -> FloatArray:
        """Expected votes, [Q, C]."""
        return np.asarray(self.sure + self.tied * (self.places / np.maximum(self.items, 1))[:, None])


def count_votes(
    queries: BinaryCodes,
    database: BinaryCodes,
    classes: ArrayLike,
    k: int,
    num_classes: int,
    *,
    own: IntArray | None = None,
) -> Votes:
    """Count the k nearest items of each query by class (-1 = unlabelled), without its ``own`` database row.

    Raises:
        UsageError: k is not 1..N.
    """
    labels = np.asarray(classes)
    shape = (len(queries), num_classes)
    sure, tied = np.zeros(shape[0] * shape[1], np.int64), np.zeros(shape[0] * shape[1], np.int64)
    edge = find_edges(queries, database, k, own=own)
    for query, item, chance in neighbour_blocks(queries, database, edge, own=own):
        labelled = labels[item] >= 0
        ballot = query[labelled] * num_classes + labels[item][labelled].astype(np.int64)
        is_sure = chance[labelled] == 1
        sure += np.bincount(ballot[is_sure], minlength=len(sure))
        tied += np.bincount(ballot[~is_sure], minlength=len(tied))
    is_cut = edge.places < edge.items
    return Votes(sure.reshape(shape), tied.reshape(shape), edge.items * is_cut, edge.places * is_cut)


# Elections: votes [Q, C] and the own class of each query [Q] -> share of the decision [Q] ----------------


def _share_of_decision(votes: NDArray[np.number], own: NDArray[np.integer]) -> FloatArray:
    best = votes.max(axis=1, keepdims=True)
    winners = (votes >= best - EQUAL_VOTES) & (best > 0)
    return np.asarray(_of_class(winners, own) / np.maximum(winners.sum(axis=1), 1))


def _is_possible(votes: Votes, own: NDArray[np.integer]) -> FloatArray:
    """Whether the own class can win or draw: all its tied items vote, and nobody else gets more.

    The places that are left go to unlabelled items and to classes that stay at or below the own class.
    """
    tied = np.minimum(_of_class(votes.tied, own), votes.places)
    most = _of_class(votes.sure, own) + tied
    room = _others(np.clip(most[:, None] - votes.sure, 0, votes.tied), own, 0).sum(axis=1)
    unlabelled = votes.items - votes.tied.sum(axis=1)
    is_ahead = votes.sure.max(axis=1) <= most
    return np.asarray((most > 0) & is_ahead & (room + unlabelled >= votes.places - tied), np.float64)


def _is_certain(votes: Votes, own: NDArray[np.integer]) -> FloatArray:
    """Whether the own class wins alone in every order: with its fewest votes, against each rival's most."""
    fewest = np.maximum(votes.places - (votes.items - _of_class(votes.tied, own)), 0)
    most = votes.sure + np.minimum(votes.tied, votes.places[:, None])
    return np.asarray(_of_class(votes.sure, own) + fewest > _others(most, own, 0).max(axis=1), np.float64)


_ELECTIONS: dict[str, Callable[[Votes, NDArray[np.integer]], FloatArray]] = {
    "expected": lambda votes, own: _share_of_decision(votes.expected, own),
    "optimistic": _is_possible,
    "pessimistic": _is_certain,
}


def _first_in_order(queries: BinaryCodes, database: BinaryCodes, k: int, ties: str, own: IntArray | None) -> IntArray:
    """Return the nearest k database rows of each query in one order of the tied items, [Q, k]."""
    sort_rows = sort_of_ties(ties, len(database))
    if own is None:
        return sort_rows(queries, database, k)
    order = sort_rows(queries, database, k + 1)
    others = order != own[:, None]
    others[others.all(axis=1), k] = False  # the query is farther than k others
    return np.asarray(order[others].reshape(-1, k))


def _of_class(table: NDArray[np.number] | NDArray[np.bool_], own: NDArray[np.integer]) -> IntArray:
    return np.asarray(table[np.arange(len(own)), own])


def _others(table: IntArray, own: NDArray[np.integer], instead: int) -> IntArray:
    others = table.copy()
    others[np.arange(len(own)), own] = instead
    return others


def _tally(classes: NDArray[np.integer], num_classes: int) -> IntArray:
    """Count the classes of each row [Q, k], -1 left out: [Q, C]."""
    query, place = np.nonzero(classes >= 0)
    ballots = query * num_classes + classes[query, place].astype(np.int64)
    return np.bincount(ballots, minlength=len(classes) * num_classes).reshape(len(classes), num_classes)
