"""Objectives on pairs: the likelihood of similarity labels, and the similarity structure of features."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import cosine_similarity, softplus


def pair_likelihood(logits: Tensor, similar: Tensor) -> Tensor:
    """Return the negative log-likelihood of each pair, ``log(1 + e^t) - S t`` (HashNet, DPSH), shaped like ``logits``.

    Softplus keeps it finite where the exponential would overflow.

    Args:
        logits: t, any shape.
        similar: S, booleans of the same shape.
    """
    return softplus(logits) - similar.to(logits.dtype) * logits


def balanced_weights(similar: Tensor) -> Tensor:
    """Return ``|S| / |S1|`` for similar, ``|S| / |S0|`` for dissimilar pairs (HashNet); either kind may be absent."""
    total = similar.numel()
    num_similar = similar.sum()
    similar_weight = total / num_similar.clamp(min=1)
    dissimilar_weight = total / (total - num_similar).clamp(min=1)
    return torch.where(similar, similar_weight, dissimilar_weight)


def halves(rows: Tensor) -> tuple[Tensor, Tensor]:
    """Split [B, D] into its first and second half; of an odd number of rows the last is dropped.

    The loader shuffles, so row i of the two halves is a random pair.
    """
    count = len(rows) // 2
    return rows[:count], rows[count : 2 * count]


def structure_loss(codes: Tensor, features: Tensor) -> Tensor:
    """Return ``mean (cos(b_i, b_j) - cos(x_i, x_j))^2`` over the pairs of :func:`halves` (GreedyHash, BiHalf).

    Args:
        codes: b [B, K], with gradient.
        features: x [B, D]; no gradient flows into them.
    """
    wanted = cosine_similarity(*halves(features.detach()))
    return (cosine_similarity(*halves(codes)) - wanted).square().mean()
