"""The same counts on a GPU: for codes and labels that already lie there, during training or for very large jobs.

torch is imported when a function is called, never when this module is. The integers are those of `counts`: inner
products of -1/+1 vectors are whole numbers far below 2^24, so float32 (and TF32, whose inputs hold -1 and +1 exactly)
is exact. Autocast is switched off for them: in bfloat16 a product of 512 bits would be rounded.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from deephash.errors import UsageError
from deephash.evaluation.counts import DistanceCounts

if TYPE_CHECKING:
    from torch import Tensor

BLOCK_PAIRS = 1 << 23  # pairs held at once: about 200 MB of float32 products and int64 cells
QUERY_BLOCK = 256


def torch_distance_counts(
    query_bits: Tensor, database_bits: Tensor, query_labels: Tensor, database_labels: Tensor
) -> DistanceCounts:
    """Count items by distance and gain on the device of ``database_bits``.

    Args:
        query_bits: bool [Q, K] (``v >= 0`` of continuous codes).
        database_bits: bool [N, K], on the same device.
        query_labels: class numbers [Q] (-1 = unlabelled) of an integer type, or multi-hot [Q, C].
        database_labels: the same kind, [N] or [N, C].

    Returns:
        The counts that ``deephash.evaluation.counts.distance_counts`` gives, on the CPU.

    Raises:
        UsageError: bits that are not boolean, shapes that do not fit, or two devices.
    """
    import torch

    _require_fit(query_bits, database_bits, query_labels, database_labels)
    num_bits, max_gain = query_bits.shape[1], _max_gain(query_labels, database_labels)
    num_cells = (max_gain + 1) * (num_bits + 1)
    counts = torch.zeros((len(query_bits), num_cells), dtype=torch.int64, device=database_bits.device)
    step = max(1, BLOCK_PAIRS // QUERY_BLOCK)
    with torch.autocast(database_bits.device.type, enabled=False):
        for first in range(0, len(database_bits), step):
            columns = slice(first, first + step)
            items = _signs(database_bits[columns])
            for start in range(0, len(query_bits), QUERY_BLOCK):
                rows = slice(start, start + QUERY_BLOCK)
                distances = (num_bits - _signs(query_bits[rows]) @ items.T) / 2
                cells = distances.long() + (num_bits + 1) * _gains(query_labels[rows], database_labels[columns])
                cells += num_cells * torch.arange(len(cells), device=cells.device)[:, None]
                found = torch.bincount(cells.flatten(), minlength=num_cells * len(cells))
                counts[rows] += found.view(len(cells), num_cells)
    return DistanceCounts(np.asarray(counts.view(len(counts), max_gain + 1, num_bits + 1).cpu().numpy()))


def _signs(bits: Tensor) -> Tensor:
    return bits.float() * 2 - 1


def _gains(query_labels: Tensor, database_labels: Tensor) -> Tensor:
    if query_labels.ndim == 1:
        return ((query_labels[:, None] == database_labels[None]) & (query_labels[:, None] >= 0)).long()
    return (query_labels.float() @ database_labels.float().T).long()


def _max_gain(query_labels: Tensor, database_labels: Tensor) -> int:
    if query_labels.ndim == 1:
        return 1
    most = [int(labels.long().sum(dim=1).max()) if len(labels) else 0 for labels in (query_labels, database_labels)]
    return max(1, min(most))


def _require_fit(query_bits: Tensor, database_bits: Tensor, query_labels: Tensor, database_labels: Tensor) -> None:
    import torch

    tensors = (query_bits, database_bits, query_labels, database_labels)
    if query_bits.dtype != torch.bool or database_bits.dtype != torch.bool:
        raise UsageError("bits are boolean tensors [Q, K] and [N, K]; pass v >= 0 for continuous codes v")
    if query_bits.ndim != 2 or database_bits.ndim != 2 or query_bits.shape[1] != database_bits.shape[1]:
        raise UsageError(f"bits of shapes {list(query_bits.shape)} and {list(database_bits.shape)} cannot be compared")
    if query_labels.shape[1:] != database_labels.shape[1:] or query_labels.ndim > 2:
        raise UsageError("labels are class numbers [Q] and [N] on both sides, or multi-hot [Q, C] and [N, C]")
    if (len(query_bits), len(database_bits)) != (len(query_labels), len(database_labels)):
        raise UsageError("each code needs its label, in the same order")
    if len({tensor.device for tensor in tensors}) > 1:
        raise UsageError("bits and labels of both sides must lie on one device")
