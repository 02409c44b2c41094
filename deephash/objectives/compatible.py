"""Losses that keep new codes searchable among old ones: HOC, influence of the old classifier, BEBR's compatible NCE.

Public functions of plain tensors. ``new`` are outputs that learn, ``old`` are codes that are stored and do not; labels
are class numbers [B] or multi-hot [B, C], and two rows are of one class where they share a label.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from deephash.errors import UsageError
from deephash.objectives.labels import multi_hot, share_label
from deephash.objectives.signs import straight_through_sign

NEVER = -1e9  # logit of what is left out of a softmax


def hoc_loss(new: Tensor, old: Tensor, labels: Tensor, *, mu: float = 10.0) -> Tensor:
    """Return the higher-order compatibility loss of d-Simplex-HOC (arXiv 2405.02581, as released), a scalar.

    With v, o the unit vectors of ``new`` and ``old`` and s_ij = mu o_i . v_j it is mean_i [- s_ii + log sum_j exp(s_ij
    [y_i != y_j])]: the positive is not in the denominator, and each row of the own class adds exp(0) = 1 there.

    Args:
        new: [B, K], such as tanh of the continuous codes.
        old: [B, K], the stored codes of the same items, such as +-1.
        labels: see the module; an unlabelled row is of nobody's class but its own.
        mu: inverse temperature.
    """
    _require_alike(new, old)
    unit_old, unit_new = F.normalize(old.to(new), dim=1), F.normalize(new, dim=1)
    scores = mu * unit_old @ unit_new.T
    others = ~_same_class(labels)
    return (torch.logsumexp(scores * others, dim=1) - scores.diagonal()).mean()


def influence_loss(new: Tensor, prototypes: Tensor, labels: Tensor, *, scale: float = 8.0) -> Tensor:
    """Return BCT's influence loss (Shen et al., CVPR 2020): the old classifier, frozen, must classify the new codes.

    Args:
        new: [B, K].
        prototypes: direction of each class in the old space [C, K], such as the mean of its old codes; a class that the
            old model has no direction for has a row of zeros, and its items take no part.
        labels: see the module; several labels share one.
        scale: inverse temperature of the cosines.
    """
    known = prototypes.abs().sum(dim=1) > 0
    wanted = multi_hot(labels, len(prototypes)).to(new) * known
    rows = wanted.sum(dim=1) > 0
    if not rows.any():
        return new.sum() * 0.0
    logits = scale * F.normalize(new[rows], dim=1) @ F.normalize(prototypes.to(new), dim=1).T
    logits = logits.masked_fill(~known, NEVER)
    shares = wanted[rows] / wanted[rows].sum(dim=1, keepdim=True)
    return -(shares * F.log_softmax(logits, dim=1)).sum(dim=1).mean()


def pair_nce(
    anchors: Tensor, others: Tensor, labels: Tensor, *, own: bool, temperature: float = 0.05, hardest: int = 5
) -> Tensor:
    """Return BEBR's contrastive loss of signs (arXiv 2302.08714): each pair of one class against hard negatives.

    For every pair (i, j) of one class it is the cross-entropy of cos(b_i, b'_j) / temperature among itself and the
    ``hardest`` rows b' of other classes, nearest first; mean over j, then over i.

    Args:
        anchors: [B, K]; gradients pass the sign straight through, here and in ``others``.
        others: [B, K], the same items: the same outputs, or stored codes.
        labels: see the module.
        own: whether i = j is a pair, as it is where the two sides are of two models.
        temperature: of the cosines.
        hardest: negatives a row; 0 takes all.
    """
    _require_alike(anchors, others)
    scores = straight_through_sign(anchors) @ straight_through_sign(others.to(anchors)).T
    scores = scores / (anchors.shape[1] * temperature)
    same = _same_class(labels)
    pairs = same if own else same & ~torch.eye(len(same), dtype=torch.bool, device=same.device)
    if not pairs.any():
        return anchors.sum() * 0.0
    negatives = scores.masked_fill(same, NEVER)
    if hardest and hardest < len(scores):
        negatives = negatives.topk(hardest, dim=1).values
    against = torch.logsumexp(negatives, dim=1, keepdim=True)
    losses = torch.logaddexp(scores, against) - scores
    counts = pairs.sum(dim=1)
    of_rows = (losses * pairs).sum(dim=1) / counts.clamp(min=1)
    return of_rows[counts > 0].mean()


def class_means(codes: Tensor, labels: Tensor, num_classes: int) -> Tensor:
    """Return the mean code of each class [C, K] of codes [N, K]; zeros for a class without items."""
    table = multi_hot(labels, num_classes).to(codes)
    return table.T @ codes / table.sum(dim=0).clamp(min=1)[:, None]


def _same_class(labels: Tensor) -> Tensor:
    """Return booleans [B, B]; every row is of its own class."""
    return share_label(labels, labels) | torch.eye(len(labels), dtype=torch.bool, device=labels.device)


def _require_alike(new: Tensor, old: Tensor) -> None:
    if new.shape != old.shape:
        raise UsageError(f"new and old codes are of the same items, [B, K] each, not {[*new.shape]} and {[*old.shape]}")
