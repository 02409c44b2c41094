"""Pictures in an object store, against a server that speaks S3 on loopback."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

import pytest

from deephash.cli.main import main
from deephash.collection import Collection
from deephash.collection.sources import store as stores
from deephash.collection.sources.again import source_of
from deephash.collection.sources.every import every_picture
from deephash.errors import DataError, UnreadablePicture, UsageError
from deephash.ingest import index_folder
from deephash.search import Searcher
from tests.e2e.collection_child import tiny_model
from tests.unit.conftest import BUCKET, SECRET
from tests.unit.test_sources_shards import code_of, counts, parquet, png, rows, sample, tar
from webui.thumbnails import Thumbnails, original_size

pytest.importorskip("s3fs")
pytest.importorskip("moto")


@pytest.fixture(scope="module")
def model():
    return tiny_model()


@pytest.fixture
def address(s3, tmp_path: Path) -> str:
    for seed, name in enumerate(["cat/1.png", "cat/2.png", "dog/1.png"]):
        s3.pipe_file(f"{BUCKET}/a/{name}", png(seed))
    s3.pipe_file(f"{BUCKET}/a/notes.txt", b"no picture")
    s3.pipe_file(f"{BUCKET}/a/.hidden.png", png(7))
    s3.pipe_file(f"{BUCKET}/a/bad.png", b"no picture")
    s3.put_file(str(tar(tmp_path / "0.tar", sample("1", 10, caption="in a tar"))), f"{BUCKET}/a/shards/0.tar")
    columns = {"jpg": [png(11), png(12)], "caption": ["a", "b"]}
    s3.put_file(str(parquet(tmp_path / "1.parquet", columns)), f"{BUCKET}/a/shards/1.parquet")
    return f"s3://{BUCKET}/a"


WANTED = {"cat/1.png": 0, "cat/2.png": 1, "dog/1.png": 2, "shards/0.tar/1.png": 10}
WANTED |= {"shards/1.parquet/0": 11, "shards/1.parquet/1": 12}


def test_objects_and_shards_become_items(address, s3, tmp_path, model):
    out = tmp_path / "x.dh"
    report = index_folder(address, out, model)
    found = rows(out)
    assert {uri: code for uri, (code, _) in found.items()} == {
        uri: code_of(model, png(seed)) for uri, seed in WANTED.items()
    }
    assert sorted(path for path, _ in report.skipped) == ["bad.png", "notes.txt"]
    assert found["cat/1.png"][1]["label"] == "cat"
    assert found["shards/0.tar/1.png"][1]["caption"] == "in a tar"
    assert Collection.open(out).card.root == address
    assert counts(index_folder(address, out, model))[:5] == (0, 0, 0, 0, 6)


def test_an_update_sees_what_is_new_changed_renamed_and_gone(address, s3, tmp_path, model):
    out = tmp_path / "x.dh"
    index_folder(address, out, model)
    time.sleep(1.1)  # times of objects are whole seconds
    s3.pipe_file(f"{BUCKET}/a/cat/1.png", png(50))
    s3.pipe_file(f"{BUCKET}/a/new.png", png(51))
    s3.mv(f"{BUCKET}/a/cat/2.png", f"{BUCKET}/a/cat/two.png")
    s3.rm(f"{BUCKET}/a/dog/1.png")
    assert counts(index_folder(address, out, model))[:5] == (1, 1, 1, 1, 3)
    assert counts(index_folder(f"{address}/cat/", out, model))[:5] == (0, 0, 0, 0, 2 + 0)
    s3.rm(f"{BUCKET}/a", recursive=True)
    with pytest.raises(DataError, match="holds no pictures"):
        index_folder(address, out, model)


def test_pictures_are_read_again(address, s3, tmp_path, model):
    out = tmp_path / "x.dh"
    index_folder(address, out, model)
    collection = Collection.open(out)
    by_uri = {item.uri: item for item in collection.items(collection.ids())}
    for uri, seed in WANTED.items():
        assert source_of(collection, by_uri[uri]) == png(seed)
    item = by_uri["shards/0.tar/1.png"]
    assert Thumbnails().get(collection, item)[1] == "image/png"
    assert original_size(collection, item)["bytes"] == len(png(10))
    assert Searcher.open(out).by_image(png(2), k=1)[0].uri == "dog/1.png"
    s3.rm(f"{BUCKET}/a/dog/1.png")
    with pytest.raises(UnreadablePicture, match=r"dog/1\.png"):
        source_of(collection, by_uri["dog/1.png"])
    assert len(list(every_picture(address))) == 6


def test_the_command_and_its_mistakes(address, tmp_path, model, capsys, monkeypatch):
    model.save(tmp_path / "run" / "model")
    command = ["index", address, "--out", str(tmp_path / "x.dh"), "--model", str(tmp_path / "run"), "--workers", "1"]
    assert main(command) == 0
    assert "6 new" in capsys.readouterr().out
    assert main(["search", str(tmp_path / "x.dh"), "id:1", "--paths", "-k", "6"]) == 0
    assert f"{address}/shards/0.tar/1.png" in capsys.readouterr().out.splitlines()
    assert main(["index", "s3://no-such-bucket/x", *command[2:3], str(tmp_path / "y.dh"), *command[4:]]) == 3
    said = capsys.readouterr().err
    assert "cannot be listed" in said
    assert "AWS_ENDPOINT_URL" in said
    assert SECRET not in said
    for wrong in ("s3://", "s3://me:key@bucket/x", "s3://bucket/../x"):
        assert main(["index", wrong, *command[2:]]) == 2
    assert main(["index", str(tmp_path), *command[2:]]) == 2
    assert "not among them" in capsys.readouterr().err
    assert SECRET not in "".join(path.read_text(errors="ignore") for path in tmp_path.rglob("*.json"))


def test_without_s3fs_the_command_to_install_it(tmp_path, model, monkeypatch):
    stores.store.cache_clear()
    monkeypatch.setitem(sys.modules, "s3fs", None)
    with pytest.raises(UsageError, match=r'pip install "deephash\[s3\]"'):
        index_folder("s3://bucket/x", tmp_path / "x.dh", model)
    assert not (tmp_path / "x.dh").exists()
    assert not os.path.exists("s3:")
