"""A linear hash layer on two frozen towers: minutes on a CPU, and a baseline that deep methods must beat.

The head is h = BN(W x) of unit-norm features x, one W and one batch norm a modality. Batch norm subtracts the mean of
its modality, so the gap between CLIP's two towers needs no further care, and it balances the bits. Supervised:
OrthoHash (arXiv 2109.14449) on both modalities, against the same class codes. Unsupervised: InfoNCE between the halves
of a pair.
"""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, normalize

from deephash.backbones import Backbone
from deephash.errors import UsageError
from deephash.models.optimizers import Optimizer
from deephash.models.stationary import Stationary
from deephash.models.two_towers import Batch, Half, TwoTowers
from deephash.objectives.centres import CentreKind
from deephash.objectives.class_targets import class_targets
from deephash.objectives.labels import widened
from deephash.objectives.margin_softmax import cosines, margin_softmax
from deephash.objectives.quantization import cosine_quantization

_QUICK = Optimizer(learning_rate=1e-3, weight_decay=0.0)  # decay would shrink batch norm's scale as well


class LinearTowers(TwoTowers):
    """Base of both: linear heads with batch norm."""

    def _make_heads(self, shared: bool) -> None:
        widths = {name: encoder.num_features for name, encoder in self.encoders.items()}
        if shared and len(set(widths.values())) > 1:
            raise UsageError(f"one shared layer needs towers of one width; they give {widths}; leave shared=False")
        layers = {name: nn.Linear(width, self.num_bits, bias=False) for name, width in widths.items()}
        if shared:
            layers = dict.fromkeys(widths, layers["image"])
        self.heads = nn.ModuleDict(
            {name: nn.Sequential(layer, nn.BatchNorm1d(self.num_bits)) for name, layer in layers.items()}
        )


class CrossModalOrthoHash(Stationary, LinearTowers):
    """Supervised linear hashing of two towers. Items need labels, not partners.

    Args:
        num_bits: K.
        num_classes: C.
        image_backbone: the picture encoder.
        text_backbone: the text encoder.
        margin: m of the margin softmax.
        scale: s of the margin softmax.
        targets: kind of class codes; see :func:`make_centres`.
        target_seed: of the class codes.
        shared: one W for both towers (they must have one width), still with a batch norm each.
        optimizer: see :class:`Optimizer`; None is Adam at 1e-3 without decay.
        reserve: rows of the table that wait for further classes, so that a later model is pulled to the same targets
            (docs/lifelong.md); any two rows then differ in a quarter of the bits.
    """

    targets: Tensor
    supervised: ClassVar[bool] = True
    default_optimizer: ClassVar[Optimizer] = _QUICK
    training_only: ClassVar[tuple[str, ...]] = ("margin", "scale", "targets", "target_seed")

    def __init__(
        self,
        num_bits: int,
        num_classes: int,
        image_backbone: Backbone,
        text_backbone: Backbone,
        margin: float = 0.2,
        scale: float = 8.0,
        targets: CentreKind = "bernoulli",
        target_seed: int = 0,
        shared: bool = False,
        optimizer: Optimizer | None = None,
        reserve: int = 0,
    ) -> None:
        super().__init__(num_bits, image_backbone, text_backbone, optimizer, unit_norm=True)
        self.save_hyperparameters()
        self.margin, self.scale, self.num_classes = margin, scale, num_classes
        table = class_targets(targets, num_classes, (num_bits,), seed=target_seed, reserve=reserve)
        self.register_buffer("targets", table)
        self._make_heads(shared)

    def pair_losses(self, halves: dict[str, Half], batch: Batch) -> dict[str, Tensor]:
        """Return the margin softmax of each modality."""
        if "labels" not in batch:
            raise UsageError(
                "CrossModalOrthoHash is supervised: batches need 'labels'; CrossModalInfoNCE learns without"
            )
        losses = {}
        for name, half in halves.items():
            if len(half.rows) > 1:  # batch norm cannot work on a single row
                cosine = cosines(self.codes_of(name, half.features), self.targets)
                labels = widened(batch["labels"][half.rows], len(self.targets))
                losses[name] = margin_softmax(cosine, labels, margin=self.margin, scale=self.scale)
        return losses


class CrossModalInfoNCE(LinearTowers):
    """Unsupervised linear hashing of two towers from pairs. It serves instance recall; label mAP may fall.

    Args:
        num_bits: K.
        image_backbone: the picture encoder.
        text_backbone: the text encoder.
        temperature: of the softmax over the batch.
        quantization: weight of 1 - cos(h, sgn h).
        shared: one W for both towers (they must have one width), still with a batch norm each.
        optimizer: see :class:`Optimizer`; None is Adam at 1e-3 without decay.
    """

    default_optimizer: ClassVar[Optimizer] = _QUICK
    training_only: ClassVar[tuple[str, ...]] = ("temperature", "quantization")

    def __init__(
        self,
        num_bits: int,
        image_backbone: Backbone,
        text_backbone: Backbone,
        temperature: float = 0.15,
        quantization: float = 0.1,
        shared: bool = False,
        optimizer: Optimizer | None = None,
    ) -> None:
        super().__init__(num_bits, image_backbone, text_backbone, optimizer, unit_norm=True)
        self.save_hyperparameters()
        if temperature <= 0:
            raise UsageError(f"temperature must be above 0, not {temperature}")
        self.temperature, self.quantization = temperature, quantization
        self._make_heads(shared)

    def pair_losses(self, halves: dict[str, Half], batch: Batch) -> dict[str, Tensor]:
        """Return the symmetric InfoNCE of tanh codes, and the quantisation term."""
        image, text, _ = self.complete_pairs(halves, batch)
        codes = [self.codes_of(name, features) for name, features in (("image", image), ("text", text))]
        unit = [normalize(torch.tanh(code), dim=1) for code in codes]
        similarity = unit[0] @ unit[1].T / self.temperature
        own = torch.arange(len(similarity), device=similarity.device)
        contrast = (cross_entropy(similarity, own) + cross_entropy(similarity.T, own)) / 2
        gap = (cosine_quantization(codes[0]) + cosine_quantization(codes[1])) / 2
        return {"contrast": contrast, "quantization": self.quantization * gap}
