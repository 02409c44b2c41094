"""Recall of an index against exact search, fair under ties."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def recall_by_distance(found: NDArray[np.int32], exact: NDArray[np.int32]) -> float:
    """Return the share of answers that are as near as exact search has them.

    Among tied items it does not matter which are shown, so distances are compared and not ids: an answer counts when
    its distance is not above the exact k-th distance of its query.

    Args:
        found: int [Q, m] distances of the index.
        exact: int [Q, k] distances of exact search, ascending.
    """
    if not exact.size:
        return 1.0
    hits = (found <= exact[:, -1:]).sum(axis=1)
    return float(np.minimum(hits, exact.shape[1]).sum() / exact.size)
