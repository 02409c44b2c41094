"""TwoTowers: what the cross-modal methods trained by gradients share: a head a modality, and pairs."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize

from deephash.backbones import Backbone
from deephash.errors import UsageError
from deephash.models.base import Inputs
from deephash.models.cross_modal import MODALITIES, sole_modality
from deephash.models.objective import ObjectiveHashModel
from deephash.models.optimizers import Optimizer

Batch = Mapping[str, Tensor]


@dataclass(frozen=True)
class Half:
    """The rows of a batch that have one modality.

    Attributes:
        features: [b, D] of the encoder.
        rows: which rows of the batch they are, int64 [b].
    """

    features: Tensor
    rows: Tensor


class TwoTowers(ObjectiveHashModel):
    """A picture head and a text head into one Hamming space.

    Args:
        num_bits: K.
        image_backbone: the picture encoder, usually frozen so that its features are cached.
        text_backbone: the text encoder.
        optimizer: see :class:`Optimizer`.
        unit_norm: heads see features divided by their norm.
    """

    modalities: ClassVar[tuple[str, ...]] = MODALITIES
    heads: nn.ModuleDict

    def __init__(
        self,
        num_bits: int,
        image_backbone: Backbone,
        text_backbone: Backbone,
        optimizer: Optimizer | None,
        *,
        unit_norm: bool = False,
    ) -> None:
        super().__init__(num_bits, {"image": image_backbone, "text": text_backbone}, optimizer)
        self.unit_norm = unit_norm
        for name in MODALITIES:
            self.register_buffer(f"{name}_mean", torch.zeros(self.encoders[name].num_features))

    def forward(self, inputs: Inputs) -> Tensor:
        """Return continuous codes v [B, K] of the one modality given."""
        modality = sole_modality(inputs)
        return self.codes_of(modality, self.features(inputs, modality))

    def codes_of(self, modality: str, features: Tensor) -> Tensor:
        """Return continuous codes [b, K] of encoder features [b, D]."""
        codes: Tensor = self.heads[modality](normalize(features, dim=1) if self.unit_norm else features)
        return codes

    def vectors(self, inputs: Inputs) -> Tensor:
        """Return unit features minus their modality's running mean, [B, D], for re-ranking by cosine."""
        modality = sole_modality(inputs)
        return normalize(self.features(inputs, modality), dim=1) - self.get_buffer(f"{modality}_mean")

    def compute_losses(self, batch: Batch) -> dict[str, Tensor]:
        """Return the method's terms over the halves that are there."""
        halves = {name: self._half(batch, name) for name in MODALITIES}
        for name, half in halves.items():
            self._follow_mean(name, half.features.detach())
        return self.pair_losses(halves, batch)

    @abstractmethod
    def pair_losses(self, halves: dict[str, Half], batch: Batch) -> dict[str, Tensor]:
        """Return named scalar terms; ``halves`` are equal in rows except where a batch is half-paired."""

    def complete_pairs(self, halves: dict[str, Half], batch: Batch) -> tuple[Tensor, Tensor, Tensor]:
        """Return picture features, text features [b, D] and rows [b] of the items that have both.

        Raises:
            UsageError: fewer than two are left; methods that compare pairs need larger batches then.
        """
        image, text = halves["image"], halves["text"]
        both = image.rows[torch.isin(image.rows, text.rows)]
        if len(both) < 2:
            raise UsageError(
                f"{type(self).__name__} compares pairs, and this batch of {len(batch['index'])} items holds "
                f"{len(both)} complete ones; use a larger batch, or RREH, which learns from unpaired items too"
            )
        kept = [half.features[torch.isin(half.rows, both)] for half in (image, text)]
        return kept[0], kept[1], both

    def _half(self, batch: Batch, modality: str) -> Half:
        features = self.features(batch, modality)
        present = batch.get(f"has_{modality}")
        rows = torch.arange(len(features), device=features.device)
        if present is None:
            return Half(features, rows)
        return Half(features[present.bool()], rows[present.bool()])

    @torch.no_grad()
    def _follow_mean(self, modality: str, features: Tensor) -> None:
        if self.training and len(features):
            self.get_buffer(f"{modality}_mean").lerp_(normalize(features.float(), dim=1).mean(dim=0), 0.1)


def perceptron(width: int, hidden: tuple[int, ...], num_bits: int, *, tanh: bool = False) -> nn.Sequential:
    """Return linear layers of the given widths with ReLU between them, and tanh at the end where asked.

    Inputs are standardised first (batch norm without scale), since features come on any scale; the papers do not do so.
    """
    widths = (width, *hidden)
    layers: list[nn.Module] = [nn.BatchNorm1d(width, affine=False)]
    for inner, outer in pairwise(widths):
        layers += [nn.Linear(inner, outer), nn.ReLU()]
    layers.append(nn.Linear(widths[-1], num_bits))
    return nn.Sequential(*layers, nn.Tanh()) if tanh else nn.Sequential(*layers)
