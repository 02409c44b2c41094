"""Multi-view hashing from the command line: training sees views, a query is a picture alone."""

import json

import pytest

from deephash.backbones import Backbone
from deephash.cli.main import main
from deephash.collection import Collection
from deephash.models import LSH
from tests.e2e.miniatures import picture_folder, write_mfeat


@pytest.fixture(autouse=True)
def quiet(monkeypatch):
    monkeypatch.setenv("DEEPHASH_QUIET", "1")


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("multi_view")
    words = ["train", "--config", "multi_view/digits_64", "--out", str(folder / "run"), "--fast-dev-run"]
    assert main([*words, "--trainer.accelerator=cpu"]) == 0
    return folder / "run"


def test_pictures_are_indexed_and_asked_for_without_views(run, tmp_path, capsys):
    pictures = picture_folder(tmp_path / "pictures")
    out = str(tmp_path / "x.dh")
    assert main(["index", str(pictures), "--model", str(run), "--out", out]) == 0, capsys.readouterr().err
    assert len(Collection.open(out)) == 18
    capsys.readouterr()
    one = sorted(pictures.rglob("*.png"))[0]
    assert main(["search", out, str(one), "-k", "3", "--json"]) == 0
    first = json.loads(capsys.readouterr().out.splitlines()[0])
    assert json.dumps(first).count(one.name)


def test_models_info_shows_how_much_each_view_counts(run, capsys):
    assert main(["models", "info", str(run), "--views"]) == 0
    said = capsys.readouterr().out
    assert "64 bits: 32 of the image, 32 of views by replicate" in said
    lines = {line.split()[0]: line.split() for line in said.splitlines() if line}
    assert lines["hog"][1:5] == ["512", "0.333", "11", "11"]
    assert main(["models", "info", str(run), "--views", "--json"]) == 0
    record = json.loads(capsys.readouterr().out)
    assert [each["view"] for each in record["views"]] == ["image", "hog", "lbp"]
    assert sum(each["weight"] for each in record["views"]) == pytest.approx(1)


def test_a_model_without_views_says_so(tmp_path, capsys):
    LSH(12, Backbone("features:8", weights=None)).save(tmp_path / "model")
    assert main(["models", "info", str(tmp_path / "model"), "--views"]) == 2
    assert "is a LSH, which has no views" in capsys.readouterr().err


def test_a_view_of_another_width_is_refused(tmp_path, capsys):
    words = ["train", "--config", "multi_view/mfeat_64", "--data.init_args.file", str(write_mfeat(tmp_path))]
    words += ["--out", str(tmp_path / "run"), "--model.init_args.views", '{"fourier": 76, "kl": 65}']
    assert main([*words, "--trainer.accelerator=cpu"]) == 2
    assert "the view 'kl' of Mfeat has 64 numbers, but the model expects 65; write kl: 64" in capsys.readouterr().err
