"""CCA, CMFH, PCA-sign and cross-modal ITQ: optimality, monotone objectives, and what centring each modality buys."""

import numpy as np
import pytest
import torch
from sklearn.cross_decomposition import CCA

from deephash.backbones import Backbone
from deephash.errors import UsageError
from deephash.models import CMFH, CCAHash, CrossModalITQ, CrossModalPCA, load_model
from tests.cross_modal_toy import mean_average_precision, two_views

PICTURES, TEXTS = Backbone("features:256"), Backbone("features:160")
MAKERS = {
    "cca": lambda bits, *b, **o: CCAHash(bits, *b, rotate=False, **o),
    "cca_itq": CCAHash,
    "cmfh": CMFH,
    "pca": CrossModalPCA,
}


@pytest.fixture(scope="module")
def toy():
    image, text, labels = two_views(0, count=900)
    return image, text, labels, {"image_features": image[:700], "text_features": text[:700]}


@pytest.mark.parametrize("name", MAKERS)
def test_objective_falls_and_the_model_travels(name, toy, tmp_path):
    model = MAKERS[name](24, PICTURES, TEXTS).fit(toy[-1])
    assert all(b <= a + 1e-9 * abs(a) for a, b in zip(model.objectives, model.objectives[1:], strict=False))
    model.save(tmp_path / "model")
    inputs = {"image_features": toy[0][:30].float()}
    assert load_model(tmp_path / "model").encode(inputs) == model.encode(inputs)
    assert MAKERS[name](24, PICTURES, TEXTS).fit(toy[-1]).fingerprint() == model.fingerprint()


@pytest.mark.parametrize("name", MAKERS)
def test_swapping_modalities_swaps_results(name, toy):
    image, text = (rows[:200, :12] for rows in toy[:2])
    narrow = Backbone("features:12")
    one = MAKERS[name](6, narrow, narrow).fit({"image_features": image, "text_features": text})
    two = MAKERS[name](6, narrow, narrow).fit({"image_features": text, "text_features": image})
    same = one.bits({"image_features": image.float()}) == two.bits({"text_features": image.float()})
    assert same.float().mean() > 0.99


def test_accuracy_is_in_the_expected_order(toy):
    image, text, labels, table = toy
    score = {
        name: mean_average_precision(maker(32, PICTURES, TEXTS).fit(table), image, text, labels, 700)
        for name, maker in MAKERS.items()
    }
    assert score["pca"] < 0.2, "principal components of each modality alone cannot meet across modalities"
    assert score["cca_itq"] > score["cca"] > score["pca"]


def test_canonical_correlations_are_scikit_learns():
    draw = np.random.default_rng(0)
    shared = draw.standard_normal((400, 3))
    x, y = (shared @ draw.standard_normal((3, d)) + 0.5 * draw.standard_normal((400, d)) for d in (6, 5))
    model = CCAHash(3, Backbone("features:6"), Backbone("features:5"), ridge=1e-9, rotate=False)
    model.fit({"image_features": torch.from_numpy(x), "text_features": torch.from_numpy(y)})
    ours = [model({f"{n}_features": torch.from_numpy(v).float()}).numpy() for n, v in (("image", x), ("text", y))]
    oracle = CCA(3, max_iter=5000).fit(x, y).transform(x, y)
    for component in range(3):
        wanted = np.corrcoef(oracle[0][:, component], oracle[1][:, component])[0, 1]
        got = np.corrcoef(ours[0][:, component], ours[1][:, component])[0, 1]
        assert got == pytest.approx(wanted, abs=1e-4)


def test_more_bits_than_dimensions_are_filled(toy):
    image, text = (rows[:100, :5] for rows in toy[:2])
    narrow = Backbone("features:5")
    for maker in (CCAHash, CrossModalPCA):
        model = maker(16, narrow, narrow).fit({"image_features": image, "text_features": text})
        bits = model.bits({"image_features": image.float()})
        assert bits.float().mean(dim=0).min() > 0
        assert bits.float().mean(dim=0).max() < 1


def shifted_towers(count=1200, seed=0):
    """One space, two places: embeddings of pairs with a modality offset, as CLIP's towers have."""
    draw = np.random.default_rng(seed)
    labels = draw.integers(0, 10, count)
    shared = draw.standard_normal((10, 48))[labels] + 0.5 * draw.standard_normal((count, 48))
    views = [shared + draw.standard_normal(48) * 3 + 0.7 * draw.standard_normal((count, 48)) for _ in range(2)]
    return *(torch.from_numpy(view) for view in views), labels


def test_centring_each_modality_beats_one_joint_mean():
    image, text, labels = shifted_towers()
    width = Backbone("features:48")
    scores = []
    for own_means in (True, False):
        table = {"image_features": image[:1000], "text_features": text[:1000]}
        model = CrossModalITQ(16, width, width).fit(table)
        if not own_means:
            stacked = {key: torch.cat([image[:1000], text[:1000]]) for key in table}
            model = CrossModalITQ(16, width, width).fit(stacked)
        scores.append(mean_average_precision(model, image, text, labels, 1000))
        assert all(b <= a * (1 + 1e-9) for a, b in zip(model.objectives, model.objectives[1:], strict=False))
    assert scores[0] > scores[1] + 0.1


def test_rotation_lowers_the_quantisation_error():
    image, text, _ = shifted_towers(400)
    width, table = Backbone("features:48"), {"image_features": image, "text_features": text}
    plain, rotated = (CrossModalITQ(16, width, width, rotate=rotate).fit(table) for rotate in (False, True))
    assert rotated.objectives[-1] < plain.objectives[-1]
    weights = rotated.image_weights
    torch.testing.assert_close(weights.T @ weights, torch.eye(16), atol=1e-5, rtol=0)


def test_what_cannot_work_is_refused():
    with pytest.raises(UsageError, match="two towers of one space"):
        CrossModalITQ(8, PICTURES, TEXTS)
    with pytest.raises(UsageError, match="needs text_features"):
        CrossModalITQ(8, Backbone("features:12"), Backbone("features:12")).fit(torch.zeros(5, 12))
    with pytest.raises(UsageError, match="ridge"):
        CCAHash(8, PICTURES, TEXTS, ridge=0)
    with pytest.raises(UsageError, match="alpha lies"):
        CMFH(8, PICTURES, TEXTS, alpha=1.0)
