"""The contrastive objective on two views of a batch."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy, normalize


def nt_xent(first: Tensor, second: Tensor, temperature: float = 0.3) -> Tensor:
    """Return the normalised-temperature cross-entropy of two views (SimCLR; used by CIBHash and SDC).

    Each of the 2B rows is an anchor; its positive is its other view, its negatives the remaining 2(B - 1) rows.

    Args:
        first: [B, K] codes of the first view.
        second: [B, K] codes of the second view, same order.
        temperature: divides the cosines.
    """
    rows = normalize(torch.cat([first, second]), eps=1e-12)  # [2B, K]
    cosines = rows @ rows.T / temperature
    itself = torch.eye(len(rows), dtype=torch.bool, device=rows.device)
    other_view = torch.arange(len(rows), device=rows.device).roll(len(first))
    return cross_entropy(cosines.masked_fill(itself, float("-inf")), other_view)
