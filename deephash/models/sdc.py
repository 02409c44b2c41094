"""SDC: Ng et al., "Unsupervised Hashing with Similarity Distribution Calibration", BMVC 2023 (arXiv 2302.07669).

Feature cosines of random pairs crowd into a narrow, biased range; codes that copy them make similar and different
pictures overlap. SDC keeps only their order: sorted by feature similarity, the code cosines of a batch's pairs are
pulled to the quantiles of a spread law, Beta(5, 5) on [-1, 1]. Measured results: docs/methods/sdc.md.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import ClassVar, Final, Literal

import torch
from torch import Tensor, nn
from torch.nn.functional import cosine_similarity

from deephash.backbones import Backbone
from deephash.errors import UsageError
from deephash.models.head import Batch, HeadHashModel
from deephash.models.optimizers import Optimizer
from deephash.models.presets import choose
from deephash.models.views import two_views
from deephash.objectives.contrastive import nt_xent
from deephash.objectives.nested import NestedLengths
from deephash.objectives.pairs import halves
from deephash.objectives.quantization import cosine_quantization


@dataclass(frozen=True)
class TargetLaw:
    """The law that code cosines are to follow.

    Attributes:
        kind: ``beta``: 2 Beta(a, b) - 1; ``gaussian``: mean 0, standard deviation ``sigma``, cut to [-1, 1].
        a: first shape of the Beta law; a = b between 2 and 10 works alike, 1 and below collapses on CIFAR-10.
        b: second shape.
        sigma: of the Gaussian; .3 is about Beta(5, 5).
    """

    kind: Literal["beta", "gaussian"] = "beta"
    a: float = 5.0
    b: float = 5.0
    sigma: float = 0.3

    def __post_init__(self) -> None:
        if min(self.a, self.b, self.sigma) <= 0:
            raise UsageError(f"a, b and sigma of the target law are positive, not {self.a}, {self.b}, {self.sigma}")


@lru_cache(maxsize=64)
def target_quantiles(num_pairs: int, law: TargetLaw = TargetLaw()) -> Tensor:
    """Return the law's quantiles at the midpoints (2i - 1) / 2N, ascending, float32 [N]; computed once for each N."""
    import numpy as np
    from scipy import stats

    midpoints = (2 * np.arange(1, num_pairs + 1) - 1) / (2 * num_pairs)
    if law.kind == "beta":
        quantiles = 2 * stats.beta.ppf(midpoints, law.a, law.b) - 1
    else:
        quantiles = np.clip(law.sigma * stats.norm.ppf(midpoints), -1, 1)
    return torch.from_numpy(quantiles.astype(np.float32))


def calibration_loss(code_cosines: Tensor, feature_cosines: Tensor, quantiles: Tensor) -> Tensor:
    """Return ``(1/N) sum_i |h_pi(i) - q_i|``, pi sorting the pairs by FEATURE similarity.

    Sorting h itself would give the Wasserstein distance to the law, but forget which pairs are alike.

    Args:
        code_cosines: h [N], with gradient.
        feature_cosines: t [N].
        quantiles: q [N], ascending.
    """
    order = feature_cosines.detach().argsort(stable=True)
    return (code_cosines[order] - quantiles).abs().mean()


def pair_cosines(codes: Tensor, features: Tensor) -> tuple[Tensor, Tensor]:
    """Return h and t, cosines of codes and of features of rows i and N + i; of an odd batch the last is dropped."""
    return cosine_similarity(*halves(codes), eps=1e-12), cosine_similarity(*halves(features.detach()), eps=1e-12)


@dataclass(frozen=True)
class SDCConstants:
    """What paper and release set differently.

    Attributes:
        hidden: width of the hidden layer, 0 as wide as the features.
        both_views: calibrate and quantise both views; else the first, which is then the picture as it is.
        clip_targets: no target below zero.
        contrast_weight: lambda_cl; 0 needs no second view.
        weight_decay: of Adam.
    """

    hidden: int
    both_views: bool
    clip_targets: bool
    contrast_weight: float
    weight_decay: float


PRESETS: Final[Mapping[str, SDCConstants]] = {
    "paper": SDCConstants(4096, False, False, 0.0, 5e-4),
    "release": SDCConstants(0, False, False, 0.0, 1e-5),
    "release_simclr": SDCConstants(0, True, True, 1.0, 1e-5),
}


class SDC(HeadHashModel):
    """SDC on any picture encoder, which stays frozen in the paper.

    Args:
        num_bits: K.
        backbone: see :class:`Backbone`. Features enter as they are, not centred.
        optimizer: see :class:`Optimizer`; None takes Adam with rate 1e-4, divided by 10 after 80 epochs.
        preset: ``paper`` (algorithm 1: hidden width 4096, decay 5e-4, calibration on the first view, no clipping),
            ``release`` (no contrastive term, hidden width that of the features, decay 1e-5), or ``release_simclr``
            (both views calibrated, targets clipped at zero, contrastive term). Never mixed silently.
        head: ``mlp`` for category data, ``linear`` for instance data.
        law: see :class:`TargetLaw`.
        quantization_weight: lambda_q; 1, but .01 for instance data, where 1 collapses the codes.
        contrast_weight: overrides the preset's lambda_cl; above 0 each batch needs two views.
        temperature: T of the contrastive term.
        feature_dropout: how two views differ where only cached features are there (ours; see ``models/views.py``).
        nested: see :class:`HeadHashModel`.
    """

    couples_rows: ClassVar[bool] = True
    least_rows: int = 2
    supervised: ClassVar[bool] = False
    training_only: ClassVar[tuple[str, ...]] = (
        "law",
        "quantization_weight",
        "contrast_weight",
        "temperature",
        "feature_dropout",
    )

    def __init__(
        self,
        num_bits: int,
        backbone: Backbone = Backbone(),
        optimizer: Optimizer | None = None,
        preset: Literal["paper", "release", "release_simclr"] = "release",
        head: Literal["mlp", "linear"] = "mlp",
        law: TargetLaw = TargetLaw(),
        quantization_weight: float = 1.0,
        contrast_weight: float | None = None,
        temperature: float = 0.3,
        feature_dropout: float = 0.2,
        nested: NestedLengths | None = None,
    ) -> None:
        constants = choose(PRESETS, preset, {"contrast_weight": contrast_weight})
        plan = (optimizer or Optimizer()).over(Optimizer(weight_decay=constants.weight_decay, milestones=(80,)))
        super().__init__(num_bits, backbone, plan, nested)
        self.save_hyperparameters()
        self.constants, self.law, self.temperature = constants, law, temperature
        self.quantization_weight, self.feature_dropout = quantization_weight, feature_dropout
        self.num_views = 2 if constants.contrast_weight > 0 or constants.both_views else 1
        self.head = nn.Sequential(*self._layers(head), nn.BatchNorm1d(num_bits))

    def _layers(self, head: Literal["mlp", "linear"]) -> list[nn.Module]:
        width = self.num_features
        if head == "linear":
            return [nn.Linear(width, self.num_bits)]
        hidden = self.constants.hidden or width
        return [nn.Linear(width, hidden), nn.GELU(), nn.Linear(hidden, self.num_bits)]

    def views(self, batch: Batch) -> Tensor:
        """Return features of one view [B, D], or of two [2B, D]."""
        if self.num_views == 1:
            return self.features(batch)
        both = self.constants.both_views
        return two_views(self, batch, feature_dropout=self.feature_dropout, blur=1.0, augment_first=both)

    def code_losses(self, codes: Tensor, features: Tensor, batch: Batch) -> dict[str, Tensor]:
        """Return ``calibration`` and ``quantization``, and ``contrast`` where it has a weight."""
        views, view_features = codes.chunk(self.num_views), torch.flatten(features, 1).chunk(self.num_views)
        used = self.num_views if self.constants.both_views else 1
        pairs = [pair_cosines(v, x) for v, x in zip(views[:used], view_features[:used])]
        h, t = torch.cat([pair[0] for pair in pairs]), torch.cat([pair[1] for pair in pairs])
        quantiles = target_quantiles(len(h), self.law).to(h.device)
        if self.constants.clip_targets:
            quantiles = quantiles.clamp(min=0)
        losses = {
            "calibration": calibration_loss(h, t, quantiles),
            "quantization": self.quantization_weight * cosine_quantization(torch.cat(views[:used])),
        }
        if self.constants.contrast_weight:
            losses["contrast"] = self.constants.contrast_weight * nt_xent(views[0], views[1], self.temperature)
        return losses
