"""The section of natural corruptions: mAP of the same queries, corrupted, and whether copies are still known."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from deephash.codes import BinaryCodes
from deephash.evaluation.scores import Column, QueryScores
from deephash.reports.attack import own_precisions, turned_bits
from deephash.reports.sections import Case, Section
from deephash.reports.sides import NOTHING, OWN


@dataclass(frozen=True, eq=False)
class CorruptedQueries:
    """The same queries after one corruption.

    Attributes:
        codes: Q codes.
        says: kind and parameter, in the words of protocols.
        confirmed: booleans [Q], whether the pixels of copy and original agree as ``deephash dedup`` asks.
        confused: booleans [Q], whether those of the copy and of another query's picture agree.
    """

    codes: BinaryCodes
    says: str
    confirmed: NDArray[np.bool_]
    confused: NDArray[np.bool_]


class Corrupted(Section):
    """``mAP@R KIND/STRENGTH`` and their mean, and for each kind, over its strengths, what is left of copies.

    ``copies found KIND``: share of the corrupted pictures whose code lies within ``near`` bits of their original's;
    ``false copies KIND``: database items within as many bits of the corrupted code, a picture; ``copies confirmed``
    and ``copies confused``: by pixels, as ``deephash dedup`` looks at candidates.

    Args:
        case: the clean queries.
        found: (kind, strength) -> the corrupted queries.
        near: radius of near-duplicates, in bits.
    """

    def __init__(self, case: Case, found: Mapping[tuple[str, int], CorruptedQueries], near: int) -> None:
        super().__init__(case)
        self.found, self.near = found, near

    def columns(self) -> Iterator[tuple[Column, str]]:
        """The mean first, then each kind and strength, then copies by kind."""
        name = f"mAP@{self.case.settings.top_k or 'all'}"
        values = {key: self.precisions(each) for key, each in self.found.items()}
        mean = np.mean(list(values.values()), axis=0)
        kinds = dict.fromkeys(kind for kind, _ in self.found)
        yield self._column(f"corrupted {name}", mean, f"mean,{'+'.join(kinds)}"), OWN
        for (kind, strength), each in values.items():
            yield self._column(f"{name} {kind}/{strength}", each, self.found[kind, strength].says), OWN
        for kind in kinds:
            yield from ((column, NOTHING) for column in self._copies(kind))

    def precisions(self, queries: CorruptedQueries) -> NDArray[np.float64]:
        """Return AP of the corrupted queries, [Q]."""
        return own_precisions(self.case, queries.codes[self.case.sides.query_rows])

    def flipped(self, queries: CorruptedQueries) -> NDArray[np.float64]:
        """Return how many bits differ from the original's, [Q]."""
        return turned_bits(queries.codes[self.case.sides.query_rows], self.case.sides.query)

    def others(self, queries: CorruptedQueries) -> NDArray[np.float64]:
        """Return how many database items lie within the radius of a corrupted query, [Q]."""
        sides = self.case.sides
        parts = [
            (queries.codes[row : row + 1].hamming(sides.database)[0] <= self.near).sum() for row in sides.query_rows
        ]
        return np.array(parts, dtype=np.float64)

    def _copies(self, kind: str) -> Iterator[Column]:
        rows, mine = self.case.sides.query_rows, [each for (name, _), each in self.found.items() if name == kind]
        measured = {
            f"copies found {kind}": [self.flipped(each) <= self.near for each in mine],
            f"false copies {kind}": [self.others(each) for each in mine],
            f"copies confirmed {kind}": [each.confirmed[rows] for each in mine],
            f"copies confused {kind}": [each.confused[rows] for each in mine],
        }
        for metric, values in measured.items():
            yield self._column(metric, np.mean(np.asarray(values, dtype=np.float64), axis=0), f"{kind},all-strengths")

    def _column(self, metric: str, values: NDArray[np.float64], says: str) -> Column:
        return Column(metric, self.case.settings.normalize, QueryScores(values), attack=says)
