"""Nearest neighbours among training features: partners for methods that learn without labels (TLDR, BEBR, Poeem)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor
from torch.nn.functional import normalize

from deephash.errors import UsageError


@dataclass(frozen=True, eq=False)
class Neighbours:
    """Training features and the neighbours of each.

    Attributes:
        table: features [N, D], of which a batch's ``index`` are rows.
        rows: row numbers of the neighbours, int64 [N, k].
    """

    table: Tensor
    rows: Tensor

    def draw(self, index: Tensor) -> Tensor:
        """Return one random neighbour of each of the rows ``index`` [B], as row numbers [B]."""
        near = self.rows[index]
        drawn = torch.randint(near.shape[1], (len(near), 1), device=near.device)
        return near.gather(1, drawn).squeeze(1)

    def partners(self, index: Tensor) -> tuple[Tensor, Tensor]:
        """Return features [B, D] of one random neighbour of each row ``index`` [B], and which of them are no negatives.

        That is bool [B, B]: those that are the row itself, or one of its neighbours.
        """
        drawn = self.draw(index)
        near = self.rows[index]
        same = (index[:, None] == drawn[None]) | (near[:, :, None] == drawn[None, None]).any(dim=1)
        return self.table[drawn], same


def nearest_neighbours(features: Tensor, count: int, *, similarity: Literal["inner_product", "cosine"]) -> Tensor:
    """Return the row numbers [N, count] of each row's nearest other rows.

    A row is told from its neighbours by its number: its own inner product need not be the largest, and copies exist.
    """
    if not 1 <= count < len(features):
        raise UsageError(f"{count} neighbours need more than {count} training pictures, not {len(features)}")
    rows = normalize(features, dim=1, eps=1e-12) if similarity == "cosine" else features
    blocks = []
    for start in range(0, len(rows), 1024):
        scores = rows[start : start + 1024] @ rows.T
        here = torch.arange(len(scores), device=rows.device)
        scores[here, here + start] = float("-inf")
        blocks.append(scores.topk(count, dim=1).indices)
    return torch.cat(blocks)
