"""The public functions against plain loops over explicit rankings, on codes with many ties."""

import numpy as np
import pytest

from deephash.codes import BinaryCodes
from deephash.evaluation import engine, metrics
from deephash.evaluation.engine import average_precisions
from deephash.evaluation.ordered import counted_order
from deephash.evaluation.rankings import shuffle_of_ties, stable_order
from deephash.evaluation.relevance import relevance_from_labels
from tests import evaluation_naive as naive

KINDS = [0, 5]  # class numbers, multi-hot with 5 labels


def sides(labels, seed=3, queries=12, items=60, bits=7):
    return naive.random_sides(seed, queries, items, bits, labels)


def stable_rankings(query, database, query_labels, database_labels):
    distances = naive.distances_between(query, database)
    gains = naive.gains_between(query_labels, database_labels)
    return [naive.ranked_gains(d, g) for d, g in zip(distances, gains, strict=True)]


def keywords(case):
    return {"query_labels": case[2], "database_labels": case[3]}


@pytest.mark.parametrize("labels", KINDS)
@pytest.mark.parametrize("normalize", ["hits", "min", "total", "first-k"])
@pytest.mark.parametrize("top_k", [None, 1, 10, 60])
def test_stable_map(labels, normalize, top_k, monkeypatch):
    case = sides(labels)
    rankings = stable_rankings(*case)
    slow = [naive.average_precision(r, top_k or 60, normalize, sum(g > 0 for g in r)) for r in rankings]
    options = {"top_k": top_k, "normalize": normalize, "ties": "stable", **keywords(case)}
    assert metrics.mean_average_precision(*case[:2], **options) == pytest.approx(np.mean(slow), abs=1e-14)
    monkeypatch.setattr(engine, "takes_numba", lambda *_: True)  # the kernel for large jobs
    assert metrics.mean_average_precision(*case[:2], **options) == pytest.approx(np.mean(slow), abs=1e-14)


@pytest.mark.parametrize("labels", KINDS)
def test_random_order_is_the_stable_order_of_a_shuffled_database(labels, monkeypatch):
    query, database, query_labels, database_labels = sides(labels)
    order = shuffle_of_ties("random:7", len(database))
    shuffled = metrics.mean_average_precision(
        query, database[order], query_labels=query_labels, database_labels=database_labels[order], ties="stable"
    )
    case = {"query_labels": query_labels, "database_labels": database_labels, "ties": "random:7"}
    assert metrics.mean_average_precision(query, database, **case) == pytest.approx(shuffled, abs=1e-14)
    monkeypatch.setattr(engine, "takes_numba", lambda *_: True)
    assert metrics.mean_average_precision(query, database, **case) == pytest.approx(shuffled, abs=1e-14)


@pytest.mark.parametrize("bits", [3, 64, 100])
@pytest.mark.parametrize("depth", [1, 700, 5000])
def test_the_counted_order_is_the_sorted_one(bits, depth):
    """5,000 items are several blocks of the kernel; few bits, so that the order of ties decides."""
    draw = np.random.default_rng(bits)
    query, database = (BinaryCodes.from_bits(draw.integers(0, 2, (count, bits))) for count in (70, 5000))
    np.testing.assert_array_equal(counted_order(query, database, depth), stable_order(query, database, depth))


@pytest.mark.parametrize("num_classes", [1, 3, 40])
def test_stable_map_of_a_class_sorted_database_of_many_blocks(num_classes, monkeypatch):
    """Blocks without the query's class are skipped; unlabelled items, classes that nobody has, and a last block."""
    draw = np.random.default_rng(num_classes)
    query, database = (BinaryCodes.from_bits(draw.integers(0, 2, (count, 10))) for count in (30, 5001))
    asked, searched = draw.integers(0, num_classes + 1, 30), np.sort(draw.integers(-1, num_classes, 5001))
    relevance = relevance_from_labels(asked, searched)
    slow = average_precisions(query, database, relevance, ties="stable")
    monkeypatch.setattr(engine, "takes_numba", lambda *_: True)
    np.testing.assert_allclose(average_precisions(query, database, relevance, ties="stable"), slow, atol=1e-14)


@pytest.mark.parametrize("labels", KINDS)
@pytest.mark.parametrize("top_k", [1, 5, 20])
@pytest.mark.parametrize("is_large", [False, True])
def test_other_metrics_in_stable_order(labels, top_k, is_large, monkeypatch):
    monkeypatch.setattr(engine, "takes_numba", lambda *_: is_large)
    case = sides(labels)
    rankings = stable_rankings(*case)
    total = [sum(g > 0 for g in r) for r in rankings]
    slow = {
        metrics.precision_at: [sum(g > 0 for g in r[:top_k]) / top_k for r in rankings],
        metrics.recall_at: [sum(g > 0 for g in r[:top_k]) / n for r, n in zip(rankings, total, strict=True)],
        metrics.hit_at: [float(any(r[:top_k])) for r in rankings],
        metrics.acg_at: [sum(r[:top_k]) / top_k for r in rankings],
        metrics.ndcg_at: [naive.ndcg(r, top_k, exponential=True) for r in rankings],
        metrics.mean_weighted_average_precision: [naive.weighted_average_precision(r, top_k) for r in rankings],
    }
    for fast, values in slow.items():
        found = fast(*case[:2], **keywords(case), top_k=top_k, ties="stable")
        assert found == pytest.approx(np.mean(values), abs=1e-13), fast
    trapezoids = np.mean([naive.trapezoid(r) for r in rankings])
    found = metrics.mean_trapezoid_average_precision(*case[:2], **keywords(case), ties="stable")
    assert found == pytest.approx(trapezoids, abs=1e-13)


@pytest.mark.parametrize("labels", KINDS)
def test_mean_over_many_seeds_approaches_the_expected_value(labels):
    case = sides(labels, queries=6, items=40, bits=4)
    options = {"top_k": 15, **keywords(case)}
    drawn = [metrics.mean_average_precision(*case[:2], **options, ties=f"random:{seed}") for seed in range(400)]
    expected = metrics.mean_average_precision(*case[:2], **options)
    assert abs(expected - np.mean(drawn)) < 5 * np.std(drawn) / np.sqrt(len(drawn))
    low = metrics.mean_average_precision(*case[:2], **options, ties="pessimistic")
    high = metrics.mean_average_precision(*case[:2], **options, ties="optimistic")
    assert low <= min(drawn)
    assert max(drawn) <= high


@pytest.mark.parametrize("labels", KINDS)
@pytest.mark.parametrize("radius", [0, 2, 7])
def test_ball_metrics(labels, radius):
    case = sides(labels)
    distances, gains = naive.distances_between(*case[:2]), naive.gains_between(*case[2:]) > 0
    inside = distances <= radius
    hits = (inside & gains).sum(axis=1)
    precision = hits / np.maximum(inside.sum(axis=1), 1)
    recall = hits / gains.sum(axis=1)
    f1 = np.divide(2 * precision * recall, precision + recall, out=np.zeros(len(hits)), where=hits > 0)
    slow = {
        metrics.precision_within_radius: precision,
        metrics.recall_within_radius: recall,
        metrics.f1_within_radius: f1,
    }
    for fast, values in slow.items():
        assert fast(*case[:2], **keywords(case), radius=radius) == pytest.approx(values.mean(), abs=1e-14), fast


def test_map_within_radius_is_the_mean_over_tie_orders():
    case = sides(0, queries=5, items=30, bits=6)
    distances, gains = naive.distances_between(*case[:2]), naive.gains_between(*case[2:])
    rng, samples = np.random.default_rng(0), []
    for _ in range(300):
        order = rng.permutation(30)
        balls = [
            naive.ranked_gains(d[order][d[order] <= 2], g[order][d[order] <= 2])
            for d, g in zip(distances, gains, strict=True)
        ]
        samples.append(np.mean([naive.average_precision(r, len(r), "hits", 0) for r in balls]))
    found = metrics.mean_average_precision_within_radius(*case[:2], **keywords(case), radius=2)
    assert abs(found - np.mean(samples)) < 5 * np.std(samples) / np.sqrt(300)


@pytest.mark.parametrize("average", ["macro", "micro"])
@pytest.mark.parametrize("labels", KINDS)
def test_curves(labels, average):
    case = sides(labels)
    distances, gains = naive.distances_between(*case[:2]), naive.gains_between(*case[2:]) > 0
    by_radius = metrics.precision_recall_by_radius(*case[:2], **keywords(case), average=average)
    by_rank = metrics.precision_recall_by_rank(*case[:2], **keywords(case), average=average, ties="optimistic")
    best = [[g for _, g in sorted(zip(d, -1.0 * g, strict=True))] for d, g in zip(distances, gains, strict=True)]
    ranked = -np.array(best).cumsum(axis=1)
    for radius in range(8):
        inside = distances <= radius
        check(by_radius, radius, (inside & gains).sum(axis=1), inside.sum(axis=1), gains.sum(axis=1), average)
    for rank in range(1, 61):
        check(by_rank, rank - 1, ranked[:, rank - 1], np.full(12, rank), gains.sum(axis=1), average)


def check(curve, point, hits, items, total, average):
    if average == "micro":
        expected = hits.sum() / max(items.sum(), 1), hits.sum() / total.sum()
    else:
        expected = np.mean(hits / np.maximum(items, 1)), np.mean(hits / total)
    assert (curve.precision[point], curve.recall[point]) == pytest.approx(expected, abs=1e-13)


def test_expected_curve_by_rank_is_precision_at_each_rank():
    case = sides(0)
    curve = metrics.precision_recall_by_rank(*case[:2], **keywords(case), ranks=[1, 7, 60])
    for place, rank in enumerate([1, 7, 60]):
        assert curve.precision[place] == pytest.approx(metrics.precision_at(*case[:2], **keywords(case), top_k=rank))
        assert curve.recall[place] == pytest.approx(metrics.recall_at(*case[:2], **keywords(case), top_k=rank))


def test_per_query_values_with_listed_pairs_and_junk():
    """Explicit pairs: junk leaves the ranking altogether, in counts and in explicit orders alike."""
    query, database, *_ = sides(0, queries=3, items=20)
    relevant, ignored = [[0, 5, 7], [1], [2, 3]], [[4], [], [6, 8, 19]]
    pairs = metrics.ListedPairs.from_lists(relevant, 20, ignored=ignored)
    distances = naive.distances_between(query, database)
    stable = average_precisions(query, database, pairs, ties="stable")[:, 0]
    for row in range(3):
        kept = [item for item in range(20) if item not in ignored[row]]
        gains = np.isin(kept, relevant[row]).astype(int)
        ranking = naive.ranked_gains(distances[row][kept], gains)
        assert stable[row] == pytest.approx(naive.average_precision(ranking, 20, "hits", 0), abs=1e-14)
    drawn = [average_precisions(query, database, pairs, ties=f"random:{seed}")[:, 0] for seed in range(300)]
    expected = average_precisions(query, database, pairs)[:, 0]
    assert (np.abs(expected - np.mean(drawn, axis=0)) <= 5 * np.std(drawn, axis=0) / np.sqrt(300) + 1e-12).all()
