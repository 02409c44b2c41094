"""``--compatible dlch``: the loss of DLCH's later phases beside any method, and codes that it solves."""

import numpy as np
import pytest
import torch
from lightning import Trainer

from deephash.backbones import Backbone
from deephash.cli.main import main
from deephash.data import Digits, FeatureFile, StreamTask
from deephash.data.codebook import CodeBook
from deephash.data.stream_drawing import class_stream
from deephash.errors import UsageError
from deephash.models import DPSH, load_model
from deephash.models.lifelong_hook import LifelongHashing
from deephash.scoring.runs import model_and_data
from tests.cross_modal_toy import two_views


@pytest.fixture(autouse=True)
def quiet(monkeypatch):
    monkeypatch.setenv("DEEPHASH_QUIET", "1")


@pytest.fixture(scope="module")
def digits(tmp_path_factory):
    folder = tmp_path_factory.mktemp("digits")
    class_stream(Digits(), {"class_path": "deephash.data.Digits", "init_args": {}}, [5, 5]).save(folder / "stream.json")
    train("--config", "dpsh/digits_32", "--stream", folder / "stream.json", "--epochs", 3, "--out", folder / "one")
    return folder


def train(*words):
    assert main(["train", *map(str, words), "--trainer.accelerator=cpu", "--trainer.log_every_n_steps=1"]) == 0


def later(folder, name, *words, epochs=4):
    out = folder / name
    train("--continue-from", folder / "one", "--replay", 100, "--epochs", epochs, "--out", out, *words)
    return out


def test_old_codes_stand_and_new_ones_are_solved(digits):
    out = later(digits, "with", "--compatible", "dlch:0.5", "--compatible.alpha=20")
    one, two = CodeBook.load(digits / "one"), CodeBook.load(out)
    assert two.before(2).codes == one.codes
    model, data = model_and_data(out, None)
    data.setup()
    solved, train_names = model.database_codes(), data.splits["train"].names
    new = np.flatnonzero(data.new_rows("train"))
    assert two.codes[two.rows([train_names[row] for row in new])] == solved[new]
    head = (out / "metrics.csv").read_text().splitlines()[0]
    for term in ("pairs", "lifelong_image_old", "lifelong_image_new", "lifelong_image_quantization"):
        assert f"train/{term}" in head.split(",")


def test_an_interrupted_run_goes_on_as_if_it_had_not_been(digits):
    whole = later(digits, "whole", "--compatible", "dlch", epochs=4)
    half = later(digits, "half", "--compatible", "dlch", epochs=2)
    assert main(["train", "--resume", str(half), "--trainer.max_epochs=4", "--trainer.accelerator=cpu"]) == 0
    one, other = load_model(whole / "last"), load_model(half / "last")
    for name, tensor in one.state_dict().items():
        assert torch.allclose(other.state_dict()[name], tensor, atol=1e-5), name
    assert one.learned_codes == other.learned_codes


def test_a_cross_modal_method_stores_solved_codes_of_both_halves(tmp_path):
    image, text, labels = two_views(1, count=240, num_classes=4)
    np.savez(tmp_path / "pairs.npz", image_features=image.float(), text_features=text.float(), labels=labels)
    data = {"class_path": "deephash.data.FeatureFile", "init_args": {"path": str(tmp_path / "pairs.npz")}}
    data["init_args"] |= {"batch_size": 32, "hold_out": False}
    class_stream(FeatureFile(str(tmp_path / "pairs.npz")), data, [2, 2]).save(tmp_path / "stream.json")
    config = ["--config", "dcmh/wiki_32", "--model.init_args.image_backbone.name=features:256"]
    config += ["--model.init_args.text_backbone.name=features:160", "--stream", tmp_path / "stream.json"]
    train(*config, "--epochs", 2, "--out", tmp_path / "one")
    out = later(tmp_path, "two", "--compatible", "dlch", epochs=2)
    book, (model, two) = CodeBook.load(out), model_and_data(out, None)
    two.setup()
    new = np.flatnonzero(two.new_rows("train"))
    names = [two.splits["train"].names[row] for row in new]
    for half in ("image", "text"):
        assert book.codes[book.rows(names, half)] == model.database_codes(half)[new]
    assert book.codes[book.rows(names, "image")] == book.codes[book.rows(names, "text")]  # one code a new pair


def fitted(hook, data):
    model = DPSH(8, Backbone("features:64", weights=None))
    trainer = Trainer(max_epochs=1, accelerator="cpu", logger=False, enable_checkpointing=False,
                      enable_progress_bar=False, enable_model_summary=False, callbacks=[hook])  # fmt: skip
    trainer.fit(model, datamodule=data)


def test_without_stored_codes_it_is_refused(digits):
    for data in (Digits(), StreamTask(str(digits / "stream.json"))):
        with pytest.raises(UsageError, match="--continue-from RUN"):
            fitted(LifelongHashing(), data)


def test_outputs_whose_signs_are_not_the_bits_are_refused(digits, monkeypatch):
    monkeypatch.setattr(DPSH, "binarises_at_zero", False)
    with pytest.raises(UsageError, match="signs are the bits"):
        fitted(LifelongHashing(), Digits())


def test_arguments_out_of_range_are_refused():
    with pytest.raises(UsageError, match="0 or more"):
        LifelongHashing(weight=-1)
    with pytest.raises(UsageError, match="1 or more"):
        LifelongHashing(sweeps=0)
