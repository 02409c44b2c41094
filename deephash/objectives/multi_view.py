"""The losses of multi-view hashing on plain tensors; they follow the abstract of D-MVE-Hash and are ours otherwise."""

from __future__ import annotations

import torch
from torch import Tensor

from deephash.objectives.pairs import balanced_weights, pair_likelihood
from deephash.objectives.quantization import squared_quantization

LARGEST = 50.0  # of |Theta|


def pair_loss(codes: Tensor, similar: Tensor) -> Tensor:
    """Return ``mean w_ij [log(1 + e^Theta) - S Theta]``, ``Theta = h_i h_j / 2`` cut to +-50.

    Similar and dissimilar pairs weigh as much together, whatever their numbers.

    Args:
        codes: h [B, K].
        similar: S, booleans [B, B].
    """
    logits = (0.5 * codes @ codes.T).clamp(-LARGEST, LARGEST)
    return (balanced_weights(similar) * pair_likelihood(logits, similar)).mean()


def view_loss(views: Tensor, weights: Tensor, similar: Tensor) -> Tensor:
    """Return ``sum_m w_m pair_loss(h^m)``; no gradient flows into the weights.

    Args:
        views: h [B, M, K_v].
        weights: w [M].
        similar: booleans [B, B].
    """
    terms = torch.stack([pair_loss(views[:, view], similar) for view in range(views.shape[1])])
    return (weights.detach().to(terms) * terms).sum()


def memory_loss(remembered: Tensor, target: Tensor) -> Tensor:
    """Return the mean squared distance of h^mu from h^f, both [B, K]; no gradient flows into h^f."""
    return (remembered - target.detach()).square().mean()


def multi_view_losses(
    target: Tensor,
    views: Tensor,
    remembered: Tensor,
    weights: Tensor,
    similar: Tensor,
    *,
    view_weight: float = 0.5,
    quantization_weight: float = 0.1,
    memory_weight: float = 1.0,
) -> dict[str, Tensor]:
    """Return the terms by name; their sum is what is minimised.

    Args:
        target: h^f [B, K], the fused code.
        views: h [B, M, K_v].
        remembered: h^mu [B, K], what the memory network makes of the picture alone.
        weights: w [M], constants.
        similar: booleans [B, B].
        view_weight: alpha.
        quantization_weight: beta.
        memory_weight: gamma.
    """
    return {
        "pairs": pair_loss(target, similar),
        "views": view_weight * view_loss(views, weights, similar),
        "quantization": quantization_weight * squared_quantization(target),
        "memory": memory_weight * memory_loss(remembered, target),
        "memory_pairs": pair_loss(remembered, similar),
    }
