"""BiHalf: Li and van Gemert, "Deep Unsupervised Image Hashing by Maximizing Bit Entropy", AAAI 2021.

In training every bit is +1 for exactly half of the batch, which carries the most information; the cosines of these
codes follow those of the features. Measured results: docs/methods/bihalf.md.
"""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor, nn

from deephash.backbones import Backbone
from deephash.models.centring import CentredHashModel
from deephash.models.head import Batch
from deephash.models.optimizers import Optimizer
from deephash.objectives.balance import half_half_sign
from deephash.objectives.nested import NestedLengths
from deephash.objectives.pairs import structure_loss


class BiHalf(CentredHashModel):
    """BiHalf on any picture encoder.

    A test code is the sign of u with no centring, as released: where the median of a bit over the test pictures is not
    0, training and test differ. The batch has to be large enough to be a fair sample.

    Args:
        num_bits: K.
        backbone: see :class:`Backbone`; frozen in the paper.
        optimizer: see :class:`Optimizer`; None takes SGD with rate 1e-4, divided by 10 after 120 epochs.
        gamma: strength of the pull towards the assigned half.
        nested: see :class:`HeadHashModel`.
        centre: see :class:`CentredHashModel`.
    """

    couples_rows: ClassVar[bool] = True
    least_rows: int = 2
    supervised: ClassVar[bool] = False
    default_optimizer: ClassVar[Optimizer] = Optimizer("sgd", learning_rate=1e-4, milestones=(120,))
    training_only: ClassVar[tuple[str, ...]] = ("gamma",)

    def __init__(
        self,
        num_bits: int,
        backbone: Backbone = Backbone(),
        optimizer: Optimizer | None = None,
        gamma: float = 6.0,
        nested: NestedLengths | None = None,
        centre: bool = False,
    ) -> None:
        super().__init__(num_bits, backbone, optimizer, nested, centre)
        self.save_hyperparameters()
        self.gamma = gamma
        self.head = nn.Linear(self.num_features, num_bits)

    def code_losses(self, codes: Tensor, features: Tensor, batch: Batch) -> dict[str, Tensor]:
        """Return ``structure``."""
        return {"structure": structure_loss(half_half_sign(codes, self.gamma), torch.flatten(features, 1))}
