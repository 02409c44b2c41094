"""The picture transform in NumPy and Pillow against torchvision's, and what models of deephash 0.1 keep."""

import json

import numpy as np
import pytest
from PIL import Image
from torchvision import transforms

from deephash.backbones import Backbone
from deephash.encoding.transform import PictureTransform, resolve_transform
from deephash.errors import UsageError
from deephash.models import LSH, load_model
from deephash.pictures import open_picture, scan_folder
from tests.paths import shared_data

MODES = {"bicubic": transforms.InterpolationMode.BICUBIC, "bilinear": transforms.InterpolationMode.BILINEAR}


def drawn(count):
    draw = np.random.default_rng(0)
    return [
        Image.fromarray(draw.integers(0, 256, (*size, 3), np.uint8))
        for size in draw.integers(9, 80, (count, 2)).tolist()
    ]


def largest_difference(pictures, size, resize, interpolation):
    theirs = transforms.Compose(
        [transforms.Resize(resize, MODES[interpolation]), transforms.CenterCrop(size), transforms.ToTensor()]
    )
    ours = PictureTransform(size, resize, interpolation)
    return max(np.abs(theirs(picture).numpy() - ours.cut(picture)).max() for picture in pictures)


@pytest.mark.parametrize(
    ("size", "resize", "interpolation"), [(24, 29, "bicubic"), (32, 32, "bilinear"), (15, 33, "bicubic")]
)
def test_a_thousand_pictures_are_cut_as_by_torchvision(size, resize, interpolation):
    assert largest_difference(drawn(1000), size, resize, interpolation) <= 1 / 255


def test_photographs_are_cut_as_by_torchvision():
    photos = [open_picture(path) for path in list(scan_folder(shared_data("caltech101")))[::40]]
    assert len(photos) > 50
    assert largest_difference(photos, 224, 256, "bicubic") <= 1 / 255


def test_models_of_before_keep_their_rounding_and_their_name(tmp_path):
    old = {"size": 24, "resize": 27, "interpolation": "bicubic", "mean": [0.5] * 3, "std": [0.2] * 3}
    kept = resolve_transform(PictureTransform(), 24, old)
    assert kept.rounding == "nearest"
    assert kept.to_json() == old
    assert PictureTransform.of(old) == kept
    assert resolve_transform(PictureTransform(), 24, {"interpolation": "bilinear"}).rounding == "torchvision"
    picture = drawn(1)[0].resize((41, 30))
    now = resolve_transform(PictureTransform(), 24, old | {"rounding": "torchvision"})
    assert not np.array_equal(kept.cut(picture), now.cut(picture))

    LSH(16, Backbone("small_cnn:2", None, image_size=24, transform=old), centre=False).eval().save(tmp_path / "model")
    record = json.loads((tmp_path / "model" / "model.json").read_text())
    assert record["init_args"]["backbone"]["transform"] == old
    assert record["portable"]["towers"]["image"]["reads"]["transform"] == old
    assert load_model(tmp_path / "model").fingerprint() == record["fingerprint"]
    LSH(16, Backbone("small_cnn:2", None, image_size=24), centre=False).eval().save(tmp_path / "new")
    record = json.loads((tmp_path / "new" / "model.json").read_text())
    assert record["init_args"]["backbone"]["transform"]["rounding"] == "torchvision"
    assert load_model(tmp_path / "new").fingerprint() == record["fingerprint"]


def test_an_unknown_rounding_is_refused():
    with pytest.raises(UsageError, match="rounding is torchvision or nearest, not 'up'"):
        PictureTransform(rounding="up")
