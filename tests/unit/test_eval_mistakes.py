"""Every published evaluation mistake that touches metrics, as a test that ours does not make it.

The numbers are those of the list of published mistakes; those that belong to splits, protocols, training and encoding
(1, 2, 5, 6, 8, 14, 15, 16, 19, 20) are in test_eval_mistakes_around.py.
"""

import warnings

import numpy as np
import pytest

from deephash.codes import BinaryCodes
from deephash.errors import UsageError
from deephash.evaluation import metrics
from deephash.evaluation.averaging import UnanswerableQueries
from deephash.evaluation.crossmodal import PairedCodes, by_direction, folded_instance_hits, instance_hits
from tests import evaluation_naive as naive


def case(seed=0, queries=8, items=50, bits=8):
    query, database, query_labels, database_labels = naive.random_sides(seed, queries, items, bits)
    return (query, database), {"query_labels": query_labels, "database_labels": database_labels}


def test_3_the_four_directions_are_not_aliases():
    rng = np.random.default_rng(1)
    labels = rng.integers(0, 3, 40)
    sides = [PairedCodes(rng.integers(0, 2, (40, 8)), rng.integers(0, 2, (40, 8)), labels) for _ in range(2)]
    scores = by_direction(metrics.mean_average_precision, *sides)
    assert len({scores.i2t, scores.t2i, scores.i2i, scores.t2t}) == 4
    assert scores.i2t == metrics.mean_average_precision(
        sides[0].image, sides[1].text, query_labels=labels, database_labels=labels
    )
    assert scores.cross_modal_mean == (scores.i2t + scores.t2i) / 2


def test_4_conventions_are_options_and_differ():
    codes, labels = case()
    by_norm = [
        metrics.mean_average_precision(*codes, **labels, top_k=5, normalize=norm)
        for norm in ("hits", "min", "total", "first-k")
    ]
    assert len(set(by_norm)) == 4
    zero, drop = (metrics.mean_average_precision(*codes, **labels, top_k=1, empty=empty) for empty in ("zero", "drop"))
    assert zero < drop == pytest.approx(1.0)  # of those that found something at rank 1, all did


def test_4_dropping_is_exact_in_a_fixed_order():
    codes, labels = case(seed=3)
    per_query = metrics.average_precisions(
        *codes, metrics.relevance_from_labels(*labels.values()), top_k=2, ties="stable"
    )
    found = per_query[:, 1] > 0
    assert 0 < found.sum() < len(found)
    dropped = metrics.mean_average_precision(*codes, **labels, top_k=2, ties="stable", empty="drop")
    assert dropped == pytest.approx(per_query[found, 0].mean(), abs=1e-15)


def test_7_unlabelled_queries_are_left_out_and_counted():
    codes, labels = case()
    clean = metrics.mean_average_precision(
        codes[0][1:], codes[1], query_labels=labels["query_labels"][1:], database_labels=labels["database_labels"]
    )
    labels["query_labels"][0] = -1
    with pytest.warns(UnanswerableQueries, match=r"1 of 8 queries"):
        found = metrics.mean_average_precision(*codes, **labels)
    assert found == pytest.approx(clean, abs=1e-15)


def test_7_two_unlabelled_items_do_not_share_a_class():
    codes, labels = case()
    labels = {"query_labels": np.full(8, -1), "database_labels": np.full(50, -1)}
    with pytest.raises(UsageError, match="no query has a relevant item"):
        metrics.mean_average_precision(*codes, **labels)
    empty = {"query_labels": np.zeros((8, 3), int), "database_labels": np.zeros((50, 3), int)}
    with pytest.raises(UsageError, match="no query has a relevant item"):
        metrics.mean_average_precision(*codes, **empty)


def test_9_a_missing_last_batch_is_noticed():
    codes, labels = case()
    with pytest.raises(UsageError, match="50 database items were given for 8 query codes and 48 database codes"):
        metrics.mean_average_precision(codes[0], codes[1][:48], **labels)


@pytest.mark.parametrize("top_k", [-1, 0, 51, 2.5, True])
@pytest.mark.parametrize("ties", ["expected", "stable"])
def test_10_top_k_is_never_a_slice(top_k, ties):
    codes, labels = case()
    with pytest.raises(UsageError, match=r"top_k is 1\.\.50"):
        metrics.mean_average_precision(*codes, **labels, top_k=top_k, ties=ties)


def test_11_labels_survive_so_a_second_metric_is_right():
    query, database, *labels = naive.random_sides(0, 5, 40, 8, labels=3)
    names = dict(zip(("query_labels", "database_labels"), labels, strict=True))
    first = metrics.mean_average_precision(query, database, **names)
    metrics.ndcg_at(query, database, **names)
    assert metrics.mean_average_precision(query, database, **names) == first


def test_12_perfect_codes_score_one():
    labels = np.repeat(np.arange(4), 5)
    codes = np.eye(4, dtype=int)[labels]
    names = {"query_labels": labels, "database_labels": labels}
    for metric in (metrics.mean_average_precision, metrics.ndcg_at):
        assert metric(codes, codes, **names) == pytest.approx(1.0)
    assert metrics.precision_within_radius(codes, codes, **names, radius=1) == 1.0
    assert metrics.precision_at(codes, codes, **names, top_k=5) == 1.0


def test_13_real_values_are_refused_instead_of_reranking():
    codes, labels = case()
    with pytest.raises(UsageError, match="from_continuous"):
        metrics.mean_average_precision(codes[0] - 0.3, codes[1], **labels)


def test_zeros_among_signs_are_refused_as_a_third_symbol():
    codes, labels = case()
    signs = codes[1] * 2 - 1
    signs[3, 4] = 0
    with pytest.raises(UsageError, match="0/1 or -1/\\+1"):
        metrics.mean_average_precision(codes[0], signs, **labels)


def test_17_trapezoid_and_finite_sum_have_two_names():
    codes, labels = case()
    finite = metrics.mean_average_precision(*codes, **labels)
    area = metrics.mean_trapezoid_average_precision(*codes, **labels)
    assert area != pytest.approx(finite, abs=1e-4)


def test_18_the_radius_is_inclusive():
    query, database = np.zeros((1, 8), int), np.tril(np.ones((8, 8), int))  # distances 1..8
    labels = {"query_labels": [0], "database_labels": np.array([0, 0, 1, 1, 1, 1, 1, 1])}
    assert metrics.recall_within_radius(query, database, **labels, radius=2) == 1.0
    assert metrics.recall_within_radius(query, database, **labels, radius=1) == 0.5
    assert metrics.precision_within_radius(query, database, **labels, radius=0) == 0.0  # empty ball


def test_instance_level_is_not_label_level():
    rng = np.random.default_rng(0)
    image = rng.integers(0, 2, (20, 16))
    text = np.repeat(image, 5, axis=0) ^ (rng.random((100, 16)) < 0.1)  # five captions a picture
    pairs = np.repeat(np.arange(20), 5)
    hits = instance_hits(image, text, query_pairs=np.arange(20), database_pairs=pairs)
    assert set(hits) == {1, 5, 10}
    assert hits[1] <= hits[5] <= hits[10] <= 1
    same = metrics.hit_at(image, text, query_labels=np.arange(20), database_labels=pairs, top_k=5)
    assert hits[5] == pytest.approx(same)
    folded = folded_instance_hits(image, text, query_pairs=np.arange(20), database_pairs=pairs)
    assert folded[1] >= hits[1]  # fewer distractors
    with pytest.raises(UsageError, match=r"folds is 1\.\.20"):
        folded_instance_hits(image, text, query_pairs=np.arange(20), database_pairs=pairs, folds=21)


def test_nothing_warns_when_all_queries_can_be_answered():
    codes, labels = case()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        metrics.mean_average_precision(BinaryCodes.from_bits(codes[0]), codes[1], **labels)
