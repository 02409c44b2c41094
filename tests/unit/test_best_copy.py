"""Which copy is suggested, and that the reason says why."""

import numpy as np
import pytest
from PIL import Image, ImageEnhance, ImageFilter

from deephash.collection import Collection
from deephash.pictures.sharpness import sharpness
from deephash.search.best_copy import Look, best_copy, look_at
from tests.paths import shared_data


@pytest.fixture(scope="module")
def photo():
    path = sorted(shared_data("caltech101", "test", "dalmatian").iterdir())[0]
    return Image.open(path).convert("RGB")


def test_blurring_and_enlarging_cost_sharpness_and_paler_greys_do_not(photo):
    sharp = sharpness(photo)
    small = photo.resize((photo.width // 3, photo.height // 3))
    assert sharpness(photo.filter(ImageFilter.GaussianBlur(2))) < 0.5 * sharp
    assert sharpness(small.resize(photo.size)) < 0.85 * sharp
    assert sharpness(ImageEnhance.Contrast(photo).enhance(0.5)) == pytest.approx(sharp, rel=0.1)
    assert sharpness(Image.new("RGB", (40, 2), "grey")) == 0.0


@pytest.mark.parametrize(
    ("looks", "place", "reason"),
    [
        ([Look(600, 450, 9, 1.0), Look(1200, 900, 9, 1.1)], 1, "largest: 1200 x 900, sharpest"),
        ([Look(600, 450, 9, 1.1), Look(1200, 900, 9, 1.0)], 1, "largest: 1200 x 900, nearly as sharp as the sharpest"),
        ([Look(2400, 1800, 9, 0.4), Look(1200, 900, 9, 1.0)], 1, "sharpest: 1200 x 900; the largest, 2400 x 1800, is"),
        ([Look(9, 9, 5, 1.0), Look(9, 9, 5, 1.0)], 0, "all alike: 9 x 9; the first that was indexed"),
        ([Look(9, 9, 5, 0.9), Look(9, 9, 5, 1.0)], 1, "sharpest; all are 9 x 9"),
        ([Look(9, 9, 5, 1.0), Look(9, 9, 8, 1.0), None], 1, "sharpest; all are 9 x 9"),
        ([Look(9, 9, 5, 1.0), Look(9, 9, 8, 0.9), Look(5, 5, 1, 1.0)], 0, "as large as any: 9 x 9, sharpest"),
        ([None, Look(9, 9, 5, 1.0)], 1, "all alike"),
        ([None, None], 0, "the files cannot be compared"),
    ],
)
def test_the_largest_copy_that_is_not_blurred_is_kept(looks, place, reason):
    found, said = best_copy(looks)
    assert found == place
    assert reason in said


def test_a_file_that_is_gone_or_lies_outside_is_not_looked_at(photo, tmp_path):
    (tmp_path / "root").mkdir()
    photo.save(tmp_path / "root" / "there.png")
    photo.save(tmp_path / "outside.png")
    made = Collection.create(tmp_path / "x.dh", num_bits=8, root=tmp_path / "root")
    from deephash.codes import BinaryCodes

    codes = BinaryCodes.from_bits(np.zeros((3, 8), bool))
    ids = made.append(uris=["there.png", "gone.png", "../outside.png"], codes=codes)
    looks = look_at(made, ids)
    assert list(looks) == [ids[0]]
    assert (looks[ids[0]].width, looks[ids[0]].height) == photo.size
