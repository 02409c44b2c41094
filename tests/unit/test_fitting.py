"""Training-free models from a specification, and composed queries on what they give."""

import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw

from deephash.encoding.composed import (
    change_by_words,
    compose_picture,
    neutral_codes,
    phrase_codes,
    picture_codes,
)
from deephash.errors import DataError, UsageError, WeightsNotFound
from deephash.fitting import TYPICAL_PHRASES, fit_training_free, is_training_free_spec
from deephash.models import ITQ, LSH, CrossModalITQ, PCASign, load_model
from tests.tiny_clip import PICTURES, TEXTS


def drawing(seed, size=(48, 40)):
    draw = np.random.default_rng(seed)
    picture = Image.new("RGB", size, tuple(draw.integers(0, 256, 3).tolist()))
    corner = draw.integers(0, 20, 2)
    ImageDraw.Draw(picture).ellipse([*corner, *(corner + 15)], fill=tuple(draw.integers(0, 256, 3).tolist()))
    return picture


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("pictures")
    for number in range(40):
        drawing(number).save(path / f"{number}.png")
    (path / "broken.png").write_bytes(b"not a picture")
    return path


@pytest.mark.parametrize(("method", "kind"), [("itq", ITQ), ("lsh", LSH), ("pca_sign", PCASign)])
def test_picture_methods(folder, method, kind):
    torch.manual_seed(0)
    model = fit_training_free(f"{method}:mobilenet_v1:0.25", folder, num_bits=16, weights="none")
    assert type(model) is kind
    codes = model.encode_images([folder / "0.png", folder / "1.png"])
    assert codes.num_bits == 16


@pytest.mark.parametrize(("method", "bits"), [("itq", 32), ("pca_sign", 32), ("lsh", 256)])
def test_few_pictures_give_the_longest_code_they_can(folder, method, bits):
    torch.manual_seed(0)
    model = fit_training_free(f"{method}:mobilenet_v1:0.25", folder, weights="none")  # 40 readable pictures: 39 axes
    assert model.num_bits == bits
    assert model.encode_images([folder / "0.png"]).num_bits == bits


def test_a_length_that_was_asked_for_is_refused_rather_than_changed(folder):
    with pytest.raises(UsageError, match="64 bits need 64 principal axes"):
        fit_training_free("itq:mobilenet_v1:0.25", folder, num_bits=64, weights="none")


@pytest.fixture(scope="module")
def clip_model():
    """CLIP with ITQ as fit_training_free makes it, on towers small enough for a test."""
    torch.manual_seed(0)
    model = CrossModalITQ(24, PICTURES, TEXTS, project_texts=False)
    pictures, texts = model.encoders["image"].eval(), model.encoders["text"].eval()
    with torch.inference_mode():
        rows = torch.stack([pictures.preprocess()(drawing(seed)) for seed in range(60)])
        phrases = torch.stack([texts.preprocess()(phrase) for phrase in TYPICAL_PHRASES[:50]])
        table = {"image_features": pictures(rows).clone(), "text_features": texts(phrases).clone()}
    return model.fit(table).eval()


def test_both_modalities_are_centred_and_the_objective_falls(clip_model):
    assert all(b <= a * (1 + 1e-9) for a, b in zip(clip_model.objectives, clip_model.objectives[1:], strict=False))
    with torch.inference_mode():
        rows = torch.stack([clip_model.preprocess("image")(drawing(seed)) for seed in range(60)])
        mean = clip_model.vectors({"image": rows}).mean(dim=0)
    assert mean.abs().max() < 1e-5


def test_a_saved_model_encodes_the_same(clip_model, tmp_path):
    clip_model.save(tmp_path / "model")
    again = load_model(tmp_path / "model")
    assert again.encode_texts(["two dogs"]) == clip_model.encode_texts(["two dogs"])
    assert again.encode_images([drawing(7)]) == clip_model.encode_images([drawing(7)])
    assert again.fingerprint() == clip_model.fingerprint()


def test_slider_equals_encoding_the_mixed_embedding_again(clip_model):
    query = compose_picture(clip_model, drawing(3), "at night")
    unit = torch.nn.functional.normalize
    with torch.inference_mode():
        encoders = clip_model.encoders
        v = unit(encoders["image"](clip_model.preprocess("image")(drawing(3))[None]))
        tokens = torch.stack([clip_model.preprocess("text")(t) for t in ("a photo", "a photo, at night")])
        t0, t1 = unit(encoders["text"](tokens)).split(1)
        for alpha_text, alpha_image, beta in ((1.2, 1.4, 0.75), (1, 1, 1), (0, -0.5, 0.2)):
            phi = (1 - beta) * (v + alpha_image * (t1 - t0)) + beta * (t0 + alpha_text * (t1 - t0))
            # the head on phi: each share of phi is centred by the mean of the modality it came from
            means = (1 - beta) * clip_model.image_mean + beta * clip_model.text_mean
            again = ((phi - means) @ clip_model.image_weights)[0].numpy()
            served = query.at(alpha_text=alpha_text, alpha_image=alpha_image, beta=beta)
            np.testing.assert_allclose(served, again, atol=1e-6)


def test_words_move_a_query(clip_model):
    base = picture_codes(clip_model, drawing(1))
    moved = change_by_words(clip_model, base, plus=["snow"], minus=["people"])
    snow, people = (phrase_codes(clip_model, f"a photo, {word}") for word in ("snow", "people"))
    np.testing.assert_allclose(moved, base + snow - people, atol=1e-9)
    np.testing.assert_allclose(neutral_codes(clip_model), phrase_codes(clip_model, "a photo"))
    caption = compose_picture(clip_model, drawing(1), "at night", caption="a circle")
    np.testing.assert_allclose(caption.worded, phrase_codes(clip_model, "a circle, at night"))


def test_words_that_cannot_be_searched(folder, clip_model):
    model = fit_training_free("lsh:mobilenet_v1:0.25", folder, num_bits=8, weights="none")
    with pytest.raises(UsageError, match=r"LSH has no text tower.*--model clip:"):
        phrase_codes(model, "two dogs")
    with pytest.raises(UsageError, match="empty"):
        compose_picture(clip_model, drawing(0), "  ")
    with pytest.raises(UsageError, match="one modality at a time"):
        clip_model({"image_features": torch.zeros(1, 32), "text_features": torch.zeros(1, 32)})


def test_clip_without_weights_says_where_it_looked(folder):
    with pytest.raises(WeightsNotFound, match="looked in"):
        fit_training_free("clip:ViT-B-32/laion2b_s34b_b79k", folder)


def test_bad_specifications(folder, tmp_path):
    assert is_training_free_spec("clip:ViT-B-32/openai")
    assert not is_training_free_spec("runs/my:model")
    assert not is_training_free_spec("clip")
    with pytest.raises(UsageError, match="did you mean 'itq'"):
        fit_training_free("itqq:timm:resnet18", folder)
    with pytest.raises(DataError, match="0 of 1 could be read"):
        fit_training_free("lsh:mobilenet_v1:0.25", [folder / "broken.png"], weights="none")
    with pytest.raises(UsageError, match="ITQ finds at most"):
        CrossModalITQ(64, PICTURES, TEXTS)


def test_small_collections_fill_their_bits_at_random():
    model = CrossModalITQ(24, PICTURES, TEXTS, project_texts=False)
    features = torch.nn.functional.normalize(torch.randn(10, 32, generator=torch.Generator().manual_seed(0)))
    model.fit({"image_features": features, "text_features": features})
    basis = model.image_weights
    torch.testing.assert_close(basis.T @ basis, torch.eye(24), atol=1e-5, rtol=0)


def test_pictures_are_taken_evenly(folder):
    one = fit_training_free("lsh:mobilenet_v1:0.25", folder, num_bits=8, weights="none", max_pictures=5)
    assert one.fitted
