"""The rows of all processes under DDP, so that losses over pairs see the whole batch.

Every process computes the loss of the gathered batch. The gradient of a gathered row is summed over processes, and DDP
averages the parameters' gradients, so both together equal one process with the whole batch.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch import distributed as dist


def num_processes() -> int:
    """Return the number of training processes, 1 without a process group."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def gather_rows(rows: Tensor) -> Tensor:
    """Return [W * B, ...]: the rows [B, ...] of each of the W processes, in rank order, with gradients.

    Every process must hold the same number of rows.
    """
    if num_processes() == 1:
        return rows
    gathered: Tensor = _GatherRows.apply(rows.contiguous())
    return gathered


def mean_over_processes(tensor: Tensor) -> Tensor:
    """Return the mean of ``tensor`` over processes, without gradient."""
    if num_processes() == 1:
        return tensor.detach()
    total = tensor.detach().clone()
    dist.all_reduce(total)
    return total / num_processes()


class _GatherRows(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, rows: Tensor) -> Tensor:
        parts = [torch.empty_like(rows) for _ in range(dist.get_world_size())]
        dist.all_gather(parts, rows)
        ctx.num_rows = len(rows)
        return torch.cat(parts)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        total = gradient.contiguous().clone()
        dist.all_reduce(total)
        start = dist.get_rank() * ctx.num_rows
        return total[start : start + ctx.num_rows]
