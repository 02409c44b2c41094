"""Encoding on the workers of Ray: the same rows and codes as by threads, whoever is killed meanwhile.

All tests of Ray are here, since starting it takes seconds; one Ray serves them.
"""

from __future__ import annotations

import os
import pickle
import signal
import subprocess
import sys
import time
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from deephash.cli.main import main
from deephash.collection import Collection
from deephash.collection.folder import FoundFile, list_pictures
from deephash.errors import UsageError
from deephash.ingest import index_folder, ray_workers, update
from deephash.ingest.encoder import StreamEncoder
from deephash.ingest.ray_workers import Recipe, ray_batches
from tests.e2e.collection_child import tiny_model
from tests.paths import ROOT
from tests.unit.ray_pictures import Deadly
from tests.unit.test_sources_shards import parquet, png, sample, tar

pytest.importorskip("ray")
PICTURES = 60


@pytest.fixture(scope="module")
def model_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("run")
    tiny_model().save(folder / "model")
    return folder


@pytest.fixture(scope="module", autouse=True)
def one_ray():
    with ray_workers._running() as ray:
        yield ray


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    root = tmp_path / "pictures"
    for number in range(PICTURES):
        file = root / f"{number % 3}" / f"{number:03}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        pixels = np.random.default_rng(number).integers(0, 256, (8, 8, 3), np.uint8)
        Image.fromarray(pixels).save(file)
    (root / "bad.png").write_bytes(b"no picture")
    tar(root / "0.tar", sample("1", 100, caption="in a tar") + sample("2", 101))
    parquet(root / "1.parquet", {"jpg": [png(102), png(103)], "caption": ["a", "b"]})
    return root


def rows(out: Path):
    """Return everything that a collection holds, but vectors of bytes as lists."""
    collection = Collection.open(out)
    names = sorted(set(collection.column_names) - {"id"})
    return collection.table(names).to_pylist()


def with_deadly(folder: Path, monkeypatch: pytest.MonkeyPatch, uri: str, lives: int) -> Path:
    """Let the listing have a picture that ends its reader; return where the ends are counted."""
    graves = folder.parent / "graves"
    graves.mkdir()

    def listed(*arguments, **options):
        listing = list_pictures(*arguments, **options)
        for place, file in enumerate(listing.files):
            if file.uri == uri:
                facts = {field.name: getattr(file, field.name) for field in fields(FoundFile)}
                listing.files[place] = Deadly(**facts, lives=lives, graves=graves)
        return listing

    monkeypatch.setattr("deephash.ingest.where.list_pictures", listed)
    return graves


def test_both_ways_of_running_give_the_same_collection_though_a_worker_is_killed(
    folder, model_folder, tmp_path, monkeypatch
):
    options = {"batch_size": 8, "keep_vectors": True}
    plain = index_folder(folder, tmp_path / "plain.dh", model_folder, workers=2, **options)
    graves = with_deadly(folder, monkeypatch, "1/031.png", lives=1)
    spread = index_folder(folder, tmp_path / "spread.dh", model_folder, workers="ray", **options)
    assert len(list(graves.iterdir())) == 1
    assert rows(tmp_path / "spread.dh") == rows(tmp_path / "plain.dh")
    ids = [Collection.open(tmp_path / f"{name}.dh").ids().tolist() for name in ("plain", "spread")]
    assert ids[0] == ids[1]
    assert (spread.added, spread.skipped) == (PICTURES + 4, plain.skipped)
    assert [path for path, _ in spread.skipped] == ["bad.png"]


def test_the_same_command_goes_on_after_an_interrupt(folder, model_folder, tmp_path, monkeypatch, capfd):
    out, commit = tmp_path / "x.dh", update._Update._commit

    def interrupted(self):
        commit(self)
        if len(self.collection) and sys.exc_info()[0] is None:
            raise KeyboardInterrupt

    monkeypatch.setattr(update, "_COMMIT_ROWS", 8)
    monkeypatch.setattr(update._Update, "_commit", interrupted)
    with pytest.raises(KeyboardInterrupt):
        index_folder(folder, out, model_folder, workers="ray", batch_size=8)
    monkeypatch.undo()
    kept = len(Collection.open(out))
    assert 0 < kept < PICTURES
    (folder / "0" / "000.png").write_bytes(png(999))
    os.utime(folder / "0" / "003.png", (1, 1))
    capfd.readouterr()
    assert main(["index", str(folder), "--out", str(out), "--workers", "ray"]) == 0
    printed = capfd.readouterr()
    assert f"{PICTURES + 4 - kept} new, 1 changed, {kept - 1} unchanged, 1 skipped" in printed.out
    assert "ray" not in printed.err.lower()
    index_folder(folder, tmp_path / "fresh.dh", model_folder)
    by_uri = [sorted(rows(one), key=lambda row: row["uri"]) for one in (out, tmp_path / "fresh.dh")]
    assert by_uri[0] == by_uri[1]


def test_nothing_new_starts_no_worker(folder, model_folder, tmp_path, monkeypatch):
    index_folder(folder, tmp_path / "x.dh", model_folder)
    monkeypatch.setattr(ray_workers, "_through", None)
    assert index_folder(folder, tmp_path / "x.dh", workers="ray").unchanged == PICTURES + 4


@pytest.mark.slow
def test_a_picture_that_ends_every_worker_is_left_out_alone(folder, model_folder, tmp_path, monkeypatch):
    with_deadly(folder, monkeypatch, "1/031.png", lives=10_000)
    report = index_folder(folder, tmp_path / "x.dh", model_folder, workers="ray", batch_size=8)
    assert report.added == PICTURES + 3
    assert dict(report.skipped)["1/031.png"].startswith("whoever read it ended")
    monkeypatch.undo()
    assert index_folder(folder, tmp_path / "x.dh", workers="ray").added == 1  # it was not remembered against it


@pytest.mark.slow
def test_two_stages_give_what_one_gives(folder, model_folder, tmp_path):
    stream = StreamEncoder(model_folder, device="cpu")
    jobs = [(file, None) for file in list_pictures(folder, folder).files]
    recipe = Recipe.of(stream, model_folder / "model")
    one = list(stream.stream(jobs, batch_size=16, workers=1))
    two = list(ray_batches(jobs, recipe, batch_size=16, staged=True, workers=1))
    assert [batch.codes for batch in two] == [batch.codes for batch in one]
    assert [[each.file.uri for each in batch.opened] for batch in two] == [
        [each.file.uri for each in batch.opened] for batch in one
    ]
    assert not any(batch.rows for batch in two)


def test_what_fails_every_worker_is_told_and_is_no_reason_to_start_it_again(folder, model_folder):
    recipe = Recipe.of(StreamEncoder(model_folder, device="cpu"), model_folder / "model")
    jobs = pickle.dumps([(file, None) for file in list_pictures(folder, folder).files[:2]])
    for wrong, error in (
        (replace(recipe, fingerprint="other"), "another model"),
        (recipe, "RuntimeError: of the model"),
    ):
        worker = ray_workers._Worker(wrong)
        worker.stream = None if worker.failed else Broken()
        done = pickle.loads(worker({"work": [jobs]})["work"][0])
        assert isinstance(done, ray_workers.Failed)
        assert error in str(done.error)
        assert ray_workers._Forward.__call__(worker, {"work": [pickle.dumps(done)]})  # a later stage hands it on


class Broken:
    def batch(self, jobs):
        raise RuntimeError("of the model")


def test_without_ray_the_command_to_install_it(folder, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(ray_workers, "find_spec", lambda name: None)
    assert main(["index", str(folder), "--out", str(tmp_path / "x.dh"), "--workers", "ray"]) == 2
    assert 'pip install "deephash[ray]"' in capsys.readouterr().err
    with pytest.raises(UsageError, match=r"deephash\[ray\]"):
        index_folder(folder, tmp_path / "x.dh", workers="ray")
    assert not (tmp_path / "x.dh").exists()


SLOW = """
import sys, time
from pathlib import Path
from deephash.ingest import index_folder, update
update._COMMIT_ROWS = 4
commit = update._Update._commit
def slowly(self):
    commit(self)
    time.sleep(0.3)
update._Update._commit = slowly
index_folder(sys.argv[1], sys.argv[2], sys.argv[3], workers="ray", batch_size=4)
"""


@pytest.mark.posix
@pytest.mark.slow
def test_whoever_runs_it_may_be_killed_too(folder, model_folder, tmp_path):
    out = tmp_path / "x.dh"
    child = subprocess.Popen(
        [sys.executable, "-c", SLOW, str(folder), str(out), str(model_folder)], cwd=ROOT, start_new_session=True
    )
    try:
        until = time.monotonic() + 120
        while (
            time.monotonic() < until and child.poll() is None and not (out.exists() and len(Collection.open(out)) > 4)
        ):
            time.sleep(0.1)
    finally:
        child.send_signal(signal.SIGKILL)
        child.wait()
    kept = len(Collection.open(out))
    assert 4 < kept < PICTURES
    report = index_folder(folder, out, workers="ray")
    assert (report.unchanged, report.added) == (kept, PICTURES + 4 - kept)
    uris = [row["uri"] for row in rows(out)]
    assert len(uris) == len(set(uris)) == PICTURES + 4
