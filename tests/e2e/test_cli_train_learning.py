"""Training for serious runs: loggers, averaged weights, accumulation, precision, the size of a batch."""

import csv
import json
import re

import pytest
import torch
import yaml
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from deephash.backbones.small import SmallCNN
from deephash.cli.main import main
from deephash.models import OrthoHash, load_model

WORDS = ["train", "--config", "orthohash/digits_64", "--bits", "8", "--trainer.accelerator=cpu", "--fast-dev-run"]


@pytest.fixture(autouse=True)
def quiet(monkeypatch, tmp_path):
    monkeypatch.setenv("DEEPHASH_QUIET", "1")
    monkeypatch.chdir(tmp_path)


def configuration(run):
    return yaml.safe_load((run / "config.yaml").read_text())


def test_figures_and_configuration_reach_every_logger(tmp_path):
    assert main([*WORDS, "--out", "run", "--logger", "tensorboard"]) == 0
    run = tmp_path / "run"
    seen = EventAccumulator(str(run / "tensorboard")).Reload()
    assert {"train/loss", "validation/mAP", "test/mAP"} <= set(seen.Tags()["scalars"])
    facts = json.loads((run / "run.json").read_text())
    assert seen.Scalars("test/mAP")[0].value == pytest.approx(facts["test_scores"][""])
    rows = list(csv.DictReader((run / "metrics.csv").open()))
    assert [float(row["test/mAP"]) for row in rows if row["test/mAP"]] == [pytest.approx(facts["test_scores"][""])]
    logged = yaml.safe_load((run / "tensorboard" / "hparams.yaml").read_text())
    assert logged["model"]["init_args"]["num_bits"] == 8
    assert logged["data"] == configuration(run)["data"]


def test_averaged_weights_are_saved_and_resumed(tmp_path, monkeypatch):
    usual, stop = OrthoHash.training_step, True

    def interrupted(self, batch, batch_index):
        if stop and self.current_epoch == 2:
            raise KeyboardInterrupt
        return usual(self, batch, batch_index)

    monkeypatch.setattr(OrthoHash, "training_step", interrupted)
    words = [*(word for word in WORDS if word != "--fast-dev-run"), "--epochs", "3", "--ema", "0.9"]
    assert main([*words, "--out", "run"]) == 130
    kept = torch.load("run/last.ckpt", weights_only=True)
    state = next(value for key, value in kept["callbacks"].items() if key.startswith("WeightAverage"))
    saved = load_model("run/last").state_dict()
    name = next(key for key in saved if key.endswith("weight"))
    assert torch.equal(saved[name], state["average"][name])
    assert not torch.equal(saved[name], kept["state_dict"][name])  # training goes on with the weights themselves
    stop = False
    assert main(["train", "--resume", "run"]) == 0
    assert main([*words, "--out", "whole"]) == 0
    assert load_model("run/last").fingerprint() == load_model("whole/last").fingerprint()


def test_accumulation_and_precision_are_the_trainers(tmp_path):
    assert main([*WORDS, "--out", "run", "--accumulate", "2", "--precision", "bf16-mixed"]) == 0
    trainer = configuration(tmp_path / "run")["trainer"]
    assert (trainer["accumulate_grad_batches"], trainer["precision"]) == (2, "bf16-mixed")
    steps = torch.load("run/last.ckpt", weights_only=True)["global_step"]
    assert steps == 2  # two epochs of one batch: the last one of an epoch steps


def test_the_size_of_a_batch_is_found_and_kept(tmp_path):
    assert main([*WORDS, "--out", "run", "--batch-size", "auto"]) == 0
    size = configuration(tmp_path / "run")["data"]["init_args"]["batch_size"]
    assert size == 16  # an eighth of 128 items, so that an epoch has several steps
    assert main([*WORDS, "--out", "given", "--batch-size", "32"]) == 0
    assert configuration(tmp_path / "given")["data"]["init_args"]["batch_size"] == 32


def test_backbones_are_compiled_for_training_only(tmp_path, monkeypatch, capsys):
    compiled = []
    usual = SmallCNN.compile
    monkeypatch.setattr(SmallCNN, "compile", lambda self, **how: (compiled.append(how), usual(self, **how))[1])
    eager = "--trainer.callbacks.backend=eager"  # no compiler is started
    assert (
        main([*WORDS, "--out", "run", "--trainer.callbacks+=deephash.training.compiling.CompiledBackbones", eager]) == 0
    )
    assert compiled == [{"backend": "eager"}]
    assert load_model("run/model").encoders["image"]._compiled_call_impl is None
    frozen = [
        "train",
        "--config",
        "csq/digits_32",
        "--backbone",
        "features:64",
        "--compile",
        "--trainer.accelerator=cpu",
    ]
    assert main([*frozen, "--out", "frozen"]) == 2
    assert "--compile compiles the backbones that learn" in capsys.readouterr().err
    assert not (tmp_path / "frozen").exists()


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--ema", "2"], "--ema takes a decay between 0 and 1, not 2"),
        (["--batch-size", "-1"], "--batch-size must be at least 2, not -1"),
        (["--batch-size", "many"], "a whole number or auto, not 'many'"),
        (["--accumulate", "0"], "--accumulate must be at least 1, not 0"),
        (["--precision", "bf16mixed"], "did you mean 'bf16-mixed'?"),
        (["--logger", "tensorbord"], "did you mean 'tensorboard'?"),
        (["--method", "itq", "--accumulate", "4"], "ITQ is fitted in closed form"),
        (["--method", "cmfh", "--compile"], "CMFH is fitted in closed form"),
        (["--method", "itq", "--batch-size", "auto"], "leave out --batch-size"),
        (["--resume", "run", "--ema", "0.9"], "a resumed run goes on as it began; leave out --ema"),
    ],
)
def test_mistakes_are_told_before_torch_is_imported(words, says, capsys, monkeypatch):
    from deephash.cli import train_checks

    monkeypatch.setattr(train_checks, "require_network", lambda name: None)
    assert main([*WORDS, *words]) == 2
    assert re.search(re.escape(says), capsys.readouterr().err)


def test_a_logger_that_is_missing_is_named_with_its_extra(capsys, monkeypatch):
    from deephash.foreign import extras

    monkeypatch.setattr(extras, "find_spec", lambda name: None if name == "tensorboard" else name)
    assert main([*WORDS, "--logger", "tensorboard"]) == 2
    assert 'pip install "deephash[tensorboard]"' in capsys.readouterr().err
