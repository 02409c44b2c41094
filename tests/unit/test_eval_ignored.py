"""Rankings from which items are taken out (junk, the query itself): cut-offs and figures do not depend on blocks."""

import numpy as np
import pytest

from deephash.codes import BinaryCodes
from deephash.errors import UsageError
from deephash.evaluation.counts import distance_counts
from deephash.evaluation.curves import CurveSums
from deephash.evaluation.engine import average_precisions, score_queries
from deephash.evaluation.graded import average_gain, normalised_discounted_gain, weighted_average_precision
from deephash.evaluation.listed import ListedPairs
from deephash.evaluation.ranking import average_precision, hit, precision, recall
from deephash.evaluation.relevance import relevance_from_labels


@pytest.mark.parametrize("ties", ["expected", "stable"])
@pytest.mark.parametrize("normalize", ["hits", "first-k"])
def test_ignored_items_in_every_ranking_leave_the_whole_database_rankable(ties, normalize):
    draw = np.random.default_rng(0)
    query, database = draw.integers(0, 2, (4, 16)), draw.integers(0, 2, (12, 16))
    right, junk = [[0, 3, 7]] * 4, [[1, 2]] * 4
    found = average_precisions(
        query, database, ListedPairs.from_lists(right, 12, ignored=junk), ties=ties, normalize=normalize
    )
    kept = np.setdiff1d(np.arange(12), [1, 2])
    labels = np.isin(kept, right[0]).astype(int)
    plain = average_precisions(query, database[kept], relevance_from_labels([1] * 4, labels), ties=ties)
    assert found == pytest.approx(plain, abs=1e-12)


@pytest.mark.parametrize("ties", ["expected", "optimistic", "stable"])
@pytest.mark.parametrize("metric", ["AP", "P", "R", "hit", "NDCG", "ACG", "WAP"])
def test_a_cut_off_is_held_against_the_database_whatever_the_block_ignores(ties, metric):
    """A block in which every query ignores something used to refuse what another block accepted."""
    draw = np.random.default_rng(1)
    query, database = draw.integers(0, 2, (3, 16)), draw.integers(0, 2, (12, 16))
    right, junk = [[0, 3], [7], [8]], [[1, 2], [4], []]
    formulas = {
        "AP": lambda groups: average_precision(groups, 12),
        "P": lambda groups: precision(groups, 12),
        "R": lambda groups: recall(groups, 12),
        "hit": lambda groups: hit(groups, 12),
        "NDCG": lambda groups: normalised_discounted_gain(groups, 12),
        "ACG": lambda groups: average_gain(groups, 12),
        "WAP": lambda groups: weighted_average_precision(groups, 12),
    }

    def scores(rows):
        pairs = ListedPairs.from_lists(right, 12, ignored=junk).rows(rows)
        return score_queries(query[rows], database, pairs, formulas[metric], ties=ties, top_k=12)

    alone = np.concatenate([scores(slice(row, row + 1)) for row in range(3)])
    assert scores(slice(0, 3)) == pytest.approx(alone, abs=1e-15)
    if metric == "P":
        assert alone == pytest.approx([2 / 12, 1 / 12, 1 / 12])
    with pytest.raises(UsageError, match=r"top_k is 1\.\.12"):
        score_queries(
            query[:1],
            database,
            ListedPairs.from_lists([[0]], 12, ignored=[[5]]),
            lambda groups: precision(groups, 13),
            top_k=13,
        )


def test_curves_of_rankings_with_ignored_items_do_not_depend_on_blocks():
    draw = np.random.default_rng(2)
    query, database = (BinaryCodes.from_bits(draw.integers(0, 2, (count, 8))) for count in (3, 12))
    pairs = ListedPairs.from_lists([[0, 3], [7], [8]], 12, ignored=[[1, 2], [4], []])
    together, apart = CurveSums(12, 8), CurveSums(12, 8)
    together.add(distance_counts(query, database, pairs))
    for row in range(3):
        rows = slice(row, row + 1)
        apart.add(distance_counts(query[rows], database, pairs.rows(rows)))
    for name in ("rank", "precision_at_rank", "recall_at_rank"):
        left, right = (getattr(sums.curves(), name) for sums in (together, apart))
        np.testing.assert_allclose(left, right, atol=1e-15)
    assert together.curves().recall_at_rank[-1] == 1.0
