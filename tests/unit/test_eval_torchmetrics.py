"""The torchmetrics classes: same values as the functions, and safe on two processes."""

import copy
import os
import pickle
import socket
import subprocess
import sys

import numpy as np
import pytest
import torch
import torch.multiprocessing

from deephash.errors import UsageError
from deephash.evaluation import metrics
from deephash.evaluation.torchmetrics_faces import (
    HammingHitRate,
    HammingKNNAccuracy,
    HammingMAP,
    HammingNDCG,
    HammingPrecision,
    HammingRadiusPrecision,
    HammingRecall,
)
from tests.paths import ROOT

Q, N, BITS = 11, 37, 8


def sides(multi_label=False):
    rng = np.random.default_rng(0)
    values = [rng.normal(size=(count, BITS)).astype(np.float32) for count in (Q, N)]
    if multi_label:
        labels = [rng.integers(0, 2, (count, 4)) for count in (Q, N)]
        labels[0][:, 0] = 1
    else:
        labels = [rng.integers(0, 3, count) for count in (Q, N)]
    return values, labels


def fill(metric, values, labels, batches=3):
    for database, (v, y) in enumerate(zip(values, labels, strict=True)):
        for rows in np.array_split(np.random.default_rng(1).permutation(len(v)), batches):
            metric.update(torch.tensor(v[rows]), torch.tensor(y[rows]), torch.tensor(rows), database=bool(database))
    return metric


def direct(function, values, labels, **options):
    query, database = (v >= 0 for v in values)
    return function(query, database, query_labels=labels[0], database_labels=labels[1], **options)


@pytest.mark.parametrize("multi_label", [False, True])
def test_values_are_those_of_the_functions(multi_label):
    values, labels = sides(multi_label)
    pairs = [
        (HammingMAP(multi_label=multi_label), metrics.mean_average_precision, {}),
        (
            HammingMAP(top_k=5, normalize="min", ties="stable", empty="drop", multi_label=multi_label),
            metrics.mean_average_precision,
            {"top_k": 5, "normalize": "min", "ties": "stable", "empty": "drop"},
        ),
        (HammingPrecision(top_k=4, multi_label=multi_label), metrics.precision_at, {"top_k": 4}),
        (HammingRecall(top_k=4, multi_label=multi_label), metrics.recall_at, {"top_k": 4}),
        (HammingHitRate(top_k=1, multi_label=multi_label), metrics.hit_at, {"top_k": 1}),
        (HammingNDCG(top_k=9, multi_label=multi_label), metrics.ndcg_at, {"top_k": 9}),
        (HammingRadiusPrecision(radius=2, multi_label=multi_label), metrics.precision_within_radius, {"radius": 2}),
    ]
    for metric, function, options in pairs:
        found = fill(metric, values, labels).compute()
        assert float(found) == direct(function, values, labels, **options), metric
    if not multi_label:
        found = fill(HammingKNNAccuracy(k=3), values, labels).compute()
        assert float(found) == direct(metrics.knn_accuracy, values, labels, k=3)


def test_rows_given_twice_count_once_and_reset_forgets():
    values, labels = sides()
    metric = fill(HammingMAP(), values, labels)
    once = metric.compute()
    fill(metric, values, labels)  # a sampler that repeats everything
    assert metric.compute() == once
    metric.reset()
    metric.update(torch.tensor(values[1]), torch.tensor(labels[1]), torch.arange(N), database=True)
    with pytest.raises(UsageError, match="no query item"):
        metric.compute()


def test_a_row_with_two_codes_is_refused():
    values, labels = sides()
    metric = fill(HammingMAP(), values, labels)
    metric.update(torch.tensor(-values[1][:1]), torch.tensor(labels[1][:1]), torch.tensor([0]), database=True)
    with pytest.raises(UsageError, match="database row 0 came with two different codes"):
        metric.compute()


def test_bad_batches():
    values, labels = (torch.tensor(side[0]) for side in sides())
    index = torch.arange(Q)
    with pytest.raises(UsageError, match=r"needs values \[B, K\]"):
        HammingMAP(multi_label=True).update(values, labels, index, database=False)
    with pytest.raises(UsageError, match="0/1 integers"):
        HammingMAP().update((values > 0).int(), labels, index, database=False)
    with pytest.raises(UsageError, match="NaN"):
        HammingMAP().update(values * float("nan"), labels, index, database=False)
    with pytest.raises(UsageError, match="shape"):
        HammingMAP().update(values[0], labels, index, database=False)


def _worker(rank, port, expected):
    os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port))
    torch.distributed.init_process_group("gloo", rank=rank, world_size=2)
    try:
        values, labels = sides()
        metric = HammingMAP(top_k=10)
        padded = np.arange(Q + Q % 2) % Q  # a distributed sampler repeats row 0 to fill the last batch
        share = padded[rank::2]
        metric.update(
            torch.tensor(values[0][share]), torch.tensor(labels[0][share]), torch.tensor(share), database=False
        )
        if rank == 0:  # the other process encoded no database item at all
            rows = np.arange(N)
            metric.update(torch.tensor(values[1]), torch.tensor(labels[1]), torch.tensor(rows), database=True)
        assert float(metric.compute()) == expected
    finally:
        torch.distributed.destroy_process_group()


def fork_two_processes():
    """Run in a fresh process, which has no threads yet: forking spares the children a second import of torch."""
    values, labels = sides()
    expected = direct(metrics.mean_average_precision, values, labels, top_k=10)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    torch.multiprocessing.start_processes(_worker, args=(port, expected), nprocs=2, start_method="fork")


def test_two_processes_agree_with_one():
    program = "from tests.unit.test_eval_torchmetrics import fork_two_processes as run; run()"
    ran = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr


def test_a_face_takes_the_options_of_its_function_and_no_others():
    assert float(fill(HammingPrecision(top_k=3), *sides()).compute()) >= 0
    with pytest.raises(TypeError, match="top_k"):
        HammingPrecision()
    with pytest.raises(TypeError, match="radius"):
        HammingPrecision(top_k=3, radius=2)


def test_metrics_are_pickled_by_name():
    for face in (metrics.precision_at, metrics.mean_r_precision, metrics.recall_within_radius):
        assert pickle.loads(pickle.dumps(face)) is face
        assert copy.deepcopy(face) is face
        assert face.__name__ in repr(face)
        assert face.__doc__


def test_the_public_names_stand_in_a_collection_and_share_what_they_gather():
    from torchmetrics import MetricCollection

    from deephash.metrics import HammingMAP, HammingPrecision, HammingRecall

    values, labels = sides()
    scores = MetricCollection(
        {"mAP": HammingMAP(), "P@5": HammingPrecision(top_k=5), "R@5": HammingRecall(top_k=5)}, prefix="test/"
    )
    found = fill(scores, values, labels).compute()
    alone = {
        "test/mAP": direct(metrics.mean_average_precision, values, labels),
        "test/P@5": direct(metrics.precision_at, values, labels, top_k=5),
        "test/R@5": direct(metrics.recall_at, values, labels, top_k=5),
    }
    assert {name: float(value) for name, value in found.items()} == pytest.approx(alone, abs=1e-12)
    assert len(scores.compute_groups) == 1
    scores.reset()
    with pytest.raises(UsageError, match="no query item"), pytest.warns(UserWarning, match="before the ``update``"):
        scores.compute()
