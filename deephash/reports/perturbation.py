"""The section of what an attack changed: bits, neighbours and pixels, and what other encodings leave of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np

from deephash.codes import BinaryCodes
from deephash.evaluation.groups import FloatArray
from deephash.evaluation.knn import knn_correct
from deephash.evaluation.robustness import Perceptibility
from deephash.evaluation.scores import Column, QueryScores
from deephash.reports.attack import Attack, precision_column, turned_bits
from deephash.reports.record import Figure
from deephash.reports.sections import Case, Section
from deephash.reports.sides import NOTHING, OWN, TARGET

POOLED = "pooled RMSE"
NEAR = 10  # neighbours of success@k


@dataclass(frozen=True, eq=False)
class Perturbation:
    """What is known of Q attacked pictures beside their codes.

    Attributes:
        reencoded: name of another encoding, such as ``jpeg90`` -> codes of the attacked pictures after it.
        bound: codes that the attack would give if every bit obeyed; None where it has no such goal.
        taken: codes that were to be taken; None where none were.
        visible: how visible the change is; None for pictures too small to say.
    """

    reencoded: Mapping[str, BinaryCodes] = field(default_factory=dict)
    bound: BinaryCodes | None = None
    taken: BinaryCodes | None = None
    visible: Perceptibility | None = None


class Perturbed(Section):
    """Figures of an attack beside mAP.

    ``success@10`` is one minus the share of the vote of the ten nearest for the own class; ``flipped bits`` the mean
    number of bits that changed; ``collisions`` the share of queries whose code is exactly the one to be taken, and
    ``bits from the code`` their mean distance to it; ``bound of ...`` the figure of the code that was aimed at, which
    no attack can beat by more than chance. Under other encodings (``jpeg90``) the attacked mAP is repeated.
    """

    def __init__(self, case: Case, attack: Attack, perturbation: Perturbation) -> None:
        super().__init__(case)
        rows = case.sides.query_rows
        self.attack, self.more = attack, perturbation
        self.codes, self.rows = attack.codes[rows], rows
        self.targets = None if attack.targets is None else attack.targets[rows]

    def columns(self) -> Iterator[tuple[Column, str]]:
        """Success, the same under other encodings, bounds, bits and pixels."""
        yield from self._success()
        for name, codes in self.more.reencoded.items():
            yield self._precision(codes[self.rows], f"{self._name()} {name}", name)
        if self.more.bound is not None:
            yield self._precision(self.more.bound[self.rows], f"bound of {self._name()}", "bound")
        yield self._plain("flipped bits", turned_bits(self.codes, self.case.sides.query)), NOTHING
        if self.more.taken is not None:
            far = turned_bits(self.codes, self.more.taken[self.rows])
            yield self._plain("collisions", (far == 0).astype(np.float64)), NOTHING
            yield self._plain("bits from the code", far), NOTHING
        yield from self._visible()

    def figures(self, headline: Figure) -> Iterator[Figure]:
        """The root of the mean squared change over all pictures, one root at the very end (ProS-GAN's)."""
        if self.more.visible is None:
            return
        pooled = float(np.sqrt(np.mean(self.more.visible.rmse[self.rows] ** 2)))
        changes = {"relevance": NOTHING, "ties": "expected", "empty": "zero", "normalize": "hits"}
        num_queries = len(self.codes)
        own = headline.protocol.for_metric(POOLED, num_queries=num_queries, attack=self.attack.says, **changes)
        yield Figure(POOLED, pooled, own)

    def _success(self) -> Iterator[tuple[Column, str]]:
        sides, policies = self.case.sides, (self.case.settings.ties, "optimistic", "pessimistic")
        if sides.query_labels.ndim != 1 or len(sides.database) < NEAR:
            return
        labels = sides.query_labels, sides.database_labels
        votes = knn_correct(self.codes, sides.database, *labels, NEAR, policies=policies)
        in_order, optimistic, pessimistic = (QueryScores(1 - column) for column in votes.T)
        says, normalize = self.attack.says, self.case.settings.normalize
        yield Column(f"success@{NEAR}", normalize, in_order, pessimistic, optimistic, attack=says), OWN

    def _precision(self, codes: BinaryCodes, metric: str, how: str) -> tuple[Column, str]:
        """AP of other codes of the attacked queries, by the labels that the attack is about."""
        labels = self.case.sides.query_labels if self.targets is None else self.targets
        says = f"{self.attack.says},{how}" if self.attack.says != "none" else how
        return precision_column(self.case, codes, labels, metric, says), OWN if self.targets is None else TARGET

    def _name(self) -> str:
        name = f"mAP@{self.case.settings.top_k or 'all'}"
        return f"t-{name}" if self.targets is not None else f"attacked {name}"

    def _visible(self) -> Iterator[tuple[Column, str]]:
        visible = self.more.visible
        if visible is None:
            return
        noise = np.where(np.isinf(visible.psnr), np.nan, visible.psnr)  # an unchanged picture has no noise to measure
        named = {"L-inf": visible.linf, "L2": visible.l2, "RMSE": visible.rmse, "PSNR": noise, "SSIM": visible.ssim}
        for name, values in named.items():
            if np.isnan(values).all():
                continue
            yield self._plain(name, values[self.rows]), NOTHING

    def _plain(self, metric: str, values: FloatArray) -> Column:
        return Column(metric, self.case.settings.normalize, QueryScores(values), attack=self.attack.says)
