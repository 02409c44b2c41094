"""Labels as the objectives need them: checked, unlabelled rows found, never changed in place.

Labels are class numbers, int64 [B] with -1 = unlabelled, or multi-hot rows [B, C] where a row of zeros = unlabelled.
"""

from __future__ import annotations

import torch
from torch import Tensor

from deephash.errors import UsageError

UNLABELLED = -1


def labelled_mask(labels: Tensor, num_classes: int | None = None) -> Tensor:
    """Return booleans [B]: which rows carry a label.

    Raises:
        UsageError: a class number outside -1 .. num_classes - 1, a multi-hot width other than num_classes, or
            entries of multi-hot rows that are not 0 or 1.
    """
    if labels.ndim == 1:
        _require_class_numbers(labels, num_classes)
        return labels != UNLABELLED
    if labels.ndim != 2 or (num_classes is not None and labels.shape[1] != num_classes):
        width = "C" if num_classes is None else num_classes
        raise UsageError(f"labels are class numbers [B] or multi-hot [B, {width}], not of shape {list(labels.shape)}")
    if not ((labels == 0) | (labels == 1)).all():
        raise UsageError("multi-hot labels hold only 0 and 1; class numbers are a vector [B]")
    return labels.sum(dim=1) > 0


def multi_hot(labels: Tensor, num_classes: int) -> Tensor:
    """Return a new float multi-hot table [B, C]; unlabelled rows are all zero."""
    mask = labelled_mask(labels, num_classes)
    if labels.ndim == 2:
        return labels.to(torch.get_default_dtype(), copy=True)
    table = torch.zeros(len(labels), num_classes, device=labels.device)
    table[mask, labels[mask].long()] = 1.0
    return table


def widened(labels: Tensor, width: int) -> Tensor:
    """Return multi-hot rows [B, C] with zeros for further classes, [B, width]; class numbers as they are."""
    if labels.ndim == 1 or labels.shape[1] >= width:
        return labels
    return torch.cat([labels, labels.new_zeros(len(labels), width - labels.shape[1])], dim=1)


def target_distribution(labels: Tensor, num_classes: int) -> Tensor:
    """Return multi-hot rows divided by their sum, [B, C]: a one-hot row stays as it is, a row of zeros too."""
    table = multi_hot(labels, num_classes)
    return table / table.sum(dim=1, keepdim=True).clamp(min=1.0)


def share_label(rows: Tensor, columns: Tensor) -> Tensor:
    """Return booleans [A, B]: do row a and column b share a label. Unlabelled ones share with nobody."""
    if rows.ndim != columns.ndim:
        raise UsageError("both sides need class numbers, or both multi-hot rows")
    if rows.ndim == 2:
        return rows.float() @ columns.float().T > 0
    return (rows[:, None] == columns[None, :]) & (rows[:, None] != UNLABELLED)


def _require_class_numbers(labels: Tensor, num_classes: int | None) -> None:
    if labels.is_floating_point():
        raise UsageError(f"class numbers are integers, not {labels.dtype}; multi-hot labels have shape [B, C]")
    if not len(labels):
        return
    lowest, highest = int(labels.min()), int(labels.max())
    if lowest < UNLABELLED or (num_classes is not None and highest >= num_classes):
        upper = "" if num_classes is None else f" to {num_classes - 1}"
        raise UsageError(
            f"labels run from {lowest} to {highest}, but class numbers run from 0{upper} and -1 means unlabelled; "
            "check num_classes of the model against the data"
        )
