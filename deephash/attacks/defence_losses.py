"""What adversarial training minimises, and the attack inside it: functions of plain tensors.

``outputs`` are relaxed codes u [B, K] in (-1, 1), guide codes are signs [B, K]; zeros in a guide leave bits alone.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from deephash.attacks.losses import product_loss
from deephash.attacks.pixels import box
from deephash.objectives.signs import sign

INNER_STEPS, INNER_STEP = 7, 2 / 255  # of all three releases
_LEAST_SIZE = 1e-6  # of continuous codes


def saat_losses(
    outputs: Tensor, guide: Tensor, *, weight: float = 1.0, quantization: float = 1e-4
) -> dict[str, Tensor]:
    """Return SAAT's two terms: ``-weight mean(u c)`` and ``quantization mean((u - sign u)^2)`` (Yuan et al., 2023).

    Args:
        outputs: u of adversarial pictures.
        guide: c, the mainstay codes of their own labels.
        weight: lambda.
        quantization: mu.
    """
    far = (outputs - sign(outputs.detach())).square().mean()
    return {"adversarial": weight * cgat_loss(outputs, guide), "adversarial_quantization": quantization * far}


def cgat_loss(outputs: Tensor, guide: Tensor) -> Tensor:
    """Return CgAT's ``-mean(u c)`` (Wang et al., WWW 2023); c are the centre codes of the own labels."""
    return -product_loss(outputs, guide).mean()


def atrdh_loss(outputs: Tensor, memory: Tensor, similar: Tensor) -> Tensor:
    """Return ATRDH's ``mean (u U_j / K - S_ij)^2`` over pictures and items (Wang et al., SIGIR 2021).

    Args:
        outputs: u of adversarial pictures.
        memory: U, relaxed codes [N, K] of the training items.
        similar: booleans [B, N]; S is +1 where True, else -1.
    """
    wanted = 2.0 * similar.to(outputs.dtype) - 1.0
    return (outputs @ memory.T / outputs.shape[1] - wanted).square().mean()


def relaxed(continuous: Tensor, *, scaled: bool = True) -> Tensor:
    """Return u = tanh(v), or ``tanh(v / mean|v|)``, whose gradient a model cannot hide by making v large.

    Args:
        continuous: v [B, K].
        scaled: divide by the mean size of each picture's v, without gradient.
    """
    if not scaled:
        return torch.tanh(continuous)
    size = continuous.detach().abs().mean(dim=1, keepdim=True).clamp(min=_LEAST_SIZE)
    return torch.tanh(continuous / size)


def inner_attack(
    outputs: Callable[[Tensor], Tensor],
    images: Tensor,
    guide: Tensor,
    *,
    away: bool,
    epsilon: float,
    steps: int = INNER_STEPS,
    step_size: float = INNER_STEP,
    random_start: bool = True,
) -> Tensor:
    """Return pictures within ``epsilon`` of ``images`` and in [0, 1], by the sign of the gradient of ``mean(u g)``.

    Random numbers come from torch's global generator, which a resumed run takes up where it stood. Whoever calls it
    puts the model into evaluation mode.

    Args:
        outputs: pixels [B, C, H, W] in [0, 1] -> u [B, K], differentiable.
        images: clean pictures.
        guide: g.
        away: flee the guide (SAAT, CgAT); else pull to it (ATRDH).
        epsilon: the budget, a share of the pixel range.
        steps: of ``step_size`` each.
        step_size: a share of the pixel range.
        random_start: begin anywhere in the budget.
    """
    low, high = box(images, epsilon)
    pixels = images.detach()
    if random_start:
        pixels = torch.minimum(torch.maximum(pixels + epsilon * (2 * torch.rand_like(pixels) - 1), low), high)
    for _ in range(steps if epsilon > 0 else 0):
        leaf = pixels.requires_grad_()
        with torch.enable_grad():
            (gradient,) = torch.autograd.grad(product_loss(outputs(leaf), guide).sum(), leaf)
        move = step_size * gradient.nan_to_num(0.0, 0.0, 0.0).sign()
        pixels = torch.minimum(torch.maximum(leaf.detach() + (-move if away else move), low), high)
    return pixels.detach()
