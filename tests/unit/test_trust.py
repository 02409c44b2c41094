"""Nothing in a folder causes an import by itself: whose code runs is what the user named, and nobody else's."""

import json
import os
import re
import sys
from importlib import import_module
from importlib.util import find_spec

import pytest
import torch
import yaml
from PIL import Image

import deephash
from deephash.backbones import Backbone
from deephash.cli.main import main
from deephash.data.building import build_data
from deephash.errors import UsageError
from deephash.foreign import trust as trust_module
from deephash.foreign.packages import METHODS, declared, declared_class
from deephash.foreign.trust import TRUST, is_trusted, named_object
from deephash.models import OrthoHash, load_model, method_named

MARKER = "import pathlib\npathlib.Path(__file__).with_name('was_run').touch()\n"
METHOD = MARKER + "from deephash.models import OrthoHash\nclass MyHash(OrthoHash):\n    'Mine.'\n"


@pytest.fixture
def here(tmp_path, monkeypatch):
    """An empty working folder in which nobody is trusted; modules that were imported from it are forgotten."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv(TRUST, "")
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setattr(sys, "meta_path", list(sys.meta_path))
    before = set(sys.modules)
    yield tmp_path
    for name in set(sys.modules) - before:
        if str(getattr(sys.modules[name], "__file__", "")).startswith(str(tmp_path)):
            del sys.modules[name]


def model_folder(here, **record):
    torch.manual_seed(0)
    OrthoHash(16, 3, Backbone("features:8", weights=None)).save(here / "m" / "model", portable=False)
    path = here / "m" / "model" / "model.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | record))
    return here / "m"


def was_run(here):
    return (here / "was_run").exists()


LOADING = [
    "evaluate m", "index p --out x.dh --model m", "encode p --out c.npz --model m", "attack m --attack pgd",
    "models info m --views", "models export m", "train --config orthohash/digits_64 --start-from m",
]  # fmt: skip


@pytest.mark.parametrize("command", LOADING)
def test_a_folder_that_names_a_module_does_not_run_it(command, here, capsys):
    (here / "mymethod.py").write_text(METHOD)
    (here / "p").mkdir()
    Image.new("RGB", (8, 8)).save(here / "p" / "a.png")
    model_folder(here, **{"class": "mymethod.MyHash"})
    assert main(command.split()) == 2
    assert not was_run(here)
    said = capsys.readouterr().err
    assert "the module mymethod would be run" in said
    assert "--trust mymethod" in said


@pytest.mark.parametrize(
    "name", ["os.system", "os.path.join", "antigravity.x", "mymethod.sub.MyHash", "deephash.dev.x"]
)
def test_whatever_module_it_is(name, here):
    (here / "mymethod.py").write_text(METHOD)
    before, folder = set(sys.modules), model_folder(here, **{"class": name})
    with pytest.raises(UsageError, match="which is not one of deephash"):
        load_model(folder)
    assert not was_run(here)
    assert not ({"antigravity", "deephash.dev"} & set(sys.modules)) - before


@pytest.mark.parametrize("name", ["os.system", "mymethod.Net", "timm.models.resnet.ResNet"])
def test_nor_a_backbone(name, here):
    (here / "mymethod.py").write_text(METHOD)
    folder = model_folder(here)
    path = folder / "model" / "model.json"
    record = json.loads(path.read_text())
    record["init_args"]["backbone"]["name"] = name
    path.write_text(json.dumps(record))
    with pytest.raises(UsageError, match="would be run"):
        load_model(folder)
    assert not was_run(here)


def test_nor_the_data_set_of_a_run(here):
    (here / "mymethod.py").write_text(METHOD)
    with pytest.raises(UsageError, match="--trust mymethod"):
        build_data({"class_path": "mymethod.MyData"}, "config.yaml")
    with pytest.raises(UsageError, match=r"a data set of deephash\.data is needed"):
        build_data({"class_path": "deephash.cli.main.main"}, "config.yaml")
    assert not was_run(here)


@pytest.mark.parametrize("content", [
    {"model": {"class_path": "mymethod.MyHash"}},
    {"model": "mymethod.MyHash"},
    {"data": {"class_path": "mymethod.MyHash"}},
    {"trainer": {"callbacks": [{"class_path": "mymethod.MyHash"}]}},
    {"trainer": {"callbacks": ["mymethod.MyHash"]}},
    {"model": {"init_args": {"backbone": {"name": "mymethod.MyHash"}}}},
    {"model": "mymethod.yaml"},
])  # fmt: skip
def test_nor_does_a_configuration(content, here, capsys):
    (here / "mymethod.py").write_text(METHOD)
    (here / "c.yaml").write_text(yaml.safe_dump(content))
    (here / "run").mkdir()
    (here / "run" / "config.yaml").write_text(yaml.safe_dump(content))
    (here / "run" / "last.ckpt").touch()
    assert main(["train", "--config", "orthohash/digits_64", "--config", "c.yaml"]) == 2
    assert main(["train", "--resume", "run"]) == 2
    said = capsys.readouterr().err
    assert said.count("--trust mymethod") == 2 or said.count("is another file") == 2
    assert not was_run(here)


def test_nor_does_a_collection(here, capsys, monkeypatch):
    (here / "mymethod.py").write_text(METHOD)
    (here / "p").mkdir()
    for row in range(3):
        Image.new("RGB", (8, 8), (80 * row, 0, 0)).save(here / "p" / f"{row}.png")
    model = OrthoHash(16, 3, Backbone("small_cnn:2", weights=None, frozen=False, image_size=8)).eval()
    model.save(here / "m" / "model", portable=False)
    path = here / "m" / "model" / "model.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"class": "mymethod.MyHash"}))
    made = "index p --out x.dh --model m --engine torch --trust mymethod"  # which its queries then take too
    assert main(made.split()) == 0
    assert main(["search", "x.dh", "p/1.png", "--trust", "mymethod"]) == 0
    assert was_run(here)
    (here / "was_run").unlink()
    del sys.modules["mymethod"]
    monkeypatch.setenv(TRUST, "")
    capsys.readouterr()
    Image.new("RGB", (8, 8), (0, 0, 255)).save(here / "p" / "new.png")
    for command in ("search x.dh p/1.png", "index p --out x.dh"):
        assert main(command.split()) == 2, command
        assert "--trust mymethod" in capsys.readouterr().err
    assert main(["search", "x.dh", "id:1"]) == 0  # codes are there, and need no model
    assert not was_run(here)


def test_whoever_names_it_gets_it(here):
    (here / "mymethod.py").write_text(METHOD)
    folder = model_folder(here, **{"class": "mymethod.MyHash"})
    assert type(load_model(folder, trusted=["mymethod"])).__name__ == "MyHash"
    assert was_run(here)
    with pytest.raises(UsageError, match="would be run"):
        load_model(folder)  # it was said for that one call
    deephash.trust("mymethod")
    assert type(load_model(folder)).__name__ == "MyHash"


def test_what_lies_beside_it_is_found_by_it_alone(here):
    """Once ``mymethod`` was found in the folder, a library that tries an optional import finds nothing there."""
    (here / "mymethod.py").write_text("import helping\ndef later():\n    import importlib\n"
                                      "    return importlib.import_module('lazy_helping')\n")  # fmt: skip
    (here / "helping.py").write_text("x = 1")
    (here / "lazy_helping.py").write_text("x = 2")
    (here / "apex.py").write_text(MARKER)
    deephash.trust("mymethod")
    assert named_object("mymethod.later", "--method")().x == 2
    assert str(here) not in sys.path
    assert find_spec("apex") is None
    with pytest.raises(ModuleNotFoundError):
        import_module("apex")
    assert not was_run(here)


def test_trust_is_of_a_module_and_what_lies_below(monkeypatch):
    monkeypatch.setenv(TRUST, "a.b")
    assert is_trusted("a.b")
    assert is_trusted("a.b.c")
    assert not is_trusted("a")
    assert not is_trusted("a.bc")
    assert is_trusted("deephash.models")
    assert not is_trusted("deephashes")
    for name in ("", "a b", "a;b", "../a", None):
        with pytest.raises(UsageError, match="trusted by its name"):
            trust_module(name)


def test_the_flag_stands_anywhere_and_often(monkeypatch, capsys):
    monkeypatch.setenv(TRUST, "")
    assert main(["--trust", "one", "--version", "--trust=two,three"]) == 0
    assert os.environ[TRUST].split(",") == ["two", "three", "one"]
    assert main(["--version", "--trust"]) == 2
    assert "trusted by its name" in capsys.readouterr().err


@pytest.mark.parametrize(("path", "says"), [
    ("nowhere.X", "neither nowhere.py in"), ("mymethod.MyHsh", "did you mean 'MyHash'"),
    ("broken.X", r"SyntaxError.*line 1"), ("failing.X", "ZeroDivisionError"), ("json.X", "has no 'X'"),
])  # fmt: skip
def test_what_is_wrong_with_a_name(path, says, here):
    (here / "mymethod.py").write_text(METHOD)
    (here / "broken.py").write_text("def")
    (here / "failing.py").write_text("1 / 0")
    (here / "json.py").write_text(MARKER)
    deephash.trust(path.partition(".")[0])
    with pytest.raises(UsageError, match=says):
        named_object(path, "--method")


def test_a_file_that_an_installed_module_hides(here):
    (here / "this.py").write_text(MARKER)  # of the standard library, which nothing here imports
    deephash.trust("this")
    with pytest.raises(UsageError, match="hidden by another module of that name"):
        named_object("this.X", "--method")


# Packages ------------------------------------------------------------------------------------------


def install(here, package, entries, **files):
    """Make a folder that looks like site-packages with one package in it, and search it."""
    site = here / "site"
    info = site / f"{package}-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("\n".join(entries))
    for name, text in files.items():
        (site / f"{name}.py").write_text(text)
    if str(site) not in sys.path:
        sys.path.append(str(site))
    return site


def test_a_package_declares_its_methods(here):
    install(here, "fancy-hashing", ["[deephash.methods]", "fancy = fancy_hashing:MyHash"], fancy_hashing=METHOD)
    assert not was_run(here / "site")
    assert [(each.name, each.package) for each in declared(METHODS)] == [("fancy", "fancy-hashing")]
    assert not was_run(here / "site")  # nothing is imported to list them
    assert type(load_model(model_folder(here, **{"class": "fancy_hashing.MyHash"}))).__name__ == "MyHash"
    assert method_named("fancy") is method_named("my_hash") is method_named("fancy_hashing.MyHash")


def test_a_folder_names_what_is_declared_and_no_other_module_of_the_package(here):
    install(here, "fancy", ["[deephash.methods]", "fancy = fancy:MyHash"], fancy="MyHash = int", fancy_wipe=MARKER)
    (here / "site" / "fancy_wipe.py").rename(here / "site" / "other.py")
    with pytest.raises(UsageError, match="would be run"):
        load_model(model_folder(here, **{"class": "fancy.other.MyHash"}))
    assert not was_run(here / "site")


def test_a_broken_package_spoils_nothing_else(here):
    install(here, "broken", ["[deephash.methods]", "broken = broken_hashing:MyHash"], broken_hashing="1 / 0")
    install(here, "fancy", ["[deephash.methods]", "fancy = fancy_hashing:MyHash"], fancy_hashing=METHOD)
    assert method_named("fancy").__name__ == "MyHash"
    assert method_named("csq").__name__ == "CSQ"
    with pytest.raises(UsageError, match=r"the package broken declares .* cannot be imported: ZeroDivisionError"):
        method_named("broken")
    with pytest.raises(UsageError, match="pip uninstall broken"):
        declared_class(METHODS, "broken_hashing.MyHash")


@pytest.mark.parametrize("name", ["csq", "fancy"])
def test_two_of_a_name_are_an_error_that_says_both(name, here):
    install(here, "one", ["[deephash.methods]", "csq = one_m:MyHash", "fancy = one_m:MyHash"], one_m=METHOD)
    install(here, "two", ["[deephash.methods]", "fancy = two_m:MyHash"], two_m=METHOD)
    with pytest.raises(UsageError, match=rf"2 methods are called '{name}': .*one_m\.MyHash \(one\)"):
        method_named(name)
    assert method_named("one_m.MyHash").__module__ == "one_m"


def test_a_working_folder_is_no_installed_package(here, monkeypatch):
    """``python -m`` searches the working folder first; a folder that came with a model may look like a package."""
    site = install(here, "evil", ["[deephash.methods]", "evil = evil_hashing:MyHash"], evil_hashing=METHOD)
    monkeypatch.chdir(site)
    monkeypatch.setattr(sys, "path", ["", *sys.path])
    assert declared(METHODS) == []
    with pytest.raises(UsageError, match="would be run"):
        load_model(model_folder(here, **{"class": "evil_hashing.MyHash"}))
    assert not was_run(site)


def test_the_list_of_models_marks_them_with_their_package(here, capsys):
    install(here, "fancy", ["[deephash.methods]", "fancy = fancy_hashing:MyHash"], fancy_hashing=METHOD)
    install(here, "nets", ["[deephash.backbones]", "net = nets_m:Net"])
    install(here, "broken", ["[deephash.methods]", "broken = broken_hashing:MyHash"], broken_hashing="1 / 0")
    assert main(["models", "list"]) == 0
    lines = capsys.readouterr().out
    assert re.search(r"fancy \(fancy\) +pictures +Mine\.", lines)
    assert re.search(r"broken \(broken\) .*cannot be imported: ZeroDivisionError", lines)
    assert "--backbone NAME: net (nets)" in lines
    assert main(["models", "list", "--json"]) == 0
    records = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert {each["package"] for each in records if "configs" in each} == {"deephash", "fancy", "broken"}


def test_a_package_declares_its_backbones(here):
    net = MARKER + "import torch\nclass Net(torch.nn.Flatten):\n    transform = {'size': 4}\n"
    install(here, "nets", ["[deephash.backbones]", "net = nets_m:Net"], nets_m=net)
    encoder = Backbone("net", weights=None).build()
    assert (encoder.spec.name, encoder.num_features) == ("nets_m.Net", 48)
    assert Backbone("nets_m.Net", weights=None).build().num_features == 48  # what a model folder names
