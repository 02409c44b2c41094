"""``deephash train --defence``: a defended run is a run like any other."""

import json
import shutil

import pytest

from deephash.cli.main import main
from deephash.models import load_model
from tests.coloured_squares import COLOURS, coloured

WORDS = ["train", "--config", "orthohash/digits_64", "--bits", "8", "--fast-dev-run", "--trainer.accelerator=cpu"]


@pytest.fixture(autouse=True)
def in_its_own_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def test_a_defended_run_starts_from_another_and_is_resumed(tmp_path, capsys):
    assert main([*WORDS, "--out", "base"]) == 0
    defence = ["--defence", "saat:4/255", "--defence.steps", "2", "--defence.weight=0.5"]
    assert main([*WORDS, "--out", "run", "--start-from", "base", *defence]) == 0, capsys.readouterr().err
    config = (tmp_path / "run" / "config.yaml").read_text()
    assert "deephash.attacks.defences.SAAT" in config
    assert "epsilon: 4/255" in config
    assert "directory: base/model" in config
    record = json.loads((tmp_path / "run" / "run.json").read_text())
    assert record["hooks"] == ["SAAT"]
    before = load_model(tmp_path / "run" / "last").fingerprint()
    shutil.rmtree("base")  # a resumed run needs it no more
    assert main(["train", "--resume", "run", "--epochs", "3"]) == 0, capsys.readouterr().err
    assert load_model(tmp_path / "run" / "last").fingerprint() != before
    assert main(["evaluate", "run", "--json"]) == 0


@pytest.mark.parametrize(("method", "defence"), [("csq", "cgat"), ("dpsh", "atrdh"), ("greedyhash", "noise:0.1")])
def test_any_method_is_defended_by_any_defence(method, defence, capsys):
    assert main([*WORDS, "--out", "run", "--method", method, "--defence", defence]) == 0, capsys.readouterr().err


def test_pictures_of_a_cross_modal_model_are_defended(tmp_path, capsys):
    names, lines = list(COLOURS), ["path,text,label"]
    for row in range(80):
        coloured(names[row % 4], row).save(tmp_path / f"{row}.png")
        lines.append(f"{row}.png,a {names[row % 4]} square,{names[row % 4]}")
    (tmp_path / "items.csv").write_text("\n".join(lines))
    backbone = {"name": "small_cnn:4", "weights": "null", "frozen": "false", "image_size": "16"}
    words = [f"--model.init_args.image_backbone.{key}={value}" for key, value in backbone.items()]
    words += ["--model.init_args.text_backbone.name=tfidf:64", "--data.init_args.path=items.csv", "--bits", "8"]
    words += ["--epochs", "1", "--method", "dcmh", "--defence", "cgat", "--out", "run", "--trainer.accelerator=cpu"]
    assert main(["train", "--config", "any/pairs_64", *words]) == 0, capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--defence", "sat"], "did you mean 'saat'"),
        (["--defence", "saat:8"], "8/255?"),
        (["--defence", "saat", "--defence.step=3"], "did you mean 'steps'? (valid: epsilon, steps, "),
        (["--defence", "cgat", "--defence.foo=3"], "unknown option 'foo' (valid: epsilon, steps, "),
        (["--defence.steps=3", "--defence", "saat"], "name it before"),
        (["--start-from", "nowhere"], "no such run or model folder"),
        (["--method", "itq", "--defence", "saat"], "fitted in closed form"),
        (["--defence", "saat", "--model.init_args.backbone.name=features:64"], "reads them"),
    ],
)
def test_mistakes_are_told(tmp_path, capsys, words, message):
    assert main([*WORDS, "--out", "run", *words]) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_a_resumed_run_keeps_its_defence(capsys):
    assert main([*WORDS, "--out", "run"]) == 0
    assert main(["train", "--resume", "run", "--defence", "saat"]) == 2
    assert "leave out --defence" in capsys.readouterr().err
