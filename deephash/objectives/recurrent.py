"""Recurrent binarisation and the embedding-to-embedding loss of BEBR, on plain tensors.

Shen et al., "Binary Embedding-based Retrieval at Tencent", KDD 2023 (arXiv 2302.08714); formulas follow the released
training. The released straight-through sign edits the gradient it is given, which other users of it then see changed;
here it is left alone.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy, normalize

from deephash.errors import UsageError
from deephash.objectives.signs import sign

Block = Callable[[Tensor], Tensor]
LEFT_OUT = -1e9  # of a pair that is no negative


def clipped_straight_through_sign(values: Tensor) -> Tensor:
    """Return +1 where ``values >= 0``, else -1; the gradient passes where |value| <= 1 and is 0 elsewhere."""
    signs: Tensor = _ClippedSign.apply(values)
    return signs


class _ClippedSign(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, values: Tensor) -> Tensor:
        ctx.save_for_backward(values)
        return sign(values)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        (values,) = ctx.saved_tensors
        passed: Tensor = gradient * (values.abs() <= 1)
        return passed


def recurrent_planes(
    features: Tensor,
    first: Block,
    back: Sequence[Block],
    residual: Sequence[Block],
    binarize: Block = clipped_straight_through_sign,
) -> tuple[Tensor, Tensor]:
    """Return continuous planes [B, L, m] before the sign, and the value [B, m] of their bits.

    b_0 = sgn(W f); r_i = f - norm(B_i b_(i-1)); b_i = b_(i-1) + 2^-i sgn(R_i r_i): the residual is always taken from
    the input itself, against one reconstruction, of unit length, of everything so far.

    Args:
        features: f [B, n], of unit length.
        first: W, from n to m.
        back: B_1 ... B_u, from m to n.
        residual: R_1 ... R_u, from n to m.
        binarize: sgn in the forward pass; the identity gives the float model of equal capacity.
    """
    planes = [first(features)]
    value = binarize(planes[0])
    for level, (rebuild, refine) in enumerate(zip(back, residual, strict=True), start=1):
        planes.append(refine(features - normalize(rebuild(value), dim=1)))
        value = value + 2.0**-level * binarize(planes[-1])
    return torch.stack(planes, dim=1), value


def embedding_loss(
    first: Tensor, second: Tensor, belongs: Tensor | None = None, *, temperature: float = 0.05, hardest: int = 5
) -> Tensor:
    """Return the contrastive loss of pairs, each row against its hardest negatives, in both directions summed.

    Args:
        first: values [B, m] of one half of each pair.
        second: values [B, m] of the other half.
        belongs: bool [B, B], which rows belong to the same item or are known to be near, and so are no negatives of
            each other; None takes the pair itself alone.
        temperature: divides the cosines.
        hardest: negatives kept in each row.

    Raises:
        UsageError: fewer than two pairs.
    """
    if len(first) < 2 or first.shape != second.shape:
        raise UsageError(
            f"pairs are two tables [B, m] with B of at least 2, not {list(first.shape)} {list(second.shape)}"
        )
    logits = normalize(first, dim=1, eps=1e-12) @ normalize(second, dim=1, eps=1e-12).T / temperature
    own = torch.eye(len(logits), dtype=torch.bool, device=logits.device)
    same = own if belongs is None else belongs | own
    return sum(
        (_hard(each, mask, own, hardest) for each, mask in ((logits, same), (logits.T, same.T))), logits.new_zeros(())
    )


def _hard(logits: Tensor, same: Tensor, own: Tensor, hardest: int) -> Tensor:
    negatives = logits.masked_fill(same, LEFT_OUT).topk(min(hardest, len(logits) - 1), dim=1).values
    kept = torch.cat([logits.diagonal()[:, None], negatives], dim=1)
    return cross_entropy(kept, kept.new_zeros(len(kept), dtype=torch.long))
