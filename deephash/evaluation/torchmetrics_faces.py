"""The metrics as torchmetrics classes, for training loops that speak update / compute.

Import this module on demand: unlike its neighbours it imports torch. Values are those of `metrics`; nothing is
approximated or averaged over batches or processes.

Safe under DDP: every process updates with what it encoded and the row number (``index``) of each item. ``compute``
gathers all processes, keeps each row once (samplers repeat rows to fill the last batch) and refuses a row that was
encoded in two ways.

    metric = HammingMAP(top_k=1000)
    metric.update(model(batch), labels, index, database=True)     # and database=False for the queries
    metric.compute()
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import partial
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torchmetrics import Metric
from torchmetrics.utilities import dim_zero_cat

from deephash.codes import BinaryCodes
from deephash.errors import UsageError
from deephash.evaluation import metrics
from deephash.evaluation.crossmodal import TwoCodeMetric

STATES = {"bits": torch.uint8, "labels": torch.int64, "index": torch.int64}


class HammingMetric(Metric):
    """Collects codes of queries and database and scores complete sets.

    Args:
        metric: a function of ``metrics`` with its options bound, e.g. ``partial(metrics.acg_at, top_k=100)``.
        multi_label: labels are multi-hot [B, C] instead of class numbers [B].
    """

    is_differentiable = False
    higher_is_better = True
    full_state_update = False

    def __init__(self, metric: TwoCodeMetric, *, multi_label: bool = False) -> None:
        super().__init__()
        self.metric, self.multi_label = metric, multi_label
        for side in ("query", "database"):
            for state in STATES:
                self.add_state(f"{side}_{state}", default=[], dist_reduce_fx="cat")

    def update(self, values: Tensor, labels: Tensor, index: Tensor, *, database: bool) -> None:
        """Add a batch of queries, or of database items.

        Args:
            values: [B, K], boolean bits, or continuous or -1/+1 codes of which bit = (v >= 0).
            labels: class numbers [B] (-1 = unlabelled), or multi-hot [B, C].
            index: int [B], row of each item in its set.
            database: the batch belongs to the database.

        Raises:
            UsageError: shapes that do not fit, NaN, or 0/1 numbers (whose bits would all be 1).
        """
        bits = _bits(values)
        if labels.ndim != 1 + self.multi_label or not len(bits) == len(labels) == len(index):
            raise UsageError(
                f"{type(self).__name__}(multi_label={self.multi_label}) needs values [B, K], labels "
                f"{'[B, C]' if self.multi_label else '[B]'} and index [B], not {list(values.shape)}, "
                f"{list(labels.shape)} and {list(index.shape)}"
            )
        side = "database" if database else "query"
        for state, batch in (("bits", bits), ("labels", labels), ("index", index)):
            # Flat, so that a process without any batch can join with an empty vector.
            getattr(self, f"{side}_{state}").append(batch.detach().to(STATES[state]).flatten())

    def compute(self) -> Tensor:
        """Score all items of all processes."""
        query, query_labels = self._collected("query")
        database, database_labels = self._collected("database")
        score = self.metric(query, database, query_labels=query_labels, database_labels=database_labels)
        return torch.tensor(score, dtype=torch.float64)

    def _sync_dist(self, dist_sync_fn: Callable[..., Any] | None = None, process_group: Any | None = None) -> None:
        for side in ("query", "database"):
            for state, dtype in STATES.items():
                if not getattr(self, f"{side}_{state}"):
                    setattr(self, f"{side}_{state}", [torch.zeros(0, dtype=dtype, device=self.device)])
        if dist_sync_fn is None:
            super()._sync_dist(process_group=process_group)
        else:
            super()._sync_dist(dist_sync_fn, process_group)

    def _collected(self, side: Literal["query", "database"]) -> tuple[BinaryCodes, NDArray[Any]]:
        """Return codes and labels of one side in row order, each row once."""
        index = _gathered(getattr(self, f"{side}_index"))
        if not len(index):
            raise UsageError(f"no {side} item was given to update(..., database={side == 'database'})")
        bits = _gathered(getattr(self, f"{side}_bits")).reshape(len(index), -1)
        labels = _gathered(getattr(self, f"{side}_labels")).reshape(len(index), -1)
        _, first, member = np.unique(index, return_index=True, return_inverse=True)
        differs = (bits != bits[first][member]).any(axis=1) | (labels != labels[first][member]).any(axis=1)
        if differs.any():
            raise UsageError(
                f"{side} row {index[differs][0]} came with two different codes or labels; index must number the items "
                "of the whole set, and the model must be in eval mode"
            )
        kept = labels[first] if self.multi_label else labels[first][:, 0]
        return BinaryCodes.from_bits(bits[first].astype(bool)), kept


def _face(name: str, function: Callable[..., float]) -> type[HammingMetric]:
    """Return a function of ``metrics`` as a class, whose options are the function's."""
    signature = inspect.signature(function)
    sides = [each for each in signature.parameters if each.endswith(("_codes", "_labels"))]

    def start(self: HammingMetric, *, multi_label: bool = False, **options: Any) -> None:
        signature.bind(**dict.fromkeys(sides), **options)  # wrong options are told at once
        HammingMetric.__init__(self, partial(function, **options), multi_label=multi_label)

    doc = f"``metrics.{function.__name__}``; options as there, and ``multi_label``."
    return type(name, (HammingMetric,), {"__init__": start, "__doc__": doc, "__module__": __name__})


HammingMAP = _face("HammingMAP", metrics.mean_average_precision)
HammingPrecision = _face("HammingPrecision", metrics.precision_at)
HammingRecall = _face("HammingRecall", metrics.recall_at)
HammingHitRate = _face("HammingHitRate", metrics.hit_at)
HammingNDCG = _face("HammingNDCG", metrics.ndcg_at)
HammingRadiusPrecision = _face("HammingRadiusPrecision", metrics.precision_within_radius)
HammingKNNAccuracy = _face("HammingKNNAccuracy", metrics.knn_accuracy)  # class numbers only


def _bits(values: Tensor) -> Tensor:
    if values.ndim != 2:
        raise UsageError(f"values have shape [B, K], not {list(values.shape)}")
    if values.dtype == torch.bool:
        return values
    if not values.is_floating_point() and bool((values == 0).any()):
        raise UsageError("0/1 integers are not codes of signs; pass values.bool(), or -1/+1, or continuous codes")
    if bool(torch.isnan(values).any()):
        raise UsageError("continuous codes hold NaN; they have no sign")
    if bool((values == 0).any()) and bool(((values == 0) | (values == 1)).all()):
        raise UsageError("codes of only 0.0 and 1.0 look like bits, which as signs would all be 1; pass values.bool()")
    return values >= 0


def _gathered(state: list[Tensor] | Tensor) -> NDArray[Any]:
    """A state is a list before synchronisation and one tensor after it."""
    if isinstance(state, list) and not state:
        return np.zeros(0, dtype=np.int64)
    return np.asarray(dim_zero_cat(state).cpu().numpy())
