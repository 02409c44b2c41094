"""``deephash attack`` on models of pictures and phrases, on models fitted in closed form, and on what has no pixels."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from deephash.attacks import PGD, Aim, victim_of
from deephash.backbones import Backbone
from deephash.cli.main import main
from deephash.codes import hamming_distance
from deephash.errors import UsageError
from deephash.evaluation.codefile import read_code_file
from deephash.models import ITQ, CCAHash, load_model
from deephash.reports.report import EvaluationReport
from tests.coloured_squares import COLOURS, coloured, colours_model

WORDS = ["--queries", "12", "--batch-size", "6"]
WHOLE, QUERIES = 96, 24


def caption(row: int) -> str:
    name = list(COLOURS)[row % 4]
    return f"a {name} square, nothing else" if (row // 4) % 2 else f"something {name}"


@pytest.fixture(scope="module")
def items(tmp_path_factory) -> Path:
    """Squares with captions: three quarters are searched, the last quarter asks."""
    folder = tmp_path_factory.mktemp("phrases")
    lines = ["path,text,label,split"]
    for row in range(WHOLE):
        name = list(COLOURS)[row % 4]
        coloured(name, row).save(folder / f"{name}_{row}.png")
        split = "query" if row >= WHOLE - QUERIES else "train"
        lines.append(f'{name}_{row}.png,"{caption(row)}",{name},{split}')
    (folder / "items.csv").write_text("\n".join(lines) + "\n")
    return folder / "items.csv"


def run_of(model, items: Path, folder: Path) -> Path:
    """Return a run folder of a model that was fitted elsewhere."""
    folder.mkdir()
    model.save(folder / "model")
    data = f"data:\n  class_path: deephash.data.Manifest\n  init_args: {{path: {items}}}\n"
    (folder / "config.yaml").write_text(data)
    return folder


@pytest.fixture(scope="module")
def run(items, tmp_path_factory) -> Path:
    return run_of(colours_model(), items, tmp_path_factory.mktemp("joined") / "run")


def attacked(run: Path, out: Path, *words: str) -> EvaluationReport:
    assert main(["attack", str(run), *words, *WORDS, "--out", str(out)]) == 0
    return EvaluationReport.load(out)


@pytest.mark.parametrize("attack", ["pgd", "mainstay", "hag"])
def test_a_picture_leaves_the_codes_of_its_captions(run, tmp_path, attack):
    out = tmp_path / "away"
    report = attacked(run, out, "--attack", attack, "--task", "i2t", "--epsilon", "48/255", "--steps", "60")
    figure = report.figure("attacked mAP@all")
    assert figure.protocol.task == "i2t"
    assert figure.value < report.figure("mAP@all").value - 0.1
    clean, changed = read_code_file(out / "query.npz"), read_code_file(out / "attacked.npz")
    rows = [int(Path(name).stem.split("_")[1]) for name in clean.names.tolist()]
    captions = load_model(run / "model").encode_texts([caption(row) for row in rows])
    before, after = (np.diag(hamming_distance(each.codes, captions)).mean() for each in (clean, changed))
    assert after > before + 1


def test_between_pictures_it_leaves_its_own_code(run, tmp_path):
    out = tmp_path / "own"
    report = attacked(run, out, "--attack", "apgd", "--task", "i2i", "--epsilon", "48/255", "--steps", "20")
    assert report.figure("attacked mAP@all").protocol.task == "i2i"
    assert report.figure("flipped bits").value > 3


def test_a_picture_takes_the_code_of_a_phrase(run, tmp_path):
    out = tmp_path / "collide"
    words = ["--attack", "collide", "--towards", "something blue", "--epsilon", "64/255", "--steps", "80"]
    report = attacked(run, out, *words)
    phrase = load_model(run / "model").encode_texts(["something blue"])
    clean, changed = (read_code_file(out / f"{name}.npz").codes for name in ("query", "attacked"))
    before, after = (hamming_distance(each, phrase)[:, 0] for each in (clean, changed))
    assert report.figure("bits from the code").value == pytest.approx(after.mean())
    assert after.mean() < before.mean() / 2
    assert report.figure("collisions").value == pytest.approx((after == 0).mean())
    assert (after == 0).any()


def test_another_phrase_is_not_gone_on_with_in_the_same_folder(run, tmp_path, capsys):
    words = ["attack", str(run), "--attack", "collide", "--steps", "1", *WORDS, "--out", str(tmp_path / "out")]
    assert main([*words, "--towards", "something blue"]) == 0
    assert main([*words, "--towards", "something red"]) == 2
    assert "other settings (codes)" in capsys.readouterr().err


def test_mainstay_pulls_pictures_to_the_captions_of_another_label(run, tmp_path):
    report = attacked(
        run, tmp_path / "pulled", "--attack", "mainstay", "--targeted", "--epsilon", "64/255", "--steps", "60"
    )
    assert report.figure("t-mAP@all").value > report.figure("clean t-mAP@all").value + 0.2


@pytest.mark.parametrize("attack", ["universal", "patch"])
def test_one_change_for_all_pictures_pulls_them_to_a_phrase(run, tmp_path, attack):
    budget = ["--epsilon", "96/255"] if attack == "universal" else ["--patch-size", "0.7"]
    words = ["--attack", attack, "--towards", "something blue", "--steps", "60", *budget]
    out = tmp_path / attack
    report = attacked(run, out, *words)
    phrase, clean = load_model(run / "model").encode_texts(["something blue"]), read_code_file(out / "query.npz")
    assert report.figure("bits from the code").value < hamming_distance(clean.codes, phrase).mean() - 1
    assert (out / "learned.safetensors").is_file()
    assert (out / "patch.png").is_file() == (attack == "patch")


def test_a_collection_has_no_texts_to_search(run, items, tmp_path, capsys):
    folder = tmp_path / "pictures"
    for row in range(24):
        name = list(COLOURS)[row % 4]
        (folder / name).mkdir(parents=True, exist_ok=True)
        coloured(name, row).save(folder / name / f"{row}.png")
    collection = tmp_path / "colours.dh"
    assert main(["index", str(folder), "--out", str(collection), "--model", str(run / "model")]) == 0
    words = ["attack", str(collection), "--attack", "collide", "--steps", "3", "--queries", "4"]
    assert main([*words, "--task", "i2t", "--out", str(tmp_path / "refused")]) == 2
    assert "holds pictures only" in capsys.readouterr().err
    assert main([*words, "--towards", "something blue", "--out", str(tmp_path / "taken")]) == 0
    words = ["attack", str(collection), "--attack", "universal", "--steps", "10", "--queries", "4"]
    assert main([*words, "--out", str(tmp_path / "learned")]) == 0  # from the other pictures of the collection
    assert main([*words, "--targeted", "--seed", "1", "--out", str(tmp_path / "pulled")]) == 0


def test_items_without_a_picture_are_known_but_nothing_is_learned_from_them(run, items, tmp_path):
    lines = items.read_text().splitlines()
    half = [
        line if row % 3 or line.endswith("query") else f",{line.split(',', 1)[1]}" for row, line in enumerate(lines)
    ]
    table = items.with_name("half.csv")
    table.write_text("\n".join([lines[0], *half[1:]]) + "\n")
    folder = run_of(load_model(run / "model"), table, tmp_path / "run")
    words = ["--task", "i2t", "--epsilon", "64/255", "--steps", "20"]
    for attack, *others in (["universal"], ["mainstay", "--source", str(run)], ["universal", "--source", str(run)]):
        out = tmp_path / f"{attack}-{len(others)}"
        assert attacked(folder, out, "--attack", attack, *others, *words).figure("flipped bits").value > 0


# Models without gradients, pixels or pictures ---------------------------------------------------------


@pytest.fixture(scope="module")
def closed_form():
    """ITQ on a small network: fitted without any gradient, attacked by it all the same."""
    torch.manual_seed(0)
    model = ITQ(12, Backbone("small_cnn:16", weights=None, image_size=24))
    pictures = torch.stack([model.preprocess("image")(coloured(list(COLOURS)[n % 4], n)) for n in range(60)])
    with torch.inference_mode():
        features = model.encoders["image"].eval()(pictures).clone()
    return model.fit(features).eval()


def test_a_model_fitted_in_closed_form_is_attacked_by_its_gradient(closed_form, items, tmp_path):
    run = run_of(closed_form, items, tmp_path / "run")
    report = attacked(run, tmp_path / "out", "--attack", "pgd", "--epsilon", "48/255", "--steps", "60")
    assert report.figure("flipped bits").value > 2
    assert report.figure("attacked mAP@all").value < report.figure("mAP@all").value
    with pytest.raises(UsageError, match="not fitted"):
        victim_of(ITQ(12, Backbone("small_cnn:16", weights=None, image_size=24)))


def test_a_model_without_a_gradient_names_square_and_a_source(run, tmp_path, monkeypatch, capsys):
    forward = CCAHash.forward
    monkeypatch.setattr(CCAHash, "forward", lambda model, inputs: forward(model, inputs).detach())
    words = ["attack", str(run), "--task", "i2i", *WORDS, "--steps", "5"]
    for attack in ("pgd", "universal", "patch"):
        assert main([*words, "--attack", attack, "--out", str(tmp_path / attack)]) == 2
        message = capsys.readouterr().err
        assert "--attack square" in message
        assert "--source OTHER_RUN" in message
    assert main([*words, "--attack", "square", "--out", str(tmp_path / "square")]) == 0


def test_a_model_of_texts_alone_is_refused(run, tmp_path, monkeypatch, capsys):
    model = load_model(run / "model")
    del model.encoders["image"]
    monkeypatch.setattr("deephash.scoring.runs.load_model", lambda path: model)
    assert main(["attack", str(run), "--attack", "pgd", "--out", str(tmp_path / "out")]) == 2
    assert "this CCAHash reads text, no pictures: nothing to attack" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_model_of_feature_vectors_is_refused(items, tmp_path, capsys):
    model = ITQ(4, Backbone("features:8")).fit(torch.randn(40, 8, generator=torch.Generator().manual_seed(0)))
    run = run_of(model, items, tmp_path / "run")
    assert main(["attack", str(run), "--attack", "pgd", "--out", str(tmp_path / "out")]) == 2
    assert "reads feature vectors (features:8), no pixels" in capsys.readouterr().err


# On tensors -------------------------------------------------------------------------------------------


def test_codes_to_flee_take_the_place_of_the_own_one():
    """A row of zeros flees its own."""
    weights = torch.randn(16, 3 * 8 * 8, generator=torch.Generator().manual_seed(0))
    pictures = torch.randint(0, 256, (2, 3, 8, 8), generator=torch.Generator().manual_seed(1)).float() / 255

    def model(pixels):
        return (pixels.flatten(1) - 0.5) @ weights.T

    own = torch.where(model(pictures) >= 0, 1.0, -1.0)
    others = torch.stack([-own[0], torch.zeros(16)])
    found = PGD(epsilon=64 / 255, steps=80, random_start=False).perturb(model, pictures, Aim(fled=others))
    turned = (torch.where(model(found) >= 0, 1.0, -1.0) != own).sum(dim=1)
    assert turned[0] == 0  # it is as far from the opposite of its own code as can be
    assert turned[1] > 8
