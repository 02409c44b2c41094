"""``--model auto``: what is here before what is far, words before none, and what to bring where nothing can be had."""

from pathlib import Path

import pytest

from deephash.cli import auto_model
from deephash.cli.auto_model import choose_model, hub_answers
from deephash.cli.specs import KNOWN
from deephash.errors import UsageError, WeightsNotFound


@pytest.fixture(autouse=True)
def nothing_here(monkeypatch, tmp_path):
    monkeypatch.setattr(auto_model, "hub_answers", lambda: False)
    monkeypatch.setattr("huggingface_hub.try_to_load_from_cache", lambda *_: None)
    monkeypatch.setenv("DEEPHASH_WEIGHTS", str(tmp_path / "weights"))
    monkeypatch.setattr(Path, "home", lambda: tmp_path)


def put(tmp_path, name):
    file = tmp_path / "weights" / name
    file.parent.mkdir(exist_ok=True)
    file.write_bytes(b"")
    return file


def hide(monkeypatch, *names):
    find = auto_model.find_spec
    monkeypatch.setattr(auto_model, "find_spec", lambda name: None if name in names else find(name))


def test_without_anything_the_files_are_named():
    with pytest.raises(WeightsNotFound) as caught:
        choose_model()
    said = str(caught.value)
    assert "open_clip_model.safetensors of laion/CLIP-ViT-B-32-laion2B-s34B-b79K (605 MB)" in said
    assert "--model itq:timm:resnet18 --weights FILE" in said
    assert "DEEPHASH_WEIGHTS" in said


def test_a_hub_that_answers_gives_words(monkeypatch):
    monkeypatch.setattr(auto_model, "hub_answers", lambda: True)
    chosen = choose_model()
    assert (chosen.name, chosen.weights) == ("clip:ViT-B-32/laion2b_s34b_b79k", None)
    assert "605 MB of weights are fetched once" in chosen.why
    hide(monkeypatch, "open_clip")
    assert choose_model().name == "itq:timm:resnet18"


def test_what_was_fetched_before_comes_first(monkeypatch):
    monkeypatch.setattr("huggingface_hub.try_to_load_from_cache", lambda repository, file: "here")
    assert "fetched before" in choose_model().why
    fetched = {KNOWN[1].repository: "here"}
    monkeypatch.setattr("huggingface_hub.try_to_load_from_cache", lambda repository, file: fetched.get(repository))
    monkeypatch.setattr(auto_model, "hub_answers", lambda: True)
    assert choose_model().name == KNOWN[1].name


def test_files_are_found_by_the_name_of_their_network(tmp_path):
    put(tmp_path, "resnet18d.safetensors")  # another network
    put(tmp_path, "resnet18.txt")
    with pytest.raises(WeightsNotFound):
        choose_model()
    file = put(tmp_path, "mobilenetv2_100_imagenet.safetensors")
    chosen = choose_model()
    assert (chosen.name, chosen.weights) == ("itq:timm:mobilenetv2_100", file)
    assert str(file) in chosen.why
    clip = put(tmp_path, "ViT-B-32.safetensors")
    assert choose_model().weights == clip


def test_a_file_that_is_given_says_its_network(tmp_path):
    chosen = choose_model(tmp_path / "resnet50.a1_in1k.safetensors")
    assert (chosen.name, chosen.weights) == ("itq:timm:resnet50", tmp_path / "resnet50.a1_in1k.safetensors")
    with pytest.raises(UsageError, match=r"which network are model\.bin the weights of"):
        choose_model(tmp_path / "model.bin")


def test_packages_that_are_missing(monkeypatch):
    hide(monkeypatch, "open_clip", "timm")
    with pytest.raises(WeightsNotFound, match="neither open_clip nor timm is installed"):
        choose_model()
    hide(monkeypatch, "torch")
    with pytest.raises(UsageError, match="needs torch"):
        choose_model()


@pytest.mark.parametrize(("code", "answers"), [(200, True), (404, True), (403, False), (407, False), (503, False)])
def test_the_hub_is_asked_shortly(monkeypatch, code, answers):
    from urllib.error import HTTPError

    class Answer:
        def __enter__(self):
            return self

        def __exit__(self, *_):
            return False

    def opened(request, timeout):
        assert timeout <= 5
        if code == 200:
            return Answer()
        raise HTTPError("x", code, "", None, None)

    monkeypatch.setattr("urllib.request.urlopen", opened)
    assert hub_answers() is answers


def test_nobody_is_asked_offline(monkeypatch):
    from huggingface_hub import constants

    monkeypatch.setattr("urllib.request.urlopen", lambda *_, **__: pytest.fail("asked"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert not hub_answers()
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)

    def nobody(*_, **__):
        raise OSError("no route")

    monkeypatch.setattr("urllib.request.urlopen", nobody)
    assert not hub_answers()
