"""Files that cannot be read are remembered, and looked at anew when there is a reason to."""

from __future__ import annotations

import csv
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from deephash.collection import Collection
from deephash.errors import UnreadablePicture, UsageError
from deephash.ingest import IngestReport, encoder, index_folder, refusals
from tests.e2e.collection_child import tiny_model


@pytest.fixture(scope="module")
def model():
    return tiny_model()


def draw(file: Path, seed: int) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (8, 8, 3), np.uint8)
    Image.fromarray(pixels).save(file)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    draw(tmp_path / "p" / "a" / "good.png", 0)
    draw(tmp_path / "p" / "b" / "good.png", 1)
    (tmp_path / "p" / "a" / "bad.png").write_text("no picture")
    (tmp_path / "p" / "note.txt").write_text("no picture by its name")
    return tmp_path / "p"


@pytest.fixture
def out(folder: Path, model, tmp_path: Path) -> Path:
    assert named(index_folder(folder, tmp_path / "x.dh", model)) == ["a/bad.png", "note.txt"]
    return tmp_path / "x.dh"


@pytest.fixture
def tried(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """The contents that were decoded from now on."""
    seen: list[bytes] = []
    read = encoder.read_picture

    def spy(data, **options):
        seen.append(data)
        return read(data, **options)

    monkeypatch.setattr(encoder, "read_picture", spy)
    return seen


def named(report: IngestReport) -> list[str]:
    return sorted(path for path, _ in report.skipped)


def test_a_bad_file_is_not_tried_again_but_still_told(folder, out, tried):
    report = index_folder(folder, out)
    assert (named(report), report.unchanged, tried) == (["a/bad.png", "note.txt"], 2, [])
    reasons = dict(report.skipped)
    assert reasons["a/bad.png"] == "not a picture in a known format"


def test_nothing_new_opens_no_model(folder, out, monkeypatch):
    def never(*_, **__):
        raise AssertionError("a model was opened")

    monkeypatch.setattr("deephash.ingest.creating.open_encoder", never)
    assert index_folder(folder, out).encoded == 0
    own = Collection.open(out).model_path
    assert index_folder(folder, out, own).encoded == 0
    with pytest.raises(UsageError, match="was encoded in fp32"):
        index_folder(folder, out, precision="bf16")
    draw(folder / "new.png", 5)
    with pytest.raises(AssertionError, match="a model was opened"):
        index_folder(folder, out)


def test_a_file_that_changed_is_looked_at_anew(folder, out, tried):
    (folder / "a" / "bad.png").write_text("no picture either")
    assert index_folder(folder, out).added == 0
    assert tried == [b"no picture either"]
    draw(folder / "a" / "bad.png", 9)
    report = index_folder(folder, out)
    assert (report.added, named(report)) == (1, ["note.txt"])


def test_touching_a_file_is_reason_enough(folder, out, tried):
    os.utime(folder / "a" / "bad.png", (1, 1))
    index_folder(folder, out)
    assert len(tried) == 1


def test_another_reader_looks_anew(folder, out, tried, monkeypatch):
    monkeypatch.setattr(refusals, "_PILLOW", "99")
    index_folder(folder, out)
    assert tried == [b"no picture"]


def test_an_update_of_one_folder_forgets_no_other(folder, out, tried):
    report = index_folder(folder / "b", out)
    assert named(report) == []
    assert index_folder(folder, out).unchanged == 2
    assert tried == []


def test_what_passes_by_itself_is_tried_again(folder, out, model, monkeypatch):
    (folder / "a" / "bad.png").unlink()
    draw(folder / "c.png", 7)

    def full(*_, **__):
        raise MemoryError

    with monkeypatch.context() as patched:
        patched.setattr(encoder, "read_picture", full)
        assert "c.png" in named(index_folder(folder, out, model))
    assert index_folder(folder, out, model).added == 1


def test_a_picture_that_broke_keeps_its_row_and_is_remembered(folder, out, model, tried):
    (folder / "b" / "good.png").write_text("broken")
    assert "b/good.png" in named(index_folder(folder, out, model))
    assert tried == [b"broken"]
    assert "b/good.png" in named(index_folder(folder, out, model))
    assert tried == [b"broken"]
    assert len(Collection.open(out)) == 2


def test_a_list_that_nobody_can_read_costs_one_look(folder, out, tried):
    for content in (b"path,reason\na/bad.png,old\n", b"\xff\x00,\n", b""):
        (out / "skipped.csv").write_bytes(content)
        tried.clear()
        assert named(index_folder(folder, out)) == ["a/bad.png", "note.txt"]
        assert tried == [b"no picture"]
    with (out / "skipped.csv").open(newline="") as file:
        rows = {row["path"]: row for row in csv.DictReader(file)}
    assert rows["a/bad.png"]["size"] == "10"
    assert rows["note.txt"]["read_by"] == ""


def test_the_reason_is_the_one_that_was_given(folder, out, model, monkeypatch):
    def strange(*_, **__):
        raise UnreadablePicture('these bytes: bent, "twice"')

    (folder / "a" / "bad.png").write_text("other")
    with monkeypatch.context() as patched:
        patched.setattr(encoder, "read_picture", strange)
        index_folder(folder, out, model)
    assert dict(index_folder(folder, out, model).skipped)["a/bad.png"] == 'bent, "twice"'
