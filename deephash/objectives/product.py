"""Product quantisation inside a network (Poeem), on plain tensors: straight-through codes, rotation, warm start, loss.

Zhang et al., "Joint Learning of Deep Retrieval Model and Product Quantization based Embedding Index", SIGIR 2021 (arXiv
2105.03933). An embedding x is turned, y = x R with R orthogonal, and cut into M parts; each part is replaced by the
nearest of its C centroids. Shapes: x [B, K], R [K, K], centroids [M, C, K / M], codes int64 [B, M].
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from deephash.errors import UsageError
from deephash.objectives.checks import require_finite
from deephash.objectives.signs import sign

LEFT_OUT = -1e9  # of a pair that is no negative
BLOCK = 1 << 14  # rows held against the centroids of one part at a time


def nearest_centroids(turned: Tensor, centroids: Tensor) -> Tensor:
    """Return the number of the nearest centroid of each part, int64 [B, M]; of equally near ones the first."""
    parts, _, wide = centroids.shape
    rows = turned.reshape(len(turned), parts, wide)
    norms = centroids.square().sum(dim=2)
    found = [
        torch.cat([(norms[part] - 2 * some @ centroids[part].T).argmin(dim=1) for some in rows[:, part].split(BLOCK)])
        for part in range(parts)
    ]
    return torch.stack(found, dim=1)


def decoded(codes: Tensor, centroids: Tensor) -> Tensor:
    """Return what codes [B, M] stand for, [B, K], with gradients into the centroids."""
    parts = torch.arange(len(centroids), device=codes.device)
    return centroids[parts, codes].flatten(1)


def quantised_straight_through(rows: Tensor, rotation: Tensor, centroids: Tensor) -> tuple[Tensor, Tensor]:
    """Return the quantised embeddings [B, K] and the distortion, a scalar.

    The value is that of the selected centroids, turned back; the gradient into ``rows`` is that of the identity. The
    distortion, the mean over rows of |quantised - stop(row)|^2, moves centroids and rotation alone.
    """
    quantised = decoded(nearest_centroids(rows.detach() @ rotation.detach(), centroids), centroids) @ rotation.T
    distortion = (quantised - rows.detach()).square().sum(dim=1).mean()
    return rows + (quantised - rows).detach(), distortion


def asymmetric_contrast(
    queries: Tensor, items: Tensor, belongs: Tensor | None = None, *, scale: float = 30.0
) -> Tensor:
    """Return the softmax cross-entropy of float queries against quantised items, the other items being negatives.

    Args:
        queries: [B, K].
        items: [B, K], row i belongs to query i.
        belongs: bool [B, B], which items are no negatives of which queries; None takes the pair itself alone.
        scale: multiplies the inner products.
    """
    if len(queries) < 2 or queries.shape != items.shape:
        raise UsageError(
            f"pairs are two tables [B, K] with B of at least 2, not {list(queries.shape)} {list(items.shape)}"
        )
    own = torch.eye(len(queries), dtype=torch.bool, device=queries.device)
    logits = scale * queries @ items.T
    if belongs is not None:
        logits = logits.masked_fill(belongs & ~own, LEFT_OUT)
    return cross_entropy(logits, torch.arange(len(logits), device=logits.device))


# Warm start ----------------------------------------------------------------------------------------


def nearest_rotation(matrix: Tensor) -> Tensor:
    """Return the orthogonal matrix nearest to ``matrix`` [K, K]: U V^T of its singular value decomposition."""
    left, _, right = torch.linalg.svd(matrix)
    nearest: Tensor = left @ right
    return nearest


def fitted_codebooks(
    rows: Tensor, parts: int, count: int, *, rounds: int = 20, start: Tensor | None = None, seed: int = 0
) -> Tensor:
    """Return centroids [M, C, K / M] by k-means in each part of ``rows`` [N, K].

    Args:
        rows: embeddings.
        parts: M; divides K.
        count: C.
        rounds: of Lloyd's algorithm.
        start: first centroids; None draws rows.
        seed: of what is drawn. A centroid that lost all rows begins again at a row drawn.

    Raises:
        UsageError: rows that hold NaN, fewer rows than centroids, or K that M does not divide.
    """
    require_finite(rows, "embeddings")
    wide = require_parts(rows.shape[1], parts)
    if len(rows) < count:
        raise UsageError(f"{count} centroids a part need at least {count} rows, not {len(rows)}; take fewer centroids")
    generator = torch.Generator().manual_seed(seed)
    cut = rows.reshape(len(rows), parts, wide)
    centroids = cut[_drawn(len(rows), count, generator, rows)].transpose(0, 1).clone() if start is None else start
    for _ in range(rounds):
        numbers = nearest_centroids(rows, centroids)
        fresh = []
        for part in range(parts):
            sums = torch.zeros_like(centroids[part]).index_add_(0, numbers[:, part], cut[:, part])
            sizes = torch.bincount(numbers[:, part], minlength=count)[:, None]
            again = cut[_drawn(len(rows), count, generator, rows), part]
            fresh.append(torch.where(sizes > 0, sums / sizes.clamp(min=1), again))
        centroids = torch.stack(fresh)
    return centroids


def fitted_rotation_and_codebooks(
    rows: Tensor, parts: int, count: int, *, alternations: int = 20, rounds: int = 4, seed: int = 0
) -> tuple[Tensor, Tensor]:
    """Return R [K, K] and centroids by turns of k-means and Procrustes: R = U V^T of the svd of X^T X_quantised.

    They begin at principal axes, dealt to the parts there and back, so that no part has all of the variance. Arguments
    and errors as of :func:`fitted_codebooks`; ``rounds`` of k-means in each of ``alternations``.
    """
    require_finite(rows, "embeddings")
    rotation = dealt_axes(rows, parts)
    centroids = fitted_codebooks(rows @ rotation, parts, count, rounds=rounds, seed=seed)
    for _ in range(alternations):
        quantised = decoded(nearest_centroids(rows @ rotation, centroids), centroids)
        rotation = nearest_rotation(rows.T @ quantised)
        centroids = fitted_codebooks(rows @ rotation, parts, count, rounds=rounds, start=centroids, seed=seed)
    return rotation, centroids


def dealt_axes(rows: Tensor, parts: int) -> Tensor:
    """Return principal axes of ``rows`` [N, K] as columns [K, K], dealt to ``parts`` there and back: 0 1 2, 2 1 0."""
    wide = require_parts(rows.shape[1], parts)
    centred = rows - rows.mean(dim=0)
    _, axes = torch.linalg.eigh(centred.T @ centred)
    turns = torch.arange(rows.shape[1]).reshape(wide, parts)  # each row is dealt once around
    turns[1::2] = turns[1::2].flip(1)
    dealt: Tensor = axes.flip(1)[:, turns.T.flatten()]
    return dealt


def turned_for_signs(
    rows: Tensor, rotation: Tensor, centroids: Tensor, *, rounds: int = 20, seed: int = 0
) -> tuple[Tensor, Tensor]:
    """Turn each part within itself so that signs of ``rows`` R lose little, as ITQ does; returns R and centroids.

    No product code changes by that, and no distortion: distances within a part stay.
    """
    generator, wide = torch.Generator().manual_seed(seed), centroids.shape[2]
    turns = []
    for part in (rows @ rotation).split(wide, dim=1):
        turn = nearest_rotation(torch.randn(wide, wide, generator=generator).to(rows))
        for _ in range(rounds):
            turn = nearest_rotation(part.T @ sign(part @ turn))
        turns.append(turn)
    return rotation @ torch.block_diag(*turns), centroids @ torch.stack(turns)


def require_parts(width: int, parts: int) -> int:
    """Return the width of a part. Raises UsageError unless ``parts`` divides ``width``."""
    if parts < 1 or width % parts:
        fit = [each for each in range(1, width + 1) if width % each == 0]
        near = min(fit, key=lambda each: abs(each - parts))
        raise UsageError(f"{width} dimensions cannot be cut into {parts} equal parts; take parts={near}, for example")
    return width // parts


def _drawn(rows: int, count: int, generator: torch.Generator, like: Tensor) -> Tensor:
    return torch.randperm(rows, generator=generator)[:count].to(like.device)
