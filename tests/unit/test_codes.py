"""BinaryCodes: making, looking, storing, refusing."""

import numpy as np
import pytest

from deephash.codes import BinaryCodes
from deephash.errors import DataError, UsageError

BITS = np.array([[1, 0, 1, 1, 0, 0, 0, 1, 1, 0], [0, 0, 0, 0, 0, 0, 0, 0, 0, 1]])


def test_packing_is_big_endian_with_zero_padding():
    codes = BinaryCodes.from_bits(BITS)
    assert codes.packed.tolist() == [[0b10110001, 0b10000000], [0, 0b01000000]]
    assert codes.hex() == ["b180", "0040"]


def test_zero_is_positive_as_in_faiss():
    assert BinaryCodes.from_continuous([[0.0, -0.0, -1e-9, 3.0]]).bits().tolist() == [[True, True, False, True]]


def test_thresholds_may_differ_by_bit():
    assert BinaryCodes.from_continuous([[1.0, 1.0]], threshold=[0.5, 1.5]).bits().tolist() == [[True, False]]


def test_bits_and_signs_come_back():
    codes = BinaryCodes.from_bits(BITS)
    np.testing.assert_array_equal(codes.bits(), BITS)
    assert codes.signs().tolist()[1] == [-1] * 9 + [1]
    assert BinaryCodes.from_signs(codes.signs()) == codes


def test_levels_are_padded_one_by_one():
    bits = np.random.default_rng(0).integers(0, 2, (5, 3, 10))
    codes = BinaryCodes.from_bits(bits)
    assert (codes.num_bits, codes.num_levels, codes.packed.shape) == (10, 3, (5, 6))
    np.testing.assert_array_equal(codes.bits(), bits)


@pytest.mark.parametrize("num_bits", [1, 7, 8, 12, 64, 65])
def test_hex_round_trip(num_bits):
    codes = BinaryCodes.from_bits(np.random.default_rng(1).integers(0, 2, (9, num_bits)))
    assert BinaryCodes.from_hex(codes.hex(), num_bits) == codes


def test_prefix_is_the_first_bits():
    bits = np.random.default_rng(2).integers(0, 2, (4, 32))
    codes = BinaryCodes.from_bits(bits)
    for length in (1, 8, 13, 32):
        np.testing.assert_array_equal(codes.prefix(length).bits(), bits[:, :length])


def test_selecting_rows_keeps_the_type():
    codes = BinaryCodes.from_bits(BITS)
    assert len(codes[1]) == 1
    assert codes[1] == BinaryCodes.from_bits(BITS[1:])
    assert codes[np.array([True, False])] == codes[0]
    assert len(list(codes)) == 2


def test_codes_are_immutable_and_do_not_change_their_source():
    source = np.zeros((2, 2), np.uint8)
    codes = BinaryCodes(source, 16)
    with pytest.raises(ValueError, match="read-only"):
        codes.packed[0, 0] = 1
    source.flags.writeable = True
    assert source.flags.writeable


def test_save_and_load(tmp_path):
    codes = BinaryCodes.from_bits(BITS)
    codes.save(tmp_path / "codes.npz", labels=[3, 4])
    assert BinaryCodes.load(tmp_path / "codes.npz") == codes
    assert np.load(tmp_path / "codes.npz")["labels"].tolist() == [3, 4]


def test_loading_what_is_not_a_code_file(tmp_path):
    path = tmp_path / "x.npz"
    with pytest.raises(DataError, match="no such file"):
        BinaryCodes.load(path)
    for content in (b"", b"PK\x03\x04 broken", b"text"):
        path.write_bytes(content)
        with pytest.raises(DataError, match="not a code file"):
            BinaryCodes.load(path)
    np.save(tmp_path / "y.npy", np.zeros(3))
    with pytest.raises(DataError, match="not a code file"):
        BinaryCodes.load(tmp_path / "y.npy")
    np.savez(path, other=1)
    with pytest.raises(DataError, match="not a code file"):
        BinaryCodes.load(path)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: BinaryCodes.from_bits([[0, 2]]), "bits are 0 or 1"),
        (lambda: BinaryCodes.from_bits([0, 1]), "shape"),
        (lambda: BinaryCodes.from_bits(np.zeros((3, 0))), "shape"),
        (lambda: BinaryCodes.from_signs([[0, 1]]), "signs are -1 or"),
        (lambda: BinaryCodes.from_continuous([[np.nan, 1]]), "1 continuous codes hold NaN"),
        (lambda: BinaryCodes.from_hex(["ab", "abc"]), "one common length"),
        (lambda: BinaryCodes.from_hex(["zz"]), "not hexadecimal"),
        (lambda: BinaryCodes.from_hex([]), "empty list"),
        (lambda: BinaryCodes(np.zeros((2, 2), np.uint8), 20), r"shape \[N, 3\]"),
        (lambda: BinaryCodes(np.zeros((2, 2), np.int8), 16), "uint8"),
        (lambda: BinaryCodes(np.full((2, 2), 255, np.uint8), 12), "padding bits"),
        (lambda: BinaryCodes(np.zeros((2, 0), np.uint8), 0), "num_bits is at least 1"),
        (lambda: BinaryCodes.concatenate([]), "nothing to concatenate"),
        (
            lambda: BinaryCodes.concatenate([BinaryCodes.from_bits([[1]]), BinaryCodes.from_bits([[1, 0]])]),
            "different lengths",
        ),
        (lambda: BinaryCodes.from_bits(BITS).prefix(11), "1..10 bits, not 11"),
        (lambda: BinaryCodes.from_bits(BITS).hamming(BinaryCodes.from_bits([[1]])), "different lengths"),
    ],
)
def test_refusals_name_what_is_wrong(make, message):
    with pytest.raises(UsageError, match=message):
        make()
