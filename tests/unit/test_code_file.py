"""Code files of anybody: every spelling of the same codes is read as the same codes, and doubt is an error."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from deephash.codes import BinaryCodes
from deephash.errors import DataError, UsageError
from deephash.evaluation.arrays import as_labels
from deephash.evaluation.arrays import read_codes as as_codes
from deephash.evaluation.codefile import CodeFile, common_labels, read_code_file

BITS = np.random.default_rng(0).integers(0, 2, (50, 24), dtype=np.uint8)
CODES = BinaryCodes.from_bits(BITS)


@pytest.mark.parametrize(
    "array",
    [
        BITS,
        BITS.astype(bool),
        BITS.astype(np.int64),
        BITS.astype(np.float32),
        BITS.astype(np.int8) * 2 - 1,
        BITS.astype(np.float64) * 2 - 1,
        CODES.packed,
    ],
    ids=["uint8", "bool", "int64", "float32", "signs int8", "signs float", "packed"],
)
def test_every_spelling_is_the_same_codes(array, tmp_path):
    assert as_codes(array) == CODES
    assert as_codes(array, num_bits=24) == CODES
    np.savez(tmp_path / "c.npz", codes=array)
    assert read_code_file(tmp_path / "c.npz").codes == CODES


@given(st.integers(1, 40), st.integers(1, 9), st.integers(0, 2**32 - 1))
def test_with_num_bits_packed_and_unpacked_are_told_apart(num_bits, count, seed):
    bits = np.random.default_rng(seed).integers(0, 2, (count, num_bits), dtype=np.uint8)
    codes = BinaryCodes.from_bits(bits)
    assert as_codes(codes.packed, num_bits=num_bits) == codes
    assert as_codes(bits, num_bits=num_bits) == codes


def test_what_our_own_save_writes_is_read_back(tmp_path):
    codes = BinaryCodes.from_bits(BITS[:, :13])
    codes.save(tmp_path / "c.npz", labels=np.arange(50), uris=[f"{i}.jpg" for i in range(50)], protocol="digits/v1")
    found = read_code_file(tmp_path / "c.npz")
    assert found.codes == codes
    assert found.labels.tolist() == list(range(50))
    assert found.names[3] == "3.jpg"
    assert found.protocol == "digits/v1"


def test_levels_survive(tmp_path):
    codes = BinaryCodes.from_bits(BITS.reshape(50, 2, 12))
    codes.save(tmp_path / "c.npz")
    assert read_code_file(tmp_path / "c.npz").codes == codes


@pytest.mark.parametrize(
    ("array", "num_bits", "message"),
    [
        (np.ones((5, 2), np.uint8), None, "2 bits or 16 packed bits"),
        (BITS * 2.5, None, "real values"),
        (np.where(BITS, 1, 0) - np.eye(50, 24), None, "hold 0 beside -1"),
        (np.full((3, 4), np.nan), None, "3 codes hold NaN"),
        (np.full((3, 4), 7), None, "from 7 to 7"),
        (CODES.packed.astype(np.uint16) + 300, None, "packed uint8"),
        (CODES.packed, 64, "8 columns of packed uint8 or 64"),
        (BITS[0], None, "shape"),
        (np.zeros((3, 0)), None, "shape"),
        (np.array([["a", "b"]]), None, "numbers or booleans"),
        (np.full((4, 1), 255, np.uint8), 3, "padding"),
    ],
)
def test_doubt_is_an_error(array, num_bits, message):
    with pytest.raises(UsageError, match=message):
        as_codes(array, num_bits=num_bits)


def test_one_bit_codes_need_to_say_so():
    with pytest.raises(UsageError, match="num_bits"):
        as_codes(np.array([[0], [1]], np.uint8))
    assert as_codes(np.array([[0], [1]], np.uint8), num_bits=1).bits().tolist() == [[False], [True]]
    assert as_codes(np.array([[0], [128]], np.uint8), num_bits=1).bits().tolist() == [[False], [True]]


@pytest.mark.parametrize(
    ("given_labels", "expected"),
    [
        (np.array([0, 3, -1]), [0, 3, -1]),
        (np.array([[0.0], [3.0]]), [0, 3]),
        (np.array([[0, 1, 1], [0, 0, 0]], bool), [[0, 1, 1], [0, 0, 0]]),
        (np.array(["cat", "dog", ""]), ["cat", "dog", ""]),
    ],
)
def test_labels_in_every_form(given_labels, expected):
    assert as_labels(given_labels).tolist() == expected


@pytest.mark.parametrize(
    "bad", [np.array([0.5]), np.array([np.nan]), np.array([[0, 2]]), np.zeros((1, 2, 3)), np.array([1j]), np.array(3)]
)
def test_labels_that_mean_nothing_are_refused(bad):
    with pytest.raises(UsageError, match="labels"):
        as_labels(bad)


def code_file(labels, source="x.npz", **columns):
    count = 0 if labels is None else len(labels)
    return CodeFile(BinaryCodes.from_bits(np.zeros((count, 8))), labels, source=source, **columns)


def test_class_names_are_numbered_over_both_sides():
    query, database, words = common_labels(code_file(np.array(["dog", ""])), code_file(np.array(["cat", "dog", "emu"])))
    assert words == ("cat", "dog", "emu")
    assert (query.tolist(), database.tolist()) == ([1, -1], [0, 1, 2])


def test_labels_of_different_kinds_are_refused():
    numbers, hot, wide = np.array([1]), np.eye(2, dtype=np.uint8), np.eye(3, dtype=np.uint8)
    with pytest.raises(UsageError, match=r"class numbers in q\.npz, multi-hot in d\.npz"):
        common_labels(code_file(numbers, "q.npz"), code_file(hot, "d.npz"))
    with pytest.raises(UsageError, match="2 and 3 classes"):
        common_labels(code_file(hot), code_file(wide))
    with pytest.raises(UsageError, match=r"q\.npz has no labels"):
        common_labels(code_file(None, "q.npz"), code_file(wide))


def test_columns_of_other_length_are_refused(tmp_path):
    np.savez(tmp_path / "c.npz", codes=BITS, labels=np.arange(49))
    with pytest.raises(UsageError, match="50 codes but 49 labels"):
        read_code_file(tmp_path / "c.npz")


def make_text(path):
    path.write_text("this is no archive")


def make_empty(path):
    path.write_bytes(b"")


def make_truncated(path):
    np.savez(path, codes=np.random.default_rng(0).integers(0, 2, (500, 64)))
    path.write_bytes(path.read_bytes()[:-600])


def make_flipped(path):
    np.savez_compressed(path, codes=np.random.default_rng(0).integers(0, 256, (500, 64), dtype=np.uint8))
    raw = bytearray(path.read_bytes())
    raw[200:260] = bytes(60)
    path.write_bytes(bytes(raw))


def make_pickle(path):
    np.savez(path, codes=np.array([{"a": 1}], dtype=object))


def make_single(path):
    with path.open("wb") as file:
        np.save(file, BITS)


def make_without_codes(path):
    np.savez(path, hashes=BITS)


MAKERS = [make_text, make_empty, make_truncated, make_flipped, make_pickle, make_single, make_without_codes]


@pytest.mark.parametrize("maker", MAKERS)
def test_damaged_files_are_named(maker, tmp_path):
    maker(tmp_path / "bad.npz")
    with pytest.raises(DataError, match=r"bad\.npz"):
        read_code_file(tmp_path / "bad.npz")


def test_missing_files_and_folders_are_named(tmp_path):
    with pytest.raises(DataError, match="no such file"):
        read_code_file(tmp_path / "none.npz")
    with pytest.raises(DataError, match="folder"):
        read_code_file(tmp_path)


@pytest.mark.parametrize(
    "columns", [{"num_bits": 0}, {"num_bits": [8, 8]}, {"num_bits": 2.5}, {"features": np.full((50, 2), np.inf)}]
)
def test_senseless_extras_are_refused(columns, tmp_path):
    np.savez(tmp_path / "c.npz", codes=BITS, **columns)
    with pytest.raises(UsageError):
        read_code_file(tmp_path / "c.npz")
