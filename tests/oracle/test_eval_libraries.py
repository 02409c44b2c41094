"""Agreement with scikit-learn and torchmetrics where nothing is tied (and for NDCG, where things are)."""

import numpy as np
import pytest
import torch
from sklearn.metrics import average_precision_score, ndcg_score
from torchmetrics.functional.retrieval import (
    retrieval_average_precision,
    retrieval_hit_rate,
    retrieval_normalized_dcg,
    retrieval_precision,
    retrieval_recall,
)

from deephash.evaluation import metrics

BITS = 48


@pytest.fixture(scope="module")
def untied():
    """One query of zeros and 48 items at 48 different distances, in a random order, with gains of 0 to 3."""
    rng = np.random.default_rng(5)
    distances = rng.permutation(BITS) + 1
    database = (np.arange(BITS) < distances[:, None]).astype(int)
    gains = rng.integers(0, 4, BITS)
    labels = (np.arange(3) < gains[:, None]).astype(int)
    case = {"query_labels": np.ones((1, 3), int), "database_labels": labels}
    return np.zeros((1, BITS), int), database, case, distances, gains


def test_average_precision(untied):
    query, database, labels, distances, gains = untied
    found = metrics.mean_average_precision(query, database, **labels)
    assert found == pytest.approx(average_precision_score(gains > 0, -distances), abs=1e-14)
    scores, target = torch.tensor(BITS + 1.0 - distances), torch.tensor(gains > 0)
    assert found == pytest.approx(float(retrieval_average_precision(scores, target)), abs=1e-6)
    cut = metrics.mean_average_precision(query, database, **labels, top_k=10)
    assert cut == pytest.approx(float(retrieval_average_precision(scores, target, top_k=10)), abs=1e-6)


def test_top_of_the_ranking(untied):
    query, database, labels, distances, gains = untied
    scores, target = torch.tensor(BITS + 1.0 - distances), torch.tensor(gains > 0)
    pairs = {
        metrics.precision_at: retrieval_precision,
        metrics.recall_at: retrieval_recall,
        metrics.hit_at: retrieval_hit_rate,
    }
    for ours, theirs in pairs.items():
        for top_k in (1, 5, 20):
            found = ours(query, database, **labels, top_k=top_k)
            assert found == pytest.approx(float(theirs(scores, target, top_k=top_k)), abs=1e-6), ours


@pytest.mark.parametrize("top_k", [5, 48])
def test_ndcg_linear_and_exponential(untied, top_k):
    query, database, labels, distances, gains = untied
    linear = metrics.ndcg_at(query, database, **labels, top_k=top_k, scale="linear")
    assert linear == pytest.approx(ndcg_score([gains], [-distances], k=top_k), abs=1e-14)
    scores, target = torch.tensor(BITS + 1.0 - distances), torch.tensor(gains)
    assert linear == pytest.approx(float(retrieval_normalized_dcg(scores, target, top_k=top_k)), abs=1e-6)
    exponential = metrics.ndcg_at(query, database, **labels, top_k=top_k)
    assert exponential == pytest.approx(ndcg_score([2.0**gains - 1], [-distances], k=top_k), abs=1e-14)


def test_ndcg_under_ties_is_scikit_learns():
    rng = np.random.default_rng(2)
    database, labels = rng.integers(0, 2, (200, 5)), rng.integers(0, 2, (200, 4))
    query, query_labels = rng.integers(0, 2, (9, 5)), np.ones((9, 4), int)
    distances = (query[:, None] != database[None]).sum(axis=2)
    gains = np.tile(labels.sum(axis=1), (9, 1))
    found = metrics.ndcg_at(
        query, database, query_labels=query_labels, database_labels=labels, top_k=50, scale="linear"
    )
    assert found == pytest.approx(ndcg_score(gains, -distances, k=50), abs=1e-13)


def test_knn_accuracy_is_scikit_learns_without_ties(untied):
    from sklearn.neighbors import KNeighborsClassifier

    query, database, _, _, gains = untied
    model = KNeighborsClassifier(7, metric="hamming", algorithm="brute").fit(database, gains)
    predicted = model.predict(query)
    votes = np.bincount(gains[np.argsort(database.sum(axis=1))[:7]])
    assert (votes == votes.max()).sum() == 1  # no draw, so both must agree
    for truth in range(4):
        found = metrics.knn_accuracy(query, database, query_labels=np.array([truth]), database_labels=gains, k=7)
        assert found == float(predicted[0] == truth)
