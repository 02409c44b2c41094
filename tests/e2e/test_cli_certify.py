"""``deephash certify`` and ``deephash encode --smooth`` on a small trained run and on a collection."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from deephash.cli.main import main
from deephash.data.digits import Digits
from deephash.evaluation.codefile import read_code_file
from deephash.reports.report import EvaluationReport

WORDS = ["--sigma", "0.25", "--queries", "10", "--draws", "200"]


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("certify") / "run"
    words = ["train", "--config", "orthohash/digits_64", "--bits", "16", "--epochs", "8", "--defence", "noise:0.25"]
    assert main([*words, "--out", str(folder), "--trainer.accelerator=cpu"]) == 0
    return folder


@pytest.fixture(scope="module")
def pictures(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("pictures")
    data = Digits()
    for row in range(0, 1797, 25):
        name = data.table.names[row]
        (folder / name).parent.mkdir(exist_ok=True)
        data.table.sources["image"](row).save(folder / name)
    return folder


def test_a_run_is_certified_and_bounds_fall_with_the_radius(run, tmp_path, capsys):
    out = tmp_path / "out"
    assert main(["certify", str(run), *WORDS, "--radius", "0.25", "0.05", "0.1", "--out", str(out), "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    report = EvaluationReport.load(out)
    assert printed["figures"][0]["value"] == pytest.approx(report.headline.value)
    bounds = [report.figure(f"certified mAP@all l2<={radius}").value for radius in (0.05, 0.1, 0.25)]
    assert report.headline.value >= bounds[0] >= bounds[1] >= bounds[2] > 0
    assert bounds[0] > bounds[2]
    protocol = report.figure("certified mAP@all l2<=0.05").protocol
    assert protocol.attack == "certified,l2<=0.05,sigma=0.25,n=200,alpha=0.001,seed=0"
    assert protocol.ties == "pessimistic"
    assert any("grey levels" in warning and "768 values" in warning for warning in report.warnings)
    assert Image.open(out / "bounds.png").width > 400
    with np.load(out / "query.npz") as columns:
        assert columns["radii"].shape == (10, 16)
        assert columns["agreeing"].max() <= 200
    assert main(["evaluate", str(out), "--json"]) == 0
    again = json.loads(capsys.readouterr().out)["figures"][0]["value"]
    assert again == pytest.approx(report.headline.value)


def test_an_interrupted_certificate_goes_on_and_other_settings_are_refused(run, tmp_path, capsys):
    out = tmp_path / "out"
    assert main(["certify", str(run), *WORDS, "--out", str(out)]) == 0
    first = (out / "report.json").read_text()
    kept = out / "counts" / "00003.npy"
    broken = out / "counts" / "00005.npy"
    whole = broken.read_bytes()
    kept.unlink()
    broken.write_bytes(whole[:50])
    before = (out / "counts" / "00000.npy").stat().st_mtime_ns
    assert main(["certify", str(run), *WORDS, "--batch-size", "17", "--out", str(out)]) == 0
    assert broken.read_bytes() == whole
    assert (out / "counts" / "00000.npy").stat().st_mtime_ns == before
    assert json.loads((out / "report.json").read_text())["figures"] == json.loads(first)["figures"]
    capsys.readouterr()
    assert main(["certify", str(run), *WORDS, "--seed", "1", "--out", str(out)]) == 2
    assert "other settings" in capsys.readouterr().err


def test_too_few_draws_are_told(run, tmp_path):
    words = ["--sigma", "0.1", "--queries", "4", "--draws", "20", "--radius", "0.05", "3"]
    assert main(["certify", str(run), *words, "--out", str(tmp_path / "few")]) == 0
    warnings = EvaluationReport.load(tmp_path / "few").warnings
    assert any("20 draws at sigma 0.1 can show radii up to" in each and "--draws" in each for each in warnings)
    words = ["--sigma", "0", "--queries", "4", "--draws", "20"]
    assert main(["certify", str(run), *words, "--out", str(tmp_path / "zero")]) == 0
    report = EvaluationReport.load(tmp_path / "zero")
    assert any("nothing is certified: sigma is 0" in each for each in report.warnings)
    assert report.figure("uncertain bits l2<=0.1").value == 16
    assert report.headline.value == report.figure("base mAP@all").value


def test_a_collection_is_certified_and_encoded_under_noise(run, pictures, tmp_path, capsys):
    made = tmp_path / "digits.dh"
    assert main(["index", str(pictures), "--out", str(made), "--model", str(run)]) == 0
    assert main(["certify", str(made), *WORDS, "--out", str(tmp_path / "out")]) == 0
    out = tmp_path / "smooth.npz"
    capsys.readouterr()
    words = ["encode", str(pictures / "3"), "-o", str(out), "--model", str(made), "--smooth", "0.25", "--draws", "60"]
    assert main(words) == 0
    assert "of the bits unknown" in capsys.readouterr().out
    side = read_code_file(out)
    with np.load(out) as columns:
        unknown = columns["unknown"]
    assert unknown.shape == (len(side), 16)
    assert 0 < unknown.mean() < 1
    plain = tmp_path / "plain.npz"
    assert main(["encode", str(pictures / "3"), "-o", str(plain), "--model", str(made)]) == 0
    differing = side.codes.bits() != read_code_file(plain).codes.bits()
    assert differing[~unknown].mean() < differing.mean() + 0.01
    assert differing.mean() < 0.3


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["certify", "RUN", "--sigma", "-1"], 2, "share of the pixel range"),
        (["certify", "RUN", "--sigma", "64"], 2, "64/255?"),
        (["certify", "RUN", "--sigma", "0.25", "--alpha", "2"], 2, "between 0 and 1"),
        (["certify", "RUN", "--sigma", "0.25", "--draws", "0"], 2, "1 or more"),
        (["certify", "RUN", "--sigma", "0.25", "--radius", "-1"], 2, "radii are 0 or more"),
        (["certify", "nowhere", "--sigma", "0.25"], 3, "no such run folder"),
        (["certify", "RUN"], 2, "sigma"),
        (["encode", "PICTURES", "-o", "a.hex", "--model", "RUN", "--smooth", "0.1"], 2, "use .npz"),
        (["encode", "PICTURES", "-o", "a.npz", "--model", "RUN", "--smooth", "0.1", "--text"], 2, "leave one"),
        (["encode", "PICTURES", "-o", "a.npz", "--model", "RUN", "--smooth", "-2"], 2, "share of the pixel range"),
    ],
)
def test_mistakes_are_told(run, pictures, tmp_path, monkeypatch, capsys, words, code, message):
    monkeypatch.chdir(tmp_path)
    named = [str({"RUN": run, "PICTURES": pictures}.get(word, word)) for word in words]
    assert main(named) == code
    assert message in capsys.readouterr().err
