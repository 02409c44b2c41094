"""CroVCA: Moummad et al., "Cross-View Code Alignment" hashing, 2025: each bit of one view predicts that of another.

A head that ends in batch norm is trained in a few epochs on a frozen or learning network: the cross-entropy of every
bit between two views, and the coding rate, which keeps codes from collapsing. The views are two looks at a picture, or
a picture and its caption. Only the outline of the method could be read; weights of the two terms are ours. Measured
results: docs/methods/crovca.md.
"""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor, nn

from deephash.backbones import Backbone
from deephash.errors import UsageError
from deephash.models.head import Batch, HeadHashModel
from deephash.models.optimizers import Optimizer
from deephash.models.two_towers import Half, TwoTowers
from deephash.models.views import two_views
from deephash.objectives.code_alignment import bit_alignment, coding_rate
from deephash.objectives.nested import NestedLengths

_QUICK = Optimizer("adamw", 1e-3, 0.1, 1e-4)


class CroVCA(HeadHashModel):
    """Two views of a picture agree bit by bit.

    Args:
        num_bits: K.
        backbone: see :class:`Backbone`.
        optimizer: see :class:`Optimizer`; None takes AdamW at 1e-3.
        rate_weight: of the coding rate, which is divided by K.
        hidden: width of the hidden layer; 0 leaves a linear map.
        feature_dropout: how two views differ where only cached features are there (ours; see ``models/views.py``).
        nested: see :class:`HeadHashModel`.
    """

    num_views: int = 2
    couples_rows: ClassVar[bool] = True
    least_rows: int = 2
    supervised: ClassVar[bool] = False
    default_optimizer: ClassVar[Optimizer] = _QUICK
    training_only: ClassVar[tuple[str, ...]] = ("rate_weight", "feature_dropout")

    def __init__(
        self,
        num_bits: int,
        backbone: Backbone = Backbone(),
        optimizer: Optimizer | None = None,
        rate_weight: float = 1.0,
        hidden: int = 1024,
        feature_dropout: float = 0.2,
        nested: NestedLengths | None = None,
    ) -> None:
        super().__init__(num_bits, backbone, optimizer, nested)
        self.save_hyperparameters()
        self.rate_weight, self.feature_dropout = checked_weight(rate_weight), feature_dropout
        self.head = alignment_head(self.num_features, hidden, num_bits)

    def views(self, batch: Batch) -> Tensor:
        """Return features of two random views, [2B, D]."""
        return two_views(self, batch, feature_dropout=self.feature_dropout)

    def code_losses(self, codes: Tensor, features: Tensor, batch: Batch) -> dict[str, Tensor]:
        """Return ``alignment`` and ``rate``."""
        first, second = codes.chunk(2)
        return alignment_terms(first, second, self.rate_weight)


class CrossModalCroVCA(TwoTowers):
    """A picture and its caption agree bit by bit; no labels.

    Args:
        num_bits: K.
        image_backbone: the picture encoder.
        text_backbone: the text encoder.
        optimizer: see :class:`Optimizer`; None takes AdamW at 1e-3.
        rate_weight: of the coding rate, which is divided by K.
        hidden: width of the hidden layer of each head; 0 leaves linear maps.
    """

    default_optimizer: ClassVar[Optimizer] = _QUICK
    training_only: ClassVar[tuple[str, ...]] = ("rate_weight",)

    def __init__(
        self,
        num_bits: int,
        image_backbone: Backbone,
        text_backbone: Backbone,
        optimizer: Optimizer | None = None,
        rate_weight: float = 1.0,
        hidden: int = 0,
    ) -> None:
        super().__init__(num_bits, image_backbone, text_backbone, optimizer, unit_norm=True)
        self.save_hyperparameters()
        self.rate_weight = checked_weight(rate_weight)
        widths = {name: int(encoder.num_features) for name, encoder in self.encoders.items()}
        self.heads = nn.ModuleDict({name: alignment_head(wide, hidden, num_bits) for name, wide in widths.items()})

    def pair_losses(self, halves: dict[str, Half], batch: Batch) -> dict[str, Tensor]:
        """Return ``alignment`` and ``rate`` of the complete pairs."""
        image, text, _ = self.complete_pairs(halves, batch)
        return alignment_terms(self.codes_of("image", image), self.codes_of("text", text), self.rate_weight)


def alignment_terms(first: Tensor, second: Tensor, rate_weight: float) -> dict[str, Tensor]:
    """Return ``alignment`` of two views' logits [B, K] and ``rate``, the negative coding rate a bit, mean of both."""
    rate = (coding_rate(first) + coding_rate(second)) / (2 * first.shape[1])
    return {"alignment": bit_alignment(first, second), "rate": -rate_weight * rate}


def alignment_head(wide: int, hidden: int, num_bits: int) -> nn.Sequential:
    """Return a perceptron that ends in batch norm without scale: every bit is balanced over the batch."""
    layers: list[nn.Module] = [nn.Linear(wide, hidden), nn.BatchNorm1d(hidden), nn.ReLU()] if hidden else []
    return nn.Sequential(*layers, nn.Linear(hidden or wide, num_bits), nn.BatchNorm1d(num_bits, affine=False))


def checked_weight(weight: float) -> float:
    """Return a weight. Raises UsageError below 0, where codes would be drawn together."""
    if weight < 0:
        raise UsageError(f"rate_weight is at least 0, not {weight}; below it, codes would collapse")
    return weight
