"""A stream from the command line: tasks, one run after the other, and what they forget."""

import json
import shutil

import numpy as np
import pytest

from deephash.cli.main import main
from deephash.data.codebook import CodeBook
from deephash.encoding.targets import TargetTable

SMALL = ["--model.init_args.backbone.name=small_cnn:2", "--bits", "16", "--trainer.accelerator=cpu"]


def run(*words):
    return main([str(word) for word in words])


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Three runs on the tasks of a stream of digits, with a full retraining beside them."""
    patch = pytest.MonkeyPatch()
    folder = tmp_path_factory.mktemp("lifelong")
    patch.chdir(folder)
    patch.setenv("DEEPHASH_QUIET", "1")
    assert run("data", "stream", "digits", "--tasks", "5,3,2", "--out", "d.json") == 0
    base = ["train", "--config", "orthohash/digits_64", *SMALL, "--stream", "d.json"]
    assert run(*base, "--out", "one", "--epochs", 3, "--reserve", 6) == 0
    assert run("train", "--continue-from", "one", "--replay", 100, "--compatible", "hoc", "--compatible.mu=5") == 0
    assert run("train", "--continue-from", "one_task2", "--replay", 100, "--epochs", 2) == 0
    yield folder
    patch.undo()


def test_runs_know_their_ancestors_and_keep_the_codes(runs, monkeypatch):
    books = [CodeBook.load(runs / name) for name in ("one", "one_task2", "one_task3")]
    for older, newer in ((books[0], books[1]), (books[1], books[2])):
        assert np.array_equal(newer.codes.packed[: len(older)], older.codes.packed)
    facts = json.loads((runs / "one_task3" / "run.json").read_text())
    assert (facts["task"], facts["ancestor"]["task"], facts["ancestor"]["path"]) == (3, 2, "one_task2")
    config = (runs / "one_task3" / "config.yaml").read_text()
    assert "compatible.HOC" not in config  # of the ancestor's training, not of the descendant's
    assert config.count("WarmStart") == 1
    tables = [TargetTable.load(runs / name) for name in ("one", "one_task3")]
    assert len({table.checksum for table in tables}) == 1
    assert tables[0].reserved == 6


def test_lifelong_says_what_is_forgotten(runs, monkeypatch, capsys):
    monkeypatch.chdir(runs)
    assert run("evaluate", "one", "one_task2", "one_task3", "--lifelong", "--save", "report", "--resamples", 20) == 0
    said = capsys.readouterr().out
    for name in ("final average", "forgetting", "backward transfer", "forward transfer", "AC", "AM"):
        assert f"{name} of mAP@all" in said
    assert "AC (equal is compatible) of mAP@all" in said
    assert "training: one " in said
    assert (runs / "report" / "series.png").is_file()
    report = json.loads((runs / "report" / "report.json").read_text())
    assert report["protocol"].count("class-3of3") == 1
    assert [len(row) for row in report["series"]["scores"]] == [1, 2, 3]
    assert len(report["series"]["seconds"]) == 3
    figures = {each["metric"]: each["value"] for each in report["figures"]}
    assert figures["mAP@all"] == pytest.approx(_run_figure("one_task3"))
    assert not [line for line in report["warnings"] if "does not descend" in line]


def _run_figure(name):
    with open(f"{name}/run.json", encoding="utf8") as file:
        return json.load(file)["test_scores"][""]


def test_full_retraining_and_the_frozen_model(runs, monkeypatch, capsys):
    monkeypatch.chdir(runs)
    base = ["train", "--config", "orthohash/digits_64", *SMALL, "--stream", "d.json", "--epochs", 2]
    assert run(*base, "--task", 2, "--replay", "all", "--out", "full2") == 0
    assert run("train", "--continue-from", "one", "--epochs", 0, "--out", "frozen2") == 0
    capsys.readouterr()
    assert run("evaluate", "one", "full2", "--lifelong", "--reencoded", "--resamples", 0, "--json") == 0
    assert json.loads(capsys.readouterr().out)["series"]["names"] == ["one", "full2"]
    assert run("evaluate", "one", "full2", "--lifelong", "--resamples", 0) == 0
    assert "full2 does not descend from one" in capsys.readouterr().out
    assert run("evaluate", "one", "frozen2", "--lifelong", "--resamples", 0, "--json") == 0
    scores = json.loads(capsys.readouterr().out)
    assert {each["metric"]: each["value"] for each in scores["figures"]}["AC of mAP@all"] == 0  # equal is no gain
    assert {each["metric"]: each["value"] for each in scores["figures"]}["AC (equal is compatible) of mAP@all"] == 1


def test_a_run_stands_alone_when_ancestor_and_stream_are_gone(runs, monkeypatch, capsys, tmp_path):
    monkeypatch.chdir(tmp_path)
    shutil.copytree(runs / "one_task2", tmp_path / "moved")
    assert run("evaluate", "moved", "--resamples", 0) == 0
    assert run("train", "--resume", "moved") == 0, capsys.readouterr().err
    assert run("train", "--continue-from", "moved", "--epochs", 0, "--out", "third") == 0
    old = CodeBook.load(tmp_path / "moved")
    assert np.array_equal(CodeBook.load(tmp_path / "third").codes.packed[: len(old)], old.codes.packed)


WRONG = [
    (["train", "--continue-from", "one", "--bits", "32"], "stored codes of 16 bits"),
    (["train", "--continue-from", "one", "--task", "1"], "a descendant learns a later one, not 1"),
    (["train", "--continue-from", "one_task3"], "the last of"),
    (["train", "--continue-from", "one", "--stream", "other.json"], "is not the stream of one"),
    (["train", "--continue-from", "one", "--replay", "some"], "--replay takes a number"),
    (["train", "--continue-from", "one", "--start-from", "one"], "leave out --start-from"),
    (
        ["train", "--continue-from", "one", "--backbone", "small_cnn:3"],
        "keep its codes and class targets: --from-scratch",
    ),
    (["train", "--continue-from", "nothing"], "is no run that can be continued"),
    (["train", "--continue-from", "one", "--compatible", "hoo"], "did you mean 'hoc'"),
    (["train", "--continue-from", "one", "--compatible", "hoc:x"], "--compatible hoc:WEIGHT takes a number, not 'x'"),
    (["train", "--config", "orthohash/digits_64", "--compatible", "hoc"], "give --continue-from RUN"),
    (["train", "--config", "orthohash/digits_64", "--from-scratch"], "under fresh weights: --continue-from RUN"),
    (["train", "--config", "orthohash/digits_64", "--replay", "5"], "give --stream FILE or --continue-from RUN"),
    (["train", "--config", "orthohash/digits_64", "--epochs", "0"], "must be at least 1"),
    (["train", "--config", "orthohash/digits_64", "--reserve", "900", "--bits", "8"], "reserve fewer rows"),
    (["train", "--config", "dpsh/digits_32", "--targets", "one"], "DPSH has no fixed class targets"),
    (["train", "--resume", "one", "--replay", "5"], "leave out --replay"),
    (["evaluate", "one_task2", "one", "--lifelong"], "stands in place 1"),
    (["data", "stream", "digits", "--out", "x.json"], "say what arrives"),
    (["data", "stream", "digits", "--tasks", "5,x", "--out", "x.json"], "numbers of classes"),
    (["data", "stream", "digits", "--tasks", "5,5", "--seed", "-3", "--out", "x.json"], "seed is 0 to 4294967295"),
    (["data", "stream", "digits", "--tasks", "5,5", "--out", "one"], "one is a folder; name the file to write"),
    (["data", "stream", "digitz", "--tasks", "5,5", "--out", "x.json"], "did you mean 'digits'"),
]


@pytest.mark.parametrize(("words", "message"), WRONG)
def test_mistakes_are_one_sentence(runs, monkeypatch, capsys, words, message):
    monkeypatch.chdir(runs)
    if "other.json" in words:
        assert run("data", "stream", "digits", "--tasks", "4,6", "--out", "other.json") == 0
    before = sorted(path.name for path in runs.iterdir())
    assert run(*words) in (2, 3)
    said = capsys.readouterr().err
    assert message in said
    assert "Traceback" not in said
    assert sorted(path.name for path in runs.iterdir()) == before


def test_a_new_backbone_from_scratch_keeps_codes_and_targets(runs, monkeypatch):
    monkeypatch.chdir(runs)
    words = ["--config", "orthohash/digits_64", "--model.init_args.backbone.name=small_cnn:3", "--epochs", 1]
    assert run("train", "--continue-from", "one", *words, "--bits", 16, "--from-scratch", "--replay", "all") == 0
    made = runs / "one_task2-2"
    assert TargetTable.load(made).checksum == TargetTable.load(runs / "one").checksum
    assert "WarmStart" not in (made / "config.yaml").read_text()
    old = CodeBook.load(runs / "one")
    assert np.array_equal(CodeBook.load(made).codes.packed[: len(old)], old.codes.packed)


def test_streams_from_the_command_line(runs, monkeypatch, capsys):
    monkeypatch.chdir(runs)
    assert run("data", "stream", "digits", "--corrupt", "clean,rotation:5", "--out", "turned.json") == 0
    assert "rotation:5" in capsys.readouterr().out
    assert run("data", "stream", "orthohash/digits_64", "--tasks", "9,1", "--option", "seed=3", "--out", "s.json") == 0
    assert json.loads((runs / "s.json").read_text())["data"]["init_args"] == {"seed": 3}
    assert run("data", "stream", "--extend", "s.json", "--out", "more.json") == 2
    assert "nothing new" in capsys.readouterr().err
