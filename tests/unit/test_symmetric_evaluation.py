"""Figures of codes of several levels: the symmetric order, exact over ties, against a ranking by hand."""

import itertools

import numpy as np
import pytest

from deephash.codes import BinaryCodes
from deephash.codes.levels import symmetric_scores
from deephash.errors import UsageError
from deephash.evaluation.counts import distance_counts
from deephash.evaluation.listed import ListedPairs
from deephash.evaluation.metrics import mean_average_precision
from deephash.evaluation.relevance import relevance_from_labels
from deephash.evaluation.scores import Settings, score
from deephash.evaluation.symmetric import ranked_counts, score_counts
from tests.unit.test_codes_levels import drawn


def average_precision(gains):
    gains = np.asarray(gains, float)
    return float((np.cumsum(gains) / np.arange(1, len(gains) + 1) * gains).sum() / max(gains.sum(), 1))


def expected_over_ties(scores, gains):
    """Mean over all orders that the scores allow."""
    groups = [np.flatnonzero(scores == value) for value in sorted(set(scores.tolist()), reverse=True)]
    orders = itertools.product(*(itertools.permutations(group) for group in groups))
    return np.mean([average_precision(gains[list(itertools.chain(*order))]) for order in orders])


def test_mean_average_precision_is_the_mean_over_all_orders_of_equal_scores():
    queries, pool = drawn(6, 3, 2, 1), drawn(9, 3, 2, 2)
    labels = np.random.default_rng(3).integers(0, 2, 9)
    asked = np.array([0, 1, 0, 1, 0, 1])
    scores = symmetric_scores(queries, pool)
    assert any(len(set(row.tolist())) < 9 for row in scores)  # some are tied
    expected = np.mean([expected_over_ties(row, labels == label) for row, label in zip(scores, asked)])
    assert mean_average_precision(queries, pool, query_labels=asked, database_labels=labels) == pytest.approx(expected)


def test_one_level_scored_so_is_what_hamming_gives():
    queries, pool = drawn(5, 12, 1, 1), drawn(80, 12, 1, 2)
    right = relevance_from_labels(np.arange(5) % 3, np.arange(80) % 3)
    (_, found), expected = next(score_counts(queries, pool, right)), distance_counts(queries, pool, right)
    for query in range(5):
        some = expected.items[query] > 0
        assert found.items[query, : some.sum()].tolist() == expected.items[query, some].tolist()
        assert found.relevant[query, : some.sum()].tolist() == expected.relevant[query, some].tolist()
    assert next(ranked_counts(queries, pool, right))[1].by_gain.shape == expected.by_gain.shape


def test_items_to_be_ignored_take_no_place():
    queries, pool = drawn(1, 8, 2, 1), drawn(6, 8, 2, 2)
    pairs = ListedPairs.from_lists([[1, 4]], 6, ignored=[[2, 3]])
    (_, counts) = next(score_counts(queries, pool, pairs))
    assert (counts.num_items[0], counts.num_relevant[0], counts.longest) == (4, 2, 6)


def test_a_report_ranks_by_the_symmetric_distance_and_has_no_figure_of_a_radius(monkeypatch):
    queries, pool = drawn(20, 16, 2, 1), drawn(200, 16, 2, 2)
    right = relevance_from_labels(np.arange(20) % 4, np.arange(200) % 4)
    table = score(queries, pool, right, Settings())
    names = [column.metric for column in table.columns]
    assert names[0] == "mAP@all"
    assert not [name for name in names if "H<=" in name or "kNN" in name]
    labels = {"query_labels": np.arange(20) % 4, "database_labels": np.arange(200) % 4}
    assert table.columns[0].scores.mean() == pytest.approx(mean_average_precision(queries, pool, **labels))
    monkeypatch.setattr("deephash.evaluation.symmetric.BLOCK_CELLS", 600)  # blocks of three queries
    again = score(queries, pool, right, Settings())
    assert np.allclose(again.columns[0].scores.values, table.columns[0].scores.values)


@pytest.mark.parametrize("ties", ["stable", "random:3"])
def test_an_order_of_ties_is_refused(ties):
    codes = BinaryCodes.concatenate([drawn(1, 8, 2)] * 4)
    labels = {"query_labels": [0] * 4, "database_labels": [0] * 4}
    with pytest.raises(UsageError, match="one level"):
        mean_average_precision(codes, codes, ties=ties, **labels)
    with pytest.raises(UsageError, match="one level"):
        score(codes, codes, relevance_from_labels([0] * 4, [0] * 4), Settings(ties=ties))
