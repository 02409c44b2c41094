"""Several seeds of one recipe as people score and compare them."""

import json
import shutil

import numpy as np
import pytest

from deephash.cli.main import main
from deephash.reports.report import EvaluationReport


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Two seeds of LSH and of ITQ, scored; one LSH of another length."""
    made = tmp_path_factory.mktemp("seeds")
    asked = {"lsh": "lsh/digits_32", "itq": "itq/digits_32"}
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(made)
        patch.setenv("DEEPHASH_QUIET", "1")
        for name, config in asked.items():
            words = ["train", "--config", config, "--bits", "16", "--seeds", "2", "--epochs", "1", "--out", name]
            assert main([*words, "--trainer.accelerator=cpu"]) == 0
        words = ["train", "--config", "lsh/digits_32", "--bits", "8", "--epochs", "1", "--out", "short"]
        assert main([*words, "--trainer.accelerator=cpu"]) == 0
    return made


@pytest.fixture(autouse=True)
def here(runs, monkeypatch):
    monkeypatch.chdir(runs)
    monkeypatch.setenv("DEEPHASH_QUIET", "1")


def seeds_of(name):
    return [f"{name}/16bits_seed0", f"{name}/16bits_seed1"]


def test_evaluate_gives_mean_spread_and_interval(runs, capsys, tmp_path):
    words = ["--resamples", "0", "--save", str(tmp_path / "saved")]
    assert main(["evaluate", *seeds_of("lsh"), *words]) == 0
    shown = capsys.readouterr().out
    assert main(["evaluate", *seeds_of("lsh"), "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed == json.loads((tmp_path / "saved" / "seeds.json").read_text())
    values = [json.loads((runs / run / "run.json").read_text())["test_scores"][""] for run in seeds_of("lsh")]
    first = printed["figures"][0]
    assert (first["metric"], first["values"]) == ("mAP@all", pytest.approx(values))
    assert first["mean"] == pytest.approx(np.mean(values))
    assert first["spread"] == pytest.approx(np.std(values, ddof=1))
    assert first["low"] < first["mean"] < first["high"]
    assert printed["seeds"] == ["0", "1"]
    cell = f"{np.mean(values):.4f} ± {np.std(values, ddof=1):.4f}"
    assert cell in shown
    assert f"| mAP@all | {cell} |" in (tmp_path / "saved" / "seeds.md").read_text()
    kept = EvaluationReport.load(tmp_path / "saved" / "seed_1")
    assert kept.headline.value == pytest.approx(values[1])
    assert kept.environment["seed"] == "1"


@pytest.mark.parametrize(
    ("given", "named"),
    [
        (["lsh/16bits_seed0", "short"], "model.init_args.num_bits: 16 in lsh/16bits_seed0, 8 in short"),
        (["lsh/16bits_seed0", "itq/16bits_seed1"], "'deephash.models.ITQ' in itq/16bits_seed1"),
        (["lsh/16bits_seed0", "lsh/16bits_seed0"], "have the same seed, 0"),
    ],
)
def test_what_differs_is_named(given, named, capsys):
    assert main(["evaluate", *given]) == 2
    error = capsys.readouterr().err
    assert named in error
    assert "backbone" not in error


def test_another_split_is_named(capsys, tmp_path):
    """The recipe is one, but the split is not: as where files of the data set changed between two runs."""
    shutil.copytree("lsh/16bits_seed0", tmp_path / "a")
    assert main(["evaluate", str(tmp_path / "a"), "lsh/16bits_seed1", "--protocol", "other/v1", "--json"]) == 0
    assert "other/v1 | mAP@all" in capsys.readouterr().out
    from deephash.scoring.seeds import DifferentRuns, evaluate_seeds
    from deephash.scoring.targets import evaluate

    reports = {"a": evaluate("lsh/16bits_seed0", label="x"), "b": EvaluationReport.load(_scored("itq/16bits_seed1"))}
    with pytest.raises(DifferentRuns, match=r"method: 'LSH' in a, 'ITQ' in b"):
        evaluate_seeds([*map(type(tmp_path), reports)], lambda path: reports[str(path)])


def _scored(run):
    from deephash.scoring.targets import evaluate

    evaluate(run).save(run)
    return run


def test_compare_makes_a_row_of_seeds_and_names_the_tests(capsys, tmp_path):
    given = [*seeds_of("lsh"), *seeds_of("itq"), "short"]
    assert main(["compare", *given, "--resamples", "200"]) == 0
    shown = capsys.readouterr().out
    lines = [line for line in shown.splitlines() if line.startswith(("LSH", "ITQ"))]
    assert [(line.split()[0], "±" in line) for line in lines] == [("LSH", True), ("ITQ", True), ("LSH", False)]
    assert "paired over queries, ITQ - LSH: seed 0 +0." in shown
    assert "seed 1 +0." in shown
    assert main(["compare", *given, "--json", "--resamples", "200"]) == 0
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [(row["seeds"], row["num_bits"]) for row in rows] == [(["0", "1"], 16), (["0", "1"], 16), (["0"], 8)]
    lsh, itq = (row["figures"]["mAP@all"]["mean"] for row in rows[:2])
    assert rows[1]["difference"] == pytest.approx(itq - lsh)
    tests = [test["difference"] for test in rows[1]["tests"].values()]
    assert np.mean(tests) == pytest.approx(itq - lsh)
    assert main(["compare", *given, "--each", "--csv"]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 6


@pytest.mark.parametrize(
    ("face", "mark"), [("--markdown", "| LSH | 16 | 2 |"), ("--latex", r"$\pm$"), ("--csv", "0 1")]
)
def test_each_face_of_the_table(face, mark, capsys):
    assert main(["compare", *seeds_of("lsh"), *seeds_of("itq"), face, "--resamples", "50"]) == 0
    assert mark in capsys.readouterr().out


def test_saved_seeds_are_compared_as_one(capsys, tmp_path):
    for name in ("lsh", "itq"):
        assert main(["evaluate", *seeds_of(name), "--resamples", "0", "--save", str(tmp_path / name)]) == 0
    capsys.readouterr()
    assert main(["compare", str(tmp_path / "lsh"), str(tmp_path / "itq"), "--resamples", "50"]) == 0
    assert capsys.readouterr().out.count("±") == 3
