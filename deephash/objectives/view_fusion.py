"""Which bit of which view stands where in a fused code: three rules in Hamming space, after D-MVE-Hash's idea.

Every rule ends in two index vectors [K_f], ``view`` and ``column``; a fused code is the image's bits followed by the
entries they name, with their gradients. The rules are ours (the paper could not be read), its names for them remain.
"""

from __future__ import annotations

import torch
from torch import Tensor

from deephash.errors import UsageError

Places = tuple[Tensor, Tensor]  # view and column of each fused bit, int64 [K_f]


def allocate(weights: Tensor, total: int) -> Tensor:
    """Return n [M], int64 with sum ``total``: the whole parts of ``total * w``, the rest to the largest remainders.

    Equal remainders go to the earlier view.
    """
    share = weights.double() * total
    count = (share + 1e-9).floor().long()  # 0.3333333 * 3 is a whole one
    order = torch.argsort(share - count, descending=True, stable=True)
    count[order[: total - int(count.sum())]] += 1
    return count


def replicated(weights: Tensor, total: int, width: int) -> Places:
    """Return the places of rule ``replicate``: n_m bits of view m, from the first on, again and again where n_m > K_v.

    Args:
        weights: w [M].
        total: K_f.
        width: K_v, bits of each view.
    """
    counts = allocate(weights, total)
    view = torch.arange(len(counts), device=counts.device).repeat_interleave(counts)
    column = torch.cat([torch.arange(int(count), device=counts.device) % width for count in counts])
    return view, column


def chosen(weights: Tensor, total: int, codes: Tensor, classes: Tensor, *, most: float = 0.8) -> Places:
    """Return the places of rule ``viewcode``: of view m the n_m bits that tell classes apart best, and no bit twice.

    Views come in descending weight. A bit whose correlation with one already taken exceeds ``most`` is passed over,
    unless the view has too few others.

    Args:
        weights: w [M].
        total: K_f.
        codes: h [N, M, K_v] of training rows.
        classes: multi-hot [N, C].
        most: see above.
    """
    counts, signs = allocate(weights, total), torch.where(codes >= 0, 1.0, -1.0)
    if int(counts.max()) > codes.shape[2]:
        raise UsageError(
            f"viewcode takes no bit twice: {int(counts.max())} bits of one view are wanted and it has "
            f"{codes.shape[2]}; raise view_width, or take fusion: replicate"
        )
    worth = separation(signs, classes)
    places: list[tuple[int, int]] = []
    taken: list[Tensor] = []
    for view in torch.argsort(weights, descending=True, stable=True).tolist():
        columns = _uncorrelated(signs[:, view], worth[view], int(counts[view]), taken, most)
        places += [(view, column) for column in columns]
        taken += [_unit(signs[:, view, column]) for column in columns]
    table = torch.tensor(
        sorted(places), dtype=torch.long, device=codes.device
    )  # a place moves with its view's count only
    return (table[:, 0], table[:, 1]) if len(table) else (table, table)


def separation(signs: Tensor, classes: Tensor) -> Tensor:
    """Return [M, K_v]: mean over classes of ``|mean of the class - mean of all|`` of each bit; 0 of a constant one."""
    sizes = classes.sum(dim=0)
    there = classes[:, sizes > 0]
    means = torch.einsum("nc,nmk->cmk", there, signs) / there.sum(dim=0)[:, None, None]
    return (means - signs.mean(dim=0)).abs().mean(dim=0)


def _uncorrelated(signs: Tensor, worth: Tensor, count: int, taken: list[Tensor], most: float) -> list[int]:
    kept: list[int] = []
    passed: list[int] = []
    known = list(taken)
    for column in torch.argsort(worth, descending=True, stable=True).tolist():
        if len(kept) == count:
            break
        unit = _unit(signs[:, column])
        if known and float((torch.stack(known) @ unit).abs().max()) > most:
            passed.append(column)
            continue
        kept.append(column)
        known.append(unit)
    return kept + passed[: count - len(kept)]


def _unit(signs: Tensor) -> Tensor:
    centred = signs - signs.mean()
    unit: Tensor = centred / centred.norm().clamp(min=1e-12)
    return unit


def pooled(weights: Tensor, total: int) -> Places:
    """Return the fixed places of rule ``probpool``, as codes are made: bit k of one view, n_m bits of view m."""
    counts = allocate(weights, total)
    view = torch.arange(len(counts), device=counts.device).repeat_interleave(counts)
    return view, torch.arange(total, device=counts.device)


def drawn(weights: Tensor, relation: Tensor, total: int, generator: torch.Generator | None = None) -> Places:
    """Return random places of rule ``probpool``, for a step of training: bit k of view m with chance w_m.

    A draw counts less where the view is related to one already drawn: ``p_m ~ w_m (1 - max E_mn / 2)`` over the n drawn
    so far, E cut to 0..1. Once every view with weight was drawn all are discounted alike.

    Args:
        weights: w [M].
        relation: E [M, M].
        total: K_f.
        generator: on the CPU; None draws from torch's own.
    """
    chance = weights.double().cpu()
    related = relation.double().cpu().clamp(0, 1)
    used = torch.zeros(len(chance), dtype=torch.bool)
    views: list[int] = []
    while len(views) < total and not bool(used[chance > 0].all()):
        discount = 1 - related[:, used].max(dim=1).values / 2 if bool(used.any()) else torch.ones_like(chance)
        views.append(int(torch.multinomial(chance * discount, 1, generator=generator)))
        used[views[-1]] = True
    first = torch.tensor(views, dtype=torch.long)
    if rest := total - len(views):
        first = torch.cat([first, torch.multinomial(chance, rest, replacement=True, generator=generator)])
    return first.to(weights.device), torch.arange(total, device=weights.device)


def fused(image: Tensor, views: Tensor, view: Tensor, column: Tensor) -> Tensor:
    """Return h^f [B, K_c + K_f]: the image's entries [B, K_c], then ``views[:, view, column]`` of [B, M, K_v]."""
    return torch.cat([image, views[:, view, column]], dim=1)
