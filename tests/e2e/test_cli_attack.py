"""``deephash attack`` on a small trained run and on a collection, as a user meets it."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from deephash.cli.main import main
from deephash.data.digits import Digits
from deephash.evaluation.codefile import read_code_file
from deephash.models import load_model
from deephash.reports.report import EvaluationReport

from .cli import deephash

WORDS = ["--queries", "12", "--steps", "20", "--batch-size", "5"]


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("attack") / "run"
    words = ["train", "--config", "orthohash/digits_64", "--bits", "32", "--out", str(folder)]
    assert main([*words, "--trainer.accelerator=cpu"]) == 0
    return folder


@pytest.fixture(scope="module")
def collection(run, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("pictures")
    data = Digits()
    for row in range(0, 1797, 12):
        name = data.table.names[row]
        (folder / name).parent.mkdir(exist_ok=True)
        data.table.sources["image"](row).save(folder / name)
    out = folder.parent / "digits.dh"
    assert main(["index", str(folder), "--out", str(out), "--model", str(run)]) == 0
    return out


def test_an_attack_of_a_run_lowers_map_and_keeps_what_was_measured(run, tmp_path, capsys):
    out = tmp_path / "hag"
    assert main(["attack", str(run), "--attack", "hag", *WORDS, "--out", str(out), "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    report = EvaluationReport.load(out)
    assert printed["figures"][0]["value"] == pytest.approx(report.headline.value)
    assert report.figure("attacked mAP@all").value < report.figure("mAP@all").value - 0.1
    assert report.figure("drop of mAP@all").value > 0.1
    assert report.figure("L-inf").value == pytest.approx(8 / 255, abs=1e-6)
    assert report.figure("flipped bits").value > 1
    assert report.figure("attacked mAP@all").protocol.attack == (
        "hag,eps=8/255,steps=20,rule=gradientdescent,seed=0,png"
    )
    assert report.figure("mAP@all").protocol.attack == "none"
    pairs = [sorted((out / part).glob("*.png")) for part in ("clean", "adversarial")]
    assert [len(each) for each in pairs] == [12, 12]
    for clean, changed in zip(*pairs, strict=True):
        before, after = (np.asarray(Image.open(file), dtype=int) for file in (clean, changed))
        assert 0 < np.abs(before - after).max() <= 8
    attacked = read_code_file(out / "attacked.npz")
    codes = load_model(run / "model").encode_images(pairs[1])
    assert np.array_equal(codes.packed, attacked.codes.packed)
    assert Image.open(out / "pictures.png").width > 500
    assert "](pictures.png)" in (out / "report.md").read_text()
    assert main(["evaluate", str(out), "--adversarial", str(out / "attacked.npz"), "--json"]) == 0
    again = {each["label"]: each["value"] for each in json.loads(capsys.readouterr().out)["figures"]}
    assert again["attacked mAP@all"] == pytest.approx(report.figure("attacked mAP@all").value)


def test_without_budget_nothing_changes(run, tmp_path):
    out = tmp_path / "zero"
    assert main(["attack", str(run), "--attack", "pgd", "--epsilon", "0", *WORDS, "--out", str(out)]) == 0
    report = EvaluationReport.load(out)
    assert report.figure("attacked mAP@all").value == report.figure("mAP@all").value
    assert report.figure("flipped bits").value == 0


def test_targets_are_disjoint_kept_and_read_back(run, tmp_path):
    out, again = tmp_path / "dhta", tmp_path / "again"
    assert main(["attack", str(run), "--attack", "dhta", *WORDS, "--epsilon", "16/255", "--out", str(out)]) == 0
    report = EvaluationReport.load(out)
    assert report.figure("t-mAP@all").value > report.figure("clean t-mAP@all").value + 0.1
    rows = [line.split(",") for line in (out / "targets.csv").read_text().splitlines()[1:]]
    assert all(name.split("/")[0] != target for name, target in rows)
    words = ["attack", str(run), "--attack", "dhta", *WORDS, "--epsilon", "16/255", "--out", str(again)]
    assert main([*words, "--targets", str(out / "targets.csv")]) == 0
    for file in (out / "adversarial").iterdir():
        assert file.read_bytes() == (again / "adversarial" / file.name).read_bytes()


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ("own", "share a class with their query"),
        ("eleven", "no class is called 'eleven'"),
        ("77", "no database item has"),
    ],
)
def test_bad_targets_are_refused(run, tmp_path, capsys, changed, message):
    out = tmp_path / "first"
    assert main(["attack", str(run), "--attack", "p2p", *WORDS, "--out", str(out)]) == 0
    lines = (out / "targets.csv").read_text().splitlines()
    name = lines[1].split(",")[0]
    lines[1] = f"{name},{name.split('/')[0] if changed == 'own' else changed}"
    bad = tmp_path / "bad.csv"
    bad.write_text("\n".join(lines) + "\n")
    words = ["attack", str(run), "--attack", "p2p", *WORDS, "--out", str(tmp_path / "second")]
    assert main([*words, "--targets", str(bad)]) == 2
    assert message in capsys.readouterr().err
    if changed == "own":
        assert main([*words, "--targets", str(bad), "--allow-overlap"]) == 0


def test_a_collection_is_attacked_by_its_own_model(collection, tmp_path):
    out = tmp_path / "own"
    assert main(["attack", str(collection), "--attack", "mainstay", *WORDS, "--out", str(out)]) == 0
    report = EvaluationReport.load(out)
    assert report.figure("attacked mAP@all").value < report.figure("mAP@all").value
    assert not any("PNG" in warning for warning in report.warnings)  # the cut picture has the code of the file


def test_pictures_of_another_model_transfer_less(run, tmp_path, collection):
    other = tmp_path / "other"
    words = ["train", "--config", "orthohash/digits_64", "--bits", "24", "--seed", "5"]
    assert main([*words, "--out", str(other), "--trainer.accelerator=cpu"]) == 0
    white, black = tmp_path / "white", tmp_path / "black"
    assert main(["attack", str(run), "--attack", "pgd", *WORDS, "--out", str(white)]) == 0
    words = ["attack", str(run), "--attack", "pgd", *WORDS, "--out", str(black)]
    assert main([*words, "--source", str(other)]) == 0
    scores = [EvaluationReport.load(each).figure("attacked mAP@all") for each in (white, black)]
    assert scores[0].value < scores[1].value
    assert "source=" in scores[1].protocol.attack


def test_the_worst_case_is_no_better_than_any_attack(run, tmp_path, capsys):
    out = tmp_path / "suite"
    assert main(["attack", str(run), "--suite", "standard", *WORDS, "--out", str(out)]) == 0
    report = EvaluationReport.load(out)
    single = {each.metric: each.value for each in report.figures if each.metric.startswith("attacked mAP@all ")}
    members = [name for name in single if "eps=" not in name]
    assert {name.split()[-1] for name in members} == {"apgd", "mainstay-apgd", "sdha", "hag", "square"}
    assert report.figure("worst-case mAP@all").value <= min(single[name] for name in members) + 1e-12
    assert single["attacked mAP@all eps=255/255"] < single["attacked mAP@all eps=4/255"]
    before = {file: file.stat().st_mtime_ns for file in out.rglob("*.png")}
    assert main(["attack", str(run), "--suite", "standard", *WORDS, "--out", str(out)]) == 0
    assert {file: file.stat().st_mtime_ns for file in out.rglob("*.png")} == before  # nothing is done twice


def test_an_interrupted_attack_goes_on(run, tmp_path):
    words = ["attack", str(run), "--attack", "pgd", "--queries", "16", "--steps", "80", "--batch-size", "2"]
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    assert main([*words, "--out", str(whole)]) == 0
    program = [str(Path(sys.executable).with_name("deephash")), *words, "--out", str(broken)]
    process = subprocess.Popen(program, stderr=subprocess.PIPE, text=True)
    until = time.monotonic() + 120
    while len(list(broken.glob("adversarial/0*.png"))) < 4 and time.monotonic() < until:
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=120)
    assert process.returncode == 130
    assert "interrupted" in said
    kept = {file.name: file.stat().st_mtime_ns for file in (broken / "adversarial").glob("0*.png")}
    assert 4 <= len(kept) < 16
    first = sorted(kept)[0]
    (broken / "adversarial" / first).write_bytes((broken / "adversarial" / first).read_bytes()[:100])  # half a picture
    assert main([*words, "--out", str(broken)]) == 0
    for file in sorted((whole / "adversarial").glob("*.png")):
        assert file.read_bytes() == (broken / "adversarial" / file.name).read_bytes()
    untouched = [name for name in kept if name != first]
    assert all((broken / "adversarial" / name).stat().st_mtime_ns == kept[name] for name in untouched)


def test_a_folder_of_another_attack_is_not_gone_on_with(run, tmp_path, capsys):
    out = tmp_path / "out"
    assert main(["attack", str(run), "--attack", "pgd", *WORDS, "--out", str(out)]) == 0
    assert main(["attack", str(run), "--attack", "pgd", *WORDS, "--seed", "1", "--out", str(out)]) == 2
    assert "other settings" in capsys.readouterr().err
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").write_text("mine")
    assert main(["attack", str(run), "--attack", "pgd", *WORDS, "--out", str(tmp_path / "mine")]) == 2
    assert "holds no attack" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["--attack", "pgd", "--epsilon", "8"], 2, "8/255?"),
        (["--attack", "pgd", "--epsilon", "much"], 2, "such as 8/255"),
        (["--attack", "hagg"], 2, "did you mean 'hag'"),
        (["--attack", "hag", "--targeted"], 2, "aims at nothing"),
        (["--attack", "collide", "--towards", "a cat"], 2, "reads no phrases"),
        (["--attack", "square", "--rule", "mi"], 2, "no option 'rule'"),
        (["--attack", "pgd", "--source", "nowhere"], 4, "nowhere"),
        (["--suite", "standard", "--attack", "pgd"], 2, "leave out --attack"),
        (["--suite", "hard"], 2, "no suite is called"),
        ([], 2, "which attack?"),
    ],
)
def test_mistakes_are_told(run, tmp_path, capsys, words, code, message):
    assert main(["attack", str(run), *words, "--queries", "4", "--out", str(tmp_path / "out")]) == code
    assert message in capsys.readouterr().err


def test_a_collection_without_its_pictures_is_told(collection, tmp_path, capsys):
    copied = tmp_path / "copy.dh"
    shutil.copytree(collection, copied)
    card = json.loads((copied / "collection.json").read_text())
    card["root"] = str(tmp_path / "gone")
    (copied / "collection.json").write_text(json.dumps(card))
    assert main(["attack", str(copied), "--attack", "pgd", *WORDS, "--out", str(tmp_path / "out")]) == 3
    assert "gone" in capsys.readouterr().err


def test_a_picture_that_cannot_be_read_is_named(collection, tmp_path, capsys):
    out = tmp_path / "whole"
    words = ["attack", str(collection), "--attack", "pgd", *WORDS]
    assert main([*words, "--out", str(out)]) == 0
    first = json.loads((out / "attack.json").read_text())["queries"][0]
    file = Path(json.loads((collection / "collection.json").read_text())["root"]) / first
    kept = file.read_bytes()
    try:
        file.write_bytes(kept[:20])
        assert main([*words, "--out", str(tmp_path / "broken")]) == 3
        assert first in capsys.readouterr().err
    finally:
        file.write_bytes(kept)


def test_help_needs_no_torch():
    done = deephash("attack", "--help")
    assert done.returncode == 0
    assert "--epsilon" in done.stdout
