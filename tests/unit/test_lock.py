"""The lock of a collection: one holder, over threads and processes, and the kernel frees it."""

import fcntl
import os
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest

from deephash.collection.lock import write_lock
from deephash.errors import CollectionError

HOLDER = """
import sys, time
from pathlib import Path
from deephash.collection.lock import write_lock
with write_lock(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""


def test_a_killed_holder_frees_it(tmp_path):
    path = tmp_path / "write.lock"
    holder = subprocess.Popen([sys.executable, "-c", HOLDER, path], stdout=subprocess.PIPE, text=True)
    assert holder.stdout.readline() == "held\n"
    with pytest.raises(CollectionError, match="more than 0 s"), write_lock(path, patience=0.05):
        pytest.fail("two processes hold the lock")
    holder.send_signal(signal.SIGKILL)
    holder.wait()
    with write_lock(path, patience=5):
        assert path.exists()


def test_it_is_the_lock_that_was_there_before(tmp_path):
    """Versions before held the same file by flock, so that an old and a new writer wait for each other."""
    path = tmp_path / "write.lock"
    with path.open("a+b") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        with pytest.raises(CollectionError, match="being written"), write_lock(path, patience=0.05):
            pytest.fail("both hold the lock")
        fcntl.flock(file, fcntl.LOCK_UN)
        with write_lock(path), pytest.raises(BlockingIOError):
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    assert path.exists()


def test_threads_take_turns(tmp_path):
    inside, most = [], []

    def hold(_):
        with write_lock(tmp_path / "write.lock"):
            inside.append(1)
            most.append(len(inside))
            inside.pop()

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(hold, range(20)))
    assert set(most) == {1}


def test_a_folder_that_cannot_be_written_to(tmp_path):
    (tmp_path / "file").write_bytes(b"")
    for name, reason in (("file", "Not a directory"), ("gone", "No such file or directory")):
        says = rf"cannot be written to \({reason}\); copy it"
        with pytest.raises(CollectionError, match=says), write_lock(tmp_path / name / "write.lock"):
            pytest.fail("held")
    assert not (tmp_path / "gone").exists()
    if os.geteuid():
        tmp_path.chmod(0o500)
        with pytest.raises(CollectionError, match="cannot be written to"), write_lock(tmp_path / "write.lock"):
            pytest.fail("held")


def test_an_error_inside_frees_it(tmp_path):
    with pytest.raises(ValueError, match="inside"), write_lock(tmp_path / "write.lock"):
        raise ValueError("inside")
    with write_lock(tmp_path / "write.lock", patience=0.1):
        pass
