"""Tie-aware values are the mean, the maximum and the minimum over every order of tied items."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deephash.evaluation.counts import DistanceCounts
from deephash.evaluation.graded import weighted_average_precision_from_counts
from deephash.evaluation.metrics import (
    acg_from_counts,
    hit_from_counts,
    ndcg_from_counts,
    precision_from_counts,
    recall_from_counts,
    trapezoid_average_precision_from_counts,
)
from deephash.evaluation.ranking import average_precision_from_counts
from tests import evaluation_naive as naive

GROUPS = st.lists(st.lists(st.integers(0, 3), max_size=4), min_size=1, max_size=3).filter(
    lambda groups: any(gain for group in groups for gain in group)
)
BINARY = st.lists(st.lists(st.integers(0, 1), max_size=5), min_size=1, max_size=3).filter(
    lambda groups: any(gain for group in groups for gain in group)
)
BOUNDS = {"optimistic": max, "pessimistic": min}


def counts_of(groups: list[list[int]]) -> DistanceCounts:
    by_gain = np.zeros((1, max(1, max(max(group, default=0) for group in groups)) + 1, len(groups)), np.int64)
    for distance, group in enumerate(groups):
        for gain in group:
            by_gain[0, gain, distance] += 1
    return DistanceCounts(by_gain)


def depths(groups: list[list[int]]) -> range:
    return range(1, sum(map(len, groups)) + 1)


@given(BINARY)
@settings(max_examples=60, deadline=None)
def test_average_precision(groups):
    counts, orders = counts_of(groups), list(naive.arrangements(groups))
    total = int(counts.num_relevant[0])
    for depth in depths(groups):
        for normalize in ("hits", "min", "total", "first-k"):
            values = [naive.average_precision(order, depth, normalize, total) for order in orders]
            found = average_precision_from_counts(counts, top_k=depth, normalize=normalize)[0]
            assert found == pytest.approx(np.mean(values), abs=1e-13)
            for ties, bound in BOUNDS.items():
                found = average_precision_from_counts(counts, top_k=depth, normalize=normalize, ties=ties)[0]
                assert found == pytest.approx(bound(values), abs=1e-13), (normalize, ties)


@given(GROUPS)
@settings(max_examples=60, deadline=None)
def test_metrics_linear_in_the_items(groups):
    counts, orders = counts_of(groups), list(naive.arrangements(groups))
    total = int(counts.num_relevant[0])
    for depth in depths(groups):
        slow = {
            precision_from_counts: [sum(g > 0 for g in order[:depth]) / depth for order in orders],
            recall_from_counts: [sum(g > 0 for g in order[:depth]) / total for order in orders],
            hit_from_counts: [float(any(order[:depth])) for order in orders],
            acg_from_counts: [sum(order[:depth]) / depth for order in orders],
            ndcg_from_counts: [naive.ndcg(order, depth, exponential=True) for order in orders],
        }
        for fast, values in slow.items():
            assert fast(counts, top_k=depth)[0] == pytest.approx(np.mean(values), abs=1e-12), fast
            for ties, bound in BOUNDS.items():
                assert fast(counts, top_k=depth, ties=ties)[0] == pytest.approx(bound(values), abs=1e-12), fast


@given(GROUPS)
@settings(max_examples=60, deadline=None)
def test_weighted_average_precision(groups):
    counts, orders = counts_of(groups), list(naive.arrangements(groups))
    for depth in depths(groups):
        values = [naive.weighted_average_precision(order, depth) for order in orders]
        found = weighted_average_precision_from_counts(counts, top_k=depth)[0]
        assert found == pytest.approx(np.mean(values), abs=1e-12)
    whole = [naive.weighted_average_precision(order, len(order)) for order in orders]
    for ties, bound in BOUNDS.items():
        found = weighted_average_precision_from_counts(counts, ties=ties)[0]
        assert found == pytest.approx(bound(whole), abs=1e-12)


@given(BINARY)
@settings(max_examples=60, deadline=None)
def test_trapezoid_average_precision(groups):
    values = [naive.trapezoid(order) for order in naive.arrangements(groups)]
    counts = counts_of(groups)
    assert trapezoid_average_precision_from_counts(counts)[0] == pytest.approx(np.mean(values), abs=1e-13)
    for ties, bound in BOUNDS.items():
        found = trapezoid_average_precision_from_counts(counts, ties=ties)[0]
        assert found == pytest.approx(bound(values), abs=1e-13)


@given(st.integers(2, 400), st.data())
@settings(max_examples=40, deadline=None)
def test_one_large_group_against_simulation_of_the_sums(items, data):
    """Monte-Carlo on a group too large for permutations: 4,000 shuffles and the empirical Bernstein bound.

    Of Maurer and Pontil (COLT 2009), for a chance of 1e-5: five standard errors, and a little more for rare hits, whose
    spread the sample itself may miss.
    """
    relevant = data.draw(st.integers(1, items))
    depth = data.draw(st.integers(1, items))
    normalize = data.draw(st.sampled_from(["hits", "min", "total", "first-k"]))
    rng = np.random.default_rng(items * 1009 + relevant * 31 + depth)
    order = rng.permuted(np.tile(np.arange(items) < relevant, (4000, 1)), axis=1)
    precision = order.cumsum(axis=1) / np.arange(1, items + 1) * order
    if normalize == "first-k":
        kept = order.cumsum(axis=1) <= depth
        values = (precision * kept).sum(axis=1) / min(depth, relevant)
    else:
        found = np.maximum(order[:, :depth].sum(axis=1), 1)
        denominator = {"hits": found, "min": min(depth, relevant), "total": relevant}[normalize]
        values = precision[:, :depth].sum(axis=1) / denominator
    exact = average_precision_from_counts(
        DistanceCounts.from_items([items], [relevant]), top_k=depth, normalize=normalize
    )[0]
    chance = np.log(2 / 1e-5)
    error = np.sqrt(2 * values.var(ddof=1) * chance / len(values)) + 7 * chance / (3 * (len(values) - 1))
    assert abs(exact - values.mean()) <= error
