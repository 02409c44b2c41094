"""DTSH: Wang, Shi, Kitani, "Deep Supervised Hashing with Triplet Labels", ACCV 2016.

The likelihood that an anchor is more similar to its positive than to its negative, by a margin alpha, over all triplets
of the batch. Measured results: docs/methods/dtsh.md.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Final, Literal

import torch
from torch import Tensor, nn
from torch.nn.functional import softplus
from torch.utils.checkpoint import checkpoint

from deephash.backbones import Backbone
from deephash.models.centring import CentredHashModel
from deephash.models.head import Batch
from deephash.models.optimizers import RMSPROP, Optimizer
from deephash.models.presets import choose
from deephash.objectives.labels import share_label
from deephash.objectives.nested import NestedLengths
from deephash.objectives.quantization import squared_quantization

TRIPLETS_AT_ONCE = 1 << 22  # 16 MiB of float32; blocks of anchors keep memory below B^3


def dtsh_loss(similarity: Tensor, similar: Tensor, alpha: float) -> Tensor:
    """Return the mean over anchors of ``mean_(p, n) log(1 + e^-(Theta_ap - Theta_an - alpha))``.

    This equals ``-[x - log(1 + e^x)]`` with ``x = Theta_ap - Theta_an - alpha``, written so that nothing overflows.
    Anchors without a positive or without a negative are left out; the anchor itself is a positive.

    Args:
        similarity: Theta [B, B].
        similar: booleans [B, B].
        alpha: margin.
    """
    usable = similar.any(dim=1) & (~similar).any(dim=1)
    similarity, similar = similarity[usable], similar[usable]
    if not len(similar):
        return similarity.sum()
    most = int(similar.sum(dim=1).max())  # positives of any anchor; far fewer than B where classes are many
    step = max(1, TRIPLETS_AT_ONCE // (most * similar.shape[1]))
    blocks = [
        checkpoint(_anchors, rows, kinds, alpha, most, use_reentrant=False)
        for rows, kinds in zip(torch.split(similarity, step), torch.split(similar, step))
    ]
    return torch.cat(blocks).mean()


def _anchors(similarity: Tensor, similar: Tensor, alpha: float, most: int) -> Tensor:
    first = similar.int().argsort(dim=1, descending=True)[:, :most]  # positives first, then filling
    is_positive, positives = similar.gather(1, first), similarity.gather(1, first)
    margins = positives[:, :, None] - similarity[:, None, :] - alpha  # [A, positives, B]
    triplets = is_positive[:, :, None] & ~similar[:, None, :]
    return (softplus(-margins) * triplets).sum(dim=(1, 2)) / triplets.sum(dim=(1, 2))


@dataclass(frozen=True)
class DTSHConstants:
    """What the sources set differently.

    Attributes:
        inner_product_factor: Theta is this times ``u u^T``.
        alpha: margin; times K where ``alpha_times_bits``.
        alpha_times_bits: see alpha.
    """

    inner_product_factor: float
    alpha: float
    alpha_times_bits: bool


PRESETS: Final[Mapping[str, DTSHConstants]] = {
    "deephash_pytorch": DTSHConstants(1.0, 5.0, False),
    "paper": DTSHConstants(0.5, 0.5, True),
}


class DTSH(CentredHashModel):
    """DTSH on any picture encoder.

    Args:
        num_bits: K.
        backbone: see :class:`Backbone`.
        optimizer: see :class:`Optimizer`; None takes RMSprop with rate 1e-5.
        preset: ``deephash_pytorch``: Theta = u u^T, alpha = 5; ``paper``: Theta = u u^T / 2, alpha = K / 2, both from
            memory of the paper and its code, not verified.
        alpha: overrides the preset's margin (not multiplied by K).
        quantization_weight: lambda, of ``mean (u - sign u)^2``.
        nested: see :class:`HeadHashModel`.
        centre: see :class:`CentredHashModel`.
    """

    couples_rows: ClassVar[bool] = True
    least_rows: int = 2
    default_optimizer: ClassVar[Optimizer] = RMSPROP
    training_only: ClassVar[tuple[str, ...]] = ("preset", "alpha", "quantization_weight")

    def __init__(
        self,
        num_bits: int,
        backbone: Backbone = Backbone(),
        optimizer: Optimizer | None = None,
        preset: Literal["deephash_pytorch", "paper"] = "deephash_pytorch",
        alpha: float | None = None,
        quantization_weight: float = 1.0,
        nested: NestedLengths | None = None,
        centre: bool = False,
    ) -> None:
        super().__init__(num_bits, backbone, optimizer, nested, centre)
        self.save_hyperparameters()
        overrides = {"alpha": alpha, "alpha_times_bits": None if alpha is None else False}
        self.constants = choose(PRESETS, preset, overrides)
        self.quantization_weight = quantization_weight
        self.head = nn.Linear(self.num_features, num_bits)
        nn.init.normal_(self.head.weight, std=0.01)

    def code_losses(self, codes: Tensor, features: Tensor, batch: Batch) -> dict[str, Tensor]:
        """Return ``triplets`` and ``quantization``."""
        constants = self.constants
        alpha = constants.alpha * codes.shape[1] if constants.alpha_times_bits else constants.alpha
        similarity = constants.inner_product_factor * codes @ codes.T
        return {
            "triplets": dtsh_loss(similarity, share_label(batch["labels"], batch["labels"]), alpha),
            "quantization": self.quantization_weight * squared_quantization(codes),
        }
