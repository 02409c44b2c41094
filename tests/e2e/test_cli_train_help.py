"""`train --help` lists what a method, a data set and the Trainer can be told, without torch."""

import subprocess
import sys

import pytest

from deephash.cli.main import main
from deephash.training.option_tree import data_options, model_options
from deephash.training.signatures import method_names, options_of


def helped(capsys, *words):
    assert main(["train", "--help", *words]) == 0
    return capsys.readouterr().out


def test_plain_help_says_how_to_see_the_rest(capsys):
    said = helped(capsys)
    assert "--ema DECAY" in said
    assert "deephash train --help --method csq" in said


@pytest.mark.parametrize("words", [["--model", "CSQ"], ["--method", "csq"], ["--model=deephash.models.CSQ"]])
def test_options_of_a_method_have_types_and_defaults(words, capsys):
    said = helped(capsys, *words)
    assert "--model.init_args.num_bits  (int) = required" in said
    assert "--model.init_args.centres  (CentreKind) = 'hadamard'" in said
    assert ".learning_rate" in said  # of its optimizer


def test_a_configuration_shows_its_own_values(capsys):
    said = helped(capsys, "--config", "orthohash/digits_64")
    assert "--model.init_args.num_bits  (int) = 64 here" in said
    assert "--data.init_args.batch_size" in said
    assert "--trainer.max_epochs" in said


def test_an_unknown_method_is_answered_with_a_near_one(capsys):
    assert main(["train", "--help", "--model", "CSQQ"]) == 2
    assert "did you mean 'CSQ'" in capsys.readouterr().err


@pytest.mark.parametrize("name", method_names())
def test_every_method_lists_what_it_takes(name):
    known = options_of(name, "models")
    assert known is None or {each.name for each in model_options(name)} == known


def test_what_a_base_explains_is_said():
    about = {each.name: each.about for each in data_options("PictureFolder")}
    assert about["batch_size"] == "B in training"


def test_nothing_heavy_is_imported():
    words = (
        "import sys; from deephash.cli.main import main; main(['train', '--help', '--config', 'orthohash/digits_64'])"
    )
    code = f"{words}; sys.exit(bool({{'torch', 'lightning', 'jsonargparse'}} & sys.modules.keys()))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, check=False).returncode == 0
