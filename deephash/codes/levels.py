"""Codes of several levels as numbers (BEBR): what their bits stand for, inner products, norms, symmetric scores.

Shen et al., "Binary Embedding-based Retrieval at Tencent", KDD 2023 (arXiv 2302.08714). A dimension's value is
sum_t 2^-t p_t over the L planes p_t in {-1, +1}: 2^L evenly spaced levels. With c the unsigned number whose bits are
the planes, first plane first, and M = 2^L - 1, that is (2c - M) / 2^(L-1). Everything here counts in units of
2^-(L-1), so that values (2c - M), inner products and squared norms are whole numbers, and equal scores are equal.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from deephash.codes.binary import BinaryCodes
from deephash.codes.layout import CodeLayout
from deephash.errors import UsageError

MOST_LEVELS = 8  # of what is counted in whole numbers; no paper has more than 4
BLOCK = 1 << 14  # codes unpacked at a time


def level_numbers(codes: BinaryCodes) -> NDArray[np.int16]:
    """Return 2c - M of each dimension, int16 [N, K]: odd numbers from -M to M, the value in units of 2^-(L-1)."""
    layout = checked_levels(codes.layout)
    planes = codes.bits().reshape(len(codes), layout.num_levels, layout.num_bits)
    weights = (1 << np.arange(layout.num_levels)[::-1]).astype(np.int16)
    unsigned = np.einsum("nlk,l->nk", planes.astype(np.int16), weights)
    return np.asarray(2 * unsigned - np.int16((1 << layout.num_levels) - 1))


def level_values(codes: BinaryCodes) -> NDArray[np.float32]:
    """Return sum_t 2^-t p_t of each dimension, float32 [N, K]; for one level -1 and +1."""
    return np.asarray(level_numbers(codes) / np.float32(1 << (codes.num_levels - 1)), np.float32)


def codes_from_numbers(numbers: NDArray[np.integer], num_levels: int) -> BinaryCodes:
    """Return the codes whose :func:`level_numbers` are ``numbers`` [N, K]. Raises UsageError for others."""
    highest = (1 << num_levels) - 1
    if ((numbers & 1) == 0).any() or (np.abs(numbers) > highest).any():
        raise UsageError(f"numbers of {num_levels} levels are odd and between -{highest} and {highest}")
    unsigned = (numbers.astype(np.int64) + highest) >> 1
    planes = (unsigned[:, None, :] >> np.arange(num_levels)[::-1][None, :, None]) & 1
    return BinaryCodes.from_bits(planes if num_levels > 1 else planes[:, 0])


def squared_norms(codes: BinaryCodes) -> NDArray[np.int64]:
    """Return the squared norms in units of 4^-(L-1), int64 [N]; never 0, and K of one level."""
    found = np.empty(len(codes), np.int64)
    for first in range(0, len(codes), BLOCK):
        numbers = level_numbers(codes[first : first + BLOCK]).astype(np.int64)
        found[first : first + BLOCK] = np.einsum("nk,nk->n", numbers, numbers)
    return found


def inner_products(queries: BinaryCodes, database: BinaryCodes) -> NDArray[np.int64]:
    """Return the inner products in units of 4^-(L-1), int64 [Q, N], exactly: whole numbers multiplied in float64."""
    queries.layout.require_same(database.layout)
    left = level_numbers(queries).astype(np.float64)
    found = np.empty((len(queries), len(database)), np.int64)
    for first in range(0, len(database), BLOCK):
        columns = slice(first, first + BLOCK)
        found[:, columns] = left @ level_numbers(database[columns]).astype(np.float64).T
    return found


def symmetric_scores(queries: BinaryCodes, database: BinaryCodes) -> NDArray[np.float32]:
    """Return the cosines of what codes stand for, float32 [Q, N]: the symmetric distance's score, larger is nearer.

    Scores are rounded once, from whole numbers, so two items whose codes say the same have the same score everywhere.
    """
    products = inner_products(queries, database).astype(np.float64)
    return np.asarray(products * inverse_norms(queries)[:, None] * inverse_norms(database), np.float32)


def inverse_norms(codes: BinaryCodes) -> NDArray[np.float64]:
    """Return 1 / norm in units of 2^(L-1), float64 [N]: what an index keeps of each item."""
    return np.asarray(1.0 / np.sqrt(squared_norms(codes).astype(np.float64)))


def checked_levels(layout: CodeLayout) -> CodeLayout:
    """Return a layout that can be counted in whole numbers. Raises UsageError for too many levels."""
    if layout.num_levels > MOST_LEVELS:
        raise UsageError(f"codes of {layout.num_levels} levels are not compared; at most {MOST_LEVELS} are")
    return layout
