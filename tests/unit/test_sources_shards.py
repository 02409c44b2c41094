"""Pictures in tar and Parquet shards: read in place, told apart, brought up to date, and nobody's trouble."""

from __future__ import annotations

import io
import json
import os
import tarfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from deephash.cli.main import main
from deephash.collection import Collection
from deephash.collection.folder import list_pictures
from deephash.collection.sources.again import picture_of, source_of
from deephash.collection.sources.every import every_picture, require_pictures_at
from deephash.errors import DataError, UnreadablePicture
from deephash.ingest import IngestReport, index_folder
from deephash.search import Searcher
from tests.e2e.collection_child import tiny_model
from webui.thumbnails import Thumbnails, original_size


@pytest.fixture(scope="module")
def model():
    return tiny_model()


def png(seed: int, side: int = 8) -> bytes:
    pixels = np.random.default_rng(seed).integers(0, 256, (side, side, 3), np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


def tar(file: Path, members: list[tuple[str, bytes]]) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(file, "w") as archive:
        for name, data in members:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return file


def sample(key: str, seed: int, **values: object) -> list[tuple[str, bytes]]:
    return [(f"{key}.png", png(seed)), (f"{key}.json", json.dumps(values).encode())]


def parquet(file: Path, columns: dict[str, list], **options: object) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table(columns), file, **options)
    return file


def counts(report: IngestReport) -> tuple[int, ...]:
    """Added, changed, renamed, removed, unchanged, skipped."""
    return (report.added, report.changed, report.renamed, report.removed, report.unchanged, len(report.skipped))


def rows(out: Path) -> dict[str, tuple[str, dict]]:
    collection = Collection.open(out)
    ids, codes = collection.codes()
    pairs = zip(collection.items(ids), codes, strict=True)
    return {item.uri: (code.hex()[0], dict(item.attributes)) for item, code in pairs}


def code_of(model, data: bytes) -> str:
    return model.encode_images([data]).hex()[0]


@pytest.fixture
def shards(tmp_path: Path) -> Path:
    root = tmp_path / "shards"
    first = [*sample("000000000", 0, url="http://a", caption="a cat", similarity=1, width=999)]
    first += [*sample("000000001", 1, url="http://b", caption="a dog", similarity=0.31), ("000000001.cls", b"7")]
    first += [("cat/two.png", png(2)), ("cat/two.txt", b"words\n"), ("clip.npy", b"x"), ("clip2.npy", b"y")]
    tar(root / "00000.tar", first)
    pictures = [png(10), png(11), None, b"no picture", png(12)]
    columns = {"key": list("abcde"), "jpg": pictures, "caption": ["c"] * 5, "url": ["u"] * 5, "nsfw": [0.5] * 5}
    parquet(root / "deep" / "part-0.parquet", columns, row_group_size=2)
    (root / "plain.png").write_bytes(png(20))
    return root


def test_members_and_rows_become_items_with_what_stands_beside_them(shards, tmp_path, model):
    report = index_folder(shards, tmp_path / "x.dh", model)
    found = rows(tmp_path / "x.dh")
    names = ["000000000.png", "000000001.png", "cat/two.png"]
    wanted = {f"00000.tar/{name}": seed for seed, name in enumerate(names)}
    wanted |= {f"deep/part-0.parquet/{row}": seed for row, seed in ((0, 10), (1, 11), (4, 12))} | {"plain.png": 20}
    assert {uri: code for uri, (code, _) in found.items()} == {
        uri: code_of(model, png(seed)) for uri, seed in wanted.items()
    }
    first, second, two = (found[f"00000.tar/{name}"][1] for name in names)
    assert (first["url"], first["caption"], first["similarity"], first["width"]) == ("http://a", "a cat", 1.0, 8)
    assert (second["label"], second["similarity"]) == ("7", 0.31)
    assert (two["label"], two["caption"], two["folder"]) == ("cat", "words", "00000.tar/cat")
    row = found["deep/part-0.parquet/4"][1]
    assert (row["key"], row["caption"], row["nsfw"], row["size"]) == ("e", "c", 0.5, len(png(12)))
    assert "label" not in row
    assert dict(report.skipped) == {
        "00000.tar/*.npy": "2 members are no pictures by their names",
        "deep/part-0.parquet/2": "the row holds no bytes",
        "deep/part-0.parquet/3": dict(report.skipped)["deep/part-0.parquet/3"],
    }
    assert not list(shards.rglob("*.npy"))  # nothing was unpacked


def test_again_only_what_changed_is_read(shards, tmp_path, model):
    out = tmp_path / "x.dh"
    index_folder(shards, out, model)
    assert counts(index_folder(shards, out, model)) == (0, 0, 0, 0, 7, 3)
    members = [*sample("000000000", 0, url="http://new"), *sample("000000001", 5), *sample("000000009", 9)]
    tar(shards / "00000.tar", members)
    assert counts(index_folder(shards, out, model)) == (1, 1, 0, 1, 5, 2)
    found = rows(out)
    assert found["00000.tar/000000001.png"][0] == code_of(model, png(5))
    assert found["00000.tar/000000000.png"][1]["url"] == "http://new"
    assert counts(index_folder(shards, out, model)) == (0, 0, 0, 0, 7, 2)
    (shards / "deep" / "part-0.parquet").unlink()
    assert index_folder(shards, out, model).removed == 3


def test_a_shard_of_another_name_keeps_its_codes(tmp_path, model):
    tar(tmp_path / "s" / "a.tar", sample("1", 1) + sample("2", 2))
    index_folder(tmp_path / "s", tmp_path / "x.dh", model)
    (tmp_path / "s" / "a.tar").rename(tmp_path / "s" / "b.tar")
    assert counts(index_folder(tmp_path / "s", tmp_path / "x.dh", model)) == (0, 0, 2, 0, 0, 0)
    assert set(rows(tmp_path / "x.dh")) == {"b.tar/1.png", "b.tar/2.png"}


def test_one_shard_by_itself(shards, tmp_path, model, capsys):
    model.save(tmp_path / "run" / "model")
    command = ["index", str(shards / "00000.tar"), "--out", str(tmp_path / "x.dh"), "--model", str(tmp_path / "run")]
    assert main([*command, "--workers", "1"]) == 0
    assert len(rows(tmp_path / "x.dh")) == 3
    assert main([*command, "--workers", "1"]) == 0
    assert "3 unchanged" in capsys.readouterr().out
    assert main(["index", str(shards / "plain.png"), "--out", str(tmp_path / "y.dh")]) == 3
    assert "plain.png is a file" in capsys.readouterr().err


def test_pictures_are_read_again(shards, tmp_path, model):
    out = tmp_path / "x.dh"
    index_folder(shards, out, model)
    collection = Collection.open(out)
    by_uri = {item.uri: item for item in collection.items(collection.ids())}
    for uri, seed in {"00000.tar/cat/two.png": 2, "deep/part-0.parquet/4": 12}.items():
        item = by_uri[uri]
        assert picture_of(collection, item).read() == source_of(collection, item) == png(seed)
        assert Thumbnails().get(collection, item)[1] == "image/png"
        assert original_size(collection, item) == {"width": 8, "height": 8, "bytes": len(png(seed))}
        assert Searcher.open(out).by_image(png(seed), k=1)[0].uri == uri
    assert isinstance(source_of(collection, by_uri["plain.png"]), Path)
    (shards / "00000.tar").write_bytes(b"gone")
    with pytest.raises(UnreadablePicture):
        Thumbnails().get(collection, by_uri["00000.tar/cat/two.png"])


def test_a_torn_tar_gives_what_it_has_and_removes_nothing(tmp_path, model):
    file = tar(tmp_path / "s" / "a.tar", [(f"{seed}.png", png(seed, 64)) for seed in range(4)])
    tar(tmp_path / "s" / "b.tar", sample("1", 1))
    index_folder(tmp_path / "s", tmp_path / "x.dh", model)
    whole = file.read_bytes()
    file.write_bytes(whole[: len(whole) // 2])  # within the second or third member
    report = index_folder(tmp_path / "s", tmp_path / "x.dh", model)
    assert (report.removed, len(rows(tmp_path / "x.dh"))) == (0, 5)
    assert [path for path, reason in report.skipped if "torn after" in reason] == ["a.tar"]
    fresh = index_folder(tmp_path / "s", tmp_path / "y.dh", model)
    assert 1 < fresh.added < 5


@pytest.mark.parametrize("content", [b"", b"nonsense", b"PAR1", os.urandom(2000), b"\0" * 5000])
def test_what_is_no_shard_fails_nobody(tmp_path, model, content):
    (tmp_path / "s").mkdir()
    for name in ("a.tar", "a.parquet"):
        (tmp_path / "s" / name).write_bytes(content)
    (tmp_path / "s" / "good.png").write_bytes(png(1))
    report = index_folder(tmp_path / "s", tmp_path / "x.dh", model)
    assert report.added == 1
    assert "a.parquet" in dict(report.skipped)


def test_hostile_names_lead_nowhere(tmp_path, model):
    names = ["../up.png", "/etc/abs.png", "a/../../b.png", "a//b.png", "new\nline.png", "back\\slash.png", "./good.png"]
    file = tar(tmp_path / "s" / "a.tar", [(name, png(seed)) for seed, name in enumerate(names)])
    with tarfile.open(file, "a") as archive:
        for name, kind in (("link.png", tarfile.SYMTYPE), ("hard.png", tarfile.LNKTYPE)):
            info = tarfile.TarInfo(name)
            info.type, info.linkname = kind, "/etc/passwd"
            archive.addfile(info)
    report = index_folder(tmp_path / "s", tmp_path / "x.dh", model)
    assert set(rows(tmp_path / "x.dh")) == {"a.tar/good.png"}
    assert len(report.skipped) == 8
    assert sorted(path.name for path in tmp_path.iterdir()) == ["s", "x.dh"]


def test_hostile_values_fit_or_are_left_out(tmp_path, model):
    odd = {"id": 3, "vector": "v", "hub_bias_image": 1.0, "size": "huge", "n": 2**80, "x": float("nan"), "l": [1]}
    mixed = [sample("1", 1, mixed=1, grows=1), sample("2", 2, mixed="one", grows=1.5), sample("3", 3, **odd)]
    broken = [("4.png", png(4)), ("4.json", b"{broken"), ("5.png", png(5)), ("5.json", b"[" * 100_000)]
    tar(tmp_path / "s" / "a.tar", [member for one in mixed for member in one] + broken)
    report = index_folder(tmp_path / "s", tmp_path / "x.dh", model)
    found = {uri: values for uri, (_, values) in rows(tmp_path / "x.dh").items()}
    assert (report.added, {path for path, _ in report.skipped}) == (5, {"a.tar/4.json", "a.tar/5.json"})
    assert [found[f"a.tar/{key}.png"]["mixed"] for key in (1, 2)] == ["1", "one"]
    assert [found[f"a.tar/{key}.png"]["grows"] for key in (1, 2)] == [1.0, 1.5]
    assert found["a.tar/3.png"]["id_"] == 3
    assert {"n", "x", "l", "hub_bias_image"}.isdisjoint(found["a.tar/3.png"])
    tar(tmp_path / "s" / "b.tar", sample("1", 6, grows="text now", mixed=True))
    assert index_folder(tmp_path / "s", tmp_path / "x.dh", model).added == 1
    later = rows(tmp_path / "x.dh")["b.tar/1.png"][1]
    assert "grows" not in later  # numbers do not become text
    assert later["mixed"] == "True"


def test_parquet_of_hugging_face_datasets(tmp_path, model):
    images = [{"bytes": png(seed), "path": "/etc/passwd"} for seed in range(3)] + [
        {"bytes": None, "path": "/etc/x.png"}
    ]
    names = {"info": {"features": {"label": {"names": ["cat", "dog"], "_type": "ClassLabel"}}}}
    table = pa.table({"image": images, "label": [0, 1, 5, 0]}).replace_schema_metadata(
        {"huggingface": json.dumps(names)}
    )
    (tmp_path / "s").mkdir()
    pq.write_table(table, tmp_path / "s" / "train.parquet")
    report = index_folder(tmp_path / "s", tmp_path / "x.dh", model)
    found = rows(tmp_path / "x.dh")
    assert [found[f"train.parquet/{row}"][1]["label"] for row in range(3)] == ["cat", "dog", "5"]
    assert [path for path, _ in report.skipped] == ["train.parquet/3"]


def test_parquet_rows_are_read_forwards(tmp_path, monkeypatch):
    from deephash.collection.sources.parquet import ParquetReader

    columns = {"jpg": [bytes([row]) * 50 for row in range(100)]}
    parquet(tmp_path / "a.parquet", columns, row_group_size=40)
    begun: list[int] = []
    whole = ParquetReader._windows_of
    monkeypatch.setattr(ParquetReader, "_windows_of", lambda self, group: begun.append(group) or whole(self, group))
    files = list_pictures(tmp_path, tmp_path).files
    assert [file.read() for file in files] == columns["jpg"]
    assert begun == [0, 1, 2]
    assert files[3].read() == columns["jpg"][3]


def test_a_table_beside_pictures_is_no_shard(tmp_path, model):
    parquet(tmp_path / "s" / "labels.parquet", {"path": ["good.png"], "label": ["x"]})
    (tmp_path / "s" / "good.png").write_bytes(png(1))
    report = index_folder(tmp_path / "s", tmp_path / "x.dh", model, exclude=["*.tar"])
    assert (report.added, [path for path, _ in report.skipped]) == (1, ["labels.parquet"])


def test_a_model_is_fitted_to_shards_as_to_files(shards):
    found = list(every_picture(shards))
    assert len(found) == 1 + 5 + 3
    with pytest.raises(DataError):
        require_pictures_at(shards / "nothing")


@pytest.mark.parametrize("kind", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_every_dialect_of_tar(tmp_path, kind):
    long = "f" * 60 + "/" + "d" * 60
    names = ["plain.png", "ü.png", f"{long}/x.png", "time.png", "last.png"]
    file = tmp_path / "a.tar"
    with tarfile.open(file, "w", format=kind) as archive:
        for seed, name in enumerate(names):
            info = tarfile.TarInfo(name)
            info.size, info.mtime = len(png(seed)), 1.5 if name == "time.png" else 1
            archive.addfile(info, io.BytesIO(png(seed)))
    files = {found.uri: found.read() for found in list_pictures(tmp_path, tmp_path).files}
    assert files == {f"a.tar/{name}": png(seed) for seed, name in enumerate(names)}
