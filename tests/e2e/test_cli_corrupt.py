"""``deephash corrupt`` on a small trained run and on a collection."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest
from PIL import Image

from deephash.cli.main import main
from deephash.data.digits import Digits
from deephash.reports.report import EvaluationReport

WORDS = ["--queries", "12"]


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("corrupt") / "run"
    words = ["train", "--config", "orthohash/digits_64", "--bits", "32", "--epochs", "6", "--out", str(folder)]
    assert main([*words, "--trainer.accelerator=cpu"]) == 0
    return folder


def rows_of(folder):
    with (folder / "corruptions.csv").open() as file:
        return list(csv.DictReader(file))


def test_curves_table_and_picture_beside_an_attack(run, tmp_path, capsys):
    attack = tmp_path / "pgd"
    assert main(["attack", str(run), "--attack", "pgd", "--steps", "10", *WORDS, "--out", str(attack)]) == 0
    out = tmp_path / "out"
    capsys.readouterr()
    assert main(["corrupt", str(run), *WORDS, "--beside", str(attack), "--out", str(out), "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    report = EvaluationReport.load(out)
    table = rows_of(out)
    assert len(table) == 8 * 5
    for row in table:
        figure = report.figure(f"mAP@all {row['kind']}/{row['strength']}")
        assert figure.value == pytest.approx(float(row["mAP"]))
        assert figure.protocol.attack == f"{row['kind']}={float(row['parameter']):g}"
    assert report.figure("corrupted mAP@all").value == pytest.approx(sum(float(row["mAP"]) for row in table) / 40)
    hardest = [float(row["mAP"]) for row in table if row["strength"] == "5"]
    assert sum(hardest) / 8 < report.headline.value - 0.05
    assert report.figure("attacked mAP@all").value == EvaluationReport.load(attack).figure("attacked mAP@all").value
    assert printed["figures"][0]["value"] == pytest.approx(report.headline.value)
    picture = Image.open(out / "corruptions.png")
    assert picture.width > 3 * picture.height
    assert "JPEG" not in report.warnings[0]
    assert "within 2 bits" in report.warnings[0]


def test_finished_steps_are_not_done_again(run, tmp_path):
    out = tmp_path / "out"
    words = ["corrupt", str(run), *WORDS, "--out", str(out)]
    assert main([*words, "--kinds", "blur"]) == 0
    first = rows_of(out)
    kept = {file.name: file.stat().st_mtime_ns for file in (out / "codes").iterdir()}
    assert len(kept) == 1 + 5
    (out / "codes" / "blur-2.npz").write_bytes(b"half")
    assert main([*words, "--kinds", "jpeg", "blur"]) == 0
    after = {file.name: file.stat().st_mtime_ns for file in (out / "codes").iterdir()}
    assert len(after) == 1 + 10
    assert all(after[name] == kept[name] for name in kept if name != "blur-2.npz")
    assert [row for row in rows_of(out) if row["kind"] == "blur"] == first


def test_a_collection_and_its_copies(run, tmp_path):
    folder, data = tmp_path / "pictures", Digits()
    for row in range(0, 1797, 25):
        name = data.table.names[row]
        (folder / name).parent.mkdir(exist_ok=True, parents=True)
        data.table.sources["image"](row).save(folder / name)
    assert main(["index", str(folder), "--out", str(tmp_path / "d.dh"), "--model", str(run)]) == 0
    out = tmp_path / "out"
    words = ["corrupt", str(tmp_path / "d.dh"), "--kinds", "jpeg", "rotation", *WORDS, "--near", "3"]
    assert main([*words, "--out", str(out)]) == 0
    report = EvaluationReport.load(out)
    assert report.figure("copies found jpeg").value > report.figure("copies found rotation").value
    first = next(row for row in rows_of(out) if (row["kind"], row["strength"]) == ("jpeg", "1"))
    assert float(first["confirmed"]) > 0.9
    assert float(first["confused"]) == 0


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["RUN", "--kinds", "jpg"], 2, "did you mean 'jpeg'"),
        (["RUN", "--near", "-1"], 2, "0 or more"),
        (["RUN", "--queries", "0"], 2, "--queries is at least 1, not 0"),
        (["RUN", "--beside", "nowhere"], 3, "nowhere"),
        (["nowhere"], 3, "no such run folder"),
    ],
)
def test_mistakes_are_told(run, tmp_path, monkeypatch, capsys, words, code, message):
    monkeypatch.chdir(tmp_path)
    assert main(["corrupt", *[str(run) if word == "RUN" else word for word in words]]) == code
    assert message in capsys.readouterr().err


def test_beside_wants_an_attack(run, tmp_path, capsys):
    out = tmp_path / "report"
    assert main(["evaluate", str(run), "--save", str(out)]) == 0
    assert main(["corrupt", str(run), *WORDS, "--beside", str(out), "--out", str(tmp_path / "out")]) == 2
    assert "about no attack" in capsys.readouterr().err
