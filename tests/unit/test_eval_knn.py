"""kNN accuracy: the voting rule by hand, and its range over tie orders against every possible choice."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deephash.codes import BinaryCodes
from deephash.errors import UsageError
from deephash.evaluation import knn
from deephash.evaluation.knn import count_votes, knn_accuracy, knn_correct

POLICIES = ("expected", "optimistic", "pessimistic", "stable", "random:3")


def elections(distances, classes, truth, k):
    """(may win or draw, must win alone) over every choice of k nearest items, and the shares of the decision."""
    edge = np.sort(distances)[k - 1]
    sure, tied = np.flatnonzero(distances < edge), np.flatnonzero(distances == edge)
    shares = []
    for choice in itertools.combinations(tied, k - len(sure)):
        ballots = classes[[*sure, *choice]]
        votes = np.bincount(ballots[ballots >= 0], minlength=max(classes.max(), truth) + 1)
        shares.append((votes[truth] == votes.max() > 0) / max(1, (votes == votes.max()).sum()))
    return float(max(shares) > 0), float(min(shares) == 1), shares


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 9), st.integers(1, 4))
def test_the_range_is_that_of_every_choice(seed, k, num_classes):
    draw = np.random.default_rng(seed)
    query, database = draw.integers(0, 2, (3, 2)), draw.integers(0, 2, (9, 2))
    truth, classes = draw.integers(0, num_classes, 3), draw.integers(-1, num_classes, 9)
    sides = BinaryCodes.from_bits(query), BinaryCodes.from_bits(database)
    found = knn_correct(*sides, truth, classes, k, policies=POLICIES)
    for row in range(3):
        best, worst, shares = elections((query[row] != database).sum(axis=1), classes, truth[row], k)
        expected, optimistic, pessimistic, *orders = found[row]
        assert (optimistic, pessimistic) == (best, worst)
        assert pessimistic <= expected <= optimistic
        for share in orders:
            assert share == pytest.approx(min(shares, key=lambda known: abs(known - share)))
            assert pessimistic <= share <= optimistic


def test_votes_and_accuracy_under_ties():
    query = np.zeros((1, 4), int)
    database = np.array([[0, 0, 0, 0], [0, 0, 0, 1], [0, 0, 1, 0], [0, 1, 0, 0], [1, 1, 1, 1]])
    classes = np.array([0, 1, 1, 2, 2])
    votes = count_votes(BinaryCodes.from_bits(query), BinaryCodes.from_bits(database), classes, 3, 3)
    np.testing.assert_allclose(votes.expected, [[1, 4 / 3, 2 / 3]])
    # Two of (1, 1, 2) join the sure vote for class 0: (1, 1) elects 1, (1, 2) makes a draw of all three.
    by_hand = {0: (0.0, 1.0, 0.0), 1: (1.0, 1.0, 0.0), 2: (0.0, 1.0, 0.0)}
    for truth, values in by_hand.items():
        labels = {"query_labels": [truth], "database_labels": classes}
        for ties, value in zip(POLICIES, values, strict=False):
            assert knn_accuracy(query, database, **labels, k=3, ties=ties) == value
    assert knn_accuracy(query, database, query_labels=[1], database_labels=classes, k=3, ties="stable") == 1.0
    # With k = 2 the sure vote for class 0 beats the shared place; among the first two of a draw each wins half.
    drawn = knn_accuracy(query, database[:2], query_labels=[1], database_labels=classes[:2], k=2)
    assert drawn == 0.5


def test_blocks_of_queries_do_not_show(monkeypatch):
    draw = np.random.default_rng(0)
    sides = [BinaryCodes.from_bits(draw.integers(0, 2, (count, 6))) for count in (12, 80)]
    labels = draw.integers(0, 5, 12), draw.integers(-1, 5, 80)
    whole = knn_correct(*sides, *labels, 20, policies=POLICIES)
    monkeypatch.setattr(knn, "BALLOTS", 25)  # five queries at once
    np.testing.assert_array_equal(knn_correct(*sides, *labels, 20, policies=POLICIES), whole)


def test_unlabelled_votes_and_queries_are_ignored():
    codes = BinaryCodes.from_bits([[0, 0], [0, 1], [1, 1]])
    correct = knn_correct(codes, codes, np.array([0, -1, 1]), np.array([-1, 0, 1]), 1)
    np.testing.assert_array_equal(correct, [[0.0], [np.nan], [1.0]])
    with pytest.raises(UsageError, match="class numbers"):
        knn_correct(codes, codes, np.eye(3), np.eye(3), 1)
    with pytest.raises(UsageError, match=r"k is 1\.\.3"):
        knn_accuracy(codes, codes, query_labels=[0, 1, 1], database_labels=[0, 1, 1], k=4)
    with pytest.raises(UsageError, match="labels for"):
        knn_accuracy(codes, codes, query_labels=[0, 1], database_labels=[0, 1, 1], k=1)
    with pytest.raises(UsageError, match="ties='best' is unknown"):
        knn_accuracy(codes, codes, query_labels=[0, 1, 1], database_labels=[0, 1, 1], k=1, ties="best")
