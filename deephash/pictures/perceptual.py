"""Perceptual hashes: pHash, dHash and aHash, bit for bit those of the ImageHash library.

They need no weights and no fitting. Bits, row by row, are those of ``imagehash.phash``, ``dhash`` and
``average_hash``, so that codes of both programs can be compared; pictures are upright and opaque here, where ImageHash
takes them as they lie in the file.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

SIDE = 8  # 64 bits, as everywhere
Grey = NDArray[np.uint8]
Bits = NDArray[np.bool_]


class Kind(NamedTuple):
    """One hash: the size [width, height] to which a picture of so many bits a side is brought, and bits from that."""

    size: Callable[[int], tuple[int, int]]
    bits: Callable[[Grey], Bits]


def perceptual_hash(picture: Image.Image, side: int = SIDE) -> Bits:
    """Return the ``side`` x ``side`` bits of pHash of a picture, as one row."""
    return KINDS["phash"].bits(miniature(picture, "phash", side))


def miniature(picture: Image.Image, kind: str, side: int = SIDE) -> Grey:
    """Return the grey values from which the bits of ``kind`` are made, uint8 [height, width]."""
    return np.asarray(picture.convert("L").resize(KINDS[kind].size(side), Image.Resampling.LANCZOS))


def _phash(grey: Grey) -> Bits:
    """Which low frequencies of the cosine transform lie above their median."""
    from scipy.fft import dct

    side = len(grey) // 4
    low = dct(dct(grey.astype(np.float64), axis=0), axis=1)[:side, :side]
    return np.asarray(low > np.median(low)).ravel()


def _dhash(grey: Grey) -> Bits:
    """Which pixels are brighter than their left neighbours."""
    return np.asarray(grey[:, 1:] > grey[:, :-1]).ravel()


def _ahash(grey: Grey) -> Bits:
    """Which pixels are brighter than the mean."""
    return np.asarray(grey > grey.mean()).ravel()


KINDS = {
    "phash": Kind(lambda side: (4 * side, 4 * side), _phash),
    "dhash": Kind(lambda side: (side + 1, side), _dhash),
    "ahash": Kind(lambda side: (side, side), _ahash),
}
