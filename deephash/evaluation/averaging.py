"""From one number a query to one number: means that say which queries they leave out."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deephash.errors import UsageError
from deephash.evaluation.groups import FloatArray


class UnanswerableQueries(UserWarning):
    """Some queries have no relevant item in the database and were left out of a mean."""


def mean_over_queries(values: FloatArray, weights: NDArray[Any] | None = None, *, stacklevel: int = 3) -> float:
    """Return the mean over the queries that can be answered, sum(values) / sum(weights).

    Args:
        values: [Q]; NaN marks a query without any relevant item (N_q = 0): left out, with a warning that counts them.
        weights: [Q], 1 for each query when left out. With ``values`` = AP@R (0 for a query that finds nothing) and
            ``weights`` = hit@R, this is the mean over the queries that find something (``empty="drop"``): exact for a
            fixed order, and the expected sum over the expected number of such queries under ties.
        stacklevel: whose line the warning names, as in ``warnings.warn``; 3 is the caller of the function that asks.

    Raises:
        UsageError: no query can be answered.
    """
    answered = ~np.isnan(values)
    if not answered.any():
        raise UsageError(
            "no query has a relevant item in the database, so the metric is not defined; check that query_labels and "
            "database_labels use the same class numbers (-1 means unlabelled)"
        )
    missing = int((~answered).sum())
    if missing:
        warnings.warn(
            f"{missing:,} of {len(values):,} queries have no relevant item in the database; the mean leaves them out",
            UnanswerableQueries,
            stacklevel=stacklevel,
        )
    if weights is None:
        return float(values[answered].mean())
    total = float(np.asarray(weights)[answered].sum())
    return float(values[answered].sum()) / total if total > 0 else 0.0
