"""What an attack minimises: functions of relaxed codes u = tanh(a v) in (-1, 1), one number a picture."""

from __future__ import annotations

import torch
from torch import Tensor

from deephash.objectives.signs import sign

HAG_MARGIN, MAINSTAY_MARGIN = 0.5, 0.5
_LEAST_DISTANCE = 1e-8  # SDHA's release: a distance of 0 has a finite weight


def product_loss(outputs: Tensor, guide: Tensor) -> Tensor:
    """Return ``mean_k u_k g_k`` [B]: minimised it flees the guide; minus it pulls there (P2P, DHTA, THA, CgAT, SAAT).

    Args:
        outputs: u [B, K].
        guide: g [B, K], signs.
    """
    return (outputs * guide).mean(dim=1)


def hag_loss(outputs: Tensor, clean: Tensor, *, margin: float = HAG_MARGIN, balance: float = 1.0) -> Tensor:
    """Return HAG's loss [B] (Yang et al., IEEE TCYB 2018; formula of SAAT's release).

    ``(sum_k m_k u_k h_k / sum_k m_k + 1)^2 + balance (mean_k m_k u_k)^2`` over the bits that are not safely turned,
    ``m_k = |u_k - sign h_k| < 1 + margin`` (1/2 on the limit). Where all are turned nothing is left to do: 0.

    Args:
        outputs: u [B, K].
        clean: h [B, K], outputs of the picture before the attack.
        margin: t.
        balance: beta.
    """
    gap = 1 + margin - (outputs - sign(clean)).abs()
    mask = torch.heaviside(gap.detach(), torch.full((), 0.5, dtype=gap.dtype, device=gap.device))
    left = mask.sum(dim=1)
    product = (mask * outputs * clean).sum(dim=1) / left.clamp(min=0.5)
    loss = (product + 1).square() + balance * (mask * outputs).mean(dim=1).square()
    return torch.where(left > 0, loss, 0.0)


def sdha_distance(outputs: Tensor, references: Tensor, *, sharpness: float = 5.0) -> Tensor:
    """Return SDHA's surrogate of the Hamming distance to each reference, [B, R] (Lu et al., ICMR 2021).

    ``sum_k |u_k - r_k| / 2 s(u_k r_k) + 1 - s(u_k r_k)`` with the logistic ``s(x) = 1 / (1 + exp(-sharpness x))``.

    Args:
        outputs: u [B, K].
        references: r [R, K], signs.
        sharpness: sigma.
    """
    near, far = (_sdha_bit(outputs, value, sharpness) for value in (1.0, -1.0))
    return near @ (references > 0).to(outputs.dtype).T + far @ (references < 0).to(outputs.dtype).T


def sdha_loss(
    outputs: Tensor,
    references: Tensor,
    chosen: Tensor,
    *,
    targeted: bool = False,
    sharpness: float | None = None,
    exponent: float | None = None,
) -> Tensor:
    """Return SDHA's surrogate [B]; it is large and negative far from the references (or small near them, targeted).

    The mean over the chosen references of ``w(q, r) dis(q, r)``, ``w = (Hamming(sign u, r) + 1e-8)^-exponent``; an
    untargeted attack minimises minus it. Costs two products of matrices, whatever the number of references.

    Args:
        outputs: u [B, K].
        references: r [R, K], signs.
        chosen: booleans [B, R], at least one a row.
        targeted: pull near, with ``dis = sum_k |u_k - r_k| / 2 s(-u_k r_k)``.
        sharpness: 5, targeted 10.
        exponent: z: 0.5, targeted -0.3.
    """
    slope = (10.0 if targeted else 5.0) if sharpness is None else sharpness
    power = (-0.3 if targeted else 0.5) if exponent is None else exponent
    num_bits = outputs.shape[1]
    hamming = 0.5 * (num_bits - sign(outputs.detach()) @ references.T)
    weights = (hamming.clamp(min=0) + _LEAST_DISTANCE).pow(-power) * chosen
    weights = weights / chosen.sum(dim=1, keepdim=True).clamp(min=1)
    bit = _sdha_targeted_bit if targeted else _sdha_bit
    above, below = (weights @ (references * value > 0).to(outputs.dtype) for value in (1.0, -1.0))
    distance = (above * bit(outputs, 1.0, slope) + below * bit(outputs, -1.0, slope)).sum(dim=1)
    return distance if targeted else -distance


def mainstay_loss(outputs: Tensor, guide: Tensor, *, targeted: bool = False, margin: float = MAINSTAY_MARGIN) -> Tensor:
    """Return SAAT's masked loss [B]: the mean of ``(s_k + 2) s_k``, ``s = u g``, over the bits not yet safe.

    Away from the guide these are ``s_k > -margin``; targeted, ``s_k < margin``, and minus the mean. A row whose bits
    are all safe has loss 0 (the release divides by the count over the whole batch, and by zero at the end).

    Args:
        outputs: u [B, K].
        guide: g [B, K], signs.
        targeted: pull to the guide.
        margin: 1/2.
    """
    product = outputs * guide
    mask = (product < margin if targeted else product > -margin).to(outputs.dtype)
    mean = (mask * (product + 2) * product).sum(dim=1) / mask.sum(dim=1).clamp(min=1)
    return -mean if targeted else mean


def _sdha_bit(outputs: Tensor, reference: float, slope: float) -> Tensor:
    agreement = torch.sigmoid(slope * outputs * reference)
    return 0.5 * (outputs - reference).abs() * agreement + 1 - agreement


def _sdha_targeted_bit(outputs: Tensor, reference: float, slope: float) -> Tensor:
    return 0.5 * (outputs - reference).abs() * torch.sigmoid(-slope * outputs * reference)
