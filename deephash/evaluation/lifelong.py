"""Lifelong hashing: how a model scores on old data after it has learnt new data.

``scores[t][s]`` is the metric on the queries of session s after learning session t, s <= t; sessions count from 0.
Database codes of old sessions are not recomputed: that is the point of lifelong hashing, so each score should use the
frozen old codes beside the new ones (and, as a second matrix, re-encoded ones).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from deephash.errors import UsageError
from deephash.evaluation.groups import FloatArray


@dataclass(frozen=True, slots=True)
class LifelongScores:
    """Summary of a lower triangle of scores over T sessions.

    Attributes:
        final_average: mean over sessions after the last one.
        forgetting: mean over the earlier sessions of (best score before the last session) - (final score); negative if
            old data got better (Chaudhry et al., ECCV 2018). 0 for T = 1.
        backward_transfer: mean over the earlier sessions of (final score) - (score right after learning it) (Lopez-Paz
            and Ranzato, NIPS 2017). 0 for T = 1.
        forgetting_by_session: the terms of ``forgetting``, T - 1 of them.
    """

    final_average: float
    forgetting: float
    backward_transfer: float
    forgetting_by_session: tuple[float, ...]


def lifelong_scores(scores: ArrayLike) -> LifelongScores:
    """Summarise ``scores`` [T, T]; entries above the diagonal are not read.

    Raises:
        UsageError: not a square matrix, or a missing score on or below the diagonal.
    """
    matrix = lower_triangle(scores)
    sessions = len(matrix)
    final = matrix[-1]
    best = np.array([matrix[old:-1, old].max() for old in range(sessions - 1)])
    lost = best - final[:-1]
    gained = final[:-1] - np.diag(matrix)[:-1]
    return LifelongScores(
        final_average=float(final.mean()),
        forgetting=float(lost.mean()) if sessions > 1 else 0.0,
        backward_transfer=float(gained.mean()) if sessions > 1 else 0.0,
        forgetting_by_session=tuple(float(value) for value in lost),
    )


def lower_triangle(scores: ArrayLike) -> FloatArray:
    """Check a [T, T] matrix of which only the lower triangle matters; ragged rows of 1, 2, ..., T scores will do."""
    rows = [np.asarray(row, dtype=np.float64).ravel() for row in scores]  # type: ignore[union-attr]
    size = len(rows)
    matrix = np.full((size, size), np.nan)
    for number, row in enumerate(rows):
        if len(row) not in (number + 1, size) or np.isnan(row[: number + 1]).any():
            raise UsageError(
                f"row {number} needs {number + 1} scores up to the diagonal (or all {size}), not {row.tolist()}"
            )
        matrix[number, : number + 1] = row[: number + 1]
    if not size:
        raise UsageError("there are no scores")
    return matrix
