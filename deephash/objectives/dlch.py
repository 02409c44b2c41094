"""The losses of DLCH (Xu, Li, Zheng, Li, Lv, TCSVT 2024, arXiv 2304.13357) on plain tensors.

Paper body and tables could not be read by us. [C] marks what the released code (HqiLi/DLCH) computes, [R] what was
corrected here or is our own; ``preset="release"`` of the functions below replays the former.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import torch
from torch import Tensor
from torch.nn.functional import normalize

from deephash.errors import UsageError
from deephash.objectives.labels import labelled_mask
from deephash.objectives.signs import sign

Preset = Literal["corrected", "release"]

_EPSILON = 1e-12  # [R] of the cosines: the release has none, and an output of zeros gives NaN


# Similarity of labels --------------------------------------------------------------------------------


def label_similarity(rows: Tensor, columns: Tensor) -> Tensor:
    """Return S [A, B], the cosine of label vectors, within [0, 1]: 1 where the label sets are equal [C].

    Args:
        rows: class numbers int64 [A], or multi-hot [A, C].
        columns: of the same kind, [B] or [B, C].

    Raises:
        UsageError: an item without labels, of which no similarity is known (the release gives NaN) [R]; the two sides
            are of different kinds.
    """
    for side in (rows, columns):
        missing = int((~labelled_mask(side)).sum())
        if missing:
            raise UsageError(
                f"{missing} of {len(side)} items have no label, so their similarity to others is not known; leave "
                "them out (labels >= 0, or rows of multi-hot labels that are not all zero), or label them"
            )
    if rows.ndim != columns.ndim or rows.shape[1:] != columns.shape[1:]:
        raise UsageError(
            "both sides need class numbers, or multi-hot rows of one width, not labels of shape "
            f"{list(rows.shape)} and {list(columns.shape)}"
        )
    kind = rows.dtype if rows.dtype == torch.float64 else torch.float32
    if rows.ndim == 1:
        return (rows[:, None] == columns[None, :]).to(kind)
    return (normalize(rows.to(kind), dim=1) @ normalize(columns.to(kind), dim=1).T).clamp(max=1)


# Phase 1: the first classes --------------------------------------------------------------------------


def similarity_loss(outputs: Tensor, others: Tensor, similar: Tensor) -> Tensor:
    """Return l(u, Y) = mean_ij (max(0, cos(u_i, y_j)) - S_ij)^2 [C].

    Args:
        outputs: u [b, K], of one network.
        others: Y [n, K], last outputs for all items; no gradient flows into them.
        similar: S [b, n] of :func:`label_similarity`.
    """
    cosines = normalize(outputs, dim=1, eps=_EPSILON) @ normalize(others.detach(), dim=1, eps=_EPSILON).T
    return (cosines.clamp(min=0) - similar).square().mean()


def code_loss(outputs: Tensor, codes: Tensor) -> Tensor:
    """Return q(u, B) = |B - u|^2 / (b K) for outputs u [b, K] and codes B [b, K] of the same items [C]."""
    return (codes.detach() - outputs).square().mean()


def label_step_losses(
    outputs: Tensor,
    own: Tensor,
    networks: Mapping[str, tuple[Tensor, Tensor]],
    similar: Tensor,
    *,
    eta: float = 10.0,
    gamma: float = 10.0,
    mu: float = 1.0,
    halves: Mapping[str, tuple[Tensor, Tensor]] | None = None,
) -> dict[str, Tensor]:
    """Return the terms of a step of the label net.

    Of pictures and texts, eta l(h, H) + l(h, F) + gamma l(h, G) + mu/2 (q(h, Bx) + q(h, By)) [C]; of one modality,
    eta l(h, H) + l(h, F) + mu q(h, Bx) [R].

    Args:
        outputs: h [b, K], of the label net.
        own: H [n, K], its last outputs.
        networks: modality -> (last outputs F or G [n, K], codes of the batch [b, K]); gamma weighs ``text``.
        similar: S [b, n].
        eta: see above.
        gamma: there.
        mu: there.
        halves: modality -> (bool [n], bool [b]), which items, and which of the batch, have that half; None is all [R].
    """
    terms = {"own": eta * similarity_loss(outputs, own, similar)}
    for name, (others, codes) in networks.items():
        every: Tensor | slice
        mine: Tensor | slice
        every, mine = (slice(None), slice(None)) if halves is None else halves[name]
        weight = gamma if name == "text" else 1.0
        if len(others[every]):
            terms[f"similarity_{name}"] = weight * similarity_loss(outputs, others[every], similar[:, every])
        if len(codes[mine]):
            terms[f"quantization_{name}"] = mu / len(networks) * code_loss(outputs[mine], codes[mine])
    return terms


def network_step_losses(
    outputs: Tensor,
    own: Tensor,
    labels: Tensor,
    codes: Tensor,
    similar: Tensor,
    *,
    eta: float = 10.0,
    mu: float = 1.0,
) -> dict[str, Tensor]:
    """Return eta l(f, F), l(f, H) and mu q(f, Bx), the terms of a step of the picture network; texts alike [C].

    Args:
        outputs: f [b, K].
        own: F [n, K], last outputs of this network.
        labels: H [n, K], those of the label net.
        codes: Bx [b, K] of the batch.
        similar: S [b, n].
        eta: see above.
        mu: there.
    """
    return {
        "own": eta * similarity_loss(outputs, own, similar),
        "labels": similarity_loss(outputs, labels, similar),
        "quantization": mu * code_loss(outputs, codes),
    }


def phase_one_codes(outputs: Tensor, labels: Tensor, *, weight: float = 2.0) -> Tensor:
    """Return Bx = sgn(2 F + H) [n, K] in +-1 (sgn(0) = +1), as at the end of every round; weight 1 at the start [C]."""
    return sign(weight * outputs + labels)


# Phase 2: new items beside frozen codes --------------------------------------------------------------


def inner_product_loss(outputs: Tensor, codes: Tensor, similar: Tensor) -> Tensor:
    """Return sum_ij (K S_ij - u_i v_j)^2, a sum and no mean [C].

    As S lies in [0, 1], unrelated items are pulled to the inner product 0, half of the bits, not to -K.

    Args:
        outputs: u [b, K].
        codes: V [n, K] in +-1.
        similar: S [b, n].
    """
    return (outputs.shape[1] * similar - outputs @ codes.T).square().sum()


def balance(outputs: Tensor, *, preset: Preset = "corrected") -> Tensor:
    """Return |u' 1|^2 / b, 0 where every bit is balanced over the batch [R].

    ``release`` is the signed sum of all outputs [C], which has no lower bound: with weight 100 it pushes them down.

    Args:
        outputs: u [b, K].
        preset: see above.
    """
    if preset == "release":
        return outputs.sum()
    return outputs.sum(dim=0).square().sum() / len(outputs)


def lifelong_losses(
    outputs: Tensor,
    own: Tensor,
    old: tuple[Tensor, Tensor],
    new: tuple[Tensor, Tensor],
    *,
    alpha: float = 10.0,
    beta: float = 100.0,
    preset: Preset = "corrected",
) -> dict[str, Tensor]:
    """Return the terms of phase 2, whose sum is

        (|K S_old - u V_old'|^2 + |K S_new - u V_new'|^2 + alpha sum_i |v_i - u_i|^2 + beta bal(u)) / (b N)

    The release computes the second term and does not add it [C]; it is part of the loss here [R].

    Args:
        outputs: u [b, K] of a batch of Omega, replayed and new items.
        own: v_i [b, K], the codes of these very items: old rows where they were seen, V_new where not [R]. In the
            release they are rows of other items; who replays it gives those.
        old: V_old [n_seen, K] in +-1, and S of the batch and these, [b, n_seen].
        new: V_new [n_new, K] and S [b, n_new].
        alpha: see above.
        beta: there.
        preset: ``release`` leaves V_new out and takes the signed :func:`balance`.
    """
    pairs = len(outputs) * max(1, len(old[0]) + len(new[0]))
    terms = {
        "old": inner_product_loss(outputs, *old),
        "new": inner_product_loss(outputs, *new),
        "quantization": alpha * (own - outputs).square().sum(),
        "balance": beta * balance(outputs, preset=preset),
    }
    if preset == "release":
        del terms["new"]
    return {name: term / pairs for name, term in terms.items()}
