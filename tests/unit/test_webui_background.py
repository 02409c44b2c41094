"""Long computations of the page: once a key, one at a time, with progress; the list of duplicates."""

import csv
import io
import json
import threading
import time

import numpy as np
import pytest
from deephash.webui.background import Background
from deephash.webui.duplicates import as_csv, as_jsonl, find_duplicates
from deephash.webui.workspace import Workspace

from deephash.codes import BinaryCodes
from deephash.collection import Collection
from deephash.errors import UsageError
from deephash.progress import track


def ended(background, key, make):
    deadline = time.monotonic() + 20
    while not background.job(key, make).ended:
        assert time.monotonic() < deadline
        time.sleep(0.005)
    return background.job(key, make)


def test_a_key_is_computed_once_and_tells_its_progress():
    background, gate, ran = Background(), threading.Event(), []

    def make():
        ran.append(1)
        for _ in track(range(4), "counting", total=4):
            assert gate.wait(20) or True
        return 42

    job = background.job("a", make)
    assert background.job("a", make) is job
    assert not job.ended
    assert background.result("a", make) is None
    gate.set()
    job = ended(background, "a", make)
    assert (job.result, job.label, job.done, job.total, job.share) == (42, "counting", 4, 4, 1.0)
    assert background.result("a", make) == 42
    assert ran == [1]


def test_two_computations_never_run_at_once():
    background, running, most = Background(), [], []

    def make():
        running.append(1)
        most.append(len(running))
        time.sleep(0.02)
        running.pop()

    for key in range(5):
        background.job(key, make)
    for key in range(5):
        ended(background, key, make)
    assert most == [1] * 5


def test_a_refusal_is_told_again_and_a_failure_is_tried_again():
    background, ran = Background(), []

    def refuse():
        ran.append("refused")
        raise UsageError("too many pairs")

    def fail():
        ran.append("failed")
        raise RuntimeError("a disk that was full")

    ended(background, "refuse", refuse)
    with pytest.raises(UsageError, match="too many pairs"):
        background.result("refuse", refuse)
    first = background.job("fail", fail)
    while not first.ended:
        time.sleep(0.005)
    assert background.job("fail", fail) is first  # told once
    assert background.job("fail", fail) is not first
    assert ran.count("refused") == 1


def test_old_results_make_room():
    background = Background(kept=2)
    for key in range(4):
        ended(background, key, lambda: object())
    kept = ended(background, 3, lambda: pytest.fail("it is there"))
    assert kept.result is not None
    assert len(background._jobs) == 2


def test_codes_alone_make_the_list_where_there_are_no_pictures(tmp_path):
    bits = np.random.default_rng(0).integers(0, 2, (200, 64)).astype(bool)
    bits[150:153] = bits[3]
    bits[151, 0] ^= True
    uris = [f"{row}.jpg" for row in range(200)]
    uris[151] = "=HYPERLINK(1).jpg"
    Collection.create(tmp_path / "x.dh", num_bits=64).append(uris=uris, codes=BinaryCodes.from_bits(bits))
    found = find_duplicates(Workspace([tmp_path / "x.dh"]).place().searcher.snapshot.current)
    assert found.found.confirmed is None
    (group,) = found.groups(1)
    lines = list(csv.DictReader(io.StringIO(as_csv(found, 1))))
    assert [line["verdict"] for line in lines] == ["keep", "copy", "copy", "copy"]
    assert [line["distance"] for line in lines] == ["0", "0", "0", "1"]
    assert lines[-1]["path"] == "'=HYPERLINK(1).jpg"
    records = [json.loads(line) for line in as_jsonl(found, 1).splitlines()]
    assert records[-1]["path"] == "=HYPERLINK(1).jpg"
    assert [record["id"] for record in records] == group.ids
    assert len(found.groups(0)[0].ids) == 3  # a smaller radius leaves the one that differs
