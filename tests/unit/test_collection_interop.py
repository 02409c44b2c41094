"""Codes that leave a collection arrive elsewhere bit by bit, and codes from elsewhere arrive here."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import faiss
import numpy as np
import pyarrow.parquet as pq
import pytest

from deephash.codes import BinaryCodes
from deephash.collection import Collection
from deephash.collection.exports import EXPORT_FORMATS, export_codes
from deephash.collection.imports import import_codes
from deephash.errors import CollectionError, DataError, UsageError

URIS = ["a/1.jpg", "tab\there\\back.jpg", "ü 日本.jpg", "d.jpg", "e.jpg"]


@pytest.fixture(params=[12, 64])
def filled(request: pytest.FixtureRequest, tmp_path: Path) -> Collection:
    made = Collection.create(tmp_path / "x.dh", num_bits=request.param)
    bits = np.random.default_rng(0).integers(0, 2, (5, request.param))
    attributes = [{"label": f"l{number % 2}", "stars": number} for number in range(5)]
    made.append(uris=URIS, codes=BinaryCodes.from_bits(bits), attributes=attributes)
    made.remove([3])
    return made


def test_numpy(filled: Collection, tmp_path: Path) -> None:
    assert export_codes(filled, tmp_path / "codes.npz", "numpy") == 4
    assert BinaryCodes.load(tmp_path / "codes.npz") == filled.codes()[1]
    with np.load(tmp_path / "codes.npz") as archive:
        assert archive["ids"].tolist() == [0, 1, 2, 4]
        assert archive["uris"].tolist() == [URIS[0], URIS[1], URIS[2], URIS[4]]
        assert archive["labels"].tolist() == ["l0", "l1", "l0", "l0"]
    copy = import_codes(tmp_path / "codes.npz", tmp_path / "copy.dh")
    assert copy.codes()[1] == filled.codes()[1]
    assert [item.uri for item in copy.items(copy.ids())] == [URIS[0], URIS[1], URIS[2], URIS[4]]
    assert copy.matching("label=l1").tolist() == [1]


def test_parquet(filled: Collection, tmp_path: Path) -> None:
    export_codes(filled, tmp_path / "codes.parquet", "parquet")
    table = pq.read_table(tmp_path / "codes.parquet")
    assert b"".join(table.column("code").to_pylist()) == filled.codes()[1].packed.tobytes()
    assert table.column("stars").to_pylist() == [0, 1, 2, 4]
    assert table.schema.metadata[b"deephash:num_bits"] == str(filled.num_bits).encode()


def test_hex_there_and_back(filled: Collection, tmp_path: Path) -> None:
    export_codes(filled, tmp_path / "codes.hex", "hex")
    lines = (tmp_path / "codes.hex").read_text(encoding="utf-8").splitlines()
    assert lines[0].split("\t") == [filled.codes()[1].hex()[0], "0", "a/1.jpg"]
    copy = import_codes(tmp_path / "codes.hex", tmp_path / "copy.dh", num_bits=filled.num_bits)
    assert copy.codes()[1] == filled.codes()[1]


def test_tables_keep_every_attribute(filled: Collection, tmp_path: Path) -> None:
    filled.update([1], [{"title": 'a "title", two', "score": 0.5}])
    for to in ("csv", "jsonl"):
        assert export_codes(filled, tmp_path / f"x.{to}", to) == 4
    with (tmp_path / "x.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    _, codes = filled.codes()
    assert [row["code"] for row in rows] == codes.hex()
    assert (rows[1]["id"], rows[1]["path"], rows[1]["title"]) == ("1", filled.items([1])[0].uri, 'a "title", two')
    assert rows[0]["title"] == ""
    lines = [json.loads(line) for line in (tmp_path / "x.jsonl").read_text(encoding="utf-8").splitlines()]
    assert (lines[1]["title"], lines[1]["score"], lines[1]["code"]) == ('a "title", two', 0.5, codes.hex()[1])
    assert "title" not in lines[0]
    made = import_codes(tmp_path / "x.csv", tmp_path / "back.dh")
    assert made.codes()[1].hex() == codes.hex()


def test_pgvector(filled: Collection, tmp_path: Path) -> None:
    export_codes(filled, tmp_path / "x.sql", "pgvector")
    text = (tmp_path / "x.sql").read_text(encoding="utf-8")
    assert f"code bit({filled.num_bits}) NOT NULL" in text
    rows = text.split("FROM stdin;\n")[1].split("\\.\n")[0].splitlines()
    assert len(rows) == 4
    number, uri, bits = rows[1].split("\t")
    assert (number, uri) == ("1", "tab\\there\\\\back.jpg")
    assert bits == "".join(str(int(bit)) for bit in filled.codes()[1][1].bits()[0])


def test_faiss(filled: Collection, tmp_path: Path) -> None:
    export_codes(filled, tmp_path / "x.faiss", "faiss")
    index = faiss.read_index_binary(str(tmp_path / "x.faiss"))
    _, codes = filled.codes()
    distances, ids = index.search(codes.packed, 1)
    assert ids[:, 0].tolist() == [0, 1, 2, 4]
    assert not distances.any()


def test_usearch(filled: Collection, tmp_path: Path) -> None:
    usearch = pytest.importorskip("usearch.index")
    export_codes(filled, tmp_path / "x.usearch", "usearch")
    index = usearch.Index.restore(str(tmp_path / "x.usearch"))
    _, codes = filled.codes()
    found = index.search(codes.packed[2], 4, exact=True)
    true = codes[2].hamming(codes)[0]
    assert found.keys[0] == 2
    assert found.distances.tolist() == sorted(true.tolist())


def test_what_cannot_be_exported(filled: Collection, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot export to 'fais'; did you mean 'faiss'"):
        export_codes(filled, tmp_path / "x", "fais")
    with pytest.raises(CollectionError, match="cannot be written"):
        export_codes(filled, tmp_path / "absent" / "x", "hex")
    levels = Collection.create(tmp_path / "levels.dh", num_bits=8, num_levels=2)
    with pytest.raises(UsageError, match="2 levels mean nothing to faiss"):
        export_codes(levels, tmp_path / "x", "faiss")
    assert not (tmp_path / "x").exists()


@pytest.mark.parametrize("to", EXPORT_FORMATS)
def test_an_empty_collection_exports_to_anything(tmp_path: Path, to: str) -> None:
    empty = Collection.create(tmp_path / "x.dh", num_bits=16)
    assert export_codes(empty, tmp_path / "out", to) == 0
    assert {path.name for path in tmp_path.iterdir()} == {"x.dh", "out"}


@pytest.mark.parametrize(
    "text",
    [
        "ffee0011,a b.jpg\n00000000,c.jpg\n",  # imagehash with a comma
        "a b.jpg\tffee0011\nc.jpg\t00000000\n",  # name first
        "hash,quality,filename\nffee0011,100,a b.jpg\n00000000,50,c.jpg\n",  # PDQ's own csv
        "ffee0011 a b.jpg\n\n00000000 c.jpg\n",  # spaces, an empty line
        "\ufeffFFEE0011,a b.jpg\r\n00000000,c.jpg\r\n",
    ],
)
def test_perceptual_hashes_in_every_usual_layout(tmp_path: Path, text: str) -> None:
    (tmp_path / "hashes.txt").write_text(text, encoding="utf-8", newline="")
    made = import_codes(tmp_path / "hashes.txt", tmp_path / "x.dh", root=tmp_path)
    assert made.codes()[1].hex() == ["ffee0011", "00000000"]
    assert [item.uri for item in made.items([0, 1])] == ["a b.jpg", "c.jpg"]
    assert made.fingerprint is None


def test_lines_without_names_are_numbered(tmp_path: Path) -> None:
    (tmp_path / "h.txt").write_text("ff00\n00ff\n")
    made = import_codes(tmp_path / "h.txt", tmp_path / "x.dh")
    assert [item.uri for item in made.items([0, 1])] == ["line-1", "line-2"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is empty"),
        ("hello world\nfoo bar\n", "no column in which every line"),
        ("ff00,a\nff,b\n", "no column in which every line"),
        ("ff00,a\n00ff,a\n", "'a' is there twice"),
    ],
)
def test_files_that_hold_no_codes(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "h.txt").write_text(text)
    with pytest.raises(UsageError, match=message):
        import_codes(tmp_path / "h.txt", tmp_path / "x.dh")
    with pytest.raises(DataError, match="cannot be read"):
        import_codes(tmp_path / "absent.txt", tmp_path / "x.dh")
    assert not (tmp_path / "x.dh").exists()


def test_hexadecimal_of_another_length_than_asked_for(tmp_path: Path) -> None:
    (tmp_path / "h.txt").write_text("ffe0 a.jpg\n00c0 b.jpg\n")
    for bits in (8, 17, 70):
        with pytest.raises(UsageError, match=f"4 hexadecimal digits do not hold codes of {bits} bits"):
            import_codes(tmp_path / "h.txt", tmp_path / "x.dh", num_bits=bits)
    assert import_codes(tmp_path / "h.txt", tmp_path / "x.dh", num_bits=11).num_bits == 11
