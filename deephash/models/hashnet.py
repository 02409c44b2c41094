"""HashNet: Cao, Long, Wang, Yu, "HashNet: Deep Learning to Hash by Continuation", ICCV 2017.

A weighted likelihood of pairwise similarities on ``h = tanh(beta u)``; beta grows while training, so that h approaches
the sign. Measured results: docs/methods/hashnet.md.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Final, Literal

import torch
from torch import Tensor, nn

from deephash.backbones import Backbone
from deephash.models.centring import CentredHashModel
from deephash.models.head import Batch
from deephash.models.optimizers import RMSPROP, Optimizer
from deephash.models.presets import choose
from deephash.objectives.labels import share_label
from deephash.objectives.nested import NestedLengths
from deephash.objectives.pairs import balanced_weights, halves, pair_likelihood


def hashnet_loss(rows: Tensor, columns: Tensor, similar: Tensor, *, alpha: float, weighted: bool = True) -> Tensor:
    """Return ``(1/|S|) sum_ij w_ij [log(1 + e^(alpha <h_i, h_j>)) - S_ij alpha <h_i, h_j>]``.

    Args:
        rows: h [A, K], tanh-activated codes.
        columns: h [B, K].
        similar: S, booleans [A, B].
        alpha: steepness of the likelihood.
        weighted: w_ij is |S| / |S1| or |S| / |S0|; else 1.
    """
    terms = pair_likelihood(alpha * rows @ columns.T, similar)
    return (balanced_weights(similar) * terms).mean() if weighted else terms.mean()


def continuation(schedule: Literal["iterations", "epochs", "none"], iteration: int, epoch: int) -> float:
    """Return beta: ``(1 + .005 iteration)^(1/2)`` refreshed every 200 iterations, ``(epoch // 20 + 1)^(1/2)``, or 1."""
    if schedule == "iterations":
        return float((1 + 0.005 * (iteration // 200 * 200)) ** 0.5)
    return float((epoch // 20 + 1) ** 0.5) if schedule == "epochs" else 1.0


@dataclass(frozen=True)
class HashNetConstants:
    """What the sources set differently.

    Attributes:
        alpha: steepness; divided by K where ``alpha_per_bit``.
        alpha_per_bit: see alpha.
        weighted: balance similar against dissimilar pairs.
        schedule: of beta.
        pairs: ``halves``: first against second half of the batch (two independently shuffled batches in the release);
            ``all``: every row against every row, itself included.
        optimizer: the model's own lies over it.
    """

    alpha: float
    alpha_per_bit: bool
    weighted: bool
    schedule: Literal["iterations", "epochs", "none"]
    pairs: Literal["halves", "all"]
    optimizer: Optimizer


_SGD = Optimizer(
    "sgd",
    learning_rate=3e-3,
    backbone_factor=0.1,
    weight_decay=5e-4,
    nesterov=True,
    milestones=(2000, 4000, 6000, 8000),  # of 10,000 steps
    gamma=0.5,
    interval="step",
)
_ADAM = Optimizer("adam", learning_rate=1e-4, weight_decay=5e-4, milestones=(80,))
PRESETS: Final[Mapping[str, HashNetConstants]] = {
    "paper": HashNetConstants(10.0, True, True, "iterations", "halves", _SGD),
    "release": HashNetConstants(10.0, True, False, "iterations", "halves", _SGD),
    "deephash_pytorch": HashNetConstants(0.1, False, True, "epochs", "all", RMSPROP),
    "orthohash": HashNetConstants(1.0, False, True, "none", "all", _ADAM),
}


class HashNet(CentredHashModel):
    """HashNet on any picture encoder.

    Args:
        num_bits: K.
        backbone: see :class:`Backbone`.
        optimizer: see :class:`Optimizer`; None takes the preset's.
        preset: ``paper`` balances similar against dissimilar pairs; ``release`` is the released code, whose default
            ``class_num=1.0`` gives every pair weight 1; ``deephash_pytorch`` and ``orthohash`` are the constants of
            two re-implementations.
        alpha: overrides the preset's steepness (not divided by K).
        nested: see :class:`HeadHashModel`.
        centre: see :class:`CentredHashModel`.
    """

    couples_rows: ClassVar[bool] = True
    suffers_from_offset: ClassVar[bool] = True
    least_rows: int = 2
    training_only: ClassVar[tuple[str, ...]] = ("preset", "alpha")

    def __init__(
        self,
        num_bits: int,
        backbone: Backbone = Backbone(),
        optimizer: Optimizer | None = None,
        preset: Literal["paper", "release", "deephash_pytorch", "orthohash"] = "paper",
        alpha: float | None = None,
        nested: NestedLengths | None = None,
        centre: bool = False,
    ) -> None:
        constants = choose(PRESETS, preset, {"alpha": alpha, "alpha_per_bit": None if alpha is None else False})
        plan = (optimizer or Optimizer()).over(constants.optimizer)
        super().__init__(num_bits, backbone, plan, nested, centre)
        self.save_hyperparameters()
        self.constants = constants
        self.head = nn.Linear(self.num_features, num_bits)
        nn.init.normal_(self.head.weight, std=0.01)

    def code_losses(self, codes: Tensor, features: Tensor, batch: Batch) -> dict[str, Tensor]:
        """Return ``pairs``."""
        constants, labels = self.constants, batch["labels"]
        h = torch.tanh(continuation(constants.schedule, self.global_step, self.current_epoch) * codes)
        rows, columns = (h, h) if constants.pairs == "all" else halves(h)
        row_labels, column_labels = (labels, labels) if constants.pairs == "all" else halves(labels)
        alpha = constants.alpha / codes.shape[1] if constants.alpha_per_bit else constants.alpha
        similar = share_label(row_labels, column_labels)
        return {"pairs": hashnet_loss(rows, columns, similar, alpha=alpha, weighted=constants.weighted)}
