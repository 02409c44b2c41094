"""CSQ: Yuan et al., "Central Similarity Quantization for Efficient Image and Video Retrieval", CVPR 2020.

Each class has a hash centre (a row of a Hadamard matrix); each picture's code is pulled to its class's centre by binary
cross-entropy. Measured results: docs/methods/csq.md.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Final, Literal

import torch
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits

from deephash.backbones import Backbone
from deephash.models.centring import CentredHashModel
from deephash.models.head import Batch
from deephash.models.optimizers import RMSPROP, Optimizer
from deephash.models.presets import choose
from deephash.models.stationary import Stationary
from deephash.objectives.balanced_centres import csq_centres
from deephash.objectives.centres import CentreKind
from deephash.objectives.class_targets import class_targets
from deephash.objectives.labels import multi_hot
from deephash.objectives.nested import NestedLengths
from deephash.objectives.quantization import squared_quantization
from deephash.objectives.signs import sign


def central_similarity_loss(codes: Tensor, centres: Tensor) -> Tensor:
    """Return ``BCE((h + 1)/2, (c + 1)/2)`` with ``h = tanh u``, mean over rows and bits.

    As ``(tanh u + 1)/2`` is the logistic of 2u, it is computed from logits and stays finite at |h| = 1.

    Args:
        codes: u [B, K], before the tanh.
        centres: c [B, K], the centre of each row.
    """
    return binary_cross_entropy_with_logits(2 * codes, (centres + 1) / 2)


def merged_centres(labels: Tensor, centres: Tensor, tie_break: Tensor) -> Tensor:
    """Return the centre of each row [B, K]: of several labels the majority of their centres, ties from one fixed code.

    Args:
        labels: multi-hot [B, C].
        centres: [C, K].
        tie_break: +-1 [K].
    """
    total = labels @ centres
    return sign(torch.where(total == 0, tie_break, total))


@dataclass(frozen=True)
class CSQConstants:
    """What the sources set differently.

    Attributes:
        quantization_weight: lambda, of ``mean (|h| - 1)^2``.
        hidden_layers: fully connected layers with ReLU before the hash layer, as wide as the features.
        dropout: after the first hidden layer.
        optimizer: the model's own lies over it.
    """

    quantization_weight: float
    hidden_layers: int
    dropout: float
    optimizer: Optimizer


PRESETS: Final[Mapping[str, CSQConstants]] = {
    "release": CSQConstants(
        0.05,
        2,
        0.5,
        Optimizer(
            learning_rate=1e-3, backbone_factor=0.05, weight_decay=0, milestones=tuple(range(10, 90, 10)), gamma=0.7
        ),
    ),
    "deephash_pytorch": CSQConstants(1e-4, 0, 0.0, RMSPROP),
    "orthohash": CSQConstants(1e-3, 0, 0.0, Optimizer(learning_rate=1e-4, milestones=(80,))),
}


class CSQ(Stationary, CentredHashModel):
    """CSQ on any picture encoder.

    Args:
        num_bits: K; Hadamard centres need a power of two.
        num_classes: C.
        backbone: see :class:`Backbone`.
        optimizer: see :class:`Optimizer`; None takes the preset's.
        preset: ``release`` (two hidden layers, lambda .05, as for ResNet-50; rate x.7 every 10 of 90
            epochs), ``deephash_pytorch``, or ``orthohash`` (both a single layer).
        quantization_weight: overrides the preset's lambda.
        centres: ``hadamard`` is the paper's recipe; ``bernoulli``, ``maxhd`` and ``simplex`` work for any K. Nested
            codes take nested centres instead.
        centre_seed: centres depend on nothing else, and are saved with the weights.
        nested: see :class:`HeadHashModel`.
        centre: see :class:`CentredHashModel`.
        reserve: rows of the table that wait for further classes, so that a later model is pulled to the same targets
            (docs/lifelong.md); any two rows then differ in a quarter of the bits.
    """

    targets_in: ClassVar[str] = "centres"
    num_classes: int
    centres: Tensor
    tie_break: Tensor
    training_only: ClassVar[tuple[str, ...]] = ("quantization_weight", "centres", "centre_seed")

    def __init__(
        self,
        num_bits: int,
        num_classes: int,
        backbone: Backbone = Backbone(),
        optimizer: Optimizer | None = None,
        preset: Literal["release", "deephash_pytorch", "orthohash"] = "orthohash",
        quantization_weight: float | None = None,
        centres: CentreKind = "hadamard",
        centre_seed: int = 0,
        nested: NestedLengths | None = None,
        centre: bool = False,
        reserve: int = 0,
    ) -> None:
        constants = choose(PRESETS, preset, {"quantization_weight": quantization_weight})
        plan = (optimizer or Optimizer()).over(constants.optimizer)
        super().__init__(num_bits, backbone, plan, nested, centre)
        self.save_hyperparameters()
        self.num_classes, self.constants = num_classes, constants
        self.head = nn.Sequential(*self._hidden(), nn.Linear(self.num_features, num_bits))
        self.register_buffer("centres", class_centres(centres, num_classes, self.code_lengths, centre_seed, reserve))
        generator = torch.Generator().manual_seed(int(centre_seed))
        self.register_buffer("tie_break", torch.randint(0, 2, (num_bits,), generator=generator).float() * 2 - 1)

    def _hidden(self) -> list[nn.Module]:
        layers: list[nn.Module] = []
        for _ in range(self.constants.hidden_layers):
            layers += [nn.Linear(self.num_features, self.num_features), nn.ReLU(), nn.Dropout(self.constants.dropout)]
        return layers[:-1] if len(layers) > 3 else layers  # dropout after the first hidden layer only

    def code_losses(self, codes: Tensor, features: Tensor, batch: Batch) -> dict[str, Tensor]:
        """Return ``centres`` and ``quantization``."""
        length = codes.shape[1]
        labels = multi_hot(batch["labels"], self.num_classes)
        wanted = merged_centres(labels, self.centres[: self.num_classes, :length], self.tie_break[:length])
        return {
            "centres": central_similarity_loss(codes, wanted),
            "quantization": self.constants.quantization_weight * squared_quantization(torch.tanh(codes)),
        }


def class_centres(kind: CentreKind, num_classes: int, lengths: tuple[int, ...], seed: int, reserve: int = 0) -> Tensor:
    """Return centres [C + reserve, K]: nested ones for several lengths, else CSQ's recipe or random ones."""
    recipe = _csq_recipe if kind == "hadamard" else None
    return class_targets(kind, num_classes, lengths, seed=seed, reserve=reserve, recipe=recipe)


def _csq_recipe(rows: int, num_bits: int, seed: int) -> Tensor:
    return csq_centres(rows, num_bits, seed=seed)
