"""Every configuration that ships trains, on a miniature of its data and with a tiny network for a backbone."""

import inspect
import json

import pytest
import yaml
from safetensors.torch import save_file

from deephash.backbones import Backbone
from deephash.cli.main import main
from deephash.models import methods
from tests.e2e import miniatures
from tests.e2e.cross_modal_miniatures import write_fashion, write_wiki
from tests.paths import ROOT

CONFIGS = sorted((ROOT / "configs").rglob("*.yaml"))
VECTORS = "features:"
CLASSES = {"FeatureFile": 3, "PictureFolder": 3, "Manifest": 3, "FashionItems": 4}  # of the miniatures


def test_there_are_configurations():
    assert len(CONFIGS) >= 4


@pytest.fixture(autouse=True)
def quiet(monkeypatch):
    monkeypatch.setenv("DEEPHASH_QUIET", "1")


def shrink(config, folder):
    """Return the configuration with its data replaced by a miniature and its networks by tiny ones."""
    model, data = config["model"], config["data"]
    arguments, options = model.get("init_args", {}), data.setdefault("init_args", {})
    kind = data["class_path"].rpartition(".")[2]
    backbones = miniatures.find_backbones(arguments)
    widths = {
        name: int(spec["name"].split(":")[1]) for name, spec in backbones.items() if spec["name"].startswith(VECTORS)
    }
    if kind == "Cifar10":
        options["file"] = str(miniatures.compact_cifar10(folder / "cifar.npz"))
    elif kind == "FeatureFile":
        options["path"] = str(miniatures.feature_file(folder / "features.npz", widths))
    elif kind == "Wiki":
        options["file"] = str(write_wiki(folder))
    elif kind == "SemiPaired":
        options["base"]["init_args"]["file"] = str(write_wiki(folder))
    elif kind == "Vectors":
        wide = next(iter(widths.values()))
        options |= {"vectors": str(miniatures.vectors(folder / "vectors.npy", wide)), "queries": 10}
    elif kind == "Mfeat":
        options["file"] = str(miniatures.write_mfeat(folder))
    elif kind == "FashionItems":
        options["root"] = str(write_fashion(folder))
    elif kind == "PictureFolder":
        options["root"] = str(miniatures.picture_folder(folder / "pictures"))
    elif kind == "Manifest":
        pictures = miniatures.picture_folder(folder / "pictures")
        options["path"] = str(miniatures.manifest(folder / "items.csv", pictures, texts="text" in backbones))
    if kind != "SemiPaired":
        options["batch_size"] = 16
    if options.get("cache_dir"):
        options["cache_dir"] = str(folder / "cache")
    if kind in CLASSES and "num_classes" in arguments:
        arguments["num_classes"] = CLASSES[kind]
    for spec in backbones.values():
        shrink_backbone(spec, folder)
    return config


def shrink_backbone(spec, folder):
    """Give a picture network random weights in a file, and put a tiny one in its place; vectors and texts stay."""
    family = spec["name"].split(":")[0]
    if family in ("timm", "torchvision", "clip", "cifar_resnet", "mobilenet_v1"):
        fresh, frozen = spec.get("weights", "hub") is None, spec.get("frozen", True)
        spec.clear()
        spec |= {"name": "small_cnn:16", "image_size": 16, "frozen": frozen, "weights": None if fresh else "file"}
    elif family == "timm-stages":  # the method needs the maps of this very network
        spec |= {"weights": "file", "image_size": 128}
    if spec.get("weights") == "file":
        network = Backbone(spec["name"], weights=None, options=spec.get("options", {})).build().network
        state = {name: tensor.contiguous() for name, tensor in network.state_dict().items()}
        save_file(state, folder / "random.safetensors")
        spec["weights"] = str(folder / "random.safetensors")


NAMED = [path for path in CONFIGS if path.parent.name != "any"]


@pytest.mark.parametrize("path", NAMED, ids=[path.relative_to(ROOT / "configs").as_posix() for path in NAMED])
def test_trains(path, tmp_path, capsys):
    config = shrink(yaml.safe_load(path.read_text()), tmp_path)
    small = tmp_path / "small.yaml"
    small.write_text(yaml.safe_dump(config))
    out = tmp_path / "run"
    words = ["train", "--config", str(small), "--out", str(out), "--fast-dev-run", "--json"]
    assert main([*words, "--trainer.accelerator=cpu"]) == 0, capsys.readouterr().err
    result = json.loads(capsys.readouterr().out)
    assert (out / "model" / "model.json").is_file()
    assert all(0 <= score <= 1 for score in result["scores"].values())
    assert not (out / "hparams.yaml").exists()
    assert str(ROOT.parent) not in path.read_text(), "a configuration names a path of this machine"


@pytest.mark.parametrize("name", methods())
def test_every_method_trains_on_a_folder_or_on_pairs(name, tmp_path):
    """The generic configurations, with the number of classes counted in the data."""
    asked = inspect.signature(methods()[name].__init__).parameters
    kind = "folder" if "backbone" in asked else "pairs"
    config = yaml.safe_load((ROOT / "configs" / "any" / f"{kind}_64.yaml").read_text())
    if kind == "folder":
        own = "timm-stages:resnet18" if name == "CSCENet" else "timm:resnet18"
        config["model"]["init_args"]["backbone"] = {"name": own, "frozen": name != "CSCENet"}
    if name in ("CrossModalITQ", "CCAHash"):  # two towers of one space; inverts a matrix of the vocabulary's size
        config["model"]["init_args"]["text_backbone"]["name"] = "tfidf:64"
    config["model"]["init_args"]["num_bits"] = 4
    small, out = tmp_path / "small.yaml", tmp_path / "run"
    small.write_text(yaml.safe_dump(shrink(config, tmp_path)))
    words = ["train", "--config", str(small), "--method", name.lower(), "--out", str(out), "--fast-dev-run"]
    words += ["--model.init_args.centroids=8"] if name == "Poeem" else []  # of few rows
    assert main([*words, "--trainer.accelerator=cpu"]) == 0
    record = json.loads((out / "run.json").read_text(), parse_constant=pytest.fail)
    assert (record["method"], record["status"]) == (name, "finished")
