"""Retrieval under attack: t-mAP, mAP drop and attack success by the tie-aware metric, and how visible the attack is.

The attacked codes must come from pictures that were clipped, rounded to 8 bits, saved and read again; that is the
business of the attack, here codes are codes. Compare the pictures that were read again, too.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import ArrayLike, NDArray

from deephash.errors import UsageError
from deephash.evaluation.engine import Codes, average_precisions
from deephash.evaluation.groups import FloatArray
from deephash.evaluation.ranking import Normalize
from deephash.evaluation.relevance import relevance_from_labels

WINDOW, SIGMA = 11, 1.5  # of SSIM, as its authors and the libraries have them
STEADY_MEAN, STEADY_SPREAD = 0.01**2, 0.03**2  # C1 and C2 of SSIM for pictures in [0, 1]


@dataclass(frozen=True, slots=True, eq=False)
class AttackPrecisions:
    """AP@R of every query, [Q] each; NaN without any relevant item, None without targets.

    Attributes:
        benign: of the clean query, by its own labels.
        attacked: of the attacked query, by its own labels.
        targeted: of the attacked query, by the target labels (t-AP).
        benign_targeted: of the clean query, by the target labels.
    """

    benign: FloatArray
    attacked: FloatArray
    targeted: FloatArray | None = None
    benign_targeted: FloatArray | None = None


def attack_precisions(
    benign_codes: Codes,
    attacked_codes: Codes,
    database_codes: Codes,
    *,
    query_labels: ArrayLike,
    database_labels: ArrayLike,
    target_labels: ArrayLike | None = None,
    top_k: int | None = None,
    normalize: Normalize = "hits",
    ties: str = "expected",
) -> AttackPrecisions:
    """Rank the database by Q queries before and after an attack.

    Args:
        benign_codes: codes of the clean queries.
        attacked_codes: codes of the same queries after the attack, in the same order.
        database_codes: N codes.
        query_labels: the queries' own labels.
        database_labels: labels of the database.
        target_labels: the label(s) each attack aims at; leave out for an untargeted attack.
        top_k: R of mAP@R, as ``normalize`` and ``ties`` a matter of the protocol.
        normalize: see ``mean_average_precision``.
        ties: see ``mean_average_precision``.
    """

    def precisions(codes: Codes, labels: ArrayLike) -> FloatArray:
        relevance = relevance_from_labels(labels, database_labels)
        options = {"top_k": top_k, "normalize": normalize, "ties": ties}
        return average_precisions(codes, database_codes, relevance, **options)[:, 0]  # type: ignore[arg-type]

    benign, attacked = precisions(benign_codes, query_labels), precisions(attacked_codes, query_labels)
    if target_labels is None:
        return AttackPrecisions(benign, attacked)
    aimed = precisions(attacked_codes, target_labels), precisions(benign_codes, target_labels)
    return AttackPrecisions(benign, attacked, *aimed)


def share_label(labels: NDArray[Any], targets: NDArray[Any]) -> NDArray[np.bool_]:
    """Return whether each query shares a label with its target, [Q]; none should."""
    shared = (labels == targets) & (labels >= 0) if labels.ndim == 1 else ((labels > 0) & (targets > 0)).any(axis=1)
    return np.asarray(shared)


# How visible ------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, eq=False)
class Perceptibility:
    """How much N pictures were changed, one number a picture; pictures in [0, 1].

    Attributes:
        linf: the largest change of any value, [N].
        l2: Euclidean norm of the change, [N]; grows with the size of the picture.
        rmse: root of the mean squared change, [N]; what ProS-GAN prints.
        psnr: peak signal-to-noise ratio in dB, 20 log10(1 / rmse), [N]; inf for an unchanged picture.
        ssim: structural similarity, [N]; 1 for an unchanged picture.
    """

    linf: FloatArray
    l2: FloatArray
    rmse: FloatArray
    psnr: FloatArray
    ssim: FloatArray


def perceptibility(clean: ArrayLike, attacked: ArrayLike) -> Perceptibility:
    """Measure how visible an attack is.

    Args:
        clean: pictures in [0, 1], [N, H, W] or [N, H, W, C], at least 11 x 11.
        attacked: the same pictures after the attack.

    Raises:
        UsageError: shapes that differ or are too small, NaN, whole numbers, or values outside [0, 1].
    """
    before, after = _pictures(clean, "clean"), _pictures(attacked, "attacked")
    if before.shape != after.shape:
        raise UsageError(f"clean pictures {list(before.shape)} and attacked ones {list(after.shape)} differ in shape")
    change = np.reshape(after - before, (len(before), -1))
    rmse = np.sqrt(np.mean(change**2, axis=1))
    with np.errstate(divide="ignore"):  # an unchanged picture has an infinite ratio
        psnr = -20 * np.log10(rmse)
    return Perceptibility(
        linf=np.abs(change).max(axis=1),
        l2=np.linalg.norm(change, axis=1),
        rmse=rmse,
        psnr=psnr,
        ssim=np.array([structural_similarity(*pair) for pair in zip(before, after, strict=True)], dtype=np.float64),
    )


def structural_similarity(first: ArrayLike, second: ArrayLike) -> float:
    """SSIM of two pictures [H, W] or [H, W, C] in [0, 1], the mean over channels and windows.

    Wang, Bovik, Sheikh and Simoncelli (IEEE TIP 2004): Gaussian window of 11 x 11 with sigma 1.5, weighted (not sample)
    variances, only windows that lie inside the picture. torchmetrics also averages windows over reflected borders, so
    its mean differs (by 0.004 on noise of 14 x 17); its map inside is this one.

    Raises:
        UsageError: as ``perceptibility``.
    """
    (x,), (y,) = _pictures(np.asarray(first)[None], "first"), _pictures(np.asarray(second)[None], "second")
    if x.shape != y.shape:
        raise UsageError(f"pictures {list(x.shape)} and {list(y.shape)} differ in shape")
    mean_x, mean_y = _smoothed(x), _smoothed(y)
    spread_x, spread_y = _smoothed(x * x) - mean_x**2, _smoothed(y * y) - mean_y**2
    shared = _smoothed(x * y) - mean_x * mean_y
    light = (2 * mean_x * mean_y + STEADY_MEAN) / (mean_x**2 + mean_y**2 + STEADY_MEAN)
    structure = (2 * shared + STEADY_SPREAD) / (spread_x + spread_y + STEADY_SPREAD)
    return float((light * structure).mean())


def _pictures(values: ArrayLike, side: str) -> FloatArray:
    array = np.asarray(values)
    if array.ndim not in (3, 4) or 0 in array.shape or min(array.shape[1:3]) < WINDOW:
        raise UsageError(
            f"{side} pictures have shape [N, H, W] or [N, H, W, C], H and W from {WINDOW}, not {list(array.shape)}"
        )
    if array.dtype.kind != "f" or not ((array >= 0) & (array <= 1)).all():
        raise UsageError(
            f"{side} pictures hold real values in [0, 1]; divide 8-bit ones by 255 (they are {array.dtype})"
        )
    return array.astype(np.float64)


def _smoothed(picture: FloatArray) -> FloatArray:
    """Weighted mean of every window that lies inside, [H - 10, W - 10(, C)]; the window is a product of two rows."""
    offsets = np.arange(WINDOW) - WINDOW // 2
    weights = np.exp(-(offsets**2) / (2 * SIGMA**2))
    weights /= weights.sum()
    for axis in (0, 1):
        picture = sliding_window_view(picture, WINDOW, axis=axis) @ weights
    return picture
