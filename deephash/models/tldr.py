"""TLDR: Kalantidis, Lassance, Almazan, Larlus, "TLDR: Twin Learning for Dimensionality Reduction", TMLR 2022
(arXiv 2110.09455), made into a hash method.

A picture's features and those of one of its nearest neighbours are projected so that the projections agree and their
dimensions are decorrelated (Barlow Twins). Hashing is ours: either the K projections are rotated by ITQ and cut at
zero, or a straight-through sign stands before the projector, so that decorrelation acts on the bits themselves.
Measured results: docs/methods/tldr.md.
"""

from __future__ import annotations

from itertools import pairwise
from typing import ClassVar, Literal

import torch
from torch import Tensor, nn
from torch.nn.functional import pad

from deephash.backbones import Backbone
from deephash.errors import UsageError
from deephash.models.base import Inputs
from deephash.models.centring import training_features
from deephash.models.head import Batch, HeadHashModel
from deephash.models.itq import ITQ
from deephash.models.neighbours import Neighbours, nearest_neighbours
from deephash.models.optimizers import Optimizer
from deephash.objectives.nested import NestedLengths
from deephash.objectives.signs import straight_through_sign


def barlow_loss(first: Tensor, second: Tensor, redundancy_weight: float = 3.9e-3) -> Tensor:
    """Return ``(1/32) [sum_i (C_ii - 1)^2 + lambda sum_(i != j) C_ij^2]``, C the correlations of the two views.

    Args:
        first: [B, D], standardised here over the batch, without learned scale.
        second: [B, D], its twins.
        redundancy_weight: lambda.
    """
    correlation = _standardised(first).T @ _standardised(second) / len(first)  # [D, D]
    on_diagonal = (correlation.diagonal() - 1).square().sum()
    off_diagonal = correlation.square().sum() - correlation.diagonal().square().sum()
    return (on_diagonal + redundancy_weight * off_diagonal) / 32


def _standardised(rows: Tensor) -> Tensor:
    centred = rows - rows.mean(dim=0)
    return centred / centred.square().mean(dim=0).add(1e-5).sqrt()


class TLDR(HeadHashModel):
    """TLDR on cached features of a frozen picture encoder.

    Neighbours are taken from the training split when training starts, so features have to be cached; without a Trainer
    call :meth:`prepare`. The paper trains with LARS; the default here is Adam.

    Args:
        num_bits: K.
        backbone: see :class:`Backbone`; frozen.
        optimizer: see :class:`Optimizer`; None takes Adam with rate 1e-3 and decay 1e-6.
        binarize: ``itq`` rotates the learned projections, refitted after each epoch; ``straight_through`` trains bits.
        num_neighbours: k; 5 in the released code, 3 to 10 in its examples.
        similarity: that neighbours are found by; the release takes the inner product.
        redundancy_weight: lambda.
        projector_layers: hidden layers of the projector, which is dropped after training.
        projector_width: of each hidden layer and of the output.
        nested: see :class:`HeadHashModel`; only with ``straight_through``.
    """

    couples_rows: ClassVar[bool] = True
    supervised: ClassVar[bool] = False
    num_views: int = 2
    least_rows: int = 2
    mean: Tensor
    rotation: Tensor
    default_optimizer: ClassVar[Optimizer] = Optimizer(learning_rate=1e-3, weight_decay=1e-6)
    training_only: ClassVar[tuple[str, ...]] = ("num_neighbours", "similarity", "redundancy_weight")

    def __init__(
        self,
        num_bits: int,
        backbone: Backbone = Backbone(),
        optimizer: Optimizer | None = None,
        binarize: Literal["itq", "straight_through"] = "straight_through",
        num_neighbours: int = 5,
        similarity: Literal["inner_product", "cosine"] = "cosine",
        redundancy_weight: float = 3.9e-3,
        projector_layers: int = 1,
        projector_width: int = 2048,
        nested: NestedLengths | None = None,
    ) -> None:
        super().__init__(num_bits, backbone, optimizer, nested)
        self.save_hyperparameters()
        if nested is not None and binarize == "itq":
            raise UsageError("a rotation mixes all bits, so nested codes need binarize='straight_through'")
        self.binarize, self.num_neighbours, self.similarity = binarize, num_neighbours, similarity
        self.redundancy_weight = redundancy_weight
        self.head = nn.Sequential(nn.Linear(self.num_features, num_bits, bias=False), nn.BatchNorm1d(num_bits))
        widths = [num_bits, *[projector_width] * projector_layers]
        hidden = [_hidden_layer(narrow, wide) for narrow, wide in pairwise(widths)]
        self.projector = nn.Sequential(*hidden, nn.Linear(widths[-1], projector_width, bias=False))
        self.register_buffer("mean", torch.zeros(num_bits))
        self.register_buffer("rotation", torch.eye(num_bits))
        self._neighbours: Neighbours | None = None

    def prepare(self, table: Tensor, neighbours: Tensor | None = None) -> None:
        """Keep the training features ``table`` [N, D], of which a batch's ``index`` are rows, and their neighbours.

        Args:
            table: training features.
            neighbours: row numbers [N, k] where they are known already; else they are searched for exactly.
        """
        if neighbours is None:
            neighbours = nearest_neighbours(table, self.num_neighbours, similarity=self.similarity)
        self._neighbours = Neighbours(table, neighbours)

    def on_fit_start(self) -> None:
        """Take the training features from the data module, unless :meth:`prepare` was called."""
        if self._neighbours is not None:
            return
        table = training_features(self.trainer)
        if table is None:
            raise UsageError("TLDR looks neighbours up in cached features: use a frozen backbone and a HashDataModule")
        self.prepare(table.to(self.device))

    def on_train_epoch_end(self) -> None:
        """Fit the rotation to the projections as they are now."""
        if self.binarize == "itq":
            self.fit_rotation()

    def fit_rotation(self) -> None:
        """Let ITQ rotate the projections of the training features."""
        if self._neighbours is None:
            raise UsageError("call prepare(training features) first")
        with self.evaluating(), torch.no_grad():
            projected = self.head(self._neighbours.table)
            itq = ITQ(self.num_bits, Backbone(f"features:{self.num_bits}")).to(projected.device).fit(projected)
            self.mean.copy_(itq.mean)
            self.rotation.copy_(itq.projection)

    def forward(self, inputs: Inputs) -> Tensor:
        """Return v [B, K]: the projections, rotated where ITQ binarises."""
        codes: Tensor = self.head(self.features(inputs))
        return (codes - self.mean) @ self.rotation

    def views(self, batch: Batch) -> Tensor:
        """Return the features of the rows and of one random neighbour of each, [2B, D]."""
        if self._neighbours is None:
            raise UsageError("TLDR does not know its neighbours yet: train with a Trainer, or call prepare(features)")
        drawn = self._neighbours.draw(batch["index"])
        return torch.cat([self.features(batch), self._neighbours.table[drawn]])

    def code_losses(self, codes: Tensor, features: Tensor, batch: Batch) -> dict[str, Tensor]:
        """Return ``twins``."""
        rows = straight_through_sign(codes) if self.binarize == "straight_through" else codes
        rows = pad(rows, (0, self.num_bits - codes.shape[1]))  # a prefix uses the projector's first columns only
        first, second = self.projector(rows).chunk(2)
        return {"twins": barlow_loss(first.float(), second.float(), self.redundancy_weight)}


def _hidden_layer(narrow: int, wide: int) -> nn.Module:
    return nn.Sequential(nn.Linear(narrow, wide, bias=False), nn.BatchNorm1d(wide), nn.ReLU())
