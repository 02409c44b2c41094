"""The range over tie orders holds every order, for the metrics whose best query order is not best for the mean."""

import itertools

import numpy as np
import pytest

from deephash.codes import BinaryCodes
from deephash.errors import UsageError
from deephash.evaluation import metrics
from deephash.evaluation.codefile import CodeFile
from deephash.evaluation.counts import DistanceCounts
from deephash.evaluation.scores import Settings
from deephash.reports import evaluate_codes
from deephash.scoring.targets import evaluate

GAINS = [[[0, 2, 1], [3, 0, 0]], [[1, 0, 3], []], [[1, 3, 0], [1]], [[0, 0], [2, 1, 0]], [[2, 2, 0, 1], [3]]]


def orders(groups):
    for parts in itertools.product(*[itertools.permutations(group) for group in groups]):
        yield np.array([gain for part in parts for gain in part])


def weighted_precision(gains, depth):
    hits = gains[:depth] > 0
    acg = np.cumsum(gains[:depth]) / np.arange(1, depth + 1)
    return (hits * acg).sum() / max(hits.sum(), 1)


@pytest.mark.parametrize("groups", GAINS)
def test_the_bounds_of_wap_are_the_extremes_over_all_orders(groups):
    by_gain = np.stack([np.bincount(group, minlength=4) for group in groups], axis=1)[None]
    for depth in range(1, sum(map(len, groups)) + 1):
        scores = [weighted_precision(order, depth) for order in orders(groups)]
        for ties, extreme in (("expected", np.mean), ("optimistic", np.max), ("pessimistic", np.min)):
            found = metrics.weighted_average_precision_from_counts(DistanceCounts(by_gain), top_k=depth, ties=ties)
            assert found[0] == pytest.approx(extreme(scores), abs=1e-12)


def few_bits(num_classes=6, seed=0):
    draw = np.random.default_rng(seed)
    codes = [BinaryCodes.from_bits(draw.integers(0, 2, (size, 2))) for size in (5, 7)]
    return *codes, draw.integers(0, num_classes, 5), draw.integers(0, num_classes, 7)


@pytest.mark.parametrize("normalize", ["hits", "min", "total"])
@pytest.mark.parametrize("seed", range(4))
def test_the_range_of_a_mean_that_drops_queries_is_exact(normalize, seed):
    query, database, asked, searched = few_bits(seed=seed)
    kept = np.isin(asked, searched)
    distances, relevant = query.hamming(database)[kept], (asked[:, None] == searched)[kept]
    outcomes = []  # of each query: every (AP@2, found) that an order of its ties gives
    for row in range(len(distances)):
        levels = [np.flatnonzero(distances[row] == level) for level in range(3)]
        ranked = {tuple(relevant[row][order][:2]) for order in orders(levels)}
        total = relevant[row].sum()
        outcomes.append({(ap_at_2(top, total, normalize), any(top)) for top in ranked})
    means = []
    for choice in itertools.product(*outcomes):
        found = sum(each[1] for each in choice)
        means.append(sum(each[0] for each in choice) / found if found else 0.0)
    settings = Settings(top_k=2, normalize=normalize, empty="drop", ranks=(1,), resamples=0)
    headline = evaluate_codes(query, database, asked, searched, settings=settings).headline
    assert headline.pessimistic == pytest.approx(min(means), abs=1e-12)
    assert headline.optimistic == pytest.approx(max(means), abs=1e-12)
    assert headline.pessimistic <= headline.value <= headline.optimistic


def ap_at_2(top, total, normalize):
    score = top[0] + top[1] * sum(top) / 2
    return score / max({"hits": sum(top), "min": min(2, total), "total": total}[normalize], 1)


def test_each_figure_names_the_conventions_it_was_made_with():
    settings = Settings(top_k=2, ties="stable", normalize="min", empty="drop", ranks=(1,), resamples=0)
    draw = np.random.default_rng(1)
    codes, labels = BinaryCodes.from_bits(draw.integers(0, 2, (60, 4))), draw.integers(0, 4, 60)
    report = evaluate_codes(codes[:20], codes[20:], labels[:20], labels[20:], settings=settings)
    told = {each.metric: (each.protocol.ties, each.protocol.normalize, each.protocol.empty) for each in report.figures}
    assert told["mAP@2"] == ("stable", "min", "drop")
    assert told["P@1"] == ("stable", "min", "zero")
    assert told["mAP@H<=2"] == ("expected", "hits", "zero")
    assert told["kNN@20"][0] == "stable"
    assert "ties=expected, normalize=hits, empty=zero: mAP@H<=2" in str(report)
    assert all(f"- `{each.protocol}`" in report.to_markdown() for each in report.figures)
    inside = report.figure("mAP@H<=2")
    assert inside.pessimistic < inside.value < inside.optimistic


def test_the_cosine_baseline_is_not_called_a_legacy_figure_and_its_row_is_aligned():
    draw = np.random.default_rng(3)
    labels = draw.integers(0, 3, 80)
    features = np.eye(3)[labels].repeat(3, axis=1) + draw.normal(size=(80, 9))
    codes = BinaryCodes.from_bits(features >= 0.5)
    sides = [CodeFile(codes[part], labels[part], features=features[part]) for part in (slice(20), slice(20, None))]
    report = evaluate(*sides, settings=Settings(legacy="hashnet", ranks=(1,), resamples=0), baselines=True)
    assert [figure.protocol.legacy for figure in report.baselines["cosine"]] == ["none"]
    table = [line for line in report.to_markdown().splitlines() if line.startswith(("| codes |", "| cosine |"))]
    assert table[0].count("|") == table[-1].count("|")
    assert table[-1].endswith("| - |")


def test_first_k_always_finds_something_so_nothing_is_dropped():
    query, database, asked, searched = few_bits(seed=2)
    labels = {"query_labels": asked, "database_labels": searched}
    for ties in ("expected", "stable", "optimistic"):
        options = {"top_k": 1, "normalize": "first-k", "ties": ties}
        zero, drop = (
            metrics.mean_average_precision(query, database, **labels, **options, empty=empty)
            for empty in ("zero", "drop")
        )
        assert zero == drop


@pytest.mark.parametrize("repository", ["thulab", "orthohash", "hashnet", "dcmh"])
@pytest.mark.parametrize("top_k", [0, -1, 8])
def test_legacy_rules_refuse_a_depth_that_the_database_lacks(repository, top_k):
    query, database, asked, searched = few_bits(num_classes=2)
    with pytest.raises(UsageError, match=r"top_k is 1\.\.7"):
        metrics.mean_average_precision(
            query, database, query_labels=asked, database_labels=searched, top_k=top_k, legacy=repository
        )


def test_torchmetrics_faces_refuse_bits_stored_as_floats():
    import torch

    from deephash.evaluation.torchmetrics_faces import HammingMAP

    bits = torch.tensor([[0.0, 1.0], [1.0, 1.0]])
    with pytest.raises(UsageError, match=r"values\.bool"):
        HammingMAP().update(bits, torch.tensor([0, 1]), torch.arange(2), database=False)
