"""How far each of several views of an item can be trusted: stability weights and relations, after D-MVE-Hash's idea.

The paper (Yan et al., TPAMI 43(4), 2021) could not be read; these rules follow its abstract and are ours. Nothing here
has a gradient. Distances are Hamming distances over the bits of a view, 0..1, of a sample of P pairs of items.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from deephash.errors import UsageError

FLOOR = 0.1  # of the fluctuation, so that a view which never moves is not trusted without limit


@dataclass(frozen=True)
class Stability:
    """What a sample of pairs says about M views.

    Attributes:
        weights: w [M], at least 0, with sum 1.
        relation: E [M, M], the correlation of the distances of two views; 1 on the diagonal, high = redundant.
        agreement: a [M], the AUC by which a view's distances tell similar pairs from dissimilar ones.
        fluctuation: delta [M], how far the mean distance moves when the view is left out.
    """

    weights: Tensor
    relation: Tensor
    agreement: Tensor
    fluctuation: Tensor


def sample_pairs(count: int, wanted: int, seed: int = 0) -> Tensor:
    """Return int64 [wanted, 2]: pairs of two different rows below ``count``, drawn with replacement."""
    if count < 2:
        raise UsageError(f"pairs need at least 2 items, and there are {count}")
    draw = torch.Generator().manual_seed(seed)
    first = torch.randint(count, (wanted,), generator=draw)
    step = torch.randint(1, count, (wanted,), generator=draw)
    return torch.stack([first, (first + step) % count], dim=1)


def view_distances(bits: Tensor, pairs: Tensor) -> Tensor:
    """Return the share of differing bits [P, M] of the views' bits [N, M, K_v] (booleans)."""
    return (bits[pairs[:, 0]] != bits[pairs[:, 1]]).double().mean(dim=2)


def stability(
    distances: Tensor, similar: Tensor, *, usable: Tensor | None = None, temperature: float = 1.0
) -> Stability:
    """Return weights and relations: ``g = (2a - 1)+ / (0.1 + delta / mean delta)``, ``w = softmax(log g / T)``.

    Where every g is 0 the usable views count alike.

    Args:
        distances: d [P, M].
        similar: booleans [P]: do the two items share a label.
        usable: booleans [M]; other views get weight 0 and no relation. None: all.
        temperature: T.
    """
    distances, views = distances.double(), distances.shape[1]
    usable = torch.ones(views, dtype=torch.bool, device=distances.device) if usable is None else usable
    if not bool(usable.any()):
        raise UsageError("no view is usable, so there is nothing to weigh")
    agreement = torch.stack([pair_auc(-distances[:, view], similar) for view in range(views)])
    moved = fluctuation(distances, usable)
    usual = moved[usable].mean()
    ratio = moved / usual if usual > 0 else torch.ones_like(moved)
    score = (2 * agreement - 1).clamp(min=0) / (FLOOR + ratio) * usable
    if not bool((score > 0).any()):
        score = usable.double()
    weights = torch.softmax(score.log() / temperature, dim=0)
    return Stability(weights, relation(distances, usable), agreement, moved)


def fluctuation(distances: Tensor, usable: Tensor) -> Tensor:
    """Return delta [M]: mean over pairs of ``|d - d without view m|``; 0 of views that are not usable, or alone."""
    count = int(usable.sum())
    if count < 2:
        return distances.new_zeros(distances.shape[1])
    total = (distances * usable).sum(dim=1, keepdim=True)
    without = (total - distances) / (count - 1)
    return (total / count - without).abs().mean(dim=0) * usable


def relation(distances: Tensor, usable: Tensor) -> Tensor:
    """Return E [M, M], Pearson's correlation; 0 beside a view whose distances never change, 1 on the diagonal."""
    centred = (distances - distances.mean(dim=0)) * usable
    norms = centred.norm(dim=0)
    unit = centred / norms.clamp(min=1e-12)
    found: Tensor = (unit.T @ unit).clamp(-1, 1)
    return found.fill_diagonal_(1.0)


def pair_auc(scores: Tensor, similar: Tensor) -> Tensor:
    """Return the share of (similar, dissimilar) pairs that ``scores`` [P] order rightly; equal scores count half.

    0.5 where one kind is absent, which says nothing.
    """
    values, place = scores.unique(return_inverse=True)
    of_similar = torch.bincount(place[similar], minlength=len(values)).double()
    of_others = torch.bincount(place[~similar], minlength=len(values)).double()
    possible = of_similar.sum() * of_others.sum()
    if possible == 0:
        return torch.tensor(0.5, dtype=torch.double, device=scores.device)
    below = of_others.cumsum(0) - of_others
    right: Tensor = (of_similar * (below + 0.5 * of_others)).sum()
    return right / possible


def moving(before: Tensor, fresh: Tensor, share: float = 0.1) -> Tensor:
    """Return ``(1 - share) before + share fresh``: weights do not jump from one epoch to the next."""
    return (1 - share) * before + share * fresh
