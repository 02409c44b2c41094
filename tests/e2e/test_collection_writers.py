"""Several processes at one collection; full disks; media that cannot be written."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from deephash.codes import BinaryCodes
from deephash.collection import Collection
from deephash.collection.lock import write_lock
from deephash.errors import CollectionError
from tests.paths import ROOT

WRITER = """
import sys, numpy as np
from deephash.codes import BinaryCodes
from deephash.collection import Collection
collection, name = Collection.open(sys.argv[1]), sys.argv[2]
for turn in range(12):
    uris = [f"{name}-{turn}-{row}" for row in range(5)]
    ids = collection.append(uris=uris, codes=BinaryCodes(np.full((5, 2), turn, np.uint8), 16))
    if turn % 4 == 3:
        collection.remove(ids[:1])
        collection.update(ids[1:2], [{"label": name}])
"""


def test_two_writers_lose_nothing_and_a_reader_never_sees_half(tmp_path: Path) -> None:
    path = tmp_path / "x.dh"
    Collection.create(path, num_bits=16)
    command = [sys.executable, "-c", WRITER, str(path)]
    writers = [subprocess.Popen([*command, name], cwd=ROOT) for name in ("one", "two", "three")]
    seen = set()
    while any(writer.poll() is None for writer in writers):
        reader = Collection.open(path)
        ids, codes = reader.codes()
        turns = [item.uri.rpartition("-")[0] for item in reader.items(ids)]
        assert all(turns.count(turn) in (4, 5) for turn in set(turns))
        assert (codes.packed[:, 0] == [int(turn.split("-")[1]) for turn in turns]).all()
        seen.add(len(ids))
    assert [writer.returncode for writer in writers] == [0, 0, 0]
    final = Collection.open(path)
    final.check()
    assert len(final) == 3 * (12 * 5 - 3)
    assert len(final.matching("label exists")) == 9
    assert len(seen) > 1, "the reader never looked while there was writing"


def test_threads_share_a_collection_for_reading_and_writing(tmp_path: Path) -> None:
    path = tmp_path / "x.dh"
    Collection.create(path, num_bits=8)

    def write(number: int) -> int:
        code = BinaryCodes(np.full((1, 1), number, np.uint8), 8)
        return int(Collection.open(path).append(uris=[str(number)], codes=code)[0])

    with ThreadPoolExecutor(4) as pool:
        ids = list(pool.map(write, range(24)))
    assert sorted(ids) == list(range(24))
    assert len(Collection.open(path)) == 24


def test_a_writer_that_waits_too_long_says_who_it_waits_for(tmp_path: Path) -> None:
    with (
        write_lock(tmp_path / "write.lock"),
        pytest.raises(CollectionError, match="being written by another process"),
        write_lock(tmp_path / "write.lock", patience=0.1),
    ):
        pytest.fail("two writers hold the lock")


@pytest.fixture
def mounted(tmp_path: Path) -> Iterator[Path]:
    """A file system of 2 MB; needs the right to mount."""
    folder = tmp_path / "small"
    folder.mkdir()
    mount = shutil.which("mount")
    command = [str(mount), "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(folder)]
    if mount is None or subprocess.run(command, capture_output=True).returncode:
        pytest.skip("this process may not mount a tmpfs")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def test_a_full_disk_costs_only_the_write_that_met_it(mounted: Path) -> None:
    collection = Collection.create(mounted / "x.dh", num_bits=64)
    rng, kept = np.random.default_rng(0), 0
    message = ""
    while not message:
        codes = BinaryCodes(rng.integers(0, 256, (2000, 8), dtype=np.uint8), 64)
        try:
            collection.append(uris=[f"{kept}-{rng.integers(1 << 60)}-{row}" for row in range(2000)], codes=codes)
            kept += 2000
        except (CollectionError, OSError) as error:
            message = str(error)
    assert "disk is full" in message or "No space left" in message
    assert kept >= 2000
    again = Collection.open(mounted / "x.dh")
    again.check()
    assert len(again) == kept
    subprocess.run(["mount", "-o", "remount,size=8m", str(mounted)], check=True)
    again.append(uris=["room again"], codes=BinaryCodes(np.zeros((1, 8), np.uint8), 64))
    assert len(Collection.open(mounted / "x.dh")) == kept + 1


def test_read_only_media_can_be_searched_and_refuse_writing_clearly(mounted: Path) -> None:
    collection = Collection.create(mounted / "x.dh", num_bits=16, root=mounted)
    collection.append(
        uris=["a", "b"], codes=BinaryCodes(np.zeros((2, 2), np.uint8), 16), attributes=[{"label": "x"}] * 2
    )
    subprocess.run(["mount", "-o", "remount,ro", str(mounted)], check=True)
    opened = Collection.open(mounted / "x.dh")
    assert len(opened.codes()[0]) == len(opened.matching("label=x")) == len(opened.items([0, 1])) == 2
    opened.check()
    command = [sys.executable, "-m", "deephash.cli.main", "collection"]
    shown = subprocess.run([*command, "info", str(opened.path)], capture_output=True, text=True, cwd=ROOT)
    assert shown.returncode == 0, shown.stderr
    for write in (["remove", str(opened.path), "0"], ["compact", str(opened.path)]):
        refused = subprocess.run([*command, *write], capture_output=True, text=True, cwd=ROOT, env=dict(os.environ))
        assert refused.returncode == 4
        assert "cannot be written to" in refused.stderr
        assert "Traceback" not in refused.stderr
