"""Bands: codes cut into disjoint groups of bits. With more than d bands, two codes at distance d agree in one of them.

Behind the complete near-duplicate search of ``dedup.py`` and the streaming one of ``bloom.py``.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from deephash.codes import BinaryCodes
from deephash.errors import UsageError

ROWS_AT_ONCE = 1 << 16  # unpacked bits of one block: 64 KB a bit
MIX = np.uint64(0x9E3779B97F4A7C15)  # odd, from the golden ratio: spreads words over 64 bits by multiplication


def band_bounds(num_bits: int, bands: int) -> list[tuple[int, int]]:
    """Return ``bands`` contiguous ranges of bits whose widths differ by at most one.

    Raises:
        UsageError: more bands than bits.
    """
    if not 1 <= bands <= num_bits:
        raise UsageError(f"{num_bits} bits can be cut into 1..{num_bits} bands, not {bands}")
    edges = [num_bits * band // bands for band in range(bands + 1)]
    return list(pairwise(edges))


def band_keys(codes: BinaryCodes, bounds: list[tuple[int, int]]) -> NDArray[np.uint64]:
    """Return uint64 [bands, N]: the bits of each band as a number.

    Bands of up to 64 bits are exact; wider ones are mixed from several words, order-sensitively, so that equal bands
    give equal keys and unequal ones almost always unequal keys (callers verify by distance).
    """
    keys = np.empty((len(bounds), len(codes)), np.uint64)
    for first in range(0, len(codes), ROWS_AT_ONCE):
        rows = slice(first, first + ROWS_AT_ONCE)
        bits = codes[rows].bits().reshape(len(codes[rows]), -1)
        for band, (low, high) in enumerate(bounds):
            keys[band, rows] = _numbers(bits[:, low:high])
    return keys


def _numbers(bits: NDArray[np.bool_]) -> NDArray[np.uint64]:
    words = -(-bits.shape[1] // 64)
    packed = np.zeros((len(bits), 8 * words), np.uint8)
    packed[:, : -(-bits.shape[1] // 8)] = np.packbits(bits, axis=1, bitorder="little")
    parts = packed.view("<u8")
    key = parts[:, 0].astype(np.uint64)
    for word in range(1, words):
        key = (key ^ (key >> np.uint64(32))) * MIX ^ parts[:, word]
    return key


def band_masks(codes: BinaryCodes, bounds: list[tuple[int, int]]) -> NDArray[np.uint64]:
    """Return uint64 [bands, W]: which bits of the W words of a code belong to each band."""
    width = codes.layout.total_bits
    bits = np.zeros((len(bounds), width), bool)
    for band, (low, high) in enumerate(bounds):
        bits[band, low:high] = True
    shaped = bits.reshape(len(bounds), codes.num_levels, codes.num_bits)
    masks = BinaryCodes(np.packbits(shaped, axis=-1).reshape(len(bounds), -1), codes.num_bits, codes.num_levels)
    return np.ascontiguousarray(as_planes(masks).T)


def as_planes(codes: BinaryCodes) -> NDArray[np.uint64]:
    """Return the codes as uint64 [W, N], one word column after another; without a copy for codes of 64 bits."""
    width = codes.packed.shape[1]
    words = -(-width // 8)
    if width == 8:
        return codes.packed.view(np.uint64).reshape(1, -1)
    padded = np.zeros((len(codes), 8 * words), np.uint8)
    padded[:, :width] = codes.packed
    return np.ascontiguousarray(padded.view(np.uint64).T)
