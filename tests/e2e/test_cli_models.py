import json

from deephash.backbones import Backbone
from deephash.cli.main import main
from deephash.models import LSH


def test_methods_are_listed(capsys):
    assert main(["models", "list", "--json"]) == 0
    records = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    ortho = next(record for record in records if record["method"] == "OrthoHash")
    assert "orthohash/digits_64" in ortho["configs"]
    assert main(["models", "list"]) == 0
    assert "PCASign" in capsys.readouterr().out


def test_a_model_folder_is_described(tmp_path, capsys):
    model = LSH(12, Backbone("features:8", weights=None))
    model.save(tmp_path / "run" / "model")
    for folder in (tmp_path / "run", tmp_path / "run" / "model"):
        assert main(["models", "info", str(folder)]) == 0
        assert f"LSH  12 bits  fingerprint {model.fingerprint()}" in capsys.readouterr().out


def test_no_model_folder(tmp_path, capsys):
    assert main(["models", "info", str(tmp_path)]) == 4
    assert "deephash train" in capsys.readouterr().err
