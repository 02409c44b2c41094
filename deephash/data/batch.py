"""What a batch is, and how batches are cut from tables of cached features.

A batch is a dictionary of tensors:

- ``image`` [B, 3, H, W] or ``image_features`` [B, D]; likewise ``text``, ``text_features`` and ``<view>_features``;
- ``labels``: class numbers int64 [B] with -1 for unlabelled, or float multi-hot [B, C]; absent where there are none;
- ``index`` int64 [B]: row numbers in the split;
- ``session`` int64 [B]: the task that a row came with, from 1, earlier of replayed rows; only in streams;
- ``has_image``, ``has_text`` bool [B]: only where some items lack one half.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import torch
from torch import Tensor
from torch import distributed as dist

from deephash.errors import UsageError

Batch = dict[str, Tensor]


class SlicedBatches:
    """Batches sliced from whole tables: no row is ever collated, which halves the time of a step of a small head.

    Args:
        columns: tensors of N rows each.
        batch_size: B; None gives all rows as one batch.
        shuffle: a new order each time, drawn from torch's global generator.
        drop_last: leave out an incomplete last batch, unless it is the only one (batch norm needs two rows).
        divide: under DDP give each of the W processes its own rows: ``batch_size`` rows a process, all processes the
            same number, in one order drawn by the first.
    """

    def __init__(
        self,
        columns: Mapping[str, Tensor],
        batch_size: int | None,
        *,
        shuffle: bool = False,
        drop_last: bool = False,
        divide: bool = False,
    ) -> None:
        lengths = {name: len(column) for name, column in columns.items()}
        if len(set(lengths.values())) > 1:
            raise UsageError(f"columns of a batch have one length, not {lengths}")
        self.columns, self.shuffle, self.drop_last, self.divide = dict(columns), shuffle, drop_last, divide
        self.num_rows = next(iter(lengths.values()), 0)
        self.batch_size = batch_size or max(1, self.num_rows)

    def __len__(self) -> int:
        whole, rest = divmod(self._own_rows(), self.batch_size)
        return whole + (rest > 0 and not (self.drop_last and whole > 0))

    def __iter__(self) -> Iterator[Batch]:
        order, own = self._order(), self._own_rows()
        for start in range(0, len(self) * self.batch_size, self.batch_size):
            stop = min(start + self.batch_size, own)
            rows = slice(start, stop) if order is None else order[start:stop]
            yield {name: column[rows] for name, column in self.columns.items()}

    def _own_rows(self) -> int:
        return self.num_rows // self._processes()[1]

    def _order(self) -> Tensor | None:
        rank, world = self._processes()
        if not self.shuffle and world == 1:
            return None
        order = torch.randperm(self.num_rows) if self.shuffle else torch.arange(self.num_rows)
        if world > 1:
            order = _from_the_first(order)
        return order[rank : self._own_rows() * world : world]

    def _processes(self) -> tuple[int, int]:
        if self.divide and dist.is_available() and dist.is_initialized():
            return dist.get_rank(), dist.get_world_size()
        return 0, 1


def _from_the_first(order: Tensor) -> Tensor:
    device = torch.device("cuda", torch.cuda.current_device()) if dist.get_backend() == "nccl" else order.device
    sent = order.to(device)
    dist.broadcast(sent, src=0)
    return sent.to(order.device)
