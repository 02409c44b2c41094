"""Bits that another engine, precision or way of decoding flips: measured on real pictures, noted, never mixed."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from deephash.backbones import Backbone
from deephash.cli.main import main
from deephash.collection import Collection
from deephash.encoding import open_encoder
from deephash.encoding.card import portable_facts
from deephash.encoding.flips import count_flips, note_of_tower
from deephash.encoding.onnx import OnnxEncoder
from deephash.encoding.portable import INT8_NAME, check_model_folder
from deephash.encoding.quantising import quantise
from deephash.encoding.record import read_model_record
from deephash.encoding.samples import evenly, sample_rows
from deephash.errors import CollectionDamaged, DataError, UsageError
from deephash.ingest import index_folder
from deephash.ingest.uploads import add_uploads
from deephash.models import LSH, OrthoHash
from deephash.models.encoder import TorchEncoder
from deephash.models.exporting import compare_with_torch, make_portable
from deephash.pictures import open_picture
from deephash.search import Searcher


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """40 JPEGs of smooth noise, larger than the network looks at, and a file that is none."""
    folder, draw = tmp_path / "photos", np.random.default_rng(0)
    folder.mkdir()
    for number in range(40):
        small = Image.fromarray(draw.integers(0, 256, (7, 9, 3), np.uint8))
        small.resize((300, 240), Image.Resampling.BICUBIC).save(folder / f"{number:02}.jpg", quality=95)
    (folder / "broken.jpg").write_bytes(b"\xff\xd8 no more")
    return folder


@pytest.fixture
def model():
    torch.manual_seed(0)
    return OrthoHash(num_bits=64, num_classes=5, backbone=Backbone("small_cnn:8", weights=None, image_size=32)).eval()


@pytest.fixture
def folder(model, tmp_path: Path) -> Path:
    model.save(tmp_path / "model")
    return tmp_path / "model"


def notes_of(folder: Path) -> dict:
    return read_model_record(folder)["portable"]["towers"]["image"]


def test_samples_are_spread_evenly_and_pass_over_what_cannot_be_read(folder, photos, tmp_path):
    assert evenly(10, 4) == [0, 2, 5, 7]
    assert evenly(3, 64) == [0, 1, 2]
    assert len(sample_rows(OnnxEncoder(folder), photos, 41)) == 40
    with pytest.raises(DataError, match="is no folder"):
        sample_rows(OnnxEncoder(folder), tmp_path / "nowhere", 5)
    with pytest.raises(DataError, match=r"no picture in .* can be read"):
        sample_rows(OnnxEncoder(folder), tmp_path, 0)


def test_flips_are_counted_bit_by_bit(model, folder, photos):
    rows = sample_rows(OnnxEncoder(folder), photos, 10)
    torch.manual_seed(1)
    other = OrthoHash(num_bits=64, num_classes=5, backbone=Backbone("small_cnn:8", weights=None, image_size=32)).eval()
    one, another = OnnxEncoder(folder), TorchEncoder(other)
    wanted = int((one.encode("image", rows).codes.bits() != another.encode("image", rows).codes.bits()).sum())
    assert count_flips(one, another, "image", rows) == {"items": 10, "bits": 640, "flipped": wanted}
    assert wanted > 100
    assert count_flips(one, one, "image", rows)["flipped"] == 0


def test_the_card_of_a_training_free_model_says_what_was_measured_on_the_pictures(photos, tmp_path):
    model = LSH(64, Backbone("small_cnn:8", weights=None, image_size=32), centre=False).eval()
    index_folder(photos, tmp_path / "x.dh", model)
    carried = Collection.open(tmp_path / "x.dh").model_path
    assert notes_of(carried)["flips"] == {"items": 40, "bits": 2560, "flipped": 0}
    sentence = "0 of 2,560 bits (0.000%, measured on 40 real ones)"
    assert sentence in (carried / "README.md").read_text()
    assert any(sentence in fact for fact in portable_facts(read_model_record(carried)))


def test_export_measures_what_it_is_given(folder, photos, capsys):
    assert main(["models", "export", str(folder), "--pictures", str(photos)]) == 0
    assert "of 2,560 bits" in capsys.readouterr().out
    assert notes_of(folder)["flips"]["items"] == 40
    assert main(["models", "info", str(folder)]) == 0
    assert "decided otherwise than by torch" in capsys.readouterr().out
    assert main(["models", "export", str(folder), "--precision", "int8"]) == 2
    assert "add --pictures FOLDER" in capsys.readouterr().err
    assert main(["models", "export", str(folder), "--format", "torchscript", "--pictures", str(photos)]) == 2


def test_a_note_changes_nothing_else(folder):
    before = read_model_record(folder)
    note_of_tower(folder, "image", flips={"items": 1, "bits": 64, "flipped": 3})
    after = read_model_record(folder)
    assert after["portable"]["towers"]["image"].pop("flips") == {"items": 1, "bits": 64, "flipped": 3}
    assert after == before
    record = json.loads((folder / "model.json").read_text())
    record["portable"]["towers"]["image"]["flips"] = {"items": 1, "bits": 0, "flipped": 0}
    (folder / "model.json").write_text(json.dumps(record))
    with pytest.raises(CollectionDamaged):
        read_model_record(folder)


def test_a_comparison_without_rows_is_not_noted(folder):
    compare_with_torch(folder, {"image": []})
    assert "flips" not in notes_of(folder)


def test_an_int8_encoder_computes_other_numbers_and_few_other_bits(folder, photos):
    rows = sample_rows(OnnxEncoder(folder), photos, 40)
    flips = quantise(folder, rows)
    plain, small = OnnxEncoder(folder), open_encoder(folder, precision="int8")
    assert (small.engine, small.precision, small.fingerprint()) == ("onnx", "int8", plain.fingerprint())
    assert plain.at("int8").precision == "int8"
    assert small.at("fp32").encode("image", rows[:1]).codes == plain.encode("image", rows[:1]).codes
    one, other = (each.encode("image", rows, continuous=True).continuous for each in (plain, small))
    assert not np.array_equal(one, other)
    assert flips["bits"] == 20 * 64
    assert flips["flipped"] == count_flips(plain, small, "image", rows[1::2])["flipped"] < 0.1 * flips["bits"]
    assert notes_of(folder)["int8"].items() >= flips.items()
    check_model_folder(folder)


def test_a_changed_int8_file_is_refused(folder, photos):
    quantise(folder, sample_rows(OnnxEncoder(folder), photos, 16))
    path = folder / INT8_NAME
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    with pytest.raises(CollectionDamaged, match=r"is not the file that model\.json describes"):
        check_model_folder(folder)
    encoder = open_encoder(folder, precision="int8")
    with pytest.raises(CollectionDamaged, match=INT8_NAME):
        encoder.encode("image", [encoder.prepare("image", Image.new("RGB", (9, 9)))])


def test_what_int8_needs_is_said(folder, photos, model):
    with pytest.raises(UsageError, match="deephash models export MODEL --precision int8 --pictures FOLDER"):
        open_encoder(folder, precision="int8")
    with pytest.raises(UsageError, match="at least 8 pictures, not 3"):
        quantise(folder, sample_rows(OnnxEncoder(folder), photos, 3))
    with pytest.raises(UsageError, match="int8 takes --engine onnx"):
        open_encoder(model, precision="int8")


def test_an_int8_collection_stays_one(photos, folder, tmp_path, capsys):
    out = tmp_path / "x.dh"
    assert main(["index", str(photos), "--out", str(out), "--model", str(folder), "--precision", "int8"]) == 0
    assert "int8 decided" in capsys.readouterr().out
    collection = Collection.open(out)
    assert collection.card.notes["precision"] == "int8"
    small = open_encoder(collection.model_path, precision="int8")
    ids, codes = collection.codes()
    for row, item in zip(codes.bits(), collection.items(ids), strict=True):
        opened = open_picture(collection.picture_path(item), reduced_to=small.picture_side)
        assert (row == small.encode("image", [small.prepare("image", opened)]).codes.bits()[0]).all()

    Image.open(photos / "00.jpg").rotate(90).save(photos / "new.jpg", quality=95)
    assert main(["index", str(photos), "--out", str(out)]) == 0  # goes on in int8
    assert Searcher.open(out).encoder.model.precision == "int8"
    assert main(["search", str(out), str(photos / "new.jpg"), "--json", "-k", "1"]) == 0
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["distance"] == 0
    assert main(["index", str(photos), "--out", str(out), "--precision", "fp32"]) == 2
    assert "was encoded in int8" in capsys.readouterr().err


def test_an_int8_collection_that_cannot_be_made_leaves_nothing_behind(photos, folder, tmp_path):
    few, out = tmp_path / "few", tmp_path / "x.dh"
    few.mkdir()
    for path in sorted(photos.iterdir())[:3]:
        path.rename(few / path.name)
    with pytest.raises(UsageError, match="at least 8 pictures"):
        index_folder(few, out, folder, precision="int8")
    with pytest.raises(UsageError, match="keeps to torch"):
        index_folder(few, out, folder, precision="int8", engine="torch")
    assert not out.exists()
    assert index_folder(few, out, folder).precision == "fp32"


def test_a_collection_decoded_in_full_stays_so(photos, folder, tmp_path):
    out = tmp_path / "x.dh"
    index_folder(photos, out, folder, decode="full")
    encoder = open_encoder(folder)
    collection = Collection.open(out)
    ids, codes = collection.codes()
    in_full = [open_picture(collection.picture_path(item)) for item in collection.items(ids)]
    assert codes == encoder.encode("image", [encoder.prepare("image", each) for each in in_full]).codes
    index_folder(photos, tmp_path / "reduced.dh", folder)
    assert codes != Collection.open(tmp_path / "reduced.dh").codes()[1]  # so the way of decoding is seen at all

    searcher = Searcher.open(out)
    for picture, item in zip(in_full[:5], collection.items(ids[:5])):
        assert (
            searcher.encoder.encode("image", collection.picture_path(item)).code
            == encoder.encode("image", [encoder.prepare("image", picture)]).codes
        )
    add_uploads(
        collection, searcher.encoder.model, [("again.jpg", (photos / "07.jpg").read_bytes() + b" ")], most_bytes=1 << 20
    )
    newest = Collection.open(out).codes()[1]
    assert (newest.bits()[-1] == codes.bits()[7]).all()
    with pytest.raises(UsageError, match="decoded in the full way"):
        index_folder(photos, out, folder, decode="reduced")
    with pytest.raises(UsageError, match="decoded in the reduced way"):
        index_folder(photos, tmp_path / "reduced.dh", decode="full")


def test_export_again_keeps_what_was_measured_of_the_same_graph(folder, photos):
    rows = sample_rows(OnnxEncoder(folder), photos, 16)
    compare_with_torch(folder, {"image": rows})
    quantise(folder, rows)
    before = notes_of(folder)
    make_portable(folder)
    assert notes_of(folder) == before
    assert open_encoder(folder, precision="int8").precision == "int8"

    record = json.loads((folder / "model.json").read_text())
    record["portable"]["towers"]["image"]["sha256"] = "0" * 64  # as if it had been another graph
    (folder / "model.json").write_text(json.dumps(record))
    make_portable(folder)
    assert not {"int8", "flips"} & set(notes_of(folder))
    assert not (folder / INT8_NAME).exists()


def test_a_collection_whose_int8_encoder_is_gone_says_so(photos, folder, tmp_path, caplog):
    out = tmp_path / "x.dh"
    index_folder(photos, out, folder, precision="int8")
    carried = Collection.open(out).model_path
    record = json.loads((carried / "model.json").read_text())
    del record["portable"]["towers"]["image"]["int8"]
    (carried / "model.json").write_text(json.dumps(record))
    Image.open(photos / "00.jpg").rotate(90).save(photos / "new.jpg")
    with pytest.raises(UsageError, match=r"was encoded in int8, and .* has no int8 encoder"):
        index_folder(photos, out)
    assert len(Collection.open(out)) == 40
    Searcher.open(out)
    assert "queries are encoded in fp32" in caplog.text
