"""d-Simplex: C class directions as far from one another as C directions can be, known before any class is.

CoReS (TPAMI 2023, arXiv 2111.07632) and d-Simplex-HOC (CVPR 2024, arXiv 2405.02581) fix the classifier to it. Signs of
its coordinates are no hash codes: those of two classes differ in at most 2 bits, whatever C. A fixed rotation, shared
by all versions of a model, mends that.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from deephash.errors import UsageError
from deephash.objectives.labels import labelled_mask
from deephash.objectives.signs import hamming_of_signs

ROTATIONS = 100  # that are tried for one whose signs keep classes apart


def simplex(num_classes: int) -> Tensor:
    """Return C unit vectors [C, C - 1] in float64 with inner products -1 / (C - 1) that sum to zero.

    Raises:
        UsageError: fewer than two classes.
    """
    if num_classes < 2:
        raise UsageError(f"a simplex needs two classes or more, not {num_classes}")
    width = num_classes - 1
    last = torch.full((1, width), (1 - math.sqrt(1 + width)) / width, dtype=torch.float64)
    corners = torch.cat([torch.eye(width, dtype=torch.float64), last])
    return F.normalize(corners - corners.mean(dim=0), dim=1)


def simplex_loss(features: Tensor, labels: Tensor, corners: Tensor) -> Tensor:
    """Return the mean cross-entropy of the logits <f, w>, neither scaled nor normalised; 0 without labelled rows.

    Args:
        features: f [B, C - 1].
        labels: class numbers [B]; -1 takes no part.
        corners: w [C, C - 1], see :func:`simplex`; classes that no row has yet are negatives of all.
    """
    mask = labelled_mask(labels, len(corners))
    if not mask.any():
        return features.sum() * 0.0
    return F.cross_entropy(features[mask] @ corners.to(features).T, labels[mask])


def rotation(num_features: int, num_bits: int, seed: int = 0) -> Tensor:
    """Return Q [D, K] in float64 with orthonormal rows (K >= D) or columns, at random; the arguments settle it."""
    generator = torch.Generator().manual_seed(int(seed))
    wide = max(num_features, num_bits), min(num_features, num_bits)
    drawn: Tensor
    drawn, upper = torch.linalg.qr(torch.randn(*wide, generator=generator, dtype=torch.float64))
    drawn = drawn * upper.diagonal().sign()  # one factorisation on every machine
    return drawn if num_features >= num_bits else drawn.T


def rotated_signs(rows: Tensor, num_bits: int, seed: int = 0) -> Tensor:
    """Return sgn(rows Q) [C, K] in -1.0 and +1.0, with the fixed rotation Q of ``seed``; sgn 0 = +1.

    Args:
        rows: [C, D], such as a :func:`simplex`.
        num_bits: K.
        seed: of Q; all versions of a model share it.
    """
    turned = rows.double() @ rotation(rows.shape[1], num_bits, seed)
    return torch.where(turned >= 0, 1.0, -1.0).float()


def simplex_targets(num_classes: int, num_bits: int, seed: int = 0) -> Tensor:
    """Return the rotated signs [C, K] of a simplex; the first rotation whose classes differ in a quarter of the bits.

    Where none of the rotations tried does, the best of them is returned; whoever needs the distance checks it.
    """
    if num_classes == 1:
        return rotated_signs(torch.ones(1, 1), num_bits, seed)
    corners, best, distance = simplex(num_classes), None, -1
    for number in range(ROTATIONS):
        drawn = rotated_signs(corners, num_bits, seed * ROTATIONS + number)
        found = int((hamming_of_signs(drawn, drawn) + num_bits * torch.eye(num_classes)).min())
        if found > distance:
            best, distance = drawn, found
        if 4 * found >= num_bits:
            break
    assert best is not None
    return best
