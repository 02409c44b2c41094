"""`deephash train` as people type it; in this process, because importing torch takes seconds."""

import json
import re

import pytest
import yaml

from deephash.cli.main import main
from deephash.cli.train import read_options
from deephash.data import Digits
from deephash.errors import UsageError
from deephash.models import load_model
from deephash.training.configurations import find_config

FAST = ["--trainer.accelerator=cpu", "--data.init_args.batch_size=64"]


@pytest.fixture(autouse=True)
def quiet(monkeypatch, tmp_path):
    monkeypatch.setenv("DEEPHASH_QUIET", "1")
    monkeypatch.chdir(tmp_path)


def train(*words):
    return main(["train", "--config", "itq/digits_32", *FAST, *words])


def test_help_is_not_an_error(capsys):
    assert main(["train", "--help"]) == 0
    assert "--bits N" in capsys.readouterr().out


def test_lists_configurations(capsys):
    assert main(["train", "--list"]) == 0
    assert "orthohash/digits_64" in capsys.readouterr().out.split()


def test_a_run_folder_tells_everything(tmp_path, capsys):
    assert train("--bits", "16", "--out", "run", "--epochs", "3") == 0
    out = capsys.readouterr().out
    assert re.search(r"ITQ  16 bits  seed 0  mAP@all 0\.\d{4}", out)
    assert "digits-fifth/v1 | mAP@all" in out
    run = tmp_path / "run"
    facts, splits = (json.loads((run / name).read_text()) for name in ("run.json", "splits.json"))
    assert facts["status"] == "finished"
    assert {"python", "torch", "lightning", "numpy", "jsonargparse", "onnx"} <= facts["versions"].keys()
    assert (facts["git_commit"] is None) == (facts["git_dirty"] is None)
    assert facts["git_commit"] is None or re.fullmatch("[0-9a-f]{40}", facts["git_commit"])
    assert facts["seed"] == 0
    assert facts["last_epoch"] == facts["epochs"] - 1 == 2
    assert 0 <= facts["best_epoch"] <= 2
    assert 0.3 < facts["last_validation_map"] <= facts["best_validation_map"] <= 1
    assert 0.3 < facts["test_scores"][""] < 1
    assert facts["machine"]["cores"]
    assert splits["checksum"] == facts["split_checksum"]
    assert splits["counts"]["query"] == len(splits["splits"]["query"]) == 359
    assert yaml.safe_load((run / "config.yaml").read_text())["model"]["init_args"]["num_bits"] == 16
    assert (run / "metrics.csv").read_text().count("\n") > 3
    assert load_model(run / "model").num_bits == load_model(run / "last").num_bits == 16
    flips = json.loads((run / "model" / "model.json").read_text())["portable"]["towers"]["image"]["flips"]
    assert (flips["items"], flips["bits"]) == (64, 64 * 16)


def test_a_partial_optimizer_lies_over_the_methods_own(tmp_path):
    partial = tmp_path / "partial.yaml"
    resolved = yaml.safe_load(find_config("dpsh/digits_32").read_text())
    resolved["model"]["init_args"]["optimizer"] = {"learning_rate": 0.003}
    partial.write_text(yaml.safe_dump(resolved))
    words = ["--bits", "8", "--fast-dev-run", "--out", "run", "--trainer.accelerator=cpu"]
    assert main(["train", "--config", str(partial), *words]) == 0
    used = load_model(tmp_path / "run" / "last").optimizer
    assert (used.name, used.learning_rate, used.momentum) == ("rmsprop", 0.003, 0.0)


def test_the_same_seed_gives_the_same_model(tmp_path):
    for name in ("a", "b", "c"):
        seed = "1" if name == "c" else "0"
        words = ["train", "--config", "orthohash/digits_64", "--bits", "8", "--epochs", "1", "--seed", seed]
        assert main([*words, "--fast-dev-run", "--out", name, "--trainer.accelerator=cpu"]) == 0
    first, again, other = (load_model(tmp_path / name / "last").fingerprint() for name in ("a", "b", "c"))
    assert first == again != other


def test_a_grid_prints_mean_and_spread(capsys, tmp_path):
    assert train("--bits", "8", "16", "--seeds", "2", "--fast-dev-run", "--out", "grid") == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[:2] for line in lines[-2:]] == [["ITQ", "8"], ["ITQ", "16"]]
    assert len([path for path in (tmp_path / "grid").iterdir() if path.is_dir()]) == 4


def test_a_run_is_never_overwritten(tmp_path):
    for _ in range(2):
        assert train("--fast-dev-run", "--bits", "8", "--out", "run") == 0
    assert {path.name for path in tmp_path.iterdir()} == {"run", "run-2"}


def test_json(capsys):
    assert train("--fast-dev-run", "--bits", "8", "--json") == 0
    record = json.loads(capsys.readouterr().out)
    assert record["method"] == "ITQ"
    assert 0 < record["scores"][""] < 1


def test_ctrl_c_keeps_finished_epochs_and_resumes(tmp_path, capsys, monkeypatch):
    from deephash.models import OrthoHash

    words = ["train", "--config", "orthohash/digits_64", "--bits", "8", "--epochs", "3", "--fast-dev-run"]
    usual = OrthoHash.training_step

    def stop_in_second_epoch(self, batch, batch_index):
        if self.current_epoch == 1:
            raise KeyboardInterrupt
        return usual(self, batch, batch_index)

    monkeypatch.setattr(OrthoHash, "training_step", stop_in_second_epoch)
    assert main([*words, "--out", "run", "--trainer.accelerator=cpu"]) == 130
    assert "Resume with: deephash train --resume run" in capsys.readouterr().err
    assert json.loads((tmp_path / "run" / "run.json").read_text())["status"] == "interrupted"
    epochs = []
    monkeypatch.setattr(
        OrthoHash, "training_step", lambda self, *args: (epochs.append(self.current_epoch), usual(self, *args))[1]
    )
    assert main(["train", "--resume", "run"]) == 0, capsys.readouterr().err
    assert set(epochs) == {1}
    assert json.loads((tmp_path / "run" / "run.json").read_text())["status"] == "finished"


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--config", "orthohash/digits_46"], "did you mean 'orthohash/digits_64'"),
        (["--config", "itq/digits_32", "--model.init_args.sed=1"], "did you mean 'seed'"),
        (["--config", "itq/digits_32", "--trainer.max_epoch=3"], "did you mean 'max_epochs'"),
        (["--config", "itq/digits_32", "--bogus=1"], "unknown option"),
        (["--config", "itq/digits_32", "--bits", "many"], "whole numbers"),
        (["--config", "itq/digits_32", "--bits"], "needs a value"),
        (["--config", "itq/digits_32", "--seed", "1", "--seeds", "2"], "not both"),
        (["--config", "itq/digits_32", "--model=ITK"], "did you mean 'ITQ'"),
        (["--config", "itq/digits_32", "--bits", "65"], "principal axes"),
        (["--config", "itq/digits_32", "--backbone", "features:63"], "use features:64"),
        (["--config", "orthohash/digits_64", "--model.init_args.num_classes=9"], "num_classes=10"),
        (["--config", "orthohash/digits_64", "--model.init_args.backbone.frozen=true"], "never learn"),
        (["--config", "orthohas/digits_64"], "did you mean 'orthohash/digits_64'"),
        (["--config", "orthohash/digits_64", "--model.init_args.optimizer.learning_ratee=1"], "'learning_rate'?"),
        (["--config", "itq/digits_32", "--epochs", "0"], "--epochs must be at least 1"),
        (["--config", "itq/digits_32", "--epochs=-1"], "--epochs must be at least 1"),
        (["--config", "itq/digits_32", "--seeds", "0"], "--seeds must be at least 1"),
        (["--config", "picture.yaml"], "picture.yaml is not a YAML configuration"),
        (["--config", "words.yaml"], "words.yaml holds no settings"),
        (["--confg", "itq/digits_32"], "--confg is no option"),
        (["--fast-dev-run"], "nothing to train"),
    ],
)
def test_mistakes_are_answered_in_words(words, says, capsys, tmp_path):
    (tmp_path / "picture.yaml").write_bytes(b"\xff\xd8\xff")
    (tmp_path / "words.yaml").write_text("hello")
    assert main(["train", *words]) == 2
    err = capsys.readouterr().err
    assert says in err
    assert "Traceback" not in err
    assert not list(tmp_path.glob("runs/*"))  # or the run that is meant would be called NAME-2


def test_resuming_nothing(capsys):
    assert main(["train", "--resume", "nowhere"]) == 4
    assert "no run that can be resumed" in capsys.readouterr().err


def test_friendly_options():
    options = read_options(["--config=a", "--bits", "8", "16", "--seeds=2", "--epochs", "3", "--trainer.devices", "1"])
    assert (options.configs, options.bits, options.seeds) == (("a",), (8, 16), (0, 1))
    assert options.rest == ("--trainer.devices", "1", "--trainer.max_epochs=3")
    with pytest.raises(UsageError, match="--config NAME"):
        read_options(["--bits", "8"])


def test_the_classes_of_a_grid_are_counted_once_and_its_data_read_once(tmp_path, monkeypatch):
    read, tables = Digits.read, []
    monkeypatch.setattr(Digits, "read", lambda self: tables.append(read(self)) or tables[-1])
    digits = ("--data=Digits", "--model.init_args.backbone.name=features:64", "--model.init_args.backbone.weights=null")
    grid = ("--bits", "8", "16", "--epochs", "1", "--trainer.accelerator=cpu", "--out", str(tmp_path / "grid"))
    assert train("--config", "any/folder_64", *digits, *grid) == 0
    assert len(tables) == 1
    assert {load_model(run / "model").num_classes for run in (tmp_path / "grid").iterdir()} == {10}
