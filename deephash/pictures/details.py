"""A second, finer look at two pictures whose miniatures agree: things of one shape on one ground agree as well.

Two caps on white share an outline, and an outline of high contrast is nearly all that a correlation sees. So 64 x 64
pixels are taken without their surroundings and divided by their local contrast: then an outline counts no more than
what is printed on the cap, outlines a pixel apart disagree all along, and ground that is flat in both pictures counts
nothing. The worst blocks, up to a tenth of all details, are passed over: a stamp may lie there. Copies keep their
details if the trims are fine enough: in steps of 1.25 %, both by shares and by equal margins, which frames have.
Measured in docs/results/dedup.md.

Pictures with hardly any pixels more than a miniature have no details; their miniatures decide alone.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image

TRIMS = tuple(0.0125 * step for step in range(7))  # cut off at each edge, as a share of the side
SIDE = 64
LEAST_SIDE = 48  # of a picture, in pixels
SURROUNDINGS, CONTRAST = 2.0, 3.0  # standard deviations in pixels of what is taken off, and of what is divided by
NOISE = 3.0  # grey levels of contrast that mean nothing, such as those of a JPEG
STEPS = 32.0  # of the stored numbers, per local contrast
BLOCK = 8
SPOILT = 0.1  # share of the details that may be another's; more of them lets products on one ground pass
Details = NDArray[np.int8]


def details(picture: Image.Image) -> Details:
    """Return the details int8 [13, 64, 64] of the whole picture and of twelve trims; zeros where it is too small."""
    from scipy.ndimage import gaussian_filter

    grey, (width, height) = picture.convert("L"), picture.size
    edges = [(width * trim, height * trim) for trim in TRIMS] + [(min(width, height) * trim,) * 2 for trim in TRIMS[1:]]
    if min(width, height) < LEAST_SIDE:
        return np.zeros((len(edges), SIDE, SIDE), np.int8)
    boxes = [(across, down, width - across, height - down) for across, down in edges]
    seen = np.stack([np.asarray(grey.resize((SIDE, SIDE), Image.Resampling.BILINEAR, box)) for box in boxes])
    spots = seen - gaussian_filter(seen.astype(np.float32), (0, SURROUNDINGS, SURROUNDINGS), mode="nearest")
    contrast = np.sqrt(gaussian_filter(np.square(spots), (0, CONTRAST, CONTRAST), mode="nearest"))
    found: Details = np.clip(np.rint(STEPS * spots / (contrast + NOISE)), -127, 127).astype(np.int8)
    return found


def likeness_of_details(first: Details, second: Details) -> NDArray[np.float64]:
    """Return how alike pairs are, [P] in -1..1, from their :func:`details` [P, 13, 64, 64]; 1 where one has none."""
    one, other = _blocks(first), _blocks(second)
    best = np.maximum(_correlation(one[:, :1], other).max(axis=1), _correlation(other[:, :1], one).max(axis=1))
    both = first.any(axis=(1, 2, 3)) & second.any(axis=(1, 2, 3))
    return np.where(both, best, 1.0)


def _blocks(pictures: Details) -> NDArray[np.float32]:
    """Return blocks [P, 13, 64, 64]: the last axis are the pixels of one."""
    count, trims = pictures.shape[:2]
    parts = pictures.reshape(count, trims, SIDE // BLOCK, BLOCK, SIDE // BLOCK, BLOCK).swapaxes(3, 4)
    return parts.reshape(count, trims, -1, BLOCK * BLOCK).astype(np.float32)


def _correlation(whole: NDArray[np.float32], trims: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return correlations [P, T] over all blocks but the worst that hold a tenth of the details."""
    products = (whole[..., None, :] @ trims[..., None])[..., 0, 0].astype(np.float64)
    energies = np.stack(np.broadcast_arrays(np.square(whole).sum(axis=3), np.square(trims).sum(axis=3)))
    both = energies.sum(axis=0)
    worst_first = np.argsort(products / np.maximum(both, 1e-6), axis=2)
    passed = np.cumsum(np.take_along_axis(both, worst_first, axis=2), axis=2) <= SPOILT * both.sum(axis=2)[..., None]
    kept = np.ones_like(passed)
    np.put_along_axis(kept, worst_first, ~passed, axis=2)
    norms = np.sqrt((energies * kept).sum(axis=3).prod(axis=0, dtype=np.float64))
    return np.asarray((products * kept).sum(axis=2) / np.maximum(norms, 1e-6))
