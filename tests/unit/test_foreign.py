"""The doors: strict JSON by schemas, arrays by their headers, regular files only."""

import json
import os
import zipfile
from pathlib import Path

import numpy as np
import pytest

import deephash.foreign
from deephash.cli.main import main
from deephash.errors import CollectionDamaged, DataError
from deephash.foreign import Absent, Unfit, read_bytes, read_json, read_npy, read_npz, refused_as, require_schema
from deephash.foreign.network import ALLOW, downloads_allowed


def written(tmp_path, text):
    path = tmp_path / "x.json"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('{"a": NaN}', "NaN is no number"),
        ('{"a": -Infinity}', "-Infinity is no number"),
        ('{"a": 1e999}', "beyond every"),
        ('{"a": 9223372036854775808}', "64 bits"),
        ('{"a": 1' + "0" * 5000 + "}", "64 bits"),
        ('{"a": 1, "a": 2}', "a key twice"),
        ('{"a": ' + "[" * 100_000, "deeper than 32"),
        ('{"a": ' + "[" * 40 + "]" * 40 + "}", "32 levels"),
        ('{"a": "\\ud800"}', "no Unicode"),
        ('{"\\ud800": 1}', "no Unicode"),
        (b'{"a": "\xff"}', "no UTF-8"),
        ("[1]", "a list, not a mapping"),
        ("", "no JSON"),
        ("{}" + " " * 2**20, "longer than 1.05 MB"),
        ('{"a": [' + "0," * 500_000 + "0]}", "500,000 values"),
    ],
)
def test_json_is_strict_and_bounded(text, says, tmp_path):
    path = written(tmp_path, text)
    limit = 2**20 if "longer" in says else 2**23
    with pytest.raises(Unfit, match=says) as caught:
        read_json(path, None, limit=limit)
    assert str(caught.value).startswith(f"{path} cannot be read: ")
    assert "\n" not in str(caught.value)


def test_a_byte_order_mark_is_no_fault(tmp_path):
    assert read_json(written(tmp_path, b'\xef\xbb\xbf{"a": 1}'), None) == {"a": 1}


@pytest.mark.parametrize(
    ("value", "says"),
    [
        (16.0, "says a is 16.0, which is not a whole number"),
        (True, "says a is True, which is not a whole number"),
        ("16", "says a is '16', which is not a whole number"),
        (0, "says a is 0; it can be at least 1"),
        (None, "says a is null, which is not a whole number"),
    ],
)
def test_whole_numbers_are_whole(value, says):
    schema = {"type": "object", "properties": {"a": {"type": "integer", "minimum": 1}}, "required": ["a"]}
    require_schema({"a": 16}, schema, "x")
    with pytest.raises(Unfit, match=says):
        require_schema({"a": value}, schema, "x")
    with pytest.raises(Unfit, match="it lacks a"):
        require_schema({}, schema, "x")


@pytest.mark.posix
@pytest.mark.parametrize("kind", ["fifo", "folder", "device", "loop"])
def test_only_regular_files_are_opened(kind, tmp_path):
    path = tmp_path / "x"
    {
        "fifo": lambda: os.mkfifo(path),
        "folder": path.mkdir,
        "device": lambda: path.symlink_to("/dev/zero"),
        "loop": lambda: path.symlink_to(path.name),
    }[kind]()
    for read in (lambda: read_bytes(path, 10), lambda: read_json(path, None), lambda: read_npz(path)):
        with pytest.raises(Unfit, match="cannot be read"):
            read()


@pytest.mark.posix
def test_a_link_to_a_file_is_one(tmp_path):
    (tmp_path / "a").write_bytes(b"abc")
    (tmp_path / "b").symlink_to("a")
    assert read_bytes(tmp_path / "b", 3) == b"abc"
    with pytest.raises(Unfit, match="longer than 2 bytes"):
        read_bytes(tmp_path / "b", 2)
    with pytest.raises(Absent, match="no such file"):
        read_bytes(tmp_path / "c", 2)


def test_advice_is_the_callers(tmp_path):
    with (
        pytest.raises(CollectionDamaged, match=r"no such file; copy it again$"),
        refused_as(CollectionDamaged, "copy it again"),
    ):
        read_bytes(tmp_path / "c", 2)


@pytest.mark.parametrize("dtype", ["u1", "?", "<i8", ">i4", "<f2", "<f8", "<U3", "S4", "<c8"])
@pytest.mark.parametrize("shape", [(), (0,), (3,), (2, 3), (0, 5)])
@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_good_arrays_come_back(dtype, shape, save, tmp_path):
    array = np.zeros(shape, dtype)
    save(tmp_path / "x.npz", a=array, b=np.asfortranarray(array))
    found = read_npz(tmp_path / "x.npz")
    np.testing.assert_array_equal(found["a"], array)
    np.testing.assert_array_equal(found["b"], array)
    assert found["a"].dtype == array.dtype
    assert list(read_npz(tmp_path / "x.npz", ("b", "c"))) == ["b"]
    np.save(tmp_path / "x.npy", array)
    np.testing.assert_array_equal(read_npy(tmp_path / "x.npy"), array)


def test_what_compresses_well_is_taken_up_to_a_size(tmp_path):
    np.savez_compressed(tmp_path / "x.npz", labels=np.zeros((1000, 10_000), np.uint8))  # 10 MB in 10 kB
    assert read_npz(tmp_path / "x.npz")["labels"].shape == (1000, 10_000)


def test_a_bomb_is_refused_before_it_is_unpacked(tmp_path):
    with (
        zipfile.ZipFile(tmp_path / "x.npz", "w", zipfile.ZIP_DEFLATED) as archive,
        archive.open("a.npy", "w") as member,
    ):
        for _ in range(40):
            member.write(bytes(2**23))
    with pytest.raises(DataError, match="would take 336 MB and is 32"):
        read_npz(tmp_path / "x.npz")


def test_schemas_are_schemas():
    from jsonschema import Draft202012Validator

    import deephash.foreign

    folder = os.path.join(os.path.dirname(deephash.foreign.__file__), "schemas")
    names = sorted(os.listdir(folder))
    kinds = ("certainty", "collection", "expected", "model", "model_versions", "relevance", "report", "reproduce",
             "run", "stream", "vocabulary")  # fmt: skip
    assert names == [f"{kind}.json" for kind in kinds]
    for name in names:
        with open(os.path.join(folder, name), encoding="utf8") as file:
            Draft202012Validator.check_schema(json.load(file))


def test_the_run_of_an_older_version_is_read(tmp_path):
    from deephash.training import RunFolder

    (tmp_path / "run.json").write_text('{"method": "RREH", "best_validation_map": -Infinity}')
    run = RunFolder(tmp_path)
    assert run.facts() == {"method": "RREH", "best_validation_map": None}
    run.update(best_validation_map=float("-inf"), test_scores={"": float("nan")})
    written = json.loads((tmp_path / "run.json").read_text(), parse_constant=pytest.fail)
    assert written == {"method": "RREH", "best_validation_map": None, "test_scores": {"": None}}


def test_the_word_that_allows_downloads_is_spelt_once():
    package = Path(deephash.foreign.__file__).parents[1]
    spelt = [path.name for path in package.rglob("*.py") if f'"{ALLOW}"' in path.read_text()]
    assert spelt == ["network.py"]


def test_allowing_downloads_reaches_those_who_ask(monkeypatch):
    monkeypatch.delenv(ALLOW, raising=False)
    monkeypatch.setattr(os, "environ", dict(os.environ))
    assert not downloads_allowed()
    assert main(["--allow-download", "--version"]) == 0
    assert downloads_allowed()
