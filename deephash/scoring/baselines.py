"""What any figure must be read beside, computed from the same features: chance, shallow hashing, classes, floats.

- random bits: what the metric gives for nothing;
- LSH, PCA-sign, ITQ: hashing without labels, of the same length;
- class code: the class predicted by a linear classifier, written in ceil(log2 C) bits. On protocols whose queries have
  the classes of the training data this beats most supervised hashing (Sablayrolles et al., arXiv 1609.06753);
- cosine: exact ranking by the float features, the usual upper bound of unsupervised hashing.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deephash.codes import BinaryCodes
from deephash.errors import UsageError
from deephash.evaluation.relevance import relevance_among_others
from deephash.evaluation.settings import Settings
from deephash.reports.assembling import Question, answer
from deephash.reports.record import Figure
from deephash.reports.report import EvaluationReport
from deephash.scoring.floats import Floats, cosine_mean_average_precisions
from deephash.scoring.sides import CodePair

FITTED_TO = 10_000  # training rows used at most; more change the axes little
RIDGE = 1e-2  # of the class-code classifier, times the mean variance of a feature


def score_baselines(report: EvaluationReport, pair: CodePair, question: Question, seed: int) -> EvaluationReport:
    """Return the report with baselines of the same metrics, scored by the same labels.

    Without features only random bits can be scored, and a warning says so.

    Raises:
        UsageError: nothing is judged by labels.
    """
    if question.query_labels is None or question.database_labels is None:
        raise UsageError("baselines are compared by labels, and these codes are scored by pairs or lists")
    started = time.perf_counter()
    labels = np.asarray(question.query_labels), np.asarray(question.database_labels)
    quick = Question(
        question.query,
        question.database,
        *labels,
        settings=replace(question.settings or Settings(), resamples=0),
        protocol=report.protocol,
        own=question.own,
    )
    found = {}
    for name, query, database in _codes(report, pair, labels[1], seed):
        scored = answer(replace(quick, query=query, database=database, method=name))
        found[name] = tuple(figure for figure in scored.figures if figure.metric.startswith(("mAP@", "P@", "kNN")))
    warnings = report.warnings
    if pair.query.features is None or pair.database.features is None:
        warnings += ("the files hold no features, so only random bits stand beside the figures",)
    else:
        found["cosine"] = _cosine(report, pair.query.features, pair.database.features, labels, question.own)
    timings = {**report.timings, "baselines": time.perf_counter() - started}
    return replace(report, baselines=found, warnings=warnings, timings=timings)


def _codes(
    report: EvaluationReport, pair: CodePair, database_labels: NDArray[Any], seed: int
) -> Iterator[tuple[str, BinaryCodes, BinaryCodes]]:
    num_bits = report.protocol.num_bits
    draw = np.random.default_rng(seed)
    sides = (pair.query, pair.database)
    asking, searched = (BinaryCodes.from_bits(draw.integers(0, 2, (len(side), num_bits))) for side in sides)
    yield "random bits", asking, searched
    if pair.query.features is None or pair.database.features is None:
        return
    source = pair.train if pair.train is not None and pair.train.features is not None else pair.database
    labels = database_labels if source is pair.database else source.labels
    rows = _sample(len(source), draw)
    features = source.features
    if features is None:
        return
    yield from _shallow(num_bits, features[rows], pair.query.features, pair.database.features, seed)
    if labels is not None and np.ndim(labels) == 1 and labels.dtype.kind in "iu":
        yield _class_codes(features[rows], labels[rows], pair.query.features, pair.database.features)


def _shallow(
    num_bits: int, train: Floats, query: Floats, database: Floats, seed: int
) -> Iterator[tuple[str, BinaryCodes, BinaryCodes]]:
    import torch

    from deephash.backbones import Backbone
    from deephash.models import ITQ, LSH, AlternatingHashModel, PCASign

    backbone = Backbone(f"features:{train.shape[1]}")
    models: dict[str, AlternatingHashModel] = {
        "LSH": LSH(num_bits, backbone, seed=seed),
        "PCA-sign": PCASign(num_bits, backbone),
        "ITQ": ITQ(num_bits, backbone, seed=seed),
    }
    for name, model in models.items():
        try:
            model.fit(torch.from_numpy(np.ascontiguousarray(train, dtype=np.float32)))
        except UsageError:  # more bits than axes: LSH is the only one that can
            continue
        query_codes, database_codes = (
            BinaryCodes.concatenate(
                [model.encode({"image_features": part}) for part in torch.from_numpy(np.float32(side)).split(8192)]
            )
            for side in (query, database)
        )
        yield name, query_codes, database_codes


def _class_codes(
    train: Floats, labels: NDArray[np.integer], query: Floats, database: Floats
) -> tuple[str, BinaryCodes, BinaryCodes]:
    """Ridge regression on one-hot classes; the winning class number in binary."""
    labelled = labels >= 0
    classes, targets = np.unique(labels[labelled], return_inverse=True)
    mean = train[labelled].mean(axis=0, dtype=np.float64)
    centred = train[labelled] - mean
    gram = centred.T @ centred
    gram += RIDGE * np.trace(gram) / len(gram) * np.eye(len(gram))
    weights = np.linalg.solve(gram, centred.T @ np.eye(len(classes))[targets])
    bias = np.bincount(targets) / len(targets)
    width = max(1, math.ceil(math.log2(len(classes))))
    places = np.arange(width)[::-1]

    def encode(side: Floats) -> BinaryCodes:
        winner = ((side - mean) @ weights + bias).argmax(axis=1)
        return BinaryCodes.from_bits((winner[:, None] >> places) & 1)

    return f"class code ({width} bit)", encode(query), encode(database)


def _cosine(
    report: EvaluationReport,
    query: Floats,
    database: Floats,
    labels: tuple[NDArray[Any], NDArray[Any]],
    own: NDArray[np.int64] | None,
) -> tuple[Figure, ...]:
    """Score the mAP figures of the report on the exact cosine ranking."""
    wanted = [
        figure
        for figure in report.figures
        if figure.is_mean_ap and figure.protocol.radius is None and figure.protocol.legacy == "none"
    ]
    kept = report.per_query["row"]
    relevance = relevance_among_others(labels[0][kept], labels[1], None if own is None else own[kept])
    kinds = [_kind(figure) for figure in wanted]
    means = cosine_mean_average_precisions(query[kept], database, relevance, kinds)
    return tuple(
        Figure(figure.metric, mean, replace(figure.protocol, rerank="cosine", ties="stable", empty="zero"))
        for figure, mean in zip(wanted, means, strict=True)
    )


def _kind(figure: Figure) -> tuple[int | None, Any]:
    return figure.protocol.top_k, figure.protocol.normalize


def _sample(size: int, draw: np.random.Generator) -> NDArray[np.int64]:
    if size <= FITTED_TO:
        return np.arange(size)
    return np.sort(draw.permutation(size)[:FITTED_TO])
