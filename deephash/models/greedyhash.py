"""GreedyHash: Su et al., "Greedy Hash: Towards Fast Optimization for Accurate Hash Coding in CNN", NeurIPS 2018.

The sign is used as it is in the forward pass and skipped in the backward pass. The supervised form classifies the bits;
the unsupervised form makes their cosines equal those of the features. Measured results: docs/methods/greedyhash.md.
"""

from __future__ import annotations

from typing import ClassVar, Literal

import torch
from torch import Tensor, nn
from torch.nn.functional import linear, log_softmax

from deephash.backbones import Backbone
from deephash.models.centring import CentredHashModel
from deephash.models.head import Batch
from deephash.models.optimizers import Optimizer
from deephash.objectives.labels import target_distribution
from deephash.objectives.nested import NestedLengths
from deephash.objectives.pairs import structure_loss
from deephash.objectives.quantization import cubic_quantization
from deephash.objectives.signs import straight_through_sign


def bit_classification_loss(bits: Tensor, weight: Tensor, shares: Tensor) -> Tensor:
    """Return the cross-entropy of the linear classifier W b.

    Args:
        bits: b [B, K].
        weight: W [C, K], without bias.
        shares: wanted distribution over classes [B, C]; one-hot for one label.
    """
    return -(shares * log_softmax(linear(bits, weight), dim=1)).sum(dim=1).mean()


class GreedyHash(CentredHashModel):
    """Supervised GreedyHash on any picture encoder.

    Args:
        num_bits: K.
        num_classes: C.
        backbone: see :class:`Backbone`.
        optimizer: see :class:`Optimizer`; None takes SGD with rate 1e-3, divided by 10 after 30 epochs.
        alpha: weight of ``mean ||u| - 1|^3``; 0.1 for CIFAR-10, 1 for ImageNet.
        multi_label: the paper leaves several labels undefined. ``shares`` gives each label the same share of the
            target; ``first`` keeps the first label only, as DeepHash-pytorch does.
        nested: see :class:`HeadHashModel`.
        centre: see :class:`CentredHashModel`.
    """

    num_classes: int
    default_optimizer: ClassVar[Optimizer] = Optimizer("sgd", learning_rate=1e-3, backbone_factor=1.0, milestones=(30,))
    training_only: ClassVar[tuple[str, ...]] = ("alpha", "multi_label")

    def __init__(
        self,
        num_bits: int,
        num_classes: int,
        backbone: Backbone = Backbone(),
        optimizer: Optimizer | None = None,
        alpha: float = 0.1,
        multi_label: Literal["shares", "first"] = "shares",
        nested: NestedLengths | None = None,
        centre: bool = False,
    ) -> None:
        super().__init__(num_bits, backbone, optimizer, nested, centre)
        self.save_hyperparameters()
        self.num_classes, self.alpha, self.multi_label = num_classes, alpha, multi_label
        self.head = nn.Linear(self.num_features, num_bits)
        self.classifier = nn.Linear(num_bits, num_classes, bias=False)

    def code_losses(self, codes: Tensor, features: Tensor, batch: Batch) -> dict[str, Tensor]:
        """Return ``classes`` and ``quantization``."""
        labels = batch["labels"]
        if labels.ndim == 2 and self.multi_label == "first":
            labels = labels.argmax(dim=1)
        shares = target_distribution(labels, self.num_classes)
        weight = self.classifier.weight[:, : codes.shape[1]].float()
        return {
            "classes": bit_classification_loss(straight_through_sign(codes), weight, shares),
            "quantization": self.alpha * cubic_quantization(codes),
        }


class GreedyHashUnsupervised(CentredHashModel):
    """Unsupervised GreedyHash: ``mean (cos(b_i, b_j) - cos(x_i, x_j))^2`` over random pairs, plus the cubic penalty.

    Args:
        num_bits: K.
        backbone: see :class:`Backbone`; frozen in the paper. Its dropout stays off: x is not noisy as in the release.
        optimizer: see :class:`Optimizer`; None takes SGD with rate 1e-4.
        alpha: weight of ``mean ||u| - 1|^3``.
        nested: see :class:`HeadHashModel`.
        centre: see :class:`CentredHashModel`.
    """

    couples_rows: ClassVar[bool] = True
    least_rows: int = 2
    supervised: ClassVar[bool] = False
    default_optimizer: ClassVar[Optimizer] = Optimizer("sgd", learning_rate=1e-4)
    training_only: ClassVar[tuple[str, ...]] = ("alpha",)

    def __init__(
        self,
        num_bits: int,
        backbone: Backbone = Backbone(),
        optimizer: Optimizer | None = None,
        alpha: float = 0.1,
        nested: NestedLengths | None = None,
        centre: bool = False,
    ) -> None:
        super().__init__(num_bits, backbone, optimizer, nested, centre)
        self.save_hyperparameters()
        self.alpha = alpha
        self.head = nn.Linear(self.num_features, num_bits)

    def code_losses(self, codes: Tensor, features: Tensor, batch: Batch) -> dict[str, Tensor]:
        """Return ``structure`` and ``quantization``."""
        return {
            "structure": structure_loss(straight_through_sign(codes), torch.flatten(features, 1)),
            "quantization": self.alpha * cubic_quantization(codes),
        }
