"""CSCE-Net: Xue, Shi, He, Xu, Pan, "Cross-Scale Context Extracted Hashing for Fine-Grained Image Binary Encoding",
ACML 2022 (arXiv 2210.07572).

Local detail (an earlier stage) and global semantics (windows over the last stage) are joined so that neither repeats
the other; the code is pulled to its class's centre by a margin softmax, and a dynamic sign moves bits near zero towards
balance within the code. Formulas follow the released code and the paper's figure: the paper's body was not at hand.
Measured results: docs/methods/csce_net.md.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Final, Literal

import torch
from torch import Tensor, nn
from torch.nn.functional import hardtanh

from deephash.backbones import Backbone
from deephash.backbones.stages import TimmStages, split_stages
from deephash.errors import UsageError
from deephash.models.base import Inputs
from deephash.models.csce_layers import CrossScaleEmbedding
from deephash.models.csq import class_centres
from deephash.models.head import Batch, HeadHashModel
from deephash.models.optimizers import RMSPROP, Optimizer
from deephash.models.presets import choose
from deephash.models.stationary import Stationary
from deephash.objectives.centres import CentreKind
from deephash.objectives.labels import widened
from deephash.objectives.margin_softmax import cosines, margin_softmax
from deephash.objectives.nested import NestedLengths
from deephash.objectives.quantization import cosine_quantization
from deephash.objectives.signs import sign


def dynamic_sign(values: Tensor, thresholds: Tensor, pivot: float) -> Tensor:
    """Return +-1: the sign, but entries within the row's threshold of zero go to the rarer side.

    A row with more than ``pivot`` positive entries fills with -1, else with +1; a threshold of 0 or less is the plain
    sign.

    Args:
        values: w [B, K].
        thresholds: t [B, 1].
        pivot: K/2; the literal 32 in the release, whatever K.
    """
    near = values.abs() < thresholds
    return torch.where(near, _filling(values, pivot), sign(values))


def trainable_dynamic_sign(values: Tensor, thresholds: Tensor, pivot: float, temperature: float = 0.005) -> Tensor:
    """Return :func:`dynamic_sign`, with gradients (our reading of the paper's figure).

    Straight through to the values; to the thresholds through the soft weight ``sigma((t - |w|) / T)`` of the filling.
    """
    hard = dynamic_sign(values, thresholds, pivot)
    soft = torch.sigmoid((thresholds - values.detach().abs()) / temperature)
    change = _filling(values, pivot) - sign(values)
    return hard.detach() + (values - values.detach()) + change.detach() * (soft - soft.detach())


def _filling(values: Tensor, pivot: float) -> Tensor:
    positive = (values > 0).sum(dim=1, keepdim=True)
    return torch.where(positive > pivot, -1.0, 1.0).to(values.dtype).expand_as(values)


def elastic_margins(count: int, mean: float, deviation: float, device: torch.device) -> Tensor:
    """Return one margin a row, N(mean, deviation^2), not clamped (ElasticFace)."""
    return mean + deviation * torch.randn(count, device=device)


@dataclass(frozen=True)
class CSCEConstants:
    """Where the paper's figure and the release differ.

    Attributes:
        aspp: ASPP in the local branch.
        learned_threshold: the dynamic sign lets gradients reach its threshold, which is tau tanh(.); else the
            threshold is clamped, gets no gradient and stays as initialised.
        half_length_pivot: K/2 positive bits are balance; else the literal 32.
        scaled_at_test: the test code uses w as in training; else the raw v, whose band is twice as narrow.
    """

    aspp: bool
    learned_threshold: bool
    half_length_pivot: bool
    scaled_at_test: bool


PRESETS: Final[Mapping[str, CSCEConstants]] = {
    "paper": CSCEConstants(True, True, True, True),
    "release": CSCEConstants(False, False, False, False),
}


class CSCENet(Stationary, HeadHashModel):
    """CSCE-Net on any network of timm that gives two stage maps.

    Args:
        num_bits: K; Hadamard centres need a power of two.
        num_classes: C.
        backbone: a ``timm-stages:NAME`` backbone whose last map is at least 4 x 4.
        optimizer: see :class:`Optimizer`; None takes RMSprop with rate 1e-5.
        preset: ``paper``: ASPP, dynamic sign with a trained threshold, pivot K/2; ``release``: no ASPP, a threshold
            that no gradient reaches, pivot 32.
        projection: what AIE removes: ``coded`` as released, ``exact`` the true projection.
        margin: m of the arc margin.
        margin_deviation: of the elastic margin while training; single labels only, as released.
        scale: s.
        threshold_limit: tau, largest threshold of the dynamic sign.
        quantization_weight: of ``1 - cos(w, b)``.
        centres: see :class:`deephash.models.csq.CSQ`.
        centre_seed: centres depend on nothing else, and are saved with the weights.
        width: D of the joint embedding; None takes the channels of the earlier map, rounded up to a multiple of 16.
        nested: see :class:`HeadHashModel`.
        reserve: rows of the table that wait for further classes, so that a later model is pulled to the same targets
            (docs/lifelong.md); any two rows then differ in a quarter of the bits.
    """

    targets_in: ClassVar[str] = "centres"
    num_classes: int
    centres: Tensor
    default_optimizer: ClassVar[Optimizer] = RMSPROP
    binarises_at_zero: ClassVar[bool] = False  # bits near zero go to the rarer side
    training_only: ClassVar[tuple[str, ...]] = (
        "margin",
        "margin_deviation",
        "scale",
        "quantization_weight",
        "centres",
        "centre_seed",
    )

    def __init__(
        self,
        num_bits: int,
        num_classes: int,
        backbone: Backbone = Backbone("timm-stages:resnet50", frozen=False),
        optimizer: Optimizer | None = None,
        preset: Literal["paper", "release"] = "paper",
        projection: Literal["coded", "exact"] = "coded",
        margin: float = 0.15,
        margin_deviation: float = 0.125,
        scale: float = 10.0,
        threshold_limit: float = 0.01,
        quantization_weight: float = 1.0,
        centres: CentreKind = "hadamard",
        centre_seed: int = 0,
        width: int | None = None,
        nested: NestedLengths | None = None,
        reserve: int = 0,
    ) -> None:
        super().__init__(num_bits, backbone, optimizer, nested)
        self.save_hyperparameters()
        self.constants = choose(PRESETS, preset, {})
        self.num_classes, self.margin, self.margin_deviation = num_classes, margin, margin_deviation
        self.scale, self.threshold_limit, self.quantization_weight = scale, threshold_limit, quantization_weight
        self.stage_shapes = _stage_shapes(self.encoders["image"])
        joint = width or -(-self.stage_shapes[0][0] // 16) * 16
        self.embedding = CrossScaleEmbedding(self.stage_shapes, joint, aspp=self.constants.aspp, projection=projection)
        self.head = nn.Linear(2 * joint, num_bits)
        self.threshold = nn.Linear(2 * joint, 1)
        self.register_buffer("centres", class_centres(centres, num_classes, self.code_lengths, centre_seed, reserve))

    def embed(self, inputs: Inputs) -> Tensor:
        """Return f_e [B, 2D], from pictures or cached stage maps."""
        embedded: Tensor = self.embedding(*split_stages(self.features(inputs), self.stage_shapes))
        return embedded

    def forward(self, inputs: Inputs) -> Tensor:
        """Return v [B, K]."""
        codes: Tensor = self.head(self.embed(inputs))
        return codes

    def bits(self, inputs: Inputs) -> Tensor:
        """Return booleans [B, K] by the dynamic sign with the picture's own threshold."""
        embedded = self.embed(inputs)
        codes = self.head(embedded)
        if torch.isnan(codes).any():
            raise UsageError("continuous codes hold NaN, which has no sign; check the pictures' features and weights")
        values = _squashed(codes) if self.constants.scaled_at_test else codes
        return dynamic_sign(values, self.thresholds(embedded), self._pivot(self.num_bits)) > 0

    def views(self, batch: Batch) -> Tensor:
        """Return f_e [B, 2D]."""
        return self.embed(batch)

    def thresholds(self, embedded: Tensor) -> Tensor:
        """Return t [B, 1] of each picture, at most tau."""
        raw: Tensor = self.threshold(embedded)
        if self.constants.learned_threshold:
            return self.threshold_limit * torch.tanh(raw)
        return raw.clamp(-self.threshold_limit, self.threshold_limit)

    def code_losses(self, codes: Tensor, features: Tensor, batch: Batch) -> dict[str, Tensor]:
        """Return ``margin`` and ``quantization``."""
        labels, length = widened(batch["labels"], len(self.centres)), codes.shape[1]
        margin: float | Tensor = self.margin
        if labels.ndim == 1 and self.training and self.margin_deviation:
            margin = elastic_margins(len(codes), self.margin, self.margin_deviation, codes.device)
        cosine = cosines(codes, self.centres[:, :length])
        loss = margin_softmax(cosine, labels, margin=margin, scale=self.scale, kind="arc")
        return {"margin": loss, "quantization": self.quantization_weight * self._quantization(codes, features)}

    def _quantization(self, codes: Tensor, features: Tensor) -> Tensor:
        values, thresholds, pivot = _squashed(codes), self.thresholds(features), self._pivot(codes.shape[1])
        if not self.constants.learned_threshold:
            return cosine_quantization(values, dynamic_sign(values, thresholds, pivot).detach())
        binary = trainable_dynamic_sign(values, thresholds, pivot)
        return (1 - torch.cosine_similarity(values, binary, eps=1e-12)).mean()

    def _pivot(self, length: int) -> float:
        return length / 2 if self.constants.half_length_pivot else 32.0


def _squashed(codes: Tensor) -> Tensor:
    """Return w = 2 hardtanh(v; -.5, .5): no gradient beyond |v| = .5."""
    return 2 * hardtanh(codes, -0.5, 0.5)


def _stage_shapes(encoder: Any) -> tuple[tuple[int, int, int], tuple[int, int, int]]:
    if not isinstance(encoder, TimmStages):
        raise UsageError(
            f"CSCE-Net reads two stage maps: give it a backbone named timm-stages:NAME, not {encoder.spec.name!r}"
        )
    return encoder.stage_shapes
