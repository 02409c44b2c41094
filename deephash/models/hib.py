"""HIB: Oh, Murphy, Pan, Roth, Schroff, Gallagher, "Modeling Uncertainty with Hedged Instance Embedding", ICLR 2019.

A picture is a Gaussian, not a point: its mean says what it is, its spread how sure that is. The paper searches by
floats; the code of a picture, the signs of the mean, and the probability of each bit that follows from mean and spread
are ours. Measured results: docs/methods/hib.md.
"""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn.functional import softplus

from deephash.backbones import Backbone
from deephash.collection.bit_certainty import BitCertainty
from deephash.models.base import Inputs
from deephash.models.head import Batch, HeadHashModel
from deephash.models.optimizers import Optimizer
from deephash.numbers import real, whole
from deephash.objectives.labels import share_label
from deephash.objectives.pairs import halves
from deephash.objectives.probabilistic import (
    gaussian_divergence,
    gaussian_samples,
    match_probability,
    pair_logits,
    soft_contrastive_loss,
)

SPREAD = 8.0  # log sigma^2 lies within this of 0, so that its exponential is a number


class GaussianHead(nn.Module):
    """From features [B, D] to mean and log variance, [B, K, 2].

    The means are normalised over the batch without a scale or a shift of their own, so that every bit has both signs
    (ours: the paper's means may lie anywhere, and their signs then say little).
    """

    def __init__(self, num_features: int, hidden: int, num_bits: int) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Linear(num_features, hidden), nn.ReLU()) if hidden else nn.Identity()
        wide = hidden or num_features
        self.mean, self.spread = nn.Linear(wide, num_bits), nn.Linear(wide, num_bits)
        self.centre = nn.BatchNorm1d(num_bits, affine=False)
        nn.init.zeros_(self.spread.weight)
        nn.init.constant_(self.spread.bias, -2.0)

    def forward(self, features: Tensor) -> Tensor:
        """Return mu and log sigma^2 on the last axis."""
        wide = self.body(features)
        return torch.stack([self.centre(self.mean(wide)), self.spread(wide).clamp(-SPREAD, SPREAD)], dim=2)


class HIB(HeadHashModel):
    """Hedged instance embedding on any picture encoder.

    A continuous code is ``mu / sigma``: its sign is that of the mean, and ``Phi`` of it the probability that the bit is
    1, so that every encoder of the model, the portable one included, can tell how sure a bit is.

    Args:
        num_bits: K.
        backbone: see :class:`Backbone`.
        optimizer: see :class:`Optimizer`; None takes Adam with rate 1e-3.
        samples: J of each row; 8 as recalled of the paper.
        divergence_weight: beta, of the divergence from N(0, I).
        slope: a of the match probability before training; learned.
        offset: b before training; learned.
        hidden: width of the hidden layer; 0 for none.
    """

    couples_rows: ClassVar[bool] = True
    least_rows: int = 2
    default_optimizer: ClassVar[Optimizer] = Optimizer(learning_rate=1e-3, weight_decay=0.0)
    training_only: ClassVar[tuple[str, ...]] = ("samples", "divergence_weight", "slope", "offset")

    def __init__(
        self,
        num_bits: int,
        backbone: Backbone = Backbone(),
        optimizer: Optimizer | None = None,
        samples: int = 8,
        divergence_weight: float = 1e-4,
        slope: float = 1.0,
        offset: float = 5.0,
        hidden: int = 1024,
    ) -> None:
        super().__init__(num_bits, backbone, optimizer)
        self.save_hyperparameters()
        self.samples = whole(samples, "samples, J of each row,", least=1)
        self.divergence_weight = real(divergence_weight, "divergence_weight, beta,", least=0)
        begin = torch.tensor(real(slope, "slope, a,", least=1e-6))
        self.raw_slope = nn.Parameter(begin.expm1().log())  # softplus of it is the slope, so that it stays above 0
        self.offset = nn.Parameter(torch.tensor(real(offset, "offset, b,")))
        self.head = GaussianHead(self.num_features, hidden, num_bits)

    @property
    def slope(self) -> Tensor:
        """The learned a, above 0."""
        return softplus(self.raw_slope)

    @property
    def own_certainty(self) -> BitCertainty:
        """What is usual is known after training; the probabilities need no calibration."""
        return self.certainty.get("image") or BitCertainty.gaussian()

    def gaussian(self, inputs: Inputs) -> tuple[Tensor, Tensor]:
        """Return mu and sigma, [B, K] each."""
        mean, log_variance = self.head(self.features(inputs)).unbind(dim=2)
        return mean, (log_variance / 2).exp()

    def forward(self, inputs: Inputs) -> Tensor:
        """Return ``mu / sigma``, [B, K]."""
        mean, sigma = self.gaussian(inputs)
        return mean / sigma

    def code_losses(self, codes: Tensor, features: Tensor, batch: Batch) -> dict[str, Tensor]:
        """Return ``contrast`` and ``divergence``.

        The first half of the batch is held against the second: so no row meets itself, and no pair counts twice. Pairs
        that match and pairs that do not weigh alike.
        """
        mean, log_variance = codes.unbind(dim=2)
        samples = gaussian_samples(mean, (log_variance / 2).exp(), self.samples)
        match = share_label(*halves(batch["labels"]))
        losses = soft_contrastive_loss(pair_logits(*halves(samples), self.slope, self.offset), match)
        kinds = [losses[mask].sum() / mask.sum().clamp(min=1) for mask in (match, ~match)]
        divergence = gaussian_divergence(mean, log_variance).mean()
        return {"contrast": (kinds[0] + kinds[1]) / 2, "divergence": self.divergence_weight * divergence}

    def self_mismatch(self, inputs: Inputs) -> Tensor:
        """Return the paper's uncertainty of rows, [B]: 1 - p(match of a row with itself), of two sets of samples."""
        mean, sigma = self.gaussian(inputs)
        first, second = (gaussian_samples(mean, sigma, self.samples) for _ in range(2))
        rows = [
            match_probability(pair_logits(one[None], two[None], self.slope, self.offset))[0, 0]
            for one, two in zip(first, second)
        ]
        return 1 - torch.stack(rows) if rows else mean.new_zeros(0)
