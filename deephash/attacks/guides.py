"""Guide codes: where in Hamming space an attack pulls a query, or what it flees. Plain tensors in and out.

Codes are signs, float [N, K] of -1 and +1; labels class numbers [N] (-1 = unlabelled) or multi-hot [N, C].
"""

from __future__ import annotations

import torch
from torch import Tensor

from deephash.attacks.noise import Noise
from deephash.errors import UsageError
from deephash.objectives.labels import share_label
from deephash.objectives.signs import sign


def majority_code(codes: Tensor) -> Tensor:
    """Return the anchor [K] of ``codes`` [n, K]: no code has a smaller mean Hamming distance to them.

    Where a bit is even, +1 is taken; an odd n has no ties (DHTA, Bai et al., ECCV 2020, component-voting).
    """
    return sign(codes.sum(dim=0))


def anchor_codes(targets: Tensor, codes: Tensor, labels: Tensor, count: int, noise: Noise | None = None) -> Tensor:
    """Return anchors [B, K]: the majority of ``count`` items that carry exactly the target's labels (P2P: 1, DHTA: 9).

    Args:
        targets: B target labels.
        codes: N signs, [N, K].
        labels: of the codes.
        count: n_t, drawn without replacement; all of them where there are fewer.
        noise: of B items; None takes the first ``count``.

    Raises:
        UsageError: a target whose labels no item carries.
    """
    anchors = []
    order = noise.uniform(len(codes)).argsort(dim=1) if noise is not None else None
    for row, target in enumerate(targets):
        same = labels == target if labels.ndim == 1 else (labels == target).all(dim=1)
        places = torch.arange(len(codes), device=codes.device) if order is None else order[row].to(codes.device)
        found = places[same[places]][:count]
        if not len(found):
            raise UsageError(f"no item carries exactly the labels of target {row} ({_named(target)}): choose another")
        anchors.append(majority_code(codes[found]))
    return torch.stack(anchors)


def mainstay_codes(targets: Tensor, codes: Tensor, labels: Tensor, own: Tensor | None = None) -> Tensor:
    """Return mainstay codes [B, K], ``sign(sum_j w+_j b_j - sum_j w-_j b_j)`` (SAAT, Yuan et al., 2023).

    ``w+`` is the cosine of the label vectors and ``w-`` is 1 where no class is shared, each divided by its sum; a sum
    of zero leaves its term out. The code is near to what shares classes and far from what shares none.

    Args:
        targets: B labels, the queries' own or those aimed at.
        codes: N signs, [N, K].
        labels: of the codes.
        own: codes [B, K] of rows that share a class with no item, for which the formula would be the opposite of
            everything; None lets it stand.
    """
    return _centre(targets, codes, labels, _cosines(targets, labels), own)


def centre_codes(targets: Tensor, codes: Tensor, labels: Tensor, own: Tensor | None = None) -> Tensor:
    """Return centre codes [B, K], the mean of codes that share a class minus the mean of all others, by sign.

    CgAT (Wang et al., WWW 2023) as released; the overlap of labels is not weighed. Equal to :func:`mainstay_codes`
    where every item has one label. Arguments as there.
    """
    return _centre(targets, codes, labels, share_label(targets, labels).to(codes.dtype), own)


def reference_codes(targets: Tensor, codes: Tensor, labels: Tensor, own: Tensor) -> Tensor:
    """Return the mean [B, K] of the codes that share a class; ``own`` where there is none.

    Its signs are the upper bound of an attack that flees them (SDHA, Lu et al., ICMR 2021): the opposite code.
    """
    shared = share_label(targets, labels).to(codes.dtype)
    count = shared.sum(dim=1, keepdim=True)
    return torch.where(count > 0, shared @ codes / count.clamp(min=1), own)


def _centre(targets: Tensor, codes: Tensor, labels: Tensor, weights: Tensor, own: Tensor | None) -> Tensor:
    positive = _shares(weights.to(codes.dtype))
    negative = _shares((~share_label(targets, labels)).to(codes.dtype))
    found = sign(positive @ codes - negative @ codes)
    if own is None:
        return found
    alone = ~share_label(targets, labels).any(dim=1, keepdim=True)
    return torch.where(alone, sign(own), found)


def _shares(weights: Tensor) -> Tensor:
    total = weights.sum(dim=1, keepdim=True)
    return torch.where(total > 0, weights / total.clamp(min=torch.finfo(weights.dtype).tiny), 0.0)


def _cosines(targets: Tensor, labels: Tensor) -> Tensor:
    if labels.ndim == 1:
        return share_label(targets, labels).float()
    first, second = (torch.nn.functional.normalize(each.float(), dim=1) for each in (targets, labels))
    return first @ second.T


def _named(target: Tensor) -> str:
    if target.ndim == 0:
        return f"class {int(target)}"
    return "classes " + " + ".join(str(int(each)) for each in target.nonzero().flatten()) if target.any() else "none"
