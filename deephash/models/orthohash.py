"""OrthoHash: one cosine loss to fixed random targets gives classification and quantisation at once.

Hoe et al., "One Loss for All: Deep Hashing with a Single Cosine Similarity based Learning Objective", NeurIPS 2021
(arXiv 2109.14449). Each class has a fixed +-1 code o_c. As |o_c| = sqrt(K), ||v - o||^2 = 2K(1 - cos(v, o)) for
||v|| = sqrt(K): raising the cosine also lowers the quantisation error, so that no further term is needed.
"""

from __future__ import annotations

import math
from typing import Any, ClassVar, Literal, Self, get_args

import torch
from torch import Tensor, nn

from deephash.backbones import Backbone
from deephash.errors import UsageError, did_you_mean
from deephash.models.base import Inputs
from deephash.models.head import Batch, HeadHashModel
from deephash.models.optimizers import Optimizer
from deephash.models.stationary import Stationary
from deephash.objectives.centres import CentreKind, CentreReport, centre_report
from deephash.objectives.class_targets import class_targets
from deephash.objectives.labels import widened
from deephash.objectives.margin_softmax import MarginKind, cosines, margin_binary_cross_entropy, margin_softmax
from deephash.objectives.nested import NestedLengths
from deephash.objectives.quantization import cosine_quantization

LabelLoss = Literal["softmax", "bce", "imbalance_bce"]


class OrthoHash(Stationary, HeadHashModel):
    """Linear layer and batch norm on a backbone, trained by :func:`margin_softmax` against fixed class codes.

    Args:
        num_bits: K.
        num_classes: C.
        backbone: where features come from.
        margin: m; the paper recommends 0.2, its released command for CIFAR-10 uses 0.3.
        margin_kind: ``cosine`` (OrthoCos) or ``arc`` (OrthoArc).
        scale: ``sqrt`` (s = sqrt(K), the paper), ``adacos`` (s = sqrt(2) ln(C - 1), recommended in its supplement), a
            number, or None for the preset's.
        preset: where paper and released code disagree: ``paper`` has s = sqrt(K), ``release`` s = 8 at any K.
        targets: see :func:`make_centres`; ``simplex`` is the d-Simplex of CoReS, rotated.
        target_seed: the codebook depends on nothing else, and is saved with the weights.
        quantization: weight of a further term 1 - cos(v, sign v); the paper leaves it at 0.
        batch_norm: the paper needs it for balanced bits; False only for ablations.
        optimizer: see :class:`Optimizer`; None takes Adam with rate 1e-4, divided by 10 after 80 epochs.
        nested: which prefixes are to be good codes too; their targets are then nested as well.
        reserve: rows of the table that wait for further classes, so that a later model is pulled to the same targets
            (docs/lifelong.md); any two rows then differ in a quarter of the bits.
        label_loss: ``softmax`` over classes shares one among several labels; ``bce`` and ``imbalance_bce`` judge each
            class alone (ablations for several labels: the supplement has .785, .400 and .717 on COCO).
    """

    num_classes: int
    head: nn.Sequential
    targets: Tensor
    default_optimizer: ClassVar[Optimizer] = Optimizer(milestones=(80,))
    training_only: ClassVar[tuple[str, ...]] = (
        "margin",
        "margin_kind",
        "scale",
        "preset",
        "targets",
        "target_seed",
        "quantization",
        "label_loss",
    )

    def __init__(
        self,
        num_bits: int,
        num_classes: int,
        backbone: Backbone = Backbone(),
        margin: float = 0.2,
        margin_kind: MarginKind = "cosine",
        scale: float | Literal["sqrt", "adacos"] | None = None,
        preset: Literal["paper", "release"] = "paper",
        targets: CentreKind = "bernoulli",
        target_seed: int = 0,
        quantization: float = 0.0,
        batch_norm: bool = True,
        optimizer: Optimizer | None = None,
        nested: NestedLengths | None = None,
        label_loss: LabelLoss = "softmax",
        reserve: int = 0,
    ) -> None:
        super().__init__(num_bits, backbone, optimizer, nested)
        self.save_hyperparameters()
        self.num_classes, self.margin, self.margin_kind = num_classes, margin, margin_kind
        self.scale = resolve_scale(scale, preset, num_bits, num_classes)
        self._scales = {m: resolve_scale(scale, preset, m, num_classes) for m in self.code_lengths}
        if label_loss not in get_args(LabelLoss):
            raise UsageError(f"unknown label_loss {label_loss!r}" + did_you_mean(label_loss, list(get_args(LabelLoss))))
        self.quantization, self.label_loss = quantization, label_loss
        hash_layer = nn.Linear(self.num_features, num_bits, bias=False)
        nn.init.normal_(hash_layer.weight, std=0.01)
        norm = nn.BatchNorm1d(num_bits) if batch_norm else nn.Identity()
        self.head = nn.Sequential(hash_layer, norm)  # no activation, neither in training nor at test
        self.least_rows = 2 if batch_norm else 1
        table = class_targets(targets, num_classes, self.code_lengths, seed=target_seed, reserve=reserve)
        self.register_buffer("targets", table)

    def code_losses(self, codes: Tensor, features: Tensor, batch: Batch) -> dict[str, Tensor]:
        """Return the margin softmax over all targets, reserved ones included, and the weighted quantisation term."""
        cosine = cosines(codes, self.targets[:, : codes.shape[1]])
        labels = widened(batch["labels"], len(self.targets))
        constants: Any = {"margin": self.margin, "scale": self._scales[codes.shape[1]], "kind": self.margin_kind}
        if self.label_loss == "softmax":
            losses = {"cosine": margin_softmax(cosine, labels, **constants)}
        else:
            constants["imbalance"] = self.label_loss == "imbalance_bce"
            losses = {"cosine": margin_binary_cross_entropy(cosine, labels, **constants)}
        if self.quantization:
            losses["quantization"] = self.quantization * cosine_quantization(codes)
        return losses

    def target_report(self) -> CentreReport:
        """Return how far apart the class codes are."""
        return centre_report(self.targets.cpu())

    @torch.no_grad()
    def adapt_to(self, database: Inputs | Tensor) -> Self:
        """Re-estimate batch norm on another database: gamma 1, beta 0, mean and variance from its codes.

        The supplement reports 0.015 -> 0.184 on ROxford at 128 bits when the domain changes. Codes of the adapted model
        cannot be compared with codes made before, and its fingerprint differs.

        Args:
            database: ``{"image_features": [N, D]}`` or ``{"image": ...}``, or the features alone; N >= 2.
        """
        hash_layer, norm = self.head[0], self.head[1]
        if not isinstance(norm, nn.BatchNorm1d):
            raise UsageError("adapt_to re-estimates batch norm, which this OrthoHash(batch_norm=False) does not have")
        inputs = {"image_features": database} if isinstance(database, Tensor) else database
        with self.evaluating():
            raw = hash_layer(self.features({name: value.to(self.device) for name, value in inputs.items()}))
            if len(raw) < 2:
                raise UsageError(f"adapt_to needs the codes of a database, at least 2 rows, not {len(raw)}")
            norm.reset_parameters()
            momentum, norm.momentum = norm.momentum, None  # None: plain average over what it sees next
            norm.train()
            norm(raw)
            norm.momentum = momentum
        return self


def resolve_scale(
    scale: float | Literal["sqrt", "adacos"] | None, preset: str, num_bits: int, num_classes: int
) -> float:
    """Return s as a number. Raises UsageError where it would not be positive."""
    wanted = scale if scale is not None else ("sqrt" if preset == "paper" else 8.0)
    if wanted == "sqrt":
        return math.sqrt(num_bits)
    if wanted == "adacos":
        if num_classes < 3:
            raise UsageError(f"scale 'adacos' is sqrt(2) ln(C - 1) and needs 3 classes, not {num_classes}; use 'sqrt'")
        return math.sqrt(2) * math.log(num_classes - 1)
    number = float(wanted)
    if not number > 0:
        raise UsageError(f"scale must be positive, or 'sqrt' or 'adacos', not {wanted}")
    return number
