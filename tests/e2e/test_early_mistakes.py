"""Mistakes are found before anything heavy is imported, anything is fetched or written: one sentence, 2 or 3."""

import json
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from deephash.ingest import index_folder
from tests.e2e.collection_child import tiny_model
from tests.e2e.test_import_diet import PROBE

LIGHT = {"lance", "pyarrow"}  # a collection is opened to see its columns


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    made, draw = tmp_path_factory.mktemp("early"), np.random.default_rng(0)
    for row in range(6):
        (made / "p" / "animals").mkdir(parents=True, exist_ok=True)
        Image.fromarray(draw.integers(0, 256, (8, 8, 3), np.uint8)).save(made / "p" / "animals" / f"{row}.png")
    (made / "empty").mkdir()
    index_folder(made / "p", made / "x.dh", tiny_model())
    return made


TRAIN = ["train", "--config", "orthohash/folder_64"]
DIGITS = ["train", "--config", "orthohash/digits_64"]


@pytest.mark.parametrize(("words", "code", "sentence"), [
    (["index", "{gone}", "--out", "{new}", "--model", "itq:timm:resnet18"], 3, "is not there; nothing was changed"),
    (["index", "{p}", "--out", "{new}", "--model", "itq:timm:resnet18", "--bits", "0"], 2, "--bits, the code length"),
    (["index", "{p}", "--out", "{new}", "--model", "itk:timm:resnet18"], 2, "did you mean 'itq'"),
    (["index", "{p}", "--out", "{new}", "--model", "itq:tim:resnet18"], 2, "did you mean 'timm'"),
    (["index", "{p}", "--out", "{new}", "--model", "itq:timm:resnet18", "--weights", "{gone}"], 3, "not on this"),
    (["index", "{empty}", "--out", "{new}", "--model", "itq:timm:resnet18"], 3, "holds none, by the names of its file"),
    (["index", "{empty}", "--out", "{new}"], 3, "holds none, by the names of its files"),
    (["index", "{p}", "--out", "{new}", "--model", "{gone}"], 3, "no such run or model folder"),
    (["index", "{p}", "--out", "{new}", "--model", "itq:timm:resnt18"], 2, "did you mean 'resnet18'"),
    (["index", "{p}", "--out", "{new}", "--model", "lsh:torchvision:alexnett"], 2, "did you mean 'alexnet'"),
    (["index", "{p}", "--out", "{new}", "--model", "clip:ViT-B-33/openai"], 2, "did you mean 'ViT-B-32'"),
    ([*DIGITS, "--backbone", "timm:resnt18"], 2, "timm has no network 'resnt18'; did you mean 'resnet18'"),
    ([*DIGITS, "--model.init_args.backbone.weigths=x"], 2, "Backbone has no 'weigths'; did you mean 'weights'"),
    ([*DIGITS, "--model.optimizer.learningrate=1"], 2, "did you mean 'learning_rate'"),
    (["search", "{x}", "{cat}", "--show", "lable"], 2, "no column 'lable'; did you mean 'label'"),
    (["encode", "{p}", "-o", "{new}", "--model", "itq:timm:resnet18"], 2, "is fitted to a folder of pictures"),
    (["search", "{x}", "{cat}", "-k", "0"], 2, "-k, the number of answers, is at least 1, not 0"),
    (["search", "{x}", "{cat}", "--max-distance", "-1"], 2, "--max-distance, in bits, is at least 0, not -1"),
    (["search", "{x}", "{cat}", "--where", "lable = cat"], 2, "no column 'lable'; did you mean 'label'"),
    (["search", "{gone}", "{cat}"], 3, "no such collection"),
    (["serve", "{gone}"], 3, "no such collection"),
    (["attack", "{gone}", "--attack", "mainstay"], 3, "no such run folder or collection"),
    (["corrupt", "{x}", "--queries", "0"], 2, "--queries is at least 1, not 0"),
    (["certify", "{gone}", "--sigma", "0.25"], 3, "no such run folder or collection"),
    (["train", "--config", "orthohash/digit_64"], 2, "no configuration 'orthohash/digit_64'"),
    ([*DIGITS, "--bits", "0"], 2, "--bits must be at least 1, not 0"),
    ([*DIGITS, "--method", "orthohsh"], 2, "did you mean 'orthohash'"),
    ([*DIGITS, "--num_classes", "12"], 2, "did you mean --model.init_args.num_classes=..."),
    ([*DIGITS, "--max_epoch=3"], 2, "did you mean --trainer.max_epochs=..."),
    ([*DIGITS, "--epoch", "3"], 2, "did you mean --epochs?"),
    ([*DIGITS, "--data.root", "X"], 2, "Digits takes no such one"),
    ([*DIGITS, "--model.init_args.margn=1"], 2, "did you mean 'margin'"),
    ([*TRAIN, "--root", "X"], 2, "did you mean --data.init_args.root=..."),
    ([*TRAIN, "--data.root", "{gone}"], 3, "is not a folder; give one with a sub-folder a class"),
    (["evaluate", "{gone}"], 3, "no such run folder, collection or .npz file"),
    (["compare", "{gone}", "{gone}"], 3, "no such report"),
])  # fmt: skip
def test_a_mistake_imports_nothing_heavy(world, words, code, sentence):
    places = {"p": world / "p", "x": world / "x.dh", "new": world / "new.dh", "gone": world / "gone"}
    asked = [word.format(**places, empty=world / "empty", cat=world / "p" / "animals" / "0.png") for word in words]
    done = subprocess.run(
        [sys.executable, "-c", PROBE, *asked], capture_output=True, text=True, timeout=120, check=True, cwd=world
    )
    ended, imported = json.loads(done.stdout.splitlines()[-1])
    assert (ended, sentence in done.stderr) == (code, True), done.stderr
    assert set(imported) <= LIGHT
    assert not (world / "new.dh").exists()


def test_a_value_that_nothing_has_names_near_ones(world):
    def said(where):
        words = ["search", str(world / "x.dh"), str(world / "p" / "animals" / "0.png"), "--where", where]
        done = subprocess.run([sys.executable, "-m", "deephash", *words], capture_output=True, text=True, check=False)
        assert done.returncode == 1
        return done.stderr

    assert "no label is 'animal'; did you mean 'animals'?" in said("label = animal")
    assert "did you mean 'animals'?" in said("label = ANIMALS and width > 3")
    assert "no label is 'cars'; there are 'animals'" in said("label = cars")
    assert "did you mean" not in said("label = animals and width > 3000")
