"""Encoders: preprocessing, weights from files, what happens without them."""

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from deephash.backbones import Backbone
from deephash.encoding.transform import PictureTransform
from deephash.errors import DataError, UsageError, WeightsNotFound
from tests.paths import shared_data

WEIGHTS = {
    "timm:mobilenetv2_100": ("mobilenetv2_100_imagenet.safetensors", 1280),
    "torchvision:squeezenet1_0": ("squeezenet1_0_imagenet.safetensors", 512),
    "mobilenet_v1:0.25": ("mobilenetv1_025_128_imagenet.safetensors", 256),
    "cifar_resnet:20": ("cifar10_resnet20.safetensors", 64),
}


def picture(width=40, height=30, seed=0):
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return Image.fromarray(pixels)


@pytest.mark.parametrize("name", WEIGHTS)
def test_real_weights_give_finite_features_and_come_back(name):
    file, width = WEIGHTS[name]
    options = {"pad_type": "same"} if name.startswith("timm") else {}
    encoder = Backbone(name, str(shared_data("weights", file)), options=options, image_size=64).build().eval()
    batch = torch.stack([encoder.preprocess()(picture(seed=seed)) for seed in range(3)])
    assert batch.shape == (3, 3, 64, 64)
    with torch.inference_mode():
        features = encoder(batch)
    assert features.shape == (3, width) == (3, encoder.num_features)
    assert features.isfinite().all()
    again = Backbone(**{**vars(encoder.spec), "weights": None}).build().eval()
    assert again.spec.transform == encoder.spec.transform
    again.load_state_dict(encoder.state_dict())
    with torch.inference_mode():
        assert torch.equal(again(batch), features)


def test_cifar_network_knows_its_pictures():
    """Features of the real CIFAR-10 network: a picture's neighbour among 400 training pictures has its class."""
    columns = np.load(shared_data("cifar10", "cifar10_lossless5k.npz"))
    encoder = Backbone("cifar_resnet:20", str(shared_data("weights", "cifar10_resnet20.safetensors"))).build().eval()
    transform = encoder.preprocess()

    def encode(images):
        with torch.inference_mode():
            return torch.nn.functional.normalize(encoder(torch.stack([transform(Image.fromarray(i)) for i in images])))

    nearest = (encode(columns["test_images"][:200]) @ encode(columns["train_images"][:400]).T).argmax(dim=1).numpy()
    right = columns["train_labels"][:400][nearest] == columns["test_labels"][:200]
    assert right.mean() > 0.8


class TestTransform:
    def test_constant_picture_is_normalised(self):
        transform = PictureTransform(8, 8, mean=(0.5, 0.5, 0.5), std=(0.25, 0.5, 1.0))
        values = torch.from_numpy(transform(Image.new("RGB", (20, 13), (255, 0, 51))))
        assert values.dtype == torch.float32
        for channel, expected in enumerate((2.0, -1.0, -0.3)):
            torch.testing.assert_close(values[channel], torch.full((8, 8), expected))

    def test_the_middle_is_cut_from_any_shape(self):
        for size in ((100, 8), (8, 100), (8, 8), (9, 1000), (3, 5)):
            assert PictureTransform(8, 10)(Image.new("RGB", size)).shape == (3, 8, 8)

    def test_grey_pictures_are_taken(self):
        assert PictureTransform(8, 8)(Image.new("L", (9, 9))).shape == (3, 8, 8)

    @pytest.mark.parametrize(
        "wrong", [{"resize": 4, "size": 8}, {"interpolation": "bicubik"}, {"std": (1.0, 0.0, 1.0)}, {"mean": (1.0,)}]
    )
    def test_impossible_settings(self, wrong):
        with pytest.raises(UsageError, match="transform"):
            PictureTransform(**wrong)

    def test_settings_are_laid_over_the_networks_own(self):
        spec = Backbone("small_cnn:2", None, image_size=20, transform={"mean": [0.1, 0.2, 0.3]}).build().spec
        assert (spec.transform["size"], spec.transform["mean"], spec.image_size) == (20, [0.1, 0.2, 0.3], 20)

    def test_misspelt_setting(self):
        with pytest.raises(UsageError, match="did you mean 'mean'"):
            Backbone("small_cnn:2", None, transform={"maen": [0, 0, 0]}).build()


class TestMistakes:
    @pytest.mark.parametrize(
        ("name", "says"),
        [
            ("tim:resnet18", "did you mean 'timm'"),
            ("timm:resnet81", "did you mean 'resnet18'"),
            ("torchvision:resnet81", "did you mean 'resnet18'"),
            ("small_cnn:", "small_cnn:32"),
            ("cifar_resnet:21", "6n \\+ 2"),
            ("features:many", "features:512"),
            ("torchvision:googlenet", "auxiliary"),
        ],
    )
    def test_names(self, name, says):
        with pytest.raises(UsageError, match=says):
            Backbone(name, None).build()

    def test_options(self):
        with pytest.raises(UsageError, match="cannot be built"):
            Backbone("timm:resnet18", None, options={"colour": "red"}).build()

    def test_a_file_that_is_not_there(self, monkeypatch, tmp_path):
        monkeypatch.setenv("DEEPHASH_WEIGHTS", str(tmp_path))
        with pytest.raises(WeightsNotFound) as caught:
            Backbone("small_cnn:2", "mine.safetensors").build()
        assert str(tmp_path / "mine.safetensors") in str(caught.value)

    def test_a_bare_name_is_found_in_the_weight_folder(self, monkeypatch, tmp_path):
        fresh = Backbone("small_cnn:2", None).build()
        save_file(
            {key: value.contiguous() for key, value in fresh.network.state_dict().items()},
            tmp_path / "mine.safetensors",
        )
        monkeypatch.setenv("DEEPHASH_WEIGHTS", str(tmp_path))
        found = Backbone("small_cnn:2", "mine.safetensors").build()
        assert all(torch.equal(found.state_dict()[key], value) for key, value in fresh.state_dict().items())

    def test_weights_of_another_network(self, tmp_path):
        torch.save({"state_dict": {"module.0.weight": torch.zeros(3)}}, tmp_path / "other.pth")
        with pytest.raises(UsageError, match="does not fit"):
            Backbone("small_cnn:2", str(tmp_path / "other.pth")).build()

    def test_files_that_would_run_code_are_refused(self, tmp_path):
        class Evil:
            def __reduce__(self):
                return (print, ("run",))

        torch.save({"0.weight": Evil()}, tmp_path / "evil.pth")
        with pytest.raises(DataError, match="refused") as caught:
            Backbone("small_cnn:2", str(tmp_path / "evil.pth")).build()
        assert "weights_only" not in str(caught.value)  # torch's own message says how to run it all the same

    def test_not_weights_at_all(self, tmp_path):
        for name in ("a.pth", "b.safetensors"):
            (tmp_path / name).write_text("hello")
            with pytest.raises(DataError, match="neither"):
                Backbone("small_cnn:2", str(tmp_path / name)).build()

    def test_no_hub(self):
        with pytest.raises(WeightsNotFound, match="no weights on a hub"):
            Backbone("small_cnn:2").build()

    def test_without_network_it_says_so_at_once(self, monkeypatch, tmp_path):
        import socket

        def nowhere(*_args, **_kwargs):
            raise socket.gaierror("Name or service not known")

        monkeypatch.setattr(socket, "getaddrinfo", nowhere)
        monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
        with pytest.raises(WeightsNotFound, match="Without: give a local file, --weights FILE"):
            Backbone("timm:resnet10t").build()


def test_frozen_backbones_stay_in_evaluation_mode():
    from deephash.models import OrthoHash

    model = OrthoHash(8, 3, Backbone("small_cnn:2", None, image_size=8)).train()
    assert model.training
    assert not model.encoders["image"].training
    assert not any(parameter.requires_grad for parameter in model.encoders.parameters())
