"""Classification by cosines with a margin, for one label a picture or several.

OrthoHash (arXiv 2109.14449, algorithm 1 of its supplement): c = cos(v, o), z = s (c - m y) or s cos(arccos(c) + m y),
L = -mean_n sum_i (y_ni / sum_j y_nj) log softmax(z_n)_i. Computed in float32, also under mixed precision.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from deephash.objectives.labels import multi_hot

MarginKind = Literal["cosine", "arc"]
ARC_LIMIT = 0.99999  # the gradient of arccos is infinite at 1
TAKEN_FOR_POSITIVE = 0.7


def cosines(codes: Tensor, centres: Tensor) -> Tensor:
    """Return cos(v, o) [B, C] of continuous ``codes`` [B, K] and ``centres`` [C, K], in float32; 0 for a zero code."""
    with torch.autocast(codes.device.type, enabled=False):
        unit = F.normalize(codes.float(), dim=1, eps=1e-12)
        return unit @ F.normalize(centres.float(), dim=1, eps=1e-12).T


def margin_softmax(
    cosine: Tensor, labels: Tensor, *, margin: float | Tensor, scale: float, kind: MarginKind = "cosine"
) -> Tensor:
    """Return the scalar loss; unlabelled rows take no part, and a batch without any label gives 0.

    Args:
        cosine: cos(v, o) [B, C].
        labels: int64 class numbers [B] with -1 for unlabelled, or multi-hot [B, C] whose unlabelled rows are all zero.
        margin: m, subtracted from every positive class; one number, or one a row [B].
        scale: s, the inverse temperature.
        kind: ``cosine`` subtracts m from the cosine, ``arc`` adds m to the angle.

    Raises:
        UsageError: a class number out of range, or a multi-hot table of another width.
    """
    logits, wanted = margin_logits(cosine, labels, margin=margin, scale=scale, kind=kind)
    if not len(logits):
        return cosine.float().sum() * 0.0
    shares = wanted / wanted.sum(dim=1, keepdim=True)
    return -(shares * F.log_softmax(logits, dim=1)).sum(dim=1).mean()


def margin_binary_cross_entropy(
    cosine: Tensor,
    labels: Tensor,
    *,
    margin: float | Tensor,
    scale: float,
    kind: MarginKind = "cosine",
    imbalance: bool = False,
) -> Tensor:
    """Return the mean over entries of the cross-entropy of ``sigmoid(z)`` with the multi-hot labels.

    The two alternatives for several labels that OrthoHash's supplement compares with its softmax, and finds worse.
    Unlabelled rows take no part.

    Args:
        cosine: see :func:`margin_softmax`, as the others.
        labels: labels.
        margin: m.
        scale: s.
        kind: of margin.
        imbalance: weigh an entry 1 where it is positive or wrongly taken for it (sigmoid >= .7), else 1/C, and divide
            by the sum of weights.
    """
    logits, wanted = margin_logits(cosine, labels, margin=margin, scale=scale, kind=kind)
    if not len(logits):
        return cosine.float().sum() * 0.0
    weights = torch.ones_like(wanted)
    if imbalance:
        heavy = (wanted > 0) | (torch.sigmoid(logits.detach()) >= TAKEN_FOR_POSITIVE)
        weights = torch.where(heavy, 1.0, 1 / wanted.shape[1])
    losses = F.binary_cross_entropy_with_logits(logits, wanted, reduction="none")
    return (weights * losses).sum() / weights.sum()


def margin_logits(
    cosine: Tensor, labels: Tensor, *, margin: float | Tensor, scale: float, kind: MarginKind
) -> tuple[Tensor, Tensor]:
    """Return z [L, C] of the labelled rows in float32, and their multi-hot labels [L, C]; arguments as above."""
    table = multi_hot(labels, cosine.shape[1]).float()
    labelled = table.sum(dim=1) > 0
    with torch.autocast(cosine.device.type, enabled=False):
        chosen, wanted = cosine.float()[labelled], table[labelled]
        if isinstance(margin, Tensor):
            margin = margin[labelled, None]
        if kind == "cosine":
            return scale * (chosen - margin * wanted), wanted
        angles = torch.arccos(chosen.clamp(-ARC_LIMIT, ARC_LIMIT))
        return scale * torch.cos(angles + margin * wanted), wanted
