"""What a report measures, and by which conventions."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import Literal

from deephash.errors import UsageError
from deephash.evaluation.ranking import NORMALIZE
from deephash.numbers import whole


@dataclass(frozen=True)
class Settings:
    """What is measured, and by which conventions; see docs/evaluation.md for the words.

    Attributes:
        top_k: R of the headline mAP@R; None ranks everything.
        ties: ``expected``, ``optimistic``, ``pessimistic``, ``stable`` or ``random:SEED``.
        normalize: denominator of AP; ``min`` is always reported beside it where they differ.
        empty: a query that finds nothing in the top R counts 0 (``zero``) or is left out (``drop``).
        radius: r of the hash look-up figures.
        ranks: N of P@N and recall@N; those larger than the database are left out.
        resamples: bootstrap samples; 0 leaves the intervals out.
        seed: of the bootstrap.
        legacy: public repository whose mAP@R is printed too; see ``deephash.evaluation.legacy``.
        folds: parts into which pairs are cut for the hits at instance level.
        trapezoid: also report AP by trapezoids, as the scripts of ROxford and RParis compute it.
        at_r: also report MAP@R and R-precision of metric learning, whose R is each query's number of relevant items.
    """

    top_k: int | None = None
    ties: str = "expected"
    normalize: Literal["hits", "min", "total", "first-k"] = "hits"
    empty: Literal["zero", "drop"] = "zero"
    radius: int = 2
    ranks: tuple[int, ...] = (1, 10, 100)
    resamples: int = 1000
    seed: int = 0
    legacy: str | None = None
    folds: int = 1
    trapezoid: bool = False
    at_r: bool = False

    def __post_init__(self) -> None:
        if self.normalize not in NORMALIZE:
            raise UsageError(f"normalize is one of {', '.join(NORMALIZE)}, not {self.normalize!r}")
        if self.empty not in ("zero", "drop"):
            raise UsageError(f"empty is 'zero' or 'drop', not {self.empty!r}")
        if self.top_k is not None and whole(self.top_k, "top_k", least=-sys.maxsize) < 1:
            raise UsageError(f"top_k is 1 or more, or left out for the whole database, not {self.top_k}")
        for name in ("seed", "resamples", "folds"):
            whole(getattr(self, name), name)
        for rank in self.ranks:
            whole(rank, "a rank", least=1)
