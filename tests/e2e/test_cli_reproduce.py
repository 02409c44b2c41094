"""``deephash reproduce`` as people run it: figures that hold, that do not, that mean something else, and Ctrl-C."""

import json

import pytest
import yaml

from deephash.cli.main import main

SETTINGS = {
    "seed_everything": 0,
    "model": {
        "class_path": "deephash.models.OrthoHash",
        "init_args": {
            "num_bits": 8,
            "num_classes": 10,
            "backbone": {"name": "features:64", "weights": None},
            "optimizer": {"learning_rate": 0.003},
        },
    },
    "data": {"class_path": "deephash.data.Digits"},
    "trainer": {"max_epochs": 2, "accelerator": "cpu"},
}
CLOSE = {"mAP@all": 0.6, "tolerance": 0.3, "source": "these tests"}


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DEEPHASH_QUIET", "1")


def write(path, **expected):
    path.write_text(yaml.safe_dump({**SETTINGS, **({"expected": expected} if expected else {})}))


def test_within_beyond_and_of_another_protocol(tmp_path, capsys):
    mine = tmp_path / "mine.yaml"
    write(mine, **CLOSE)
    assert main(["reproduce", "mine.yaml"]) == 0
    shown = capsys.readouterr().out
    assert "reproduced: within tolerance" in shown
    assert "names no protocol" in shown
    kept = json.loads((tmp_path / "reproduced" / "mine" / "reproduce.json").read_text())
    assert kept["reproduced"] is True
    found, protocol = kept["figures"][0]["found"], kept["protocol"]
    facts = json.loads((tmp_path / "reproduced" / "mine" / "seed_0" / "run.json").read_text())
    assert found == pytest.approx(facts["test_scores"][""])

    write(mine, **CLOSE | {"mAP@all": 0.1, "protocol": protocol})  # what is expected may change: nothing is trained
    started = facts["started"]
    assert main(["reproduce", "mine.yaml", "--json"]) == 1
    printed = json.loads(capsys.readouterr().out)
    assert printed["figures"][0]["within"] is False
    assert printed["protocol_differences"] == {}
    again = json.loads((tmp_path / "reproduced" / "mine" / "seed_0" / "run.json").read_text())
    assert again["started"] == started

    write(mine, **CLOSE | {"protocol": protocol.replace("K=8", "K=16")})
    assert main(["reproduce", "mine.yaml"]) == 1
    shown = capsys.readouterr().out
    assert "the protocol differs: num_bits is 8, expected 16" in shown
    assert "cannot be compared" in shown


def test_ctrl_c_goes_on_with_the_same_words(tmp_path, capsys, monkeypatch):
    from deephash.models import OrthoHash

    write(tmp_path / "mine.yaml", **CLOSE, seeds=[3, 4])
    usual, stopped = OrthoHash.training_step, []

    def stop_once(self, batch, batch_index):
        if self.current_epoch == 1 and not stopped:
            stopped.append(True)
            raise KeyboardInterrupt
        return usual(self, batch, batch_index)

    monkeypatch.setattr(OrthoHash, "training_step", stop_once)
    words = ["reproduce", "mine.yaml", "--out", "out"]
    assert main(words) == 130
    assert "goes on with: deephash reproduce mine.yaml --out out" in capsys.readouterr().err
    assert json.loads((tmp_path / "out" / "reproduce.json").read_text())["status"] == "running"
    assert main(words) == 0, capsys.readouterr().err
    kept = json.loads((tmp_path / "out" / "reproduce.json").read_text())
    assert (kept["status"], kept["seeds"], len(kept["figures"][0]["values"])) == ("finished", [3, 4], 2)
    assert "± " in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "which configuration"),
        (["mine.yaml"], "does not say what is expected"),
        (["no/such"], "no configuration 'no/such'"),
        (["mine.yaml", "--epochs", "3"], "--epochs"),
        (["good.yaml", "--model.init_args.num_bits=16"], "would change what is reproduced"),
        (["good.yaml", "--data.init_args.rot=x"], "--data.init_args.rot"),
        (["good.yaml", "--seed", "1", "--seeds", "2"], "not both"),
        (["good.yaml", "--seeds", "0"], "at least 1"),
        (["wrong.yaml"], "unknown entry 'tolerence'; did you mean 'tolerance'"),
    ],
)
def test_mistakes_are_told_before_training(words, message, tmp_path, capsys):
    write(tmp_path / "mine.yaml")
    write(tmp_path / "good.yaml", **CLOSE)
    write(tmp_path / "wrong.yaml", **CLOSE, tolerence=0.1)
    assert main(["reproduce", *words]) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "reproduced").exists()


def test_training_takes_a_configuration_that_expects_something(tmp_path, capsys):
    write(tmp_path / "mine.yaml", **CLOSE)
    assert main(["train", "--config", "mine.yaml", "--print-config"]) == 0
    shown = yaml.safe_load(capsys.readouterr().out)
    assert "expected" not in shown
    assert shown["model"]["init_args"]["num_bits"] == 8


def test_the_list_names_what_ships_with_figures(capsys):
    assert main(["reproduce", "--list"]) == 0
    assert "orthohash/digits_64" in capsys.readouterr().out
