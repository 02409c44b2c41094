"""How papers on attacks count: the cut of the ranking, queries that find nothing, and targets a query has anyway.

A figure by one of them says so (``legacy=dhta``), and stands in no column with others. Ties stay exact: the releases
break them by the order of an unstable sort.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from deephash.errors import UsageError, did_you_mean
from deephash.evaluation.settings import Settings


@dataclass(frozen=True)
class Convention:
    """What a paper counts.

    Attributes:
        top_k: R of its mAP@R; None ranks everything.
        empty: queries that find nothing count 0, or are left out of the mean.
        allow_overlap: targets are drawn without a look at the query's own labels.
        says: for people.
    """

    top_k: int | None
    empty: Literal["zero", "drop"]
    allow_overlap: bool
    says: str

    def settings(self, num_database: int, seed: int) -> Settings:
        """Return its settings; a database of no more than R items is ranked whole, as a slice would."""
        whole = self.top_k is None or self.top_k >= num_database
        return Settings(top_k=None if whole else self.top_k, empty=self.empty, seed=seed)


CONVENTIONS: dict[str, Convention] = {
    "dhta": Convention(1000, "drop", False, "mAP@1000, queries that find nothing left out (Bai et al., ECCV 2020)"),
    "saat": Convention(5000, "zero", False, "mAP@5000, queries that find nothing count 0 (Yuan et al., 2023)"),
    "prosgan": Convention(None, "zero", True, "the whole ranking, any target, pooled RMSE (Wang et al., CVPR 2021)"),
}


def convention_named(name: str) -> Convention:
    """Return a convention. Raises UsageError for an unknown one."""
    if name not in CONVENTIONS:
        known = "; ".join(f"{key}: {each.says}" for key, each in CONVENTIONS.items())
        raise UsageError(f"no convention is called {name!r}{did_you_mean(name, list(CONVENTIONS))} ({known})")
    return CONVENTIONS[name]
