"""Losses of CroVCA, on plain tensors: one bit at a time two views agree, and all codes together fill the space."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits, normalize

from deephash.errors import UsageError


def bit_alignment(first: Tensor, second: Tensor) -> Tensor:
    """Return the binary cross-entropy of each view's logits against the other view's bits, in both directions averaged.

    The bits are targets: no gradient flows into the view they come from.

    Args:
        first: logits [B, K] of one view; a bit is 1 where the logit is at least 0.
        second: logits [B, K] of the other.
    """
    if first.shape != second.shape:
        raise UsageError(f"two views have logits of one shape, not {list(first.shape)} and {list(second.shape)}")
    bits = [(view.detach() >= 0).to(view.dtype) for view in (first, second)]
    losses = [binary_cross_entropy_with_logits(view, target) for view, target in ((first, bits[1]), (second, bits[0]))]
    return (losses[0] + losses[1]) / 2


def coding_rate(logits: Tensor, distortion: float = 0.5) -> Tensor:
    """Return R(Z) = 1/2 log det(I + K / (B e) Z'Z), Z the rows at unit length: how much room the codes take.

    Yu et al., "Learning Diverse and Discriminative Representations via the Principle of Maximal Coding Rate Reduction",
    NeurIPS 2020. Largest where the columns are uncorrelated and equally strong: bits that are balanced and say
    different things.

    Args:
        logits: [B, K].
        distortion: e, squared.

    Raises:
        UsageError: a distortion that is not above 0.
    """
    if distortion <= 0:
        raise UsageError(f"the distortion is above 0, not {distortion}")
    rows = normalize(logits.float(), dim=1, eps=1e-12)
    count, bits = rows.shape
    gram = rows.T @ rows * (bits / (count * distortion))
    rate: Tensor = torch.linalg.slogdet(torch.eye(bits, device=rows.device) + gram).logabsdet / 2
    return rate
