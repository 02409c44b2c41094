"""What killed writers leave in a collection is gone after the next write, and nothing else is."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from deephash.codes import BinaryCodes
from deephash.collection import Collection
from deephash.collection.card import replace_file
from deephash.collection.leftovers import sweep_leftovers


@pytest.fixture
def gone() -> int:
    """Return the number of a process that has ended."""
    child = subprocess.Popen([sys.executable, "-c", ""])
    child.wait()
    return child.pid


@pytest.fixture
def collection(tmp_path: Path) -> Collection:
    made = Collection.create(tmp_path / "x.dh", num_bits=8)
    made.append(uris=["a.png"], codes=BinaryCodes(np.zeros((1, 1), np.uint8), 8))
    return made


def leave(path: Path, age: float = 0.0) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"half of it")
    os.utime(path, (time.time() - age,) * 2)
    return path


def test_the_next_write_sweeps_them(collection: Collection, gone: int) -> None:
    left = [leave(collection.path / f".{name}.{gone}") for name in ("collection.json", "next_id", "skipped.csv")]
    left.append(leave(collection.path / f".hub_bank_text.npz.{gone}"))
    left.append(leave(collection.path / "models" / f".0123abcd.{gone}" / "model.json").parent)
    left += [leave(collection.path / "rows.lance" / folder / ".tmpX2b9") for folder in ("_transactions", "_versions")]
    left.append(leave(collection.path / "rows.lance/_versions/18446744073709551613.manifest#1"))
    left.append(leave(collection.path / "uploads/.0123456789abcdef", age=7200))
    left.append(leave(collection.path / f".card.{os.getppid()}", age=48 * 3600))  # its number was given away again
    before = collection.version
    collection.note("recall", 1.0)
    assert not [path for path in left if path.exists()]
    opened = Collection.open(collection.path)
    assert opened.version == before
    opened.check()
    assert opened.card.notes == {"recall": 1.0}


def test_nothing_of_a_living_writer_is_taken(collection: Collection) -> None:
    living = [
        leave(collection.path / f".skipped.csv.{os.getppid()}"),
        leave(collection.path / "uploads/.0123456789abcdef"),
        leave(collection.path / "uploads/picture.png", age=1e6),
        leave(collection.path / ".hidden", age=1e6),
        leave(collection.path / "notes.2019", age=1e6),
        leave(collection.path / "models/abcd/weights.123", age=1e6),
    ]
    every = set(collection.path.rglob("*"))
    assert sweep_leftovers(collection.path) == []
    assert set(collection.path.rglob("*")) == every
    assert all(path.exists() for path in living)


def test_reading_sweeps_nothing(collection: Collection, gone: int) -> None:
    left = leave(collection.path / f".collection.json.{gone}")
    Collection.open(collection.path).codes()
    assert left.exists()


def test_a_collection_that_was_never_finished_is_swept_by_the_next_try(tmp_path: Path, gone: int) -> None:
    left = leave(tmp_path / f".x.dh.{gone}" / "rows.lance" / "part").parents[1]
    other = leave(tmp_path / f".y.dh.{gone}" / "part").parent
    Collection.create(tmp_path / "x.dh", num_bits=8)
    assert not left.exists()
    assert other.exists()


def test_a_write_that_fails_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        replace_file(tmp_path / "card", "text")
    assert list(tmp_path.iterdir()) == []
