"""Small mistakes at the command line, and what is said about them."""

import json

import numpy as np
import pytest
import yaml
from PIL import Image

from deephash.backbones import Backbone
from deephash.cli.main import main
from deephash.cli.train import read_options
from deephash.errors import UsageError
from deephash.training.configured import parse


@pytest.mark.parametrize(
    ("words", "status", "message"),
    [
        (["search", "x.dh", "--id", "3"], 2, "unknown option --id; did you mean"),
        (["search", "x.dh", "two", "dogs"], 2, "'dogs' is too much; words that belong together need quotation marks"),
        (["data", "check", "."], 2, "is a folder of files; a split is a manifest"),
        (["data", "stats", "."], 2, "is a folder of files; a split is a manifest"),
    ],
)
def test_a_mistake_is_named(tmp_path, monkeypatch, capsys, words, status, message):
    monkeypatch.chdir(tmp_path)
    assert main(words) == status
    said = capsys.readouterr()
    assert message in said.err
    assert "Errno" not in said.err
    assert said.out == ""


def test_an_empty_folder_becomes_a_collection(tmp_path, capsys, no_hub):
    pictures, out = tmp_path / "pictures", tmp_path / "new.dh"
    pictures.mkdir()
    out.mkdir()
    for number in range(8):
        noise = np.random.default_rng(number).integers(0, 255, (24, 24, 3), dtype=np.uint8)
        Image.fromarray(noise).save(pictures / f"{number}.png")
    assert main(["index", str(pictures), "--out", str(out)]) == 3  # no weights are here
    assert "no model can be had here" in capsys.readouterr().err
    words = ["index", str(pictures), "--out", str(out), "--model", "lsh:tiny", "--bits", "16", "--dry-run", "--json"]
    assert main(words) == 0
    assert json.loads(capsys.readouterr().out)["added"] == 8


TRAIN = ["--model=OrthoHash", "--data=deephash.data.Digits", "--bits", "16", "--model.init_args.backbone.weights=null",
         "--model.init_args.backbone.frozen=false", "--backbone", "small_cnn:4"]  # fmt: skip


def test_the_number_of_classes_is_taken_from_the_data():
    cli = parse(read_options([*TRAIN]), 16, None)
    assert cli.model.num_classes == 10
    assert cli.config["model"]["init_args"]["num_classes"] == 10  # and so is kept with the run
    assert cli.model.num_bits == 16


def test_the_model_is_built_once(monkeypatch):
    built = []
    build = Backbone.build
    monkeypatch.setattr(Backbone, "build", lambda self: built.append(self.name) or build(self))
    parse(read_options([*TRAIN]), 16, None)
    assert built == ["small_cnn:4"]


def test_a_configuration_is_printed_without_weights_and_pictures(capsys):
    assert main(["train", "--config", "any/folder_64", "--method", "cibhash", "--print-config"]) == 0
    printed = yaml.safe_load(capsys.readouterr().out)
    assert printed["model"]["class_path"] == "deephash.models.CIBHash"
    assert printed["model"]["init_args"]["backbone"]["weights"] == "hub"


@pytest.mark.parametrize("words", [["--data.class_path", "Manifest"], ["--data=deephash.data.Manifest"]])
def test_options_of_another_data_set_are_not_kept(words):
    base = ["--config", "any/folder_64", "--method", "itq", *words, "--data.init_args.path=x.csv"]
    config = parse(read_options(base), None, None, build=False).config
    assert config["data"]["init_args"]["cache_dir"] is None  # PictureFolder has one too, and it named a folder
    assert config["data"]["init_args"]["path"] == "x.csv"
    kept = parse(read_options([*base, "--config", "any/pairs_64"]), None, None, build=False).config
    assert kept["data"]["init_args"]["cache_dir"] == ".deephash/features"


def test_a_method_is_named_in_any_case():
    for word in ("csce_net", "CSCE-Net", "CSCENet"):
        options = read_options(["--config", "any/folder_64", "--method", word, "--model.num_classes=3"])
        cli = parse(options, None, None, build=False)
        assert cli.config["model"]["class_path"] == "deephash.models.CSCENet"
    with pytest.raises(UsageError, match=r"no method 'csqq'; did you mean 'csq'.*deephash models list"):
        parse(read_options(["--config", "any/folder_64", "--method", "csqq"]), None, None)


def test_data_without_labels_counts_no_classes(tmp_path):
    np.savez(tmp_path / "x.npz", image_features=np.zeros((40, 8), np.float32))
    words = ["--model=CSQ", "--model.backbone.name=features:8", "--model.backbone.weights=null", "--bits", "16"]
    with pytest.raises(UsageError, match="CSQ needs num_classes, and the data has no labels"):
        parse(read_options([*words, "--data=FeatureFile", f"--data.path={tmp_path / 'x.npz'}"]), 16, None)


@pytest.mark.parametrize(
    ("option", "meant"),
    [("model.init_args.backbone.nam=small_cnn:8", "name"), ("data.init_args.sead=3", "seed")],
)
def test_options_are_not_abbreviated(option, meant):
    with pytest.raises(UsageError, match=f"unknown option .*did you mean '{meant}'"):
        parse(read_options(["--config", "orthohash/digits_64", f"--{option}"]), None, None)


def test_short_paths_into_the_configuration_stay_allowed():
    cli = parse(read_options(["--config", "orthohash/digits_64", "--data.seed=3", "--model.margin=0.1"]), None, None)
    assert cli.config["data"]["init_args"]["seed"] == 3
    assert cli.config["model"]["init_args"]["margin"] == 0.1
