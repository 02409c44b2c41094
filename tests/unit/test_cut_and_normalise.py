"""Cut and normalise: the two steps from a picture to a network's input, for every kind of picture backbone."""

import pickle

import numpy as np
import pytest
import torch
from PIL import Image

from deephash.backbones import Backbone
from deephash.errors import UsageError
from tests.tiny_clip import PICTURES, TEXTS

KINDS = {
    "timm": Backbone("timm:mobilenetv2_100", None, image_size=64),
    "timm-stages": Backbone("timm-stages:mobilenetv2_100", None, image_size=64),
    "torchvision": Backbone("torchvision:squeezenet1_0", None, image_size=64),
    "small_cnn": Backbone("small_cnn:2", None),
    "cifar_resnet": Backbone("cifar_resnet:8", None),
    "mobilenet_v1": Backbone("mobilenet_v1:0.25", None),
    "clip": PICTURES,
    "clip squash": Backbone(PICTURES.name, None, options=PICTURES.options, transform={"resize_mode": "squash"}),
    "clip longest": Backbone(PICTURES.name, None, options=PICTURES.options, transform={"resize_mode": "longest"}),
    "clip own scale": Backbone(
        PICTURES.name, None, options=PICTURES.options, transform={"mean": [0.5, 0.4, 0.3], "std": [0.2, 0.3, 0.4]}
    ),
}
SHAPES = ((50, 40), (41, 97), (5, 3), (900, 4))


@pytest.fixture(params=list(KINDS))
def encoder(request):
    return KINDS[request.param].build().eval()


def picture(width, height, mode="RGB"):
    pixels = np.random.default_rng(width).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return Image.fromarray(pixels).convert(mode)


def test_preprocessing_is_normalise_of_cut_bit_for_bit(encoder):
    for image in [picture(*shape) for shape in SHAPES] + [picture(50, 40, "L")]:
        pixels = encoder.cut(image)
        assert pixels.dtype == torch.float32
        assert pixels.shape == (3, encoder.spec.image_size, encoder.spec.image_size)
        assert pixels.min() >= 0
        assert pixels.max() <= 1
        assert torch.equal(encoder.preprocess()(image), encoder.normalise(pixels[None])[0])


def test_rows_of_a_batch_are_normalised_alike_and_back(encoder):
    batch = torch.stack([encoder.cut(picture(*shape)) for shape in SHAPES])
    rows = encoder.normalise(batch)
    assert all(torch.equal(rows[n], encoder.normalise(batch[n : n + 1])[0]) for n in range(len(batch)))
    torch.testing.assert_close(encoder.pixels(rows), batch, atol=1e-6, rtol=0)


def test_gradients_flow_back_to_the_pixels(encoder):
    pixels = encoder.cut(picture(50, 40))[None].requires_grad_()
    encoder(encoder.normalise(pixels)).square().sum().backward()
    assert pixels.grad.isfinite().all()
    assert pixels.grad.abs().sum() > 0


def test_cutting_travels_to_another_process(encoder):
    again = pickle.loads(pickle.dumps(encoder))
    assert torch.equal(again.cut(picture(50, 40)), encoder.cut(picture(50, 40)))


@pytest.mark.parametrize("backbone", [TEXTS, Backbone("features:4", None), Backbone("tfidf:9", None)])
def test_what_reads_no_pixels_says_so(backbone):
    encoder = backbone.build()
    for step in (encoder.cut, encoder.normalise, encoder.pixels):
        with pytest.raises(UsageError, match=f"{backbone.name} reads no pixels"):
            step(torch.zeros(1, 3, 8, 8))
