"""Softmax over cosines with a margin, for one label a picture or several.

OrthoHash (arXiv 2109.14449, algorithm 1 of its supplement): c = cos(v, o), z = s (c - m y) or s cos(arccos(c) + m y),
L = -mean_n sum_i (y_ni / sum_j y_nj) log softmax(z_n)_i. Computed in float32, also under mixed precision.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from deephash.errors import UsageError

MarginKind = Literal["cosine", "arc"]
ARC_LIMIT = 0.99999  # the gradient of arccos is infinite at 1


def cosines(codes: Tensor, centres: Tensor) -> Tensor:
    """Return cos(v, o) [B, C] of continuous ``codes`` [B, K] and ``centres`` [C, K], in float32; 0 for a zero code."""
    with torch.autocast(codes.device.type, enabled=False):
        unit = F.normalize(codes.float(), dim=1, eps=1e-12)
        return unit @ F.normalize(centres.float(), dim=1, eps=1e-12).T


def target_shares(labels: Tensor, num_classes: int) -> tuple[Tensor, Tensor]:
    """Return ``(shares [L, C], labelled [B])``: for each labelled row its labels, summing to one.

    Args:
        labels: int64 class numbers [B] with -1 for unlabelled, or multi-hot [B, C] whose unlabelled rows are all zero.
        num_classes: C.

    Raises:
        UsageError: a class number out of range, or a multi-hot table of another width.
    """
    if labels.ndim == 1:
        if labels.numel() and (int(labels.max()) >= num_classes or int(labels.min()) < -1):
            raise UsageError(
                f"labels run from {int(labels.min())} to {int(labels.max())}, but the model has num_classes="
                f"{num_classes}: valid are 0..{num_classes - 1}, and -1 for unlabelled"
            )
        labelled = labels >= 0
        return F.one_hot(labels[labelled].long(), num_classes).float(), labelled
    if labels.shape[1] != num_classes:
        raise UsageError(
            f"multi-hot labels have {labels.shape[1]} columns, but the model has num_classes={num_classes}"
        )
    multi_hot = labels.float()
    labelled = multi_hot.sum(dim=1) > 0
    chosen = multi_hot[labelled]
    return chosen / chosen.sum(dim=1, keepdim=True), labelled


def margin_softmax(
    cosine: Tensor, labels: Tensor, *, margin: float | Tensor, scale: float, kind: MarginKind = "cosine"
) -> Tensor:
    """Return the scalar loss; unlabelled rows take no part, and a batch without any label gives 0.

    Args:
        cosine: cos(v, o) [B, C].
        labels: class numbers [B] or multi-hot [B, C]; see :func:`target_shares`.
        margin: m, subtracted from every positive class; one number, or one a row [B].
        scale: s, the inverse temperature.
        kind: ``cosine`` subtracts m from the cosine, ``arc`` adds m to the angle.
    """
    shares, labelled = target_shares(labels, cosine.shape[1])
    with torch.autocast(cosine.device.type, enabled=False):
        chosen = cosine.float()[labelled]
        if not len(chosen):
            return cosine.float().sum() * 0.0
        positive = (shares > 0).float()
        if isinstance(margin, Tensor):
            margin = margin[labelled, None]
        if kind == "cosine":
            moved = chosen - margin * positive
        else:
            moved = torch.cos(torch.arccos(chosen.clamp(-ARC_LIMIT, ARC_LIMIT)) + margin * positive)
        return -(shares * F.log_softmax(scale * moved, dim=1)).sum(dim=1).mean()
