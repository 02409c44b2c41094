"""Errors that name what is wrong with a batch before it turns weights into NaN."""

from __future__ import annotations

import torch
from torch import Tensor

from deephash.errors import UsageError


def require_finite(values: Tensor, what: str) -> None:
    """Raise UsageError if any entry of ``values`` [B, ...] is NaN or infinite."""
    if torch.isfinite(values).all():
        return
    rows = (~torch.isfinite(values)).flatten(1).any(dim=1)
    raise UsageError(
        f"{what} hold NaN or infinity in {int(rows.sum())} of {len(values)} rows; check the features of the data "
        "(numpy.isnan), lower the learning rate or clip gradients (trainer.gradient_clip_val)"
    )


def require_rows(count: int, least: int, method: str) -> None:
    """Raise UsageError unless a batch of ``count`` rows has at least ``least``."""
    if count < least:
        raise UsageError(
            f"{method} needs at least {least} rows in a training batch, not {count}; raise batch_size, or drop "
            "the last incomplete batch"
        )
