"""CIBHash: Qiu, Su, Ou, Yu, Chen, "Unsupervised Hashing with Contrastive Information Bottleneck", IJCAI 2021.

Two views of a picture get similar codes and different pictures different ones; the information bottleneck adds a small
divergence between the two views' bit probabilities. Measured results: docs/methods/cibhash.md.
"""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor, nn

from deephash.backbones import Backbone
from deephash.models.head import Batch, HeadHashModel
from deephash.models.optimizers import Optimizer
from deephash.models.views import two_views
from deephash.objectives.contrastive import nt_xent
from deephash.objectives.nested import NestedLengths
from deephash.objectives.signs import straight_through_sign


def bernoulli_divergence(p: Tensor, q: Tensor) -> Tensor:
    """Return ``KL(p || q)`` of independent bits, summed over bits, mean over the batch; no gradient flows into q.

    Args:
        p: probabilities [B, K].
        q: probabilities [B, K].
    """
    q, tiny = q.detach(), 1e-8
    one = p * ((p + tiny).log() - (q + tiny).log())
    zero = (1 - p) * ((1 - p + tiny).log() - (1 - q + tiny).log())
    return (one + zero).sum(dim=1).mean()


class CIBHash(HeadHashModel):
    """CIBHash on any picture encoder.

    The divergence is kept with its released weight although it adds almost nothing (.6454 against .6459 without it at
    64 bits, on which the author agrees).

    Args:
        num_bits: K.
        backbone: see :class:`Backbone`; frozen in the paper.
        optimizer: see :class:`Optimizer`; None takes Adam with rate 1e-3 and no decay.
        temperature: T of the contrastive term.
        divergence_weight: beta.
        hidden: width of the hidden layer.
        feature_dropout: how the two views differ where only cached features are there (ours; see ``models/views.py``).
        nested: see :class:`HeadHashModel`.
    """

    num_views: int = 2
    couples_rows: ClassVar[bool] = True
    least_rows: int = 2
    supervised: ClassVar[bool] = False
    default_optimizer: ClassVar[Optimizer] = Optimizer(learning_rate=1e-3, weight_decay=0.0)
    training_only: ClassVar[tuple[str, ...]] = ("temperature", "divergence_weight", "feature_dropout")

    def __init__(
        self,
        num_bits: int,
        backbone: Backbone = Backbone(),
        optimizer: Optimizer | None = None,
        temperature: float = 0.3,
        divergence_weight: float = 1e-3,
        hidden: int = 1024,
        feature_dropout: float = 0.2,
        nested: NestedLengths | None = None,
    ) -> None:
        super().__init__(num_bits, backbone, optimizer, nested)
        self.save_hyperparameters()
        self.temperature, self.divergence_weight = temperature, divergence_weight
        self.feature_dropout = feature_dropout
        self.head = nn.Sequential(nn.Linear(self.num_features, hidden), nn.ReLU(), nn.Linear(hidden, num_bits))

    def views(self, batch: Batch) -> Tensor:
        """Return features of two random views, [2B, D]."""
        return two_views(self, batch, feature_dropout=self.feature_dropout)

    def code_losses(self, codes: Tensor, features: Tensor, batch: Batch) -> dict[str, Tensor]:
        """Return ``contrast`` and ``divergence``."""
        first, second = torch.sigmoid(codes).chunk(2)
        contrast = nt_xent(straight_through_sign(first - 0.5), straight_through_sign(second - 0.5), self.temperature)
        divergence = (bernoulli_divergence(first, second) + bernoulli_divergence(second, first)) / 2
        return {"contrast": contrast, "divergence": self.divergence_weight * divergence}
