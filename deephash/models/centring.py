"""CentredHashModel: a gradient method whose hash layer may see features without their common mean.

Features after a ReLU are all non-negative and so share a large mean. A hash layer without batch norm hands that mean to
every bit of every picture, and inner products of codes begin large and alike. The papers fine-tune a network that can
learn its way out; a frozen one cannot. docs/results/cifar10_ablations.md says what each method gains.
"""

from __future__ import annotations

import logging
from typing import Any, ClassVar

import torch
from torch import Tensor

from deephash.backbones import Backbone
from deephash.errors import UsageError
from deephash.models.base import Inputs
from deephash.models.head import Batch, HeadHashModel
from deephash.models.optimizers import Optimizer
from deephash.objectives.nested import NestedLengths

logger = logging.getLogger(__name__)


class CentredHashModel(HeadHashModel):
    """A gradient method that can take the training mean off its features, in training and at test.

    Attributes:
        suffers_from_offset: a common mean was measured to cost accuracy; where features are non-negative and
            ``centre`` is off, the log says so.
        feature_mean: mean [D] of the training features, saved with the weights; absent without ``centre``.

    Args:
        num_bits: K.
        backbone: see :class:`Backbone`.
        optimizer: see :class:`Optimizer`.
        nested: see :class:`HeadHashModel`.
        centre: estimate the mean on the cached training features before the first step (ours; the papers do not).
    """

    suffers_from_offset: ClassVar[bool] = False
    feature_mean: Tensor

    def __init__(
        self,
        num_bits: int,
        backbone: Backbone,
        optimizer: Optimizer | None = None,
        nested: NestedLengths | None = None,
        centre: bool = False,
    ) -> None:
        super().__init__(num_bits, backbone, optimizer, nested)
        self.centre = centre
        if centre:  # no buffer without it: fingerprints of older models stay
            self.register_buffer("feature_mean", torch.zeros(self.num_features))

    def centre_on(self, table: Tensor) -> None:
        """Take the mean of the training features ``table`` [N, D]; a Trainer does this by itself."""
        self.feature_mean.copy_(table.double().mean(dim=0))

    def centred(self, features: Tensor) -> Tensor:
        """Return ``features`` [B, D] without the training mean, where ``centre`` is on."""
        return features - self.feature_mean if self.centre else features

    def forward(self, inputs: Inputs) -> Tensor:
        """Return continuous codes v [B, K]."""
        codes: Tensor = self.head(self.centred(self.features(inputs)))
        return codes

    def views(self, batch: Batch) -> Tensor:
        """Return the features [B, D] that head and losses see."""
        return self.centred(self.features(batch))

    def on_fit_start(self) -> None:
        """Take the mean from the data module, or say where one should."""
        table = training_features(self.trainer)
        if not self.centre:
            if self.suffers_from_offset and table is not None and bool((table >= 0).all()):
                logger.warning(
                    "the training features are all non-negative, so they share a large mean, from which %s suffers; "
                    "consider centre: true (--model.init_args.centre=true)",
                    type(self).__name__,
                )
        elif table is not None and not self._is_bound():
            self.centre_on(table)
        elif not self.feature_mean.any():
            raise UsageError(
                "centre=True takes the mean of cached training features, and there are none: freeze the backbone and "
                "train with a HashDataModule, or call centre_on(features) first"
            )

    def _is_bound(self) -> bool:
        """Say whether codes are stored that a new mean would shift the bits away from."""
        book = getattr(self.trainer.datamodule, "book", None)  # type: ignore[attr-defined]
        return book is not None and bool(self.feature_mean.any())


def training_features(trainer: Any) -> Tensor | None:
    """Return the cached picture features [N, D] of the training split; None where there are none."""
    split = getattr(trainer.datamodule, "splits", {}).get("train")
    features: Tensor | None = split.features.get("image") if split is not None else None
    return features
