"""Hamming distance is a metric, equals the naive count for any K, and packing loses nothing."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from deephash.codes import BinaryCodes, distance_blocks, hamming_distance, words

lengths = st.integers(1, 150)


@st.composite
def bit_tables(draw, tables=2):
    width = draw(lengths)
    return [draw(arrays(np.uint8, (draw(st.integers(1, 9)), width), elements=st.integers(0, 1))) for _ in range(tables)]


@given(bit_tables())
def test_distance_equals_the_naive_count(tables):
    left, right = tables
    naive = (left[:, None] != right[None]).sum(-1)
    np.testing.assert_array_equal(hamming_distance(*map(BinaryCodes.from_bits, tables)), naive)


@given(bit_tables(tables=3))
def test_distance_is_a_metric(tables):
    a, b, c = map(BinaryCodes.from_bits, tables)
    ab, bc, ac = a.hamming(b), b.hamming(c), a.hamming(c)
    assert (a.hamming(a).diagonal() == 0).all()
    np.testing.assert_array_equal(ab, b.hamming(a).T)
    assert (ac[:, None, :] <= ab[:, :, None] + bc[None]).all()


@given(bit_tables(tables=1))
def test_packing_loses_nothing(tables):
    codes = BinaryCodes.from_bits(tables[0])
    np.testing.assert_array_equal(codes.bits(), tables[0])
    assert BinaryCodes.from_hex(codes.hex(), codes.num_bits) == codes


@settings(max_examples=20)
@given(st.integers(1, 40), st.integers(1, 40), st.integers(1, 7))
def test_blocks_cover_every_pair_once(queries, items, query_block):
    seen = np.zeros((queries, items), int)
    left = BinaryCodes.from_bits(np.zeros((queries, 9), int))
    right = BinaryCodes.from_bits(np.ones((items, 9), int))
    original, words.BLOCK_BYTES = words.BLOCK_BYTES, 64
    try:
        for rows, columns, block in distance_blocks(left, right, query_block=query_block):
            seen[rows, columns] += 1
            assert (block == 9).all()
    finally:
        words.BLOCK_BYTES = original
    assert (seen == 1).all()
