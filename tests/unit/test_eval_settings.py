"""Lifelong, attacked and resampled scores, and what bad input is told."""

import numpy as np
import pytest

from deephash.codes import BinaryCodes
from deephash.errors import UsageError
from deephash.evaluation import metrics
from deephash.evaluation.arrays import as_codes
from deephash.evaluation.averaging import UnanswerableQueries, mean_over_queries
from deephash.evaluation.bootstrap import bootstrap_interval, estimate_from_counts, paired_bootstrap
from deephash.evaluation.compatibility import compatibility_scores, update_gain
from deephash.evaluation.counts import DistanceCounts, distance_counts
from deephash.evaluation.crossmodal import instance_hits
from deephash.evaluation.groups import gain_values, groups_from_counts
from deephash.evaluation.lifelong import lifelong_scores
from deephash.evaluation.listed import ListedPairs
from deephash.evaluation.radius import precision_within
from deephash.evaluation.relevance import relevance_from_labels
from deephash.evaluation.robustness import attack_precisions, share_label
from tests import evaluation_naive as naive


def test_lifelong_by_hand():
    scores = lifelong_scores([[0.8], [0.9, 0.6], [0.7, 0.5, 0.4]])
    assert scores.final_average == pytest.approx((0.7 + 0.5 + 0.4) / 3)
    assert scores.forgetting_by_session == pytest.approx((0.2, 0.1))
    assert scores.forgetting == pytest.approx(0.15)
    assert scores.backward_transfer == pytest.approx((-0.1 - 0.1) / 2)
    alone = lifelong_scores([[0.8]])
    assert (alone.final_average, alone.forgetting, alone.backward_transfer) == (0.8, 0.0, 0.0)
    square = np.array([[0.8, 0.1], [0.9, 0.6]])
    assert lifelong_scores(square) == lifelong_scores([[0.8], [0.9, 0.6]])  # above the diagonal nothing is read
    with pytest.raises(UsageError, match="row 1 needs 2 scores"):
        lifelong_scores([[0.8], [np.nan, 0.6]])
    with pytest.raises(UsageError, match="no scores"):
        lifelong_scores([])


def test_compatibility_refuses():
    with pytest.raises(UsageError, match="equal is"):
        compatibility_scores([[1.0]], equal="maybe")
    with pytest.raises(UsageError, match="old < new"):
        update_gain([[0.5], [0.5, 0.6]], new=0, old=1)


def test_attack_precisions():
    """Attacked queries take the code of the target class: the drop is total and t-mAP perfect."""
    centres = np.array([[0, 0, 0, 0, 0, 0], [1, 1, 1, 0, 0, 0], [0, 0, 0, 1, 1, 1]])
    database_labels = np.repeat([0, 1, 2], 10)
    labels, targets = np.array([0, 1, 2, 0]), np.array([1, 2, 0, 2])
    sides = centres[labels], centres[targets], centres[database_labels]
    names = {"query_labels": labels, "database_labels": database_labels}
    scores = attack_precisions(*sides, **names, target_labels=targets)
    assert scores.benign.mean() == scores.targeted.mean() == pytest.approx(1.0)
    assert scores.attacked.mean() < 0.5 > scores.benign_targeted.mean()
    assert share_label(labels, targets).mean() == 0.0
    rate = {"query_labels": targets, "database_labels": database_labels, "k": 5}
    assert metrics.knn_accuracy(sides[1], sides[2], **rate) == 1.0  # ASR@5
    untargeted = attack_precisions(*sides, **names)
    assert untargeted.targeted is untargeted.benign_targeted is None
    tags = np.eye(3, dtype=int)
    assert share_label(tags[labels], tags[[0, 1, 0, 0]]).mean() == 0.75
    with pytest.raises(UsageError, match="labels of 3 queries"):
        attack_precisions(*sides, **names, target_labels=targets[:3])


# Doubt ------------------------------------------------------------------------------------------------


def test_bootstrap_interval_covers_the_mean():
    """Of 100 samples of 80 standard normal numbers, the 90 % interval holds 0 about 90 times."""
    rng = np.random.default_rng(0)
    covered = 0
    for seed in range(100):
        low, high = bootstrap_interval(rng.normal(size=80), level=0.9, resamples=300, seed=seed)
        covered += low <= 0 <= high
    assert 80 <= covered <= 97
    assert bootstrap_interval(np.array([0.5, np.nan, 0.5])) == (0.5, 0.5)  # NaN is left out


def test_weighted_bootstrap_is_of_the_ratio():
    values, found = np.array([0.5, 0.0, 1.0, 0.0]), np.array([1.0, 0.0, 1.0, 0.0])
    low, high = bootstrap_interval(values, found, resamples=400)
    assert 0 <= low <= mean_over_queries(values, found) == 0.75 <= high <= 1.0
    assert low >= 0.5 or low == 0.0  # a resample without any hit scores 0


def test_paired_bootstrap_sees_a_small_but_steady_gain():
    rng = np.random.default_rng(1)
    first = rng.uniform(size=300)
    steady = paired_bootstrap(first, first + rng.normal(0.02, 0.05, 300), resamples=2000)
    assert steady.difference == pytest.approx(0.02, abs=0.01)
    assert steady.interval.low > 0
    assert steady.p_value < 0.01
    shuffled = paired_bootstrap(first, rng.permutation(first), resamples=2000)
    assert shuffled.interval.low < 0 < shuffled.interval.high
    assert shuffled.p_value > 0.05
    assert paired_bootstrap(first, first).p_value == 1.0
    assert paired_bootstrap(np.array([0.1, np.nan, 0.3]), np.array([0.2, 0.5, np.nan])).queries == 1


def test_estimate_holds_range_and_interval():
    query, database, query_labels, database_labels = naive.random_sides(0, 40, 200, 6)
    query_labels[0] = -1
    counts = distance_counts(as_codes(query), as_codes(database), relevance_from_labels(query_labels, database_labels))
    with pytest.warns(UnanswerableQueries):
        found = estimate_from_counts(counts, lambda c, ties: metrics.average_precision_from_counts(c, ties=ties))
    assert found.pessimistic < found.value < found.optimistic
    assert found.interval.low < found.value < found.interval.high
    assert (found.queries, found.unanswerable) == (39, 1)


def test_bootstrap_refuses():
    with pytest.raises(UsageError, match="no query"):
        bootstrap_interval(np.array([np.nan]))
    with pytest.raises(UsageError, match="level"):
        bootstrap_interval(np.ones(3), level=1.5)
    with pytest.raises(UsageError, match="cannot be paired"):
        paired_bootstrap(np.ones(3), np.ones(4))


# Bad input --------------------------------------------------------------------------------------------

CODES = np.array([[0, 1], [1, 0]])
LABELS = {"query_labels": [0, 1], "database_labels": [0, 1]}


@pytest.mark.parametrize(
    ("codes", "labels", "options", "message"),
    [
        ((CODES, np.ones((2, 3))), LABELS, {}, "different lengths cannot be compared"),
        ((CODES, CODES), {"query_labels": [0, 1], "database_labels": np.eye(2)}, {}, "do not fit together"),
        ((CODES, CODES), {"query_labels": np.eye(2), "database_labels": np.eye(2) * 2}, {}, "only 0 and 1"),
        ((CODES, CODES), {"query_labels": [0.5, 1], "database_labels": [0, 1]}, {}, "class numbers 0, 1"),
        ((CODES, CODES), {"query_labels": [-2, 1], "database_labels": [0, 1]}, {}, "-1 for unlabelled"),
        ((CODES, CODES), LABELS, {"ties": "randm:0"}, "'random:SEED'"),
        ((CODES, CODES), LABELS, {"ties": "random:x"}, "'random:SEED'"),
        ((CODES, CODES), LABELS, {"normalize": "hit"}, "did you mean 'hits'"),
        ((CODES, CODES), LABELS, {"empty": "skip"}, "'zero' or 'drop'"),
        ((CODES[:0], CODES), {"query_labels": np.zeros(0, int), "database_labels": [0, 1]}, {}, "no queries"),
        ((CODES[0], CODES), LABELS, {}, r"shape \[N, K\]"),
    ],
)
def test_map_says_what_is_wrong(codes, labels, options, message):
    with pytest.raises(UsageError, match=message):
        metrics.mean_average_precision(*codes, **labels, **options)


def test_other_refusals():
    counts = DistanceCounts.from_items([2, 1], [1, 0])
    with pytest.raises(UsageError, match=r"radius is 0\.\.1"):
        precision_within(counts, 2)
    with pytest.raises(UsageError, match="need codes"):
        metrics.average_precision_from_counts(counts, ties="stable")
    with pytest.raises(UsageError, match="relevant <= items"):
        DistanceCounts.from_items([1, 2], [2, 0])
    with pytest.raises(UsageError, match="'linear'"):
        gain_values(3, "cubic")
    with pytest.raises(UsageError, match="'macro' or 'micro'"):
        metrics.curve_by_radius_from_counts(counts, average="mean")
    with pytest.raises(UsageError, match="ranks are"):
        metrics.curve_by_rank_from_counts(counts, ranks=[0, 1])
    with pytest.raises(UsageError, match="there is no curve"):
        metrics.curve_by_radius_from_counts(DistanceCounts.from_items([2], [0]))
    with pytest.raises(UsageError, match="engine is"):
        distance_counts(as_codes(CODES), as_codes(CODES), relevance_from_labels([0, 1], [0, 1]), engine="cuda")
    with pytest.raises(UsageError, match="wrap packed bytes"):
        as_codes(BinaryCodes.from_bits(np.eye(16)).packed)


@pytest.mark.parametrize(
    ("relevant", "options", "message"),
    [
        ([[0, 9]], {}, "outside the database"),
        ([[0]], {"ignored": [[0]]}, "twice"),
        ([[0]], {"gains": [[0]]}, "whole numbers from 1"),
        ([[0]], {"gains": []}, "one list a query"),
    ],
)
def test_listed_pairs_say_what_is_wrong(relevant, options, message):
    with pytest.raises(UsageError, match=message):
        ListedPairs.from_lists(relevant, 3, **options)


def test_no_queries():
    none, labels = CODES[:0], {"query_labels": np.zeros(0, int), "database_labels": [0, 1]}
    for face in (metrics.precision_within_radius, metrics.ndcg_at):
        with pytest.raises(UsageError, match="no queries"):
            face(none, CODES, **labels)
    with pytest.raises(UsageError, match="no queries"):
        instance_hits(none, CODES, query_pairs=np.zeros(0, int), database_pairs=[0, 1])


def test_one_item_and_one_query():
    assert metrics.mean_average_precision([[1, 0]], [[0, 1]], query_labels=[3], database_labels=[3]) == 1.0
    groups = groups_from_counts(DistanceCounts.from_items([0, 0, 1], [0, 0, 1]), "pessimistic")
    assert groups.items.shape == (1, 6)


def test_floors_without_torch():
    """Importing and using the metrics must not import torch (they serve collections on machines without it)."""
    import subprocess
    import sys

    program = (
        "import sys; from deephash.evaluation import metrics, legacy, bootstrap, torch_counts, crossmodal, robustness; "
        "metrics.mean_average_precision([[1, 0]], [[0, 1]], query_labels=[3], database_labels=[3]); "
        "print(any(name.split('.')[0] in ('torch', 'numba') for name in sys.modules))"
    )
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "False"
