"""Collections in an object store, against a server that speaks S3 on loopback. A machine is a cache of its own."""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from deephash.cli.main import main
from deephash.codes import BinaryCodes
from deephash.collection import Collection
from deephash.collection.rows import Rows
from deephash.collection.stored import copying, here, lease
from deephash.collection.stored.places import address_of, copy_of
from deephash.errors import CollectionDamaged, CollectionError, DatasetNotFound, UsageError
from deephash.ingest import index_folder
from deephash.search import Searcher
from tests.e2e.collection_child import tiny_model
from tests.unit.conftest import BUCKET, SECRET
from tests.unit.test_sources_shards import png

pytest.importorskip("s3fs")
pytest.importorskip("moto")


@pytest.fixture
def machine(s3, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Return what moves on to another machine, by its name."""

    def use(name: str) -> Path:
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / name))
        return tmp_path / name

    use("one")
    return use


@pytest.fixture
def address(s3, machine, request) -> str:
    name = f"{BUCKET}/{re.sub(r'[^a-z]', '_', request.node.name)}.dh"
    s3.rm(name, recursive=True) if s3.exists(name) else None
    return f"s3://{name}"


def codes(count: int, seed: int = 0) -> BinaryCodes:
    return BinaryCodes(np.random.default_rng(seed).integers(0, 256, (count, 8), dtype=np.uint8), 64)


def filled(address: str, count: int = 5) -> Collection:
    made = Collection.create(address, num_bits=64)
    made.append(uris=[f"{row}.jpg" for row in range(count)], codes=codes(count))
    return made


def test_another_machine_reads_what_one_wrote(address, machine):
    filled(address).note("recall", 1.0)
    machine("two")
    found = Collection.open(address)
    assert found.ids().tolist() == [0, 1, 2, 3, 4]
    assert found.codes()[1] == codes(5)
    assert found.card.notes == {"recall": 1.0}
    assert not (found.path / "rows.lance").exists()  # rows are never copied
    assert Collection.open(found.path).ids().tolist() == found.ids().tolist()  # the copy's folder is a name of it too


def test_machines_take_turns_and_see_each_other(address, machine):
    one = filled(address)
    machine("two")
    two = Collection.open(address)
    two.remove([4])
    two.put(uris=["1.jpg", "new.jpg"], codes=codes(2, seed=1), attributes=[{"year": 2020}, {"year": 2021}])
    assert two.ids().tolist() == [0, 1, 2, 3, 5]  # 4 is not given again
    machine("one")
    assert not one.is_latest()
    assert one.refresh().items([5])[0].attributes == {"year": 2021}
    one.compact()
    one.restore(2)
    one.check()
    machine("two")
    assert [each.num_rows for each in two.refresh().versions()][:2] == [0, 5]
    assert two.ids().tolist() == [0, 1, 2, 3, 4]


def test_pictures_are_indexed_searched_and_brought_up_to_date(address, machine, tmp_path, capsys):
    folder = tmp_path / "pictures"
    folder.mkdir()
    for seed in range(6):
        (folder / f"{seed}.png").write_bytes(png(seed))
    tiny_model().save(tmp_path / "run" / "model")
    assert main(["index", str(folder), "--out", address, "--model", str(tmp_path / "run"), "--workers", "1"]) == 0
    assert "6 new" in capsys.readouterr().out
    machine("two")
    (folder / "6.png").write_bytes(png(6))
    assert main(["index", str(folder), f"--out={address}", "--workers", "1"]) == 0
    assert "1 new, 6 unchanged" in capsys.readouterr().out
    assert Searcher.open(address).by_image(png(3), k=1)[0].uri == "3.png"  # the model came along
    assert main(["collection", "info", address]) == 0
    out = capsys.readouterr().out
    assert address in out
    assert str(tmp_path / "two" / "deephash") not in out


def test_a_new_model_is_there_before_the_rows_that_need_it(address, machine, tmp_path):
    folder = tmp_path / "pictures"
    folder.mkdir()
    (folder / "0.png").write_bytes(png(0))
    index_folder(folder, address, tiny_model())
    machine("two")
    reader = Collection.open(address)
    machine("one")
    newer = tiny_model(seed=1)
    Collection.open(address).publish(newer, same_space=True)
    machine("two")
    reader.refresh()
    assert reader.model_path is not None
    assert reader.model_path.name == newer.fingerprint()


def test_a_writer_waits_for_the_other_and_takes_over_from_a_dead_one(address, machine, monkeypatch):
    filled(address)
    monkeypatch.setattr(lease, "LASTS", 1.0)
    held = lease.Lease(address)
    held.take(1.0)
    with pytest.raises(CollectionError, match=r"being written by process \d+ on"):
        lease.Lease(address).take(1.5)  # it is renewed meanwhile
    opened, done = Collection.open(address), []
    waiting = threading.Thread(target=lambda: done.append(opened.remove([0])))
    waiting.start()
    time.sleep(0.5)
    assert not done
    held.release()
    waiting.join(20)
    assert done == [1]
    dead = lease.Lease(address)
    dead.take(1.0)
    dead._stop.set()  # as if its machine had lost power
    dead._thread.join()
    assert opened.remove([1]) == 1
    with pytest.raises(CollectionError, match="another writer may have begun"):
        dead.require()


def test_a_killed_writer_loses_no_row_and_no_number(address, machine, monkeypatch, tmp_path):
    filled(address)
    monkeypatch.setattr(lease, "LASTS", 1.0)
    environment = {**os.environ, "XDG_CACHE_HOME": str(tmp_path / "child")}
    command = [sys.executable, "-m", "tests.unit.s3_child", address]
    child = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)
    assert child.stdout is not None
    said = [child.stdout.readline() for _ in range(3)]
    child.kill()
    said += child.stdout.readlines()
    child.wait()
    confirmed = [int(word) for line in said if line.endswith("\n") for word in line.split()]
    after = Collection.open(address)
    new = after.append(uris=["after.jpg"], codes=codes(1))
    assert set(confirmed) <= set(after.ids().tolist())
    assert new[0] > max(confirmed)
    assert len(after.ids()) % 20 == 6  # five rows, whole batches of twenty, and the last
    after.check()


def test_numbers_of_a_commit_that_failed_are_not_given_again(address, machine, monkeypatch):
    made = filled(address)
    with monkeypatch.context() as broken:
        broken.setattr(Rows, "insert", lambda self, table: (self.before_commit(), 1 / 0))
        with pytest.raises(ZeroDivisionError):
            made.append(uris=["lost.jpg"], codes=codes(1))
    machine("two")
    assert Collection.open(address).append(uris=["kept.jpg"], codes=codes(1)).tolist() == [6]


def test_of_two_that_make_one_collection_the_second_is_told(address, machine, monkeypatch):
    real = lease.leased

    @contextlib.contextmanager
    def after_somebody_else(folder):
        monkeypatch.setattr("deephash.collection.collection.leased", real)
        filled(address)
        with real(folder) as held:
            yield held

    monkeypatch.setattr("deephash.collection.collection.leased", after_somebody_else)
    with pytest.raises(UsageError, match="exists already"):
        Collection.create(address, num_bits=16)
    assert len(Collection.open(address)) == 5


def test_a_lease_that_ran_out_says_what_was_kept(address, machine):
    filled(address)
    late = lease.Lease(address)
    late._renewed = time.monotonic() - 2 * lease.LASTS
    with pytest.raises(CollectionError, match="nothing of this change was kept"):
        late.require()
    with pytest.raises(CollectionError, match=r"after rows were written\. They are there"):
        late.require(committed=True)


def test_uploads_travel_and_go(address, machine):
    made = filled(address)
    upload = made.path / "uploads" / "a.png"
    upload.parent.mkdir()
    upload.write_bytes(png(1))
    made.append(uris=["collection:uploads/a.png"], codes=codes(1))
    machine("two")
    other = Collection.open(address)
    path = other.picture_path(other.items([5])[0])
    assert path.read_bytes() == png(1)
    other.remove_picture(other.items([5])[0])
    other.remove_picture(other.items([4])[0])  # which lies elsewhere
    other.remove([5])
    machine("one")
    Collection.open(address)
    assert not upload.exists()


@pytest.mark.parametrize("name", ["models//x", "a\\b", "C:x"])
def test_names_that_lead_out_are_refused(address, machine, s3, name):
    filled(address)
    bucket, _, key = address.removeprefix("s3://").partition("/")
    s3.call_s3("put_object", Bucket=bucket, Key=f"{key}/{name}", Body=b"x")
    machine("two")
    with pytest.raises(CollectionDamaged, match="cannot be a file of a collection"):
        Collection.open(address)
    with pytest.raises(CollectionDamaged, match="cannot be a file of a collection"):
        copying._checked("models/../../../evil", address)  # the server of the tests would take its dots apart


def test_a_collection_that_was_removed_there_is_gone_here(address, machine):
    made = filled(address)
    copy = made.path
    machine("two")
    Collection.open(address).discard()
    machine("one")
    with pytest.raises(DatasetNotFound, match="no such collection"):
        Collection.open(address)
    assert not copy.exists()
    assert len(filled(address)) == 5  # its name is free again


def test_what_an_interrupted_making_left_is_in_nobodys_way(address, machine, monkeypatch):
    with monkeypatch.context() as broken:
        broken.setattr("deephash.collection.collection.push", lambda folder: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            Collection.create(address, num_bits=64)
    with pytest.raises(DatasetNotFound):
        Collection.open(address)
    assert len(filled(address)) == 5
    with pytest.raises(UsageError, match="exists already"):
        Collection.create(address, num_bits=64)


def test_rows_without_a_card_are_not_written_over(address, machine, s3):
    filled(address)
    s3.rm_file(f"{address}/collection.json")
    with pytest.raises(UsageError, match="holds rows already, without the card"):
        Collection.create(address, num_bits=64)


def test_mistakes_are_told_without_secrets(address, machine, monkeypatch, capsys, tmp_path):
    for wrong in ("s3://x.dh", "s3:///x.dh", f"s3://{SECRET}:y@b/x.dh", "s3://b/../x.dh"):
        with pytest.raises(UsageError, match="s3://BUCKET"):
            here(wrong) if wrong != "s3://b/../x.dh" else _told_of_dots(wrong)
    with pytest.raises(DatasetNotFound):
        Collection.open(f"s3://{BUCKET}/nothing-there.dh")
    copy = copy_of(address)
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    with pytest.raises(UsageError, match="AWS_ENDPOINT_URL names"):
        address_of(copy)
    from deephash.collection.sources import store

    store.store().clear_instance_cache()
    store.store.cache_clear()
    assert main(["search", address, "id:1"]) == 4
    err = capsys.readouterr().err
    assert "AWS_ENDPOINT_URL" in err
    assert SECRET not in err


def _told_of_dots(address: str) -> None:
    with pytest.raises(UsageError, match="no empty parts"):
        here(address)
    raise UsageError("s3://BUCKET")  # said in other words


def test_what_lies_in_a_copy_is_no_copy(address, machine):
    made = filled(address)
    inside = made.path / "models" / "abc"
    inside.mkdir(parents=True)
    assert address_of(inside) is None
    assert here(inside) == inside
    assert inside.is_dir()


def test_folders_are_what_they_were(tmp_path, monkeypatch):
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    made = Collection.create(tmp_path / "x.dh", num_bits=64)
    assert address_of(made.path) is None
    assert here(made.path) == made.path
