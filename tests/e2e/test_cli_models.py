import json

from deephash.backbones import Backbone
from deephash.cli.main import main
from deephash.cli.specs import KNOWN
from deephash.models import LSH


def test_methods_are_listed(capsys):
    assert main(["models", "list", "--json"]) == 0
    records = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    ortho = next(record for record in records if record["method"] == "OrthoHash")
    assert "orthohash/digits_64" in ortho["configs"]
    assert ortho["reads"] == "pictures"
    assert next(record for record in records if record["method"] == "CMFH")["reads"] == "pictures, words"
    assert main(["models", "list"]) == 0
    assert "PCASign" in capsys.readouterr().out


def test_training_free_names_say_what_they_are_good_for(capsys):
    assert main(["models", "list"]) == 0
    said = capsys.readouterr().out
    line = next(line for line in said.splitlines() if line.startswith("clip:ViT-B-32/laion2b_s34b_b79k"))
    assert all(word in line for word in ("pictures, words", "256, up to 512", "605 MB", "MIT", "scenes"))
    assert "METHOD:NETWORK" in said
    assert main(["models", "list", "--json"]) == 0
    records = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    named = {record["name"]: record for record in records if "name" in record}
    assert named["itq:timm:resnet18"]["file"] == "model.safetensors"
    for record in named.values():
        if record["method"] == "clip":
            continue
        import timm

        network = record["name"].rpartition(":")[2]
        model = timm.create_model(network, pretrained=False)
        tensors = model.state_dict().values()
        assert round(sum(each.numel() * each.element_size() for each in tensors) / 1e6, 1) == record["megabytes"]
        assert model.num_features == record["most_bits"]
        published = timm.get_pretrained_cfg(network)
        assert (published.hf_hub_id, published.license) == (record["repository"], record["licence"].lower())


def test_clip_names_are_published():
    from open_clip import get_pretrained_cfg

    for known in KNOWN:
        method, _, network = known.name.partition(":")
        if method == "clip":
            published = get_pretrained_cfg(*network.split("/"))
            assert published["hf_hub"].rstrip("/") == known.repository


def test_a_model_folder_is_described(tmp_path, capsys):
    model = LSH(12, Backbone("features:8", weights=None))
    model.save(tmp_path / "run" / "model")
    for folder in (tmp_path / "run", tmp_path / "run" / "model"):
        assert main(["models", "info", str(folder)]) == 0
        assert f"LSH  12 bits  fingerprint {model.fingerprint()}" in capsys.readouterr().out


def test_no_model_folder(tmp_path, capsys):
    assert main(["models", "info", str(tmp_path)]) == 4
    assert "deephash train" in capsys.readouterr().err
