"""The one pass behind a report gives exactly what the single metric functions give."""

import numpy as np
import pytest

from deephash.codes import BinaryCodes
from deephash.errors import UsageError
from deephash.evaluation import metrics
from deephash.evaluation.knn import knn_accuracy
from deephash.evaluation.metrics import ndcg_from_counts
from deephash.evaluation.relevance import relevance_from_labels
from deephash.evaluation.scores import QueryScores, Settings, score
from tests.evaluation_cases import clustered, multi_hot

QUERY, DATABASE, ASKED, SEARCHED = clustered()
LABELS = {"query_labels": ASKED, "database_labels": SEARCHED}


def table(settings, labels=(ASKED, SEARCHED)):
    found = score(QUERY, DATABASE, relevance_from_labels(*labels), settings)
    return {(column.metric, column.normalize): column for column in found.columns}, found


@pytest.mark.parametrize("ties", ["expected", "optimistic", "pessimistic", "stable", "random:3"])
@pytest.mark.parametrize("normalize", ["hits", "min", "total", "first-k"])
@pytest.mark.parametrize("empty", ["zero", "drop"])
def test_columns_average_to_the_metric_functions(ties, normalize, empty):
    columns, _ = table(Settings(top_k=20, ties=ties, normalize=normalize, empty=empty, ranks=(1, 7)))
    options = {"top_k": 20, "ties": ties, "empty": empty}
    expected = metrics.mean_average_precision(QUERY, DATABASE, **LABELS, normalize=normalize, **options)
    assert columns["mAP@20", normalize].scores.mean() == pytest.approx(expected, abs=1e-12)
    smallest = metrics.mean_average_precision(QUERY, DATABASE, **LABELS, normalize="min", **options)
    assert columns["mAP@20", "min"].scores.mean() == pytest.approx(smallest, abs=1e-12)
    for name, function in (("P", metrics.precision_at), ("R", metrics.recall_at), ("hit", metrics.hit_at)):
        value = function(QUERY, DATABASE, **LABELS, top_k=7, ties=ties)
        assert columns[f"{name}@7", normalize].scores.mean() == pytest.approx(value, abs=1e-12)


def test_radius_figures_and_neighbours():
    columns, found = table(Settings(radius=6))
    for name, function in (
        ("P@H<=6", metrics.precision_within_radius),
        ("R@H<=6", metrics.recall_within_radius),
        ("F1@H<=6", metrics.f1_within_radius),
        ("mAP@H<=6", metrics.mean_average_precision_within_radius),
    ):
        assert columns[name, "hits"].scores.mean() == pytest.approx(function(QUERY, DATABASE, **LABELS, radius=6))
        assert (columns[name, "hits"].best is None) == (name != "mAP@H<=6")
    assert columns["kNN@20", "hits"].scores.mean() == pytest.approx(knn_accuracy(QUERY, DATABASE, **LABELS, k=20))
    distances = QUERY.hamming(DATABASE)
    assert np.array_equal(found.ball_size, (distances <= 6).sum(axis=1))


def test_the_range_holds_every_order_of_ties():
    columns, _ = table(Settings(top_k=20))
    for place in range(5):
        ordered, _ = table(Settings(top_k=20, ties=f"random:{place}"))
        for key, column in columns.items():
            if column.best is not None:
                assert column.worst.mean() - 1e-12 <= ordered[key].scores.mean() <= column.best.mean() + 1e-12


def test_multi_label_columns_agree_with_the_graded_functions():
    labels = multi_hot(len(QUERY)), multi_hot(len(DATABASE), seed=1)
    columns, _ = table(Settings(ranks=(1, 50)), labels)
    counts = metrics.distance_counts(QUERY, DATABASE, relevance_from_labels(*labels))
    column = columns["NDCG@50", "hits"]
    assert column.scores.mean() == pytest.approx(np.nanmean(ndcg_from_counts(counts, top_k=50)))
    assert column.gain == "2^g-1"
    assert {"ACG@50", "WAP@50"} <= {metric for metric, _ in columns}
    assert "kNN@20" not in {metric for metric, _ in columns}
    for ties in ("stable", "random:1"):
        ordered, _ = table(Settings(ranks=(1, 50), ties=ties), labels)
        for metric in ("NDCG@50", "ACG@50"):
            found = columns[metric, "hits"]
            assert found.worst.mean() <= ordered[metric, "hits"].scores.mean() <= found.best.mean()


def test_denominators_are_printed_once_where_they_agree():
    columns, _ = table(Settings())
    assert [key for key in columns if key[0].startswith("mAP@") and "H" not in key[0]] == [("mAP@all", "hits")]
    columns, _ = table(Settings(top_k=len(DATABASE)))
    assert [key[0] for key in columns if key[0].startswith("mAP@") and "H" not in key[0]] == ["mAP@300"]


def test_curves_are_those_of_the_metric_functions():
    _, found = table(Settings())
    by_radius = metrics.precision_recall_by_radius(QUERY, DATABASE, **LABELS)
    assert found.curves.precision_by_radius == pytest.approx(by_radius.precision)
    assert found.curves.recall_by_radius == pytest.approx(by_radius.recall)
    by_rank = metrics.precision_recall_by_rank(QUERY, DATABASE, **LABELS, ranks=found.curves.rank)
    assert found.curves.precision_at_rank == pytest.approx(by_rank.precision)
    distances, relevant = QUERY.hamming(DATABASE), ASKED[:, None] == SEARCHED
    for name, chosen in (("relevant", relevant), ("irrelevant", ~relevant)):
        shares = np.bincount(distances[chosen], minlength=25) / chosen.sum()
        assert getattr(found.curves, name) == pytest.approx(shares)
    assert found.curves.chance.sum() == pytest.approx(1)
    assert found.curves.chance[12] == pytest.approx(0.1611803, abs=1e-6)  # C(24, 12) / 2^24


def test_queries_without_an_answer_are_left_out_of_every_mean():
    asked = ASKED.copy()
    asked[:7] = 99
    columns, found = table(Settings(), (asked, SEARCHED))
    kept, _ = table(Settings())
    for key, column in columns.items():
        assert np.isnan(column.scores.values[:7]).all(), key
        assert column.scores.values[7:] == pytest.approx(kept[key].scores.values[7:])
    assert np.isfinite(found.curves.precision_by_radius).all()


def test_means_of_nothing():
    assert np.isnan(QueryScores(np.array([np.nan])).mean())
    assert QueryScores(np.array([0.0, 0.0]), np.zeros(2)).mean() == 0.0
    assert QueryScores(np.array([0.5, np.nan, 0.7])).mean(np.array([0, 1])) == 0.5


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"top_k": 0}, "top_k is 1 or more"),
        ({"top_k": -1}, "top_k is 1 or more"),
        ({"top_k": 301}, "the database has 300"),
        ({"normalize": "mine"}, "hits, min, total"),
        ({"empty": "skip"}, "'zero' or 'drop'"),
        ({"radius": 25}, "radius is 0..24"),
        ({"radius": -1}, "radius is 0..24"),
        ({"ties": "luck"}, "luck"),
        ({"ranks": (0,)}, "a rank is at least 1"),
        ({"seed": -1}, "(seed|resamples) is at least 0"),
    ],
)
def test_senseless_settings_are_refused(settings, message):
    with pytest.raises(UsageError, match=message):
        table(Settings(**settings))


def test_nothing_to_score_is_refused():
    empty = BinaryCodes.from_bits(np.zeros((0, 24)))
    with pytest.raises(UsageError, match="nothing to score"):
        score(empty, DATABASE, relevance_from_labels(ASKED[:0], SEARCHED), Settings())
