"""Eight corruptions: each changes more with its strength, keeps the size, and is the same twice."""

from itertools import pairwise

import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_sample_image

from deephash.pictures.corruptions import CORRUPTIONS, STRENGTHS, corrupted


@pytest.fixture(scope="module")
def photograph() -> Image.Image:
    return Image.fromarray(load_sample_image("china.jpg")).resize((160, 107))


def change(picture, other):
    return np.abs(np.asarray(picture, dtype=float) - np.asarray(other, dtype=float)).mean()


@pytest.mark.parametrize("kind", CORRUPTIONS)
def test_every_strength_changes_more(kind, photograph):
    found = [corrupted(photograph, kind, strength, "a.png") for strength in (0, *STRENGTHS)]
    assert found[0] is photograph
    assert all(each.size == photograph.size and each.mode == "RGB" for each in found)
    changes = [change(photograph, each) for each in found]
    assert all(less < more for less, more in pairwise(changes)), changes


@pytest.mark.parametrize("kind", CORRUPTIONS)
@pytest.mark.parametrize("size", [(1, 1), (3, 40), (8, 8)])
def test_small_and_narrow_pictures(kind, size):
    picture = Image.new("RGB", size, (200, 10, 60))
    for strength in STRENGTHS:
        assert corrupted(picture, kind, strength).size == size


def test_noise_belongs_to_the_name(photograph):
    first, again, other = (corrupted(photograph, "noise", 3, name) for name in ("a", "a", "b"))
    assert change(first, again) == 0
    assert change(first, other) > 5


def test_by_hand():
    picture = Image.new("RGB", (10, 10), (200, 100, 40))
    darker = np.asarray(corrupted(picture, "brightness", 3))
    assert (darker == (100, 50, 20)).all()
    half = Image.new("RGB", (10, 10))
    half.paste((255, 255, 255), (0, 0, 10, 1))  # a line at the upper edge
    assert np.asarray(corrupted(half, "crop", 3))[0].max() == 0  # is cut off: 10 % at each side
