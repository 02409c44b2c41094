"""How visible an attack is: golden values, a naive loop over windows, and another library."""

import math

import numpy as np
import pytest
import torch
from torchmetrics.functional.image import structural_similarity_index_measure

from deephash.errors import UsageError
from deephash.evaluation.robustness import perceptibility, structural_similarity

DRAW = np.random.default_rng(0)
CLEAN = DRAW.random((3, 14, 17, 3))
ATTACKED = np.clip(CLEAN + DRAW.normal(0, 0.05, CLEAN.shape), 0, 1)


def naive_ssim(x, y):
    """One channel, window by window."""
    weight = np.array([[math.exp(-((i - 5) ** 2 + (j - 5) ** 2) / 4.5) for j in range(11)] for i in range(11)])
    weight /= weight.sum()
    found = []
    for top in range(x.shape[0] - 10):
        for left in range(x.shape[1] - 10):
            a, b = (side[top : top + 11, left : left + 11] for side in (x, y))
            mean_a, mean_b = (weight * a).sum(), (weight * b).sum()
            var_a, var_b = (weight * (a - mean_a) ** 2).sum(), (weight * (b - mean_b) ** 2).sum()
            both = (weight * (a - mean_a) * (b - mean_b)).sum()
            light = (2 * mean_a * mean_b + 1e-4) / (mean_a**2 + mean_b**2 + 1e-4)
            found.append(light * (2 * both + 9e-4) / (var_a + var_b + 9e-4))
    return np.mean(found)


def test_golden_values_of_a_grey_picture_made_lighter():
    found = perceptibility(np.full((1, 20, 30), 0.5), np.full((1, 20, 30), 0.6))
    assert found.linf == pytest.approx([0.1])
    assert found.l2 == pytest.approx([0.1 * math.sqrt(600)])
    assert found.rmse == pytest.approx([0.1])
    assert found.psnr == pytest.approx([20.0])
    assert found.ssim == pytest.approx([0.6001 / 0.6101])  # no structure to lose, only light


def test_one_changed_value():
    after = np.zeros((1, 16, 16, 1))
    after[0, 8, 8, 0] = 0.5
    found = perceptibility(np.zeros_like(after), after)
    assert (found.linf[0], found.l2[0], found.rmse[0]) == pytest.approx((0.5, 0.5, 0.5 / 16))
    assert found.psnr[0] == pytest.approx(20 * math.log10(32))


def test_norms_are_the_naive_loop():
    found = perceptibility(CLEAN, ATTACKED)
    for place in range(len(CLEAN)):
        change = [abs(a - b) for a, b in zip(ATTACKED[place].ravel(), CLEAN[place].ravel(), strict=True)]
        mean_square = sum(value**2 for value in change) / len(change)
        assert found.linf[place] == max(change)
        assert found.l2[place] == pytest.approx(math.sqrt(sum(value**2 for value in change)))
        assert found.rmse[place] == pytest.approx(math.sqrt(mean_square))
        assert found.psnr[place] == pytest.approx(10 * math.log10(1 / mean_square))


def test_ssim_is_the_naive_loop_and_that_of_torchmetrics():
    found = perceptibility(CLEAN, ATTACKED)
    for place in range(len(CLEAN)):
        channels = [naive_ssim(CLEAN[place, ..., c], ATTACKED[place, ..., c]) for c in range(3)]
        assert found.ssim[place] == pytest.approx(np.mean(channels), abs=1e-12)
    x, y = (torch.from_numpy(side).permute(0, 3, 1, 2) for side in (CLEAN, ATTACKED))
    _, image = structural_similarity_index_measure(x, y, sigma=1.5, data_range=1.0, return_full_image=True)
    inside = image[..., 5:-5, 5:-5]  # its mean also holds windows over reflected borders
    assert found.ssim == pytest.approx(inside.mean(dim=(1, 2, 3)).numpy(), abs=1e-7)


def test_unchanged_pictures_and_symmetry():
    same = perceptibility(CLEAN, CLEAN.copy())
    assert same.ssim == pytest.approx(1.0)
    assert np.isinf(same.psnr).all()
    assert not same.linf.any()
    one, other = CLEAN[0, ..., 0], ATTACKED[0, ..., 0]
    assert structural_similarity(one, other) == structural_similarity(other, one) < 1


def test_a_single_precision_picture_is_measured_in_double():
    half = perceptibility(CLEAN.astype(np.float32), ATTACKED.astype(np.float32))
    np.testing.assert_allclose(half.ssim, perceptibility(CLEAN, ATTACKED).ssim, atol=1e-6)
    assert half.l2.dtype == np.float64


@pytest.mark.parametrize(
    ("clean", "attacked", "message"),
    [
        (np.zeros((1, 10, 20)), np.zeros((1, 10, 20)), "H and W from 11"),
        (np.zeros((12, 12)), np.zeros((12, 12)), "clean pictures have shape"),
        (np.zeros((0, 12, 12)), np.zeros((0, 12, 12)), "clean pictures have shape"),
        (np.zeros((1, 12, 12)), np.zeros((1, 12, 13)), "differ in shape"),
        (np.zeros((1, 12, 12), np.uint8), np.zeros((1, 12, 12)), "divide 8-bit ones by 255"),
        (np.zeros((1, 12, 12)), np.full((1, 12, 12), 1.5), r"attacked pictures hold real values in \[0, 1\]"),
        (np.zeros((1, 12, 12)), np.full((1, 12, 12), np.nan), "attacked pictures"),
    ],
)
def test_what_cannot_be_measured_is_refused(clean, attacked, message):
    with pytest.raises(UsageError, match=message):
        perceptibility(clean, attacked)
    with pytest.raises(UsageError):
        structural_similarity(np.zeros((12, 12)), np.zeros((12, 13)))
