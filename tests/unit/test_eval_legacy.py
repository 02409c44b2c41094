"""legacy rules print what the named repositories print: each is replayed here as a plain loop of its own."""

import numpy as np
import pytest
import torch

from deephash.errors import UsageError
from deephash.evaluation import metrics
from deephash.evaluation.legacy import LEGACY_RULES
from deephash.evaluation.metrics import mean_average_precision

BITS = 6


@pytest.fixture(scope="module")
def case():
    """Few bits, so nearly everything is tied; one unlabelled query, one class that is not in the database."""
    rng = np.random.default_rng(11)
    query, database = rng.choice([-1.0, 1.0], (9, BITS)), rng.choice([-1.0, 1.0], (700, BITS))
    labels = np.eye(30, dtype=int)
    query_labels, database_labels = labels[rng.integers(0, 29, 9)], labels[rng.integers(0, 29, 700)]
    query_labels[2] = 0
    query_labels[3] = labels[29]
    return query.astype(np.float32), database.astype(np.float32), query_labels, database_labels


def ap(relevant):
    relevant = np.asarray(relevant, dtype=bool)
    ranks = np.flatnonzero(relevant) + 1
    return np.mean(np.arange(1, len(ranks) + 1) / ranks) if len(ranks) else 0.0


def orders(name, query, database, top_k):
    """Database rows by the repository's own call, one query at a time."""
    for code in query:
        distance = 0.5 * (BITS - code @ database.T)
        tensor = torch.from_numpy(distance)
        if name == "deephash-pytorch":
            yield np.argsort(distance)
        elif name in ("hashnet", "csq"):
            yield np.argsort(-(database @ code))
        elif name == "thulab":
            nearest = np.argpartition(distance, top_k - 1)[:top_k]
            yield nearest[np.argsort(distance[nearest])]
        elif name == "orthohash":
            yield torch.topk(tensor[None], top_k, dim=1, largest=False)[1][0].numpy()
        elif name == "dpsh-pytorch":
            yield torch.argsort(tensor).numpy()
        elif name == "dcmh":
            yield torch.sort(tensor[None])[1].squeeze().numpy()
        elif name == "ucch":
            yield (distance.astype(np.float64) / BITS).argsort()
        else:
            yield np.argsort(distance, kind="stable")


@pytest.mark.parametrize("top_k", [25, 600])
@pytest.mark.parametrize("name", list(LEGACY_RULES))
def test_replay(name, top_k, case):
    query, database, query_labels, database_labels = case
    values = []
    for row, order in enumerate(orders(name, query, database, top_k)):
        relevant = database_labels @ query_labels[row] > 0
        if name == "dcmh":
            first = np.flatnonzero(relevant[order])[:top_k] + 1
            values.append(np.mean(np.arange(1, len(first) + 1) / first) if len(first) else 0.0)
            continue
        found = relevant[order[:top_k]]
        drops_empty = name in ("hashnet", "thulab", "ucch") and not found.any()
        drops_unlabelled = name == "csq" and not query_labels[row].any()
        if not drops_empty and not drops_unlabelled:
            values.append(ap(found))
    printed = mean_average_precision(
        query, database, query_labels=query_labels, database_labels=database_labels, top_k=top_k, legacy=name
    )
    assert printed == pytest.approx(np.mean(values), abs=1e-7)


def test_the_rules_disagree_on_the_same_codes(case):
    query, database, query_labels, database_labels = case
    names = {"query_labels": query_labels, "database_labels": database_labels}
    printed = {rule: mean_average_precision(query, database, **names, top_k=25, legacy=rule) for rule in LEGACY_RULES}
    assert len({round(value, 6) for value in printed.values()}) >= 4


def test_faiss_rule_is_our_stable_order(case):
    query, database, query_labels, database_labels = (part[4:] for part in case)
    names = {"query_labels": query_labels, "database_labels": database_labels}
    assert mean_average_precision(query, database, **names, legacy="faiss") == pytest.approx(
        metrics.mean_average_precision(query, database, **names, ties="stable"), abs=1e-14
    )


def test_unknown_rules_and_rules_that_drop_everything(case):
    query, database, query_labels, database_labels = case
    names = {"query_labels": query_labels, "database_labels": database_labels}
    with pytest.raises(UsageError, match=r"did you mean 'hashnet'.*\(valid: deephash-pytorch, hashnet, csq"):
        mean_average_precision(query, database, **names, legacy="hashnett")
    with pytest.raises(UsageError, match="drops every query"):
        mean_average_precision(
            query[2:3], database, query_labels=query_labels[2:3], database_labels=database_labels, legacy="csq"
        )


@pytest.mark.parametrize("option", [{"normalize": "min"}, {"ties": "stable"}, {"empty": "drop"}])
def test_a_rule_cannot_be_changed_in_part(option, case):
    query, database, query_labels, database_labels = case
    names = {"query_labels": query_labels, "database_labels": database_labels}
    (name, value), *_ = option.items()
    with pytest.raises(UsageError, match=f"legacy='csq' brings its own conventions; leave out {name}='{value}'"):
        mean_average_precision(query, database, **names, **option, legacy="csq")
