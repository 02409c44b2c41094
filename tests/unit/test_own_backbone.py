"""Any nn.Module is a backbone: picture or text tower, portable where its transform is described as data."""

import json
import sys

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from deephash.backbones import Backbone
from deephash.encoding import open_encoder
from deephash.encoding.onnx import OnnxEncoder
from deephash.errors import DeephashError, UsageError
from deephash.foreign.trust import TRUST
from deephash.models import CrossModalInfoNCE, OrthoHash, load_model
from deephash.testing import BackboneContract

PICTURES = [Image.fromarray(np.random.default_rng(seed).integers(0, 256, (20, 24, 3), np.uint8)) for seed in range(4)]


class Flat(nn.Module):
    """Views its maps as rows, which a channels-last layout would not allow."""

    transform = {"size": 12, "mean": [0.5] * 3, "std": [0.25] * 3}  # noqa: RUF012

    def __init__(self, width: int = 4):
        super().__init__()
        self.maps, self.out = nn.Conv2d(3, width, 3, stride=2), nn.Linear(25 * width, 10)

    def forward(self, pixels):
        maps = self.maps(pixels).relu()
        return self.out(maps.view(maps.size(0), -1))


class Maps(nn.Module):
    """Gives maps, says nothing about itself, and makes a tensor on the way that is no buffer."""

    def __init__(self):
        super().__init__()
        self.maps = nn.Conv2d(3, 5, 7, stride=7)
        self.scale = torch.full((1,), 2.0)

    def forward(self, pixels):
        return self.maps(pixels) * self.scale


class ByFunction(Flat):
    """Reads pictures by a function."""

    feature_dim = 10

    def transform(self, picture):
        return torch.from_numpy(
            np.asarray(picture.convert("RGB").resize((12, 12)), np.float32).transpose(2, 0, 1) / 255
        )


class Letters(nn.Module):
    """Counts letters."""

    neutral_phrase = "a"

    def __init__(self):
        super().__init__()
        self.table = nn.Embedding(128, 6)

    def tokenizer(self, text):
        return torch.tensor([min(ord(letter), 127) for letter in text.ljust(16)[:16]])

    def forward(self, tokens):
        return self.table(tokens).mean(dim=1)


CALLED = []


def a_function(**options):
    CALLED.append(options)
    return Flat(2)


@pytest.fixture(autouse=True)
def _nobody_is_trusted(monkeypatch):
    monkeypatch.setenv(TRUST, "")


def model_on(network, **settings):
    torch.manual_seed(0)
    return OrthoHash(16, 3, Backbone.of(network, frozen=False, **settings)).eval()


@pytest.mark.parametrize(("network", "width", "side"), [(Flat, 10, 12), (Maps, 5, 224), (ByFunction, 10, None)])
def test_features_and_sizes_are_found(network, width, side):
    model = model_on(network)
    assert model.num_features == width
    assert model.picture_side() == side
    assert model.encode_images(PICTURES).num_bits == 16


@pytest.mark.parametrize("network", [Flat, ByFunction])
def test_a_saved_model_comes_back_and_encodes_the_same(network, tmp_path):
    model = model_on(network)
    model.save(tmp_path / "model")
    loaded = load_model(tmp_path / "model", trusted=[__name__])
    assert loaded.fingerprint() == model.fingerprint()
    assert loaded.encode_images(PICTURES) == model.encode_images(PICTURES)


def test_nobody_trusts_it_afterwards(tmp_path, monkeypatch):
    model_on(Flat).save(tmp_path / "model")
    monkeypatch.setenv(TRUST, "")
    with pytest.raises(UsageError, match=f"--trust {__name__}"):
        load_model(tmp_path / "model")


def test_settings_make_it_portable_and_searching_it_needs_no_trust(tmp_path, monkeypatch):
    model = model_on(Flat)
    model.save(tmp_path / "model")
    monkeypatch.setenv(TRUST, "")
    encoder = open_encoder(tmp_path / "model")
    assert isinstance(encoder, OnnxEncoder)
    rows = [encoder.prepare("image", picture) for picture in PICTURES]
    assert encoder.encode("image", rows).codes == model.encode_images(PICTURES)


def test_a_function_keeps_it_with_torch_and_the_card_says_why(tmp_path):
    model_on(ByFunction).save(tmp_path / "model")
    record = json.loads((tmp_path / "model" / "model.json").read_text())
    assert "has no form without torch" in record["portable"]["reason"]
    assert "has no form without torch" in (tmp_path / "model" / "README.md").read_text()
    encoder = open_encoder(tmp_path / "model")
    assert encoder.engine == "torch"
    with pytest.raises(UsageError, match="a function of its own"):
        encoder.model.encoders["image"].cut(PICTURES[0])


def test_a_network_of_views_runs_behind_the_port():
    encoder = open_encoder(model_on(Flat))
    rows = [encoder.prepare("image", picture) for picture in PICTURES]
    assert len(encoder.encode("image", rows, continuous=True, vectors=True).codes) == 4


def test_a_text_tower(tmp_path):
    model = CrossModalInfoNCE(8, Backbone.of(Flat, frozen=False), Backbone.of(Letters, frozen=False)).eval()
    codes = model.encode_texts(["a dog", "two cats"])
    model.save(tmp_path / "model")
    assert load_model(tmp_path / "model").encode_texts(["a dog", "two cats"]) == codes
    assert open_encoder(model).neutral_phrase == "a"
    with pytest.raises(UsageError):
        model.encode_texts([""])


def test_options_weights_and_sizes_reach_it(tmp_path):
    narrow = model_on(Flat, options={"width": 2})
    assert narrow.encoders["image"].network.maps.out_channels == 2
    torch.save(Flat(2).state_dict(), tmp_path / "w.pt")
    loaded = model_on(Flat, options={"width": 2}, weights=str(tmp_path / "w.pt"))
    saved = torch.load(tmp_path / "w.pt", weights_only=True)
    assert torch.equal(loaded.encoders["image"].network.out.weight, saved["out.weight"])
    assert model_on(Maps, image_size=70).encoders["image"].spec.transform["size"] == 70


@pytest.mark.parametrize("name", [f"{__name__}.a_function", f"{__name__}.Image", "deephash.cli.main.main"])
def test_a_file_that_names_a_function_does_not_call_it(name, monkeypatch):
    """A stranger's folder may name whatever a trusted module holds, with arguments of its own."""
    monkeypatch.setenv(TRUST, __name__)
    with pytest.raises(UsageError, match=r"no class below torch\.nn\.Module"):
        Backbone(name, options={"arguments": ["--version"]}).build()
    assert CALLED == []


@pytest.mark.parametrize(("make", "says"), [
    (lambda: Backbone.of(Flat, options={"depth": 3}), "cannot be built with"),
    (lambda: Backbone.of(Flat, image_size=99), "cannot read a batch of the shape"),
    (lambda: Backbone.of(ByFunction, image_size=99), "image_size has no effect"),
    (lambda: Backbone.of(Flat, weights="tag"), "tag"),
    (lambda: Backbone("nofamily"), "named by its path, such as mynet.Net"),
    (lambda: Backbone.of(type("Inner", (Flat,), {"__qualname__": "f.<locals>.Inner"})), "at the top of a module"),
])  # fmt: skip
def test_what_does_not_fit_is_said(make, says, monkeypatch):
    monkeypatch.setenv(TRUST, __name__)
    assert __name__ in sys.modules
    with pytest.raises(DeephashError, match=says):
        make().build()


class TestPictures(BackboneContract):
    def make_backbone(self):
        return Backbone.of(Flat, weights=None, frozen=False)


class TestReader(BackboneContract):
    def make_backbone(self):
        return Backbone.of(ByFunction, weights=None, frozen=False)


class TestWords(BackboneContract):
    def make_backbone(self):
        return Backbone.of(Letters, weights=None, frozen=False)


class TestSmallCNN(BackboneContract):
    def make_backbone(self):
        return Backbone("small_cnn:4", weights=None, frozen=False, image_size=16)
