"""``deephash attack`` by attacks that learn first: what was learned is kept, read again, and told when damaged."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from safetensors.numpy import load_file

from deephash.attacks.conventions import CONVENTIONS
from deephash.cli.main import main
from deephash.reports.report import EvaluationReport

WORDS = ["--queries", "20", "--epsilon", "48/255", "--batch-size", "8"]


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("learned") / "run"
    words = ["train", "--config", "orthohash/digits_64", "--bits", "16", "--out", str(folder)]
    assert main([*words, "--trainer.accelerator=cpu", "--trainer.max_epochs=6"]) == 0
    return folder


@pytest.fixture(scope="module")
def universal(run, tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("universal") / "out"
    assert main(["attack", str(run), "--attack", "universal", "--steps", "30", *WORDS, "--out", str(out)]) == 0
    return out


def pairs(folder: Path) -> list[tuple[np.ndarray, np.ndarray]]:
    """Clean and adversarial pictures as grey levels."""
    files = zip(*(sorted((folder / part).glob("*.png")) for part in ("clean", "adversarial")), strict=True)
    return [tuple(np.asarray(Image.open(file), dtype=int) for file in pair) for pair in files]


def test_one_perturbation_lowers_map_of_pictures_it_never_saw(universal):
    report = EvaluationReport.load(universal)
    assert report.figure("attacked mAP@all").value < report.figure("mAP@all").value - 0.05
    assert report.figure("L-inf").value <= 48 / 255 + 1e-6
    assert report.figure("attacked mAP@all").protocol.attack == "universal,eps=48/255,steps=30,seed=0,png"


def test_it_is_kept_and_is_what_was_added(universal):
    learned = load_file(universal / "learned.safetensors")["perturbation"].transpose(1, 2, 0) * 255
    for clean, changed in pairs(universal):
        assert np.abs((clean + learned).clip(0, 255) - changed).max() <= 0.51
    assert max(np.abs(changed - clean).max() for clean, changed in pairs(universal)) == 48


def test_an_interrupted_one_goes_on_with_what_it_learned(run, universal, tmp_path, capsys):
    words = ["attack", str(run), "--attack", "universal", "--steps", "30", *WORDS, "--out", str(universal)]
    learned, file = universal / "learned.safetensors", sorted((universal / "adversarial").glob("*.png"))[3]
    made, before = learned.stat().st_mtime_ns, file.read_bytes()
    file.unlink()
    assert main(words) == 0
    assert file.read_bytes() == before
    assert learned.stat().st_mtime_ns == made
    whole = learned.read_bytes()
    learned.write_bytes(whole[:50])
    file.unlink()
    assert main(words) == 3
    assert "remove it, and it is learned anew" in capsys.readouterr().err
    learned.unlink()
    assert main(words) == 0
    assert file.read_bytes() == before
    assert learned.read_bytes() == whole


def test_all_pictures_go_to_one_target_which_none_of_them_has(run, tmp_path):
    out = tmp_path / "targeted"
    words = ["attack", str(run), "--attack", "universal", "--targeted", "--steps", "30", *WORDS, "--out", str(out)]
    assert main(words) == 0
    rows = [line.split(",") for line in (out / "targets.csv").read_text().splitlines()[1:]]
    assert 0 < len(rows) <= 20
    assert len({target for _, target in rows}) == 1
    assert all(name.split("/")[0] != target for name, target in rows)
    report = EvaluationReport.load(out)
    assert report.figure("t-mAP@all").value > report.figure("clean t-mAP@all").value + 0.05


def test_a_patch_is_printed_and_lies_where_it_was_put(run, tmp_path):
    out = tmp_path / "patch"
    words = ["attack", str(run), "--attack", "patch", "--patch-size", "0.5", "--patch-place", "0.5", "0.5"]
    assert main([*words, "--queries", "20", "--steps", "60", "--out", str(out)]) == 0
    report = EvaluationReport.load(out)
    says = "patch,patch=0.5,place=0.5x0.5,steps=60,seed=0,png"
    assert report.figure("attacked mAP@all").protocol.attack == says
    assert report.figure("attacked mAP@all").value < report.figure("mAP@all").value - 0.1
    side = pairs(out)[0][0].shape[0]
    reach = 0.5 * 1.1 * 1.23 / 2 * side + 1  # of a larger patch, turned by 15 degrees
    middle = slice(int(side / 2 - reach), int(side / 2 + reach) + 1)
    for clean, changed in pairs(out):
        other = (clean != changed).any(axis=2)
        other[middle, middle] = False
        assert not other.any()
    printed = Image.open(out / "patch.png")
    assert min(printed.size) >= 600
    assert printed.info["dpi"][0] == pytest.approx(300, abs=1)
    cells = load_file(out / "learned.safetensors")["patch"].transpose(1, 2, 0) * 255
    each = printed.width // len(cells)
    assert np.array_equal(np.asarray(printed)[each // 2 :: each, each // 2 :: each], cells.round().astype(np.uint8))


def test_budgets_of_patches_and_of_others_are_not_mixed(run, tmp_path, capsys):
    words = ["attack", str(run), "--out", str(tmp_path / "out"), "--queries", "4"]
    assert main([*words, "--attack", "patch", "--epsilon", "8/255"]) == 2
    assert "give --patch-size" in capsys.readouterr().err
    assert main([*words, "--attack", "pgd", "--patch-size", "0.3"]) == 2
    assert "no option 'patch_size'" in capsys.readouterr().err


def test_several_targets_are_told(run, tmp_path, capsys):
    first = tmp_path / "dhta"
    assert main(["attack", str(run), "--attack", "p2p", "--steps", "1", *WORDS, "--out", str(first)]) == 0
    words = ["attack", str(run), "--attack", "universal", *WORDS, "--out", str(tmp_path / "out")]
    assert main([*words, "--targets", str(first / "targets.csv")]) == 2
    assert "one change for all pictures has one target" in capsys.readouterr().err


# Conventions of papers -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("convention", "attack", "metric", "empty"),
    [
        ("dhta", "dhta", "t-mAP@1000", "drop"),
        ("saat", "pgd", "attacked mAP@all", "zero"),  # of 1,438 items the first 5,000 are all
        ("prosgan", "p2p", "t-mAP@all", "zero"),
    ],
)
def test_a_convention_sets_what_its_paper_counts_and_says_so(run, tmp_path, convention, attack, metric, empty):
    out = tmp_path / "out"
    words = ["attack", str(run), "--attack", attack, "--convention", convention, "--steps", "2", "--seed", "3"]
    assert main([*words, "--queries", "40", "--out", str(out)]) == 0
    report = EvaluationReport.load(out)
    figure = report.figure(metric)
    assert figure.protocol.empty == empty
    assert figure.protocol.legacy == convention
    assert f"legacy={convention}" in str(figure.protocol)
    assert all(each.protocol.legacy == convention for each in report.figures)
    squares = [np.mean(((changed - clean) / 255) ** 2) for clean, changed in pairs(out)]
    assert report.figure("pooled RMSE").value == pytest.approx(np.sqrt(np.mean(squares)))
    if attack != "pgd":
        rows = [line.split(",") for line in (out / "targets.csv").read_text().splitlines()[1:]]
        assert any(name.split("/")[0] == target for name, target in rows) == (convention == "prosgan")


def test_conventions_of_a_large_database_cut_where_their_papers_cut():
    cuts = {name: each.settings(59_000, 0).top_k for name, each in CONVENTIONS.items()}
    assert cuts == {"dhta": 1000, "saat": 5000, "prosgan": None}


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--attack", "pgd", "--convention", "dhtaa"], "did you mean 'dhta'"),
        (["--attack", "pgd", "--convention", "dhta", "--top-k", "10"], "leave out --top-k"),
        (["--suite", "fast", "--convention", "dhta"], "--convention"),
    ],
)
def test_what_a_convention_does_not_go_with_is_told(run, tmp_path, capsys, words, message):
    assert main(["attack", str(run), *words, "--queries", "4", "--out", str(tmp_path / "out")]) == 2
    assert message in capsys.readouterr().err


def test_without_steps_nothing_is_learned_and_nothing_changes(run, tmp_path):
    out = tmp_path / "zero"
    for _ in range(2):
        assert main(["attack", str(run), "--attack", "universal", "--steps", "0", *WORDS, "--out", str(out)]) == 0
    assert not (out / "learned.safetensors").exists()
    assert all(np.array_equal(*pair) for pair in pairs(out))
