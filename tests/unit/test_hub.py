"""Models and collections on the Hugging Face hub, against a stand-in on loopback that speaks to its own client."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from deephash import load_model
from deephash.cli.main import main
from deephash.collection import Collection
from deephash.collection.publishing import publish_collection
from deephash.errors import CollectionDamaged, DataError, UsageError
from deephash.foreign.hub import HubName, fetched
from deephash.ingest import index_folder
from deephash.models import CSQ, LSH, HashModel
from deephash.search import Searcher
from tests.e2e.collection_child import tiny_model
from tests.unit.hub_server import Hub, hub_server
from tests.unit.test_sources_shards import png

SECRET = "hf_right"


@pytest.fixture(scope="module")
def served():
    with hub_server() as hub:
        yield hub


@pytest.fixture
def hub(served: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    import huggingface_hub.constants as known

    monkeypatch.setattr(known, "ENDPOINT", served.address)
    monkeypatch.setattr(
        known, "HUGGINGFACE_CO_URL_TEMPLATE", served.address + "/{repo_id}/resolve/{revision}/{filename}"
    )
    monkeypatch.setattr(known, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(known, "HF_HUB_DISABLE_XET", True)
    monkeypatch.setenv("HF_TOKEN", SECRET)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    served.repos.clear()
    served.asked.clear()
    return served


def head_of(page: bytes) -> dict:
    return yaml.safe_load(page.decode().split("---\n")[1])


def test_a_model_is_published_and_loaded_anywhere(hub, tmp_path):
    model = tiny_model()
    address = model.push_to_hub("me/tiny", license="mit", tags=["birds"])
    files = hub.repos["models/me/tiny"].files
    assert "/me/tiny/commit/" in address
    assert {"model.json", "model.safetensors", "encoder.onnx", "README.md"} <= set(files)
    assert not [name for name in files if name.endswith((".bin", ".pt", ".pkl", ".py", ".ckpt"))]
    head = head_of(files["README.md"])
    assert (head["license"], head["library_name"]) == ("mit", "deephash")
    assert "birds" in head["tags"]
    assert 'load_model("hf:me/tiny")' in files["README.md"].decode()
    for loaded in (HashModel.from_pretrained("me/tiny"), LSH.from_pretrained("hf:me/tiny"), load_model("hf:me/tiny")):
        assert loaded.fingerprint() == model.fingerprint()
    model.save(tmp_path / "folder")
    assert HashModel.from_pretrained(tmp_path / "folder").fingerprint() == model.fingerprint()
    with pytest.raises(UsageError, match="holds a LSH, not a CSQ"):
        CSQ.from_pretrained("me/tiny")


def test_a_commit_is_fetched_once_and_answers_without_network(hub, monkeypatch):
    tiny_model().push_to_hub("me/tiny")
    load_model("hf:me/tiny")
    hub.asked.clear()
    load_model("hf:me/tiny")
    assert [line for line in hub.asked if "/resolve/" in line] == []
    newer = tiny_model(seed=1)
    newer.push_to_hub("me/tiny")
    first, second = hub.repos["models/me/tiny"].commits[-2:]
    assert load_model("hf:me/tiny").fingerprint() == newer.fingerprint()
    assert fetched(HubName.parse("hf:me/tiny")).name == second
    hub.asked.clear()
    assert HashModel.from_pretrained("me/tiny", local_files_only=True).fingerprint() == newer.fingerprint()
    assert hub.asked == []
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", "http://127.0.0.1:9")
    assert load_model("hf:me/tiny").fingerprint() == newer.fingerprint()
    with pytest.raises(DataError, match="hf:me/other cannot be fetched"):
        load_model("hf:me/other")
    assert first != second


def test_a_run_brings_its_scores_and_its_protocol(hub, tmp_path, capsys):
    tiny_model().save(tmp_path / "run" / "model")
    facts = {"protocol": "digits-fifth/v1", "test_scores": {"": 0.985}, "test_protocol": "digits-fifth/v1 | mAP@all"}
    (tmp_path / "run" / "run.json").write_text(json.dumps(facts))
    words = ["models", "push", str(tmp_path / "run"), "me/digits", "--license", "apache-2.0", "--private"]
    assert main(words) == 0
    assert "/me/digits/commit/" in capsys.readouterr().out
    repo = hub.repos["models/me/digits"]
    result = head_of(repo.files["README.md"])["model-index"][0]["results"][0]
    assert result["metrics"][0]["value"] == 0.985
    assert result["dataset"]["name"] == "digits-fifth/v1"
    assert repo.private
    assert load_model("hf:me/digits").num_bits == 16


def test_a_collection_is_published_without_where_its_pictures_lie(hub, tmp_path, capsys):
    folder = tmp_path / "secret-folder"
    folder.mkdir()
    for seed in range(4):
        (folder / f"{seed}.png").write_bytes(png(seed))
    index_folder(folder, tmp_path / "x.dh", tiny_model())
    (tmp_path / "x.dh" / "uploads").mkdir()
    (tmp_path / "x.dh" / "uploads" / "mine.png").write_bytes(png(9))
    assert main(["collection", "publish", str(tmp_path / "x.dh"), "me/birds", "--license", "cc-by-4.0"]) == 0
    files = hub.repos["datasets/me/birds"].files
    assert not [name for name in files if "upload" in name or name.endswith(".lock")]
    assert b"secret-folder" not in b"".join(files.values())
    assert head_of(files["README.md"])["license"] == "cc-by-4.0"
    capsys.readouterr()
    assert main(["search", "hf:datasets/me/birds", str(folder / "2.png"), "-k", "1", "--json"]) in (0, 1)
    answer = json.loads(capsys.readouterr().out.splitlines()[0])
    assert (answer["path"], answer["distance"]) == ("2.png", 0)
    made = Collection.open(tmp_path / "x.dh")
    made.remove([0])
    made.compact()
    publish_collection(made, "me/birds")
    assert b"0.png" not in b"".join(content for name, content in files.items() if name.startswith("rows.lance/"))
    found = Searcher.open(fetched(HubName.parse("hf:datasets/me/birds")))
    assert len(found.snapshot.collection) == 3
    assert {name.split("/")[1] for name in files if name.startswith("models/")} == {made.fingerprint}


def test_strangers_files_are_neither_fetched_nor_run(hub, tmp_path):
    tiny_model().push_to_hub("me/tiny")
    repo = hub.repos["models/me/tiny"]
    marker = tmp_path / "ran"
    names = ("assets/text/evil.py", "assets/x.pkl", "evil.py", "pytorch_model.bin", "model.pkl")
    repo.files |= dict.fromkeys(names, b"open(%r, 'w')" % str(marker).encode())
    record = json.loads(repo.files["model.json"]) | {"class": "evil.Evil"}
    repo.files["model.json"] = json.dumps(record).encode()
    repo.commit()
    with pytest.raises(UsageError, match=r"evil"):
        load_model("hf:me/tiny")
    folder = fetched(HubName.parse("hf:me/tiny"))
    assert not [path for path in folder.rglob("*") if path.suffix in (".py", ".bin", ".pkl")]
    assert not marker.exists()
    repo.files["model.safetensors"] = b"torn"
    repo.commit()
    with pytest.raises((CollectionDamaged, UsageError)):
        load_model("hf:me/tiny")


def test_who_may_not_is_told_so_without_the_secret(hub, monkeypatch, capsys, tmp_path):
    monkeypatch.setenv("HF_TOKEN", "hf_wrong_secret")
    with pytest.raises(DataError, match="was not published") as refused:
        tiny_model().push_to_hub("me/tiny")
    assert "hf_wrong_secret" not in str(refused.value)
    assert main(["models", "info", "hf:me/nothing"]) == 3
    said = capsys.readouterr().err
    assert "hf:me/nothing cannot be fetched" in said
    assert "HF_TOKEN" in said


@pytest.mark.parametrize("name", ["hf:", "hf:x", "hf:a/b/c", "hf:../b", "hf:a/b@", "hf:a b/c", "hf:datasets/x"])
def test_names_that_are_none(name):
    with pytest.raises(UsageError, match="names nothing on the hub"):
        HubName.parse(name)


def test_names_say_what_they_mean():
    for text in ("hf:me/x", "hf:datasets/me/x", "hf:me/x@v1.0"):
        assert str(HubName.parse(text)) == text
    with pytest.raises(UsageError, match="published as USER/NAME"):
        tiny_model().push_to_hub("me/x@v1")
