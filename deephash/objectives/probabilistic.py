"""Gaussian embeddings: match probabilities, the soft contrastive loss and the divergence of HIB, on plain tensors.

Oh, Murphy, Pan, Roth, Schroff and Gallagher, "Modeling Uncertainty with Hedged Instance Embedding", ICLR 2019
(arXiv 1810.00319). A row is N(mean, diag sigma^2); two rows match with the probability that a logistic of the distance
of their samples says. What NumPy does with the bits' probabilities afterwards: :mod:`deephash.codes.certainty`.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

from deephash.errors import UsageError
from deephash.numbers import whole
from deephash.objectives.checks import require_finite


def gaussian_samples(mean: Tensor, sigma: Tensor, samples: int, generator: torch.Generator | None = None) -> Tensor:
    """Return samples [B, J, K] of N(mean, sigma^2), with gradients into both.

    Args:
        mean: mu [B, K].
        sigma: standard deviations [B, K], above 0.
        samples: J.
        generator: draws them; None takes torch's own.

    Raises:
        UsageError: J < 1, NaN, or a sigma of 0 or below.
    """
    samples = whole(samples, "samples, J of each row,", least=1)
    _require_spread(mean, sigma)
    noise = torch.randn((len(mean), samples, mean.shape[1]), device=mean.device, dtype=mean.dtype, generator=generator)
    return mean[:, None] + sigma[:, None] * noise


def pair_logits(first: Tensor, second: Tensor, slope: Tensor | float, offset: Tensor | float) -> Tensor:
    """Return ``s = -a |z - z'| + b`` of all pairs of samples of all pairs of rows, [A, B, J, J'].

    Args:
        first: samples [A, J, K].
        second: samples [B, J', K].
        slope: a > 0.
        offset: b.
    """
    if not bool(torch.as_tensor(slope).detach() > 0):
        raise UsageError("slope, a, is above 0, so that near samples match")
    require_finite(first, "samples")
    require_finite(second, "samples")
    distances = _distances(first.flatten(0, 1), second.flatten(0, 1))
    rows = distances.view(len(first), first.shape[1], len(second), second.shape[1])
    return offset - slope * rows.transpose(1, 2)


def _distances(first: Tensor, second: Tensor) -> Tensor:
    """Return Euclidean distances [M, N]: products of matrices, whose gradient costs a tenth of that of ``torch.cdist``.

    Where two samples nearly coincide the gradient is 0, not infinite.
    """
    squares = first.square().sum(dim=1)[:, None] + second.square().sum(dim=1)[None] - 2 * first @ second.T
    return squares.clamp(min=torch.finfo(first.dtype).eps).sqrt()


def match_probability(logits: Tensor) -> Tensor:
    """Return the mean over pairs of samples of ``logistic(s)``, [A, B]: how probably two rows match.

    Args:
        logits: s [A, B, J, J'], of :func:`pair_logits`.
    """
    return torch.sigmoid(logits).mean(dim=(-2, -1))


def log_match_probability(logits: Tensor) -> Tensor:
    """Return the logarithm of :func:`match_probability` by logsumexp, finite however large the logits are.

    Of the probability that rows do not match it is given ``-logits``.
    """
    return torch.logsumexp(logsigmoid(logits).flatten(-2), dim=-1) - math.log(logits.shape[-2] * logits.shape[-1])


def soft_contrastive_loss(logits: Tensor, match: Tensor) -> Tensor:
    """Return ``-log p`` of pairs that match and ``-log (1 - p)`` of the others, [A, B].

    Args:
        logits: s [A, B, J, J'].
        match: booleans [A, B].
    """
    signs = torch.where(match, 1.0, -1.0).to(logits.dtype)
    return -log_match_probability(signs[..., None, None] * logits)


def gaussian_divergence(mean: Tensor, log_variance: Tensor) -> Tensor:
    """Return ``KL(N(mean, e^log_variance) || N(0, I))`` of each row, [B], summed over its dimensions."""
    return 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance).sum(dim=1)


def bit_probabilities(mean: Tensor, sigma: Tensor) -> Tensor:
    """Return how probably each bit is 1, ``Phi(mean / sigma)``, shaped like ``mean``. Raises UsageError."""
    _require_spread(mean, sigma)
    found: Tensor = torch.special.ndtr(mean / sigma)
    return found


def _require_spread(mean: Tensor, sigma: Tensor) -> None:
    require_finite(mean, "means")
    require_finite(sigma, "standard deviations")
    if not bool((sigma > 0).all()):
        raise UsageError(
            f"standard deviations are above 0, not {float(sigma.detach().min()):g}; a sure row has a small one"
        )
