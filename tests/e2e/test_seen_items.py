"""A model knows what it was trained on: figures on those pictures are called memory, and the held-out ones may ask."""

import json
import shutil

import numpy as np
import pytest
from PIL import Image, ImageOps

from deephash.cli.main import main
from deephash.collection.seen import SeenItems
from deephash.data import PictureFolder
from deephash.errors import CollectionDamaged
from deephash.models import load_model
from deephash.training import RunFolder, fit, make_trainer
from tests.e2e.miniatures import picture_folder

CONFIG = """
seed_everything: 0
model:
  class_path: deephash.models.OrthoHash
  init_args:
    num_bits: 16
    num_classes: 3
    backbone: {name: "small_cnn:4", weights: null, frozen: false, image_size: 16}
data:
  class_path: deephash.data.PictureFolder
  init_args: {root: pictures, batch_size: 8}
trainer:
  max_epochs: 2
  accelerator: cpu
"""


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """A run on a folder of 60 pictures, and two collections of its model: of those pictures, and of other ones."""
    folder = tmp_path_factory.mktemp("seen")
    pictures = picture_folder(folder / "pictures", per_class=20)
    (folder / "config.yaml").write_text(CONFIG)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("DEEPHASH_QUIET", "1")
        assert main(["train", "--config", "config.yaml", "--out", "run"]) == 0
        assert main(["index", "pictures", "--out", "all.dh", "--model", "run"]) == 0
        trained = set(json.loads((folder / "run" / "splits.json").read_text())["splits"]["train"])
        for path in sorted(pictures.rglob("*.png")):  # new names: content tells
            if path.relative_to(pictures).as_posix() in trained:
                target = folder / "trained" / path.parent.name / f"copy-{path.name}"
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(path, target)
        assert main(["index", "trained", "--out", "trained.dh", "--model", "run"]) == 0
    return folder


def evaluate(capsys, *words):
    assert main(["evaluate", *map(str, words), "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def test_queries_that_trained_the_model_are_warned_of(home, capsys, monkeypatch):
    monkeypatch.chdir(home)
    warnings = " ".join(evaluate(capsys, "all.dh")["warnings"])
    assert "of the 12 queries trained this model: the figures say how well it remembers" in warnings
    assert "deephash evaluate all.dh --held-out asks with the 12 others only" in warnings


def test_held_out_items_ask(home, capsys, monkeypatch):
    monkeypatch.chdir(home)
    report = evaluate(capsys, "all.dh", "--held-out")
    assert "trained this model" not in " ".join(report["warnings"])
    assert report["protocol"].startswith("collection-held-out-draw-12-seed-0 | ")
    splits = json.loads((home / "run" / "splits.json").read_text())["splits"]
    assert len(splits["query"]) == 12


def test_content_tells_not_names(home, capsys, monkeypatch):
    monkeypatch.chdir(home)
    warnings = " ".join(evaluate(capsys, "trained.dh")["warnings"])
    assert "index pictures that it has not seen" in warnings
    assert main(["evaluate", "trained.dh", "--held-out"]) == 2
    assert "trained on every item" in capsys.readouterr().err


def test_a_run_is_not_asked_for_held_out_items(home, capsys, monkeypatch):
    monkeypatch.chdir(home)
    assert main(["evaluate", "run", "--held-out"]) == 2
    assert "is for collections" in capsys.readouterr().err


def test_the_record_travels_with_the_model(home, tmp_path):
    model = load_model(home / "run" / "model")
    assert len(model.seen) == 48
    model.save(tmp_path / "copy")
    assert len(SeenItems.load(tmp_path / "copy")) == 48


def test_masks_unions_and_names(tmp_path):
    first = SeenItems.of(contents=["0a" * 16, "0b" * 16], names=["digits/1.png"])
    both = first | SeenItems.of(contents=["0c" * 16, "0a" * 16])
    assert (len(first), len(both)) == (3, 4)
    assert both.mask(["0c" * 16, None, "0d" * 16, None], ["a", "digits/1.png", "b", "c"]).tolist() == [
        True,
        True,
        False,
        False,
    ]
    assert not SeenItems.of().mask(["0a" * 16], ["digits/1.png"]).any()
    strange = ["zz", "0a", "0A" * 16, "0a" * 40, "é" * 32]  # whatever a stranger's collection holds as a hash
    assert not first.mask(strange, ["x"] * 5).any()


@pytest.mark.parametrize("damage", ["not a zip", "", "wrong shape"])
def test_a_damaged_record_is_named(tmp_path, damage):
    path = tmp_path / "seen.npz"
    if damage == "wrong shape":
        np.savez(path, contents=np.zeros((2, 3), np.uint8), names=np.zeros((0, 16), np.uint8))
    else:
        path.write_text(damage)
    with pytest.raises(CollectionDamaged, match=r"seen\.npz cannot be read.*nobody is warned"):
        SeenItems.load(tmp_path)


def test_a_model_loaded_by_hand_and_trained_on_still_knows_its_first_pictures(home, tmp_path):
    others = picture_folder(tmp_path / "others")
    for path in others.rglob("*.png"):
        ImageOps.invert(Image.open(path)).save(path)
    model, data = load_model(home / "run" / "model"), PictureFolder(str(others))
    first = model.seen
    trainer = make_trainer(tmp_path / "run", max_epochs=1, accelerator="cpu")
    fit(trainer, model, data, RunFolder(tmp_path / "run"))
    both = load_model(tmp_path / "run" / "last").seen
    assert len(both) == len(first) + len(data.seen_items())
    assert set(first.contents.tolist()) < set(both.contents.tolist())
