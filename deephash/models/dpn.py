"""DPN: Fan et al., "Deep Polarized Network for Supervised Learning of Accurate Binary Hashing Codes", IJCAI 2020.

A hinge on each bit pushes the output at least m beyond zero, to the side that the class's target has. Measured results:
docs/methods/dpn.md.
"""

from __future__ import annotations

from typing import ClassVar, Literal

import torch
from torch import Tensor, nn
from torch import distributed as dist

from deephash.backbones import Backbone
from deephash.errors import UsageError
from deephash.models.centring import CentredHashModel
from deephash.models.head import Batch
from deephash.models.optimizers import Optimizer
from deephash.models.stationary import Stationary
from deephash.objectives.class_targets import class_targets
from deephash.objectives.gathering import num_processes
from deephash.objectives.labels import multi_hot
from deephash.objectives.nested import NestedLengths
from deephash.objectives.signs import sign


def polarization_loss(codes: Tensor, targets: Tensor, labels: Tensor, margin: float = 1.0) -> Tensor:
    """Return ``(1/B) sum_n sum_(c in labels of n) sum_k max(0, m - u_nk t_ck)``.

    Args:
        codes: u [B, K].
        targets: t [C, K] of +-1.
        labels: multi-hot [B, C]; each positive class pulls.
        margin: m.
    """
    positive = torch.relu(margin - codes).double()  # loss of a bit whose target is +1
    negative = torch.relu(margin + codes).double()
    wants_positive = labels.double() @ (targets.double() + 1) / 2  # how many of the row's classes want +1 there
    wants_negative = labels.double() @ (1 - targets.double()) / 2
    return (positive * wants_positive + negative * wants_negative).sum(dim=1).mean().to(codes.dtype)


class DPN(Stationary, CentredHashModel):
    """DPN on any picture encoder.

    The ternary test code of the paper (an output within the margin counts half) is left out: two symbols are stored.

    Args:
        num_bits: K.
        num_classes: C.
        backbone: see :class:`Backbone`.
        optimizer: see :class:`Optimizer`; None takes SGD with rate 1e-4, divided by 10 after 100 epochs.
        margin: m.
        reduction: ``sum`` over bits is the paper; ``mean`` (K times smaller) is DeepHash-pytorch.
        regularization: rho, weight of ``mean u^2``; the README suggests .001, one framework sets .1.
        targets: ``bernoulli`` (the same law as the sign of normal draws), ``maxhd`` or ``simplex``. Nested codes
            take nested ones.
        target_seed: targets depend on nothing else until updated, and are saved with the weights.
        update_targets_every: epochs after which a class's target becomes the sign of its mean output; 0 never. A class
            without pictures keeps its target.
        nested: see :class:`HeadHashModel`.
        centre: see :class:`CentredHashModel`.
        reserve: rows of the table that wait for further classes, so that a later model is pulled to the same targets
            (docs/lifelong.md); any two rows then differ in a quarter of the bits.
    """

    shared_terms: ClassVar[tuple[str, ...]] = ("regularization",)
    num_classes: int
    targets: Tensor
    default_optimizer: ClassVar[Optimizer] = Optimizer(
        "sgd", learning_rate=1e-4, backbone_factor=1.0, milestones=(100,)
    )
    training_only: ClassVar[tuple[str, ...]] = (
        "margin",
        "reduction",
        "regularization",
        "targets",
        "target_seed",
        "update_targets_every",
    )

    def __init__(
        self,
        num_bits: int,
        num_classes: int,
        backbone: Backbone = Backbone(),
        optimizer: Optimizer | None = None,
        margin: float = 1.0,
        reduction: Literal["sum", "mean"] = "sum",
        regularization: float = 0.0,
        targets: Literal["bernoulli", "maxhd", "simplex"] = "bernoulli",
        target_seed: int = 0,
        update_targets_every: int = 0,
        nested: NestedLengths | None = None,
        centre: bool = False,
        reserve: int = 0,
    ) -> None:
        if reserve and update_targets_every:
            raise UsageError("reserved targets stay as they are; leave out reserve or update_targets_every")
        if margin <= 0:
            raise UsageError(f"the margin of DPN is positive, not {margin}: with 0 the zero output is optimal")
        super().__init__(num_bits, backbone, optimizer, nested, centre)
        self.save_hyperparameters()
        self.num_classes, self.margin, self.reduction = num_classes, margin, reduction
        self.regularization, self.update_targets_every = regularization, update_targets_every
        self.head = nn.Linear(self.num_features, num_bits, bias=False)
        table = class_targets(targets, num_classes, self.code_lengths, seed=target_seed, reserve=reserve)
        self.register_buffer("targets", table)
        self._output_sums: Tensor | None = None  # [C, K] over the current epoch

    def code_losses(self, codes: Tensor, features: Tensor, batch: Batch) -> dict[str, Tensor]:
        """Return ``polarization``, and ``regularization`` where it has a weight."""
        length = codes.shape[1]
        labels = multi_hot(batch["labels"], self.num_classes)
        loss = polarization_loss(codes, self.targets[: self.num_classes, :length], labels, self.margin)
        losses = {"polarization": loss / length if self.reduction == "mean" else loss}
        if self.regularization:
            losses["regularization"] = self.regularization * codes.square().mean()
        return losses

    def observe(self, codes: Tensor, batch: Batch) -> None:
        """Add the outputs to the sums of their classes."""
        if self.update_targets_every:
            labels = multi_hot(batch["labels"], self.num_classes)
            sums = labels.T @ codes.detach()
            self._output_sums = sums if self._output_sums is None else self._output_sums + sums

    def on_train_epoch_end(self) -> None:
        """Replace the targets where it is time."""
        sums, self._output_sums = self._output_sums, None
        if not self.update_targets_every or (self.current_epoch + 1) % self.update_targets_every:
            return
        if sums is None:  # no labelled row here, but another process may wait for this one
            sums = torch.zeros_like(self.targets)
        if num_processes() > 1:
            dist.all_reduce(sums)
        has_pictures = sums.abs().sum(dim=1, keepdim=True) > 0
        self.targets = torch.where(has_pictures, sign(sums), self.targets)
