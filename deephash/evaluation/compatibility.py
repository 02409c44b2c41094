"""Backward compatibility of models: may a new model's queries search an old model's codes?

``scores[t][k]`` is the score with query model t and gallery model k, k <= t (Shen et al., CVPR 2020; CoReS, TPAMI 2023,
arXiv 2111.07632). A pair t > k is compatible if the new queries do better on the old gallery than the old ones did:
scores[t][k] > scores[k][k].
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from deephash.errors import UsageError
from deephash.evaluation.lifelong import lower_triangle


@dataclass(frozen=True, slots=True)
class CompatibilityScores:
    """Summary over T models.

    Attributes:
        compatibility: AC, share of the T (T - 1) / 2 pairs that are compatible; NaN for one model (there is no pair).
        mean_score: AM, mean of all scores on and below the diagonal, zeros included.
        diagonal: score of each model with its own gallery. AC alone says nothing about size, so read all three.
        failures: the incompatible pairs (query model, gallery model), counted from 0.
    """

    compatibility: float
    mean_score: float
    diagonal: tuple[float, ...]
    failures: tuple[tuple[int, int], ...]


def compatibility_scores(
    scores: ArrayLike, *, equal: Literal["compatible", "incompatible"] = "incompatible"
) -> CompatibilityScores:
    """Summarise ``scores`` [T, T], of which the lower triangle is read.

    Args:
        scores: see the module.
        equal: how an equal score counts: "incompatible" (the strict definition; iamcl2r) or "compatible" (CoReS code).

    Raises:
        UsageError: not square, missing scores, or another word for ``equal``.
    """
    if equal not in ("compatible", "incompatible"):
        raise UsageError(f"equal is 'compatible' or 'incompatible', not {equal!r}")
    matrix = lower_triangle(scores)
    new, old = np.tril_indices(len(matrix), -1)
    reference = matrix[old, old]
    better = matrix[new, old] >= reference if equal == "compatible" else matrix[new, old] > reference
    failed = tuple((int(t), int(k)) for t, k in zip(new[~better], old[~better], strict=True))
    return CompatibilityScores(
        compatibility=float(better.mean()) if len(better) else float("nan"),
        mean_score=float(np.nanmean(matrix)),
        diagonal=tuple(float(value) for value in np.diag(matrix)),
        failures=failed,
    )


def update_gain(scores: ArrayLike, new: int, old: int) -> float:
    """(C[new][old] - C[old][old]) / (C[new][new] - C[old][old]): share of the upgrade that needs no re-encoding.

    NaN when the new model is no better on its own gallery, where the ratio means nothing.
    """
    matrix = lower_triangle(scores)
    if not 0 <= old < new < len(matrix):
        raise UsageError(f"needs 0 <= old < new < {len(matrix)}, not old={old}, new={new}")
    whole = float(matrix[new, new] - matrix[old, old])
    return float(matrix[new, old] - matrix[old, old]) / whole if whole > 0 else float("nan")
