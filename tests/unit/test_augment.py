"""What happens to training pictures: bounds of each kind, and that seeds decide."""

import numpy as np
import pytest
import torch
from PIL import Image

from deephash.data.augment import augmentation
from deephash.errors import UsageError

PIXELS = np.random.default_rng(0).integers(60, 190, (20, 30, 3)).astype(np.uint8)
PICTURE = Image.fromarray(PIXELS)


def drawn(kind, times=40):
    torch.manual_seed(0)
    change = augmentation(kind)
    return [np.asarray(change(PICTURE)) for _ in range(times)]


def test_flips_are_half_of_the_time_and_nothing_else():
    same = [np.array_equal(picture, PIXELS) for picture in drawn("flip")]
    mirrored = [np.array_equal(picture, PIXELS[:, ::-1]) for picture in drawn("flip")]
    assert 10 < sum(same) < 30
    assert [not each for each in same] == mirrored


def test_jitter_moves_brightness_and_contrast_by_at_most_five_per_cent():
    means, spreads, mirrored = [], [], 0
    for picture in drawn("jitter"):
        assert picture.shape == PIXELS.shape
        means.append(picture.mean() / PIXELS.mean())
        spreads.append(picture.std() / PIXELS.std())
        mirrored += np.corrcoef(picture.ravel(), PIXELS[:, ::-1].ravel())[0, 1] > 0.9
    assert 10 < mirrored < 30
    assert 0.94 < min(means) < 0.97
    assert 1.03 < max(means) < 1.06  # grey levels are whole numbers
    assert 0.89 < min(spreads) < 0.95
    assert 1.05 < max(spreads) < 1.12  # both factors at once


def test_crops_are_parts_of_the_picture():
    sizes = {picture.shape[:2] for picture in drawn("crop")}
    assert len(sizes) > 5
    assert all(high <= 20 and wide <= 30 and high * wide >= 0.15 * 600 for high, wide in sizes)


@pytest.mark.parametrize("kind", ["flip", "jitter", "crop"])
def test_the_global_seed_decides(kind):
    first, second = drawn(kind, 5), drawn(kind, 5)
    assert all(np.array_equal(one, other) for one, other in zip(first, second))


def test_unknown_kinds_are_named():
    with pytest.raises(UsageError, match=r"jiter.*jitter"):
        augmentation("jiter")
