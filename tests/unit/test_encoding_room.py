"""The room of encoders: free of torch, one reader of model.json, one rule where the model of a run lies."""

import json
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from deephash.encoding import PictureTransform, model_folder, read_model_record
from deephash.errors import CollectionDamaged, FormatTooNew
from tests.paths import ROOT

RECORD = {
    "format_version": 1,
    "deephash": "0.1.0",
    "class": "LSH",
    "num_bits": 16,
    "num_levels": 1,
    "modalities": ["image"],
    "supervised": False,
    "fingerprint": "0123456789abcdef",
    "init_args": {"num_bits": 16},
    "weights_sha256": "0" * 64,
}


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "run" / "model").mkdir(parents=True)
    (tmp_path / "run" / "model" / "model.json").write_text(json.dumps(RECORD))
    return tmp_path / "run" / "model"


def test_the_model_of_a_run_is_found_wherever_it_is_named(folder):
    run = folder.parent
    assert model_folder(run) == model_folder(str(folder)) == folder
    folder.rename(run / "last")
    assert model_folder(run) == run / "last"
    (run / "model.json").write_text("{}")
    assert model_folder(run) == run
    assert model_folder(run / "absent") == run / "absent"


def test_the_record_is_read_and_refused(folder):
    assert read_model_record(folder)["fingerprint"] == RECORD["fingerprint"]
    (folder / "model.json").write_text(json.dumps(RECORD | {"format_version": 99}))
    with pytest.raises(FormatTooNew, match="model format 99"):
        read_model_record(folder)
    (folder / "model.json").write_text(json.dumps(RECORD | {"num_bits": "many"}))
    with pytest.raises(CollectionDamaged, match="num_bits"):
        read_model_record(folder)
    with pytest.raises(CollectionDamaged, match=r"holds no model\.json"):
        read_model_record(folder.parent)


def test_cutting_and_normalising_are_the_two_steps_of_the_transform():
    transform = PictureTransform(8, 10)
    picture = Image.fromarray(np.random.default_rng(0).integers(0, 256, (31, 22, 3), dtype=np.uint8))
    pixels = transform.cut(picture)
    assert (pixels.dtype, pixels.shape) == (np.float32, (3, 8, 8))
    assert 0 <= pixels.min() <= pixels.max() <= 1
    assert np.array_equal(transform.normalise(pixels), transform(picture))
    assert np.array_equal(transform.normalise(np.stack([pixels, pixels]))[1], transform(picture))


def test_nothing_of_it_imports_torch(folder):
    code = f"""
import sys
from PIL import Image
import deephash.encoding, deephash.pictures, deephash.search, deephash.collection, deephash.ingest
record = deephash.encoding.read_model_record(deephash.encoding.model_folder({str(folder.parent)!r}))
pixels = deephash.encoding.PictureTransform(8, 8).cut(Image.new("RGB", (9, 9)))
heavy = {{"torch", "lightning", "torchvision", "timm", "open_clip", "torchmetrics", "sklearn"}}
print(record["class"], pixels.shape, sorted(heavy & set(sys.modules)))
"""
    ran = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert ran.stdout.strip() == "LSH (3, 8, 8) []", ran.stderr[-2000:]
