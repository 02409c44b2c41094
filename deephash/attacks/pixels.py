"""Pixels under a budget: the box around a picture, and the 8-bit pictures that lie in it."""

from __future__ import annotations

from numbers import Real

import torch
from torch import Tensor

from deephash.errors import UsageError

LEVELS = 255
_SLACK = 1e-4  # of a grey level: float32 holds a level times 255 to 3e-5; pictures off the grid may gain no more


def require_pixels(images: Tensor) -> None:
    """Raise UsageError unless ``images`` are float pictures [B, C, H, W] in [0, 1].

    Normalised pictures are the first mistake of every attack library's users: a budget means nothing there.
    """
    if not isinstance(images, Tensor):
        raise UsageError(f"an attack takes pictures as a tensor [B, C, H, W] in [0, 1], not a {type(images).__name__}")
    if images.ndim != 4 or images.dtype not in (torch.float32, torch.float64):
        raise UsageError(
            f"an attack takes float pictures [B, C, H, W] in [0, 1], not {images.dtype} of shape {list(images.shape)}; "
            "divide 8-bit values by 255, and give half precision as .float(): it holds no grey level exactly"
        )
    if not len(images):
        raise UsageError("there is no picture to attack")
    low, high = (float(each) for each in images.detach().aminmax())
    if not (low >= 0 and high <= 1):
        raise UsageError(
            f"an attack takes pixels in [0, 1]; these run from {low:.4g} to {high:.4g}. Leave out the normalisation "
            "(mean and std): the model does it inside, where gradients pass"
        )


def require_budget(epsilon: float) -> None:
    """Raise UsageError unless ``epsilon`` is a share of the pixel range; 8 was meant as 8/255."""
    if not isinstance(epsilon, Real):
        raise UsageError(f"epsilon is a number, such as 8 / 255, not {epsilon!r}")
    if not 0 <= epsilon <= 1:
        hint = f"; in grey levels that is {epsilon:g}/255" if 1 < epsilon <= LEVELS else ""
        raise UsageError(f"epsilon is a share of the pixel range, from 0 to 1, not {epsilon:g}{hint}")


def fraction(epsilon: float) -> str:
    """Return a budget as ``8/255`` where it is a whole number of grey levels."""
    levels = epsilon * LEVELS
    return f"{round(levels)}/{LEVELS}" if abs(levels - round(levels)) < 1e-6 else f"{epsilon:.6g}"


def box(images: Tensor, epsilon: float) -> tuple[Tensor, Tensor]:
    """Return the lowest and highest pixels within ``epsilon`` of ``images`` and in [0, 1]."""
    return (images - epsilon).clamp(min=0), (images + epsilon).clamp(max=1)


def on_grid(pixels: Tensor, images: Tensor, epsilon: float) -> Tensor:
    """Return the 8-bit picture nearest to ``pixels`` that keeps the budget.

    A pixel that has no grey level within ``epsilon`` keeps its value of ``images``.
    """
    lowest, highest = box(images, epsilon)
    lowest, highest = (lowest * LEVELS - _SLACK).ceil(), (highest * LEVELS + _SLACK).floor()
    levels = torch.minimum(torch.maximum((pixels * LEVELS).round(), lowest), highest)
    return torch.where(lowest <= highest, levels / LEVELS, images)
