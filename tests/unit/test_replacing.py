"""A new file or folder takes the place of an old one; on Windows not while somebody has it open."""

import os

import pytest

from deephash.encoding.weight_files import names_a_file
from deephash.errors import CollectionError
from deephash.foreign import replacing


@pytest.fixture
def windows(monkeypatch):
    """A system that refuses as many times as is said."""
    refusals = []

    def replace(fresh, target):
        if refusals:
            refusals.pop()
            raise PermissionError(13, "Access is denied")
        os.rename(fresh, target)

    monkeypatch.setattr(replacing.os, "replace", replace)
    monkeypatch.setattr(replacing.time, "sleep", lambda seconds: None)
    monkeypatch.setattr(replacing, "_REFUSES", True)
    return refusals


def test_it_waits_until_the_old_one_is_let_go(windows, tmp_path):
    fresh, target = tmp_path / "fresh", tmp_path / "target"
    fresh.write_text("new")
    windows.extend([1, 2, 3])
    replacing.put_in_place(fresh, target)
    assert target.read_text() == "new"


def test_what_stays_open_is_named_and_unharmed(windows, tmp_path):
    fresh, target = tmp_path / "fresh", tmp_path / "target"
    fresh.write_text("new")
    target.write_text("old")
    windows.extend(range(100))
    with pytest.raises(CollectionError, match=r"target is open in another program.*unharmed"):
        replacing.put_in_place(fresh, target, patience=-1)
    assert (fresh.read_text(), target.read_text()) == ("new", "old")


def test_another_system_says_at_once_what_it_is(monkeypatch, tmp_path):
    def refuse(fresh, target):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(replacing.os, "replace", refuse)
    with pytest.raises(PermissionError):
        replacing.put_in_place(tmp_path / "fresh", tmp_path / "target")


@pytest.mark.parametrize("weights", ["a/b.bin", "folder/name", r"C:\weights\resnet", "x.safetensors"])
def test_a_weight_file_is_known_by_either_separator(weights):
    assert names_a_file(weights)
    assert not names_a_file("laion2b_s34b_b79k")
