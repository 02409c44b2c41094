"""MAP@R and R-precision of metric learning, whose R is each query's own number of relevant items."""

from functools import partial

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from deephash.codes import BinaryCodes
from deephash.evaluation import metrics
from deephash.evaluation.counts import DistanceCounts
from deephash.evaluation.engine import score_queries
from deephash.evaluation.groups import groups_from_counts
from deephash.evaluation.listed import ListedPairs
from deephash.evaluation.ranking import average_precision_at_r, r_precision
from deephash.evaluation.scores import Settings
from deephash.evaluation.torchmetrics_faces import HammingMetric
from deephash.reports import evaluate_codes
from deephash.reports.protocol import Protocol
from tests import evaluation_naive as naive
from tests.evaluation_cases import clustered, multi_hot

QUERY, DATABASE, ASKED, SEARCHED = clustered()
LABELS = {"query_labels": ASKED, "database_labels": SEARCHED}
FORMULAS = (average_precision_at_r, r_precision)
FACES = (metrics.mean_average_precision_at_r, metrics.mean_r_precision)
GROUPS = st.lists(st.lists(st.integers(0, 1), max_size=4), min_size=1, max_size=3).filter(
    lambda groups: any(gain for group in groups for gain in group)
)


def of_ranking(*gains):
    counts = DistanceCounts.from_items(np.ones(len(gains)), np.array(gains))
    return [float(formula(groups_from_counts(counts))[0]) for formula in FORMULAS]


@pytest.mark.parametrize(
    ("right", "map_at_r", "precision"),
    [((1,), 0.1, 0.1), ((1, 10), 0.12, 0.2), ((1, 2), 0.2, 0.2), (range(1, 11), 1.0, 1.0)],
)
def test_table_1_of_a_metric_learning_reality_check(right, map_at_r, precision):
    """Ten items are right; these ranks of the first ten hold one. The others come at the very end."""
    first = [int(rank in right) for rank in range(1, 11)]
    gains = [*first, *[0] * 20, *[1] * (10 - sum(first))]
    assert of_ranking(*gains) == pytest.approx([map_at_r, precision])


@given(GROUPS)
@settings(max_examples=60, deadline=None)
def test_mean_and_bounds_over_all_orders_of_ties(groups):
    values = np.array([naive.metric_learning(order) for order in naive.arrangements(groups)])
    counts = DistanceCounts.from_items([len(group) for group in groups], [sum(group) for group in groups])
    for ties, bound in {"expected": np.mean, "optimistic": np.max, "pessimistic": np.min}.items():
        found = [formula(groups_from_counts(counts, ties))[0] for formula in FORMULAS]
        assert found == pytest.approx(bound(values, axis=0), abs=1e-13)


@pytest.mark.parametrize("labels", [(ASKED, SEARCHED), (multi_hot(len(QUERY)), multi_hot(len(DATABASE)))])
def test_a_single_order_is_the_naive_loop(labels):
    distances, gains = QUERY.hamming(DATABASE), naive.gains_between(*labels)
    rankings = [naive.ranked_gains(*row) for row in zip(distances, gains, strict=True) if row[1].any()]
    expected = np.mean([naive.metric_learning(ranking) for ranking in rankings], axis=0)
    found = [face(QUERY, DATABASE, query_labels=labels[0], database_labels=labels[1], ties="stable") for face in FACES]
    assert found == pytest.approx(expected, abs=1e-13)


def test_ignored_items_take_no_place():
    codes = BinaryCodes.from_bits(np.tri(5, 4, -1, dtype=np.uint8))  # distances 0, 1, 2, 3, 4 from the first
    relevance = ListedPairs.from_lists([[1, 3]], 5, ignored=[[0]])
    for ties in ("expected", "stable"):
        found = [score_queries(codes[:1], codes, relevance, formula, ties=ties)[0] for formula in FORMULAS]
        assert found == pytest.approx([0.5, 0.5])  # right, wrong | right


@pytest.mark.parametrize("ties", ["expected", "random:2"])
def test_a_report_has_them_on_request(ties):
    found = evaluate_codes(
        QUERY, DATABASE, ASKED, SEARCHED, settings=Settings(resamples=20, at_r=True, ties=ties, normalize="min")
    )
    for metric, face in zip(("MAP@R", "R-precision"), FACES, strict=True):
        figure = found.figure(metric)
        assert figure.value == pytest.approx(face(QUERY, DATABASE, **LABELS, ties=ties))
        assert figure.pessimistic < figure.value < figure.optimistic
        assert figure.protocol.normalize == "total"
        assert Protocol.parse(str(figure.protocol)) == figure.protocol
    without = evaluate_codes(QUERY, DATABASE, ASKED, SEARCHED, settings=Settings(resamples=0))
    assert "R-precision" not in str(without)
    assert "R-precision" in str(found)


@pytest.mark.parametrize("face", FACES)
def test_the_torchmetrics_class(face):
    metric = HammingMetric(partial(face, ties="pessimistic"))
    for codes, labels, database in ((QUERY, ASKED, False), (DATABASE, SEARCHED, True)):
        bits = torch.from_numpy(codes.bits()).bool()
        metric.update(bits, torch.from_numpy(labels), torch.arange(len(codes)), database=database)
    assert metric.compute().item() == face(QUERY, DATABASE, **LABELS, ties="pessimistic")
