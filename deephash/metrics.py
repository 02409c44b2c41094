"""The exact metrics as torchmetrics classes, for training loops of one's own; also in a ``MetricCollection``.

    from torchmetrics import MetricCollection
    from deephash.metrics import HammingMAP, HammingPrecision

    scores = MetricCollection({"mAP": HammingMAP(), "P@100": HammingPrecision(top_k=100)})
    scores.update(model(pictures), labels, rows, database=True)      # and database=False for the queries
    scores.compute()

Values are those of :mod:`deephash.evaluation.metrics`, whose options they take; nothing is approximated, or averaged
over batches or processes. Needs torch; without it, use those functions.
"""

from deephash.evaluation.torchmetrics_faces import (
    HammingHitRate,
    HammingKNNAccuracy,
    HammingMAP,
    HammingMetric,
    HammingNDCG,
    HammingPrecision,
    HammingRadiusPrecision,
    HammingRecall,
)

__all__ = [
    "HammingHitRate",
    "HammingKNNAccuracy",
    "HammingMAP",
    "HammingMetric",
    "HammingNDCG",
    "HammingPrecision",
    "HammingRadiusPrecision",
    "HammingRecall",
]
