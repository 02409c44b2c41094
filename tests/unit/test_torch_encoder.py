"""A hash model behind the port: pictures, phrases and vectors become rows, rows become codes, the network runs once."""

import numpy as np
import pytest
import torch
from PIL import Image

from deephash.backbones import Backbone
from deephash.codes import CodeLayout
from deephash.collection import Collection
from deephash.encoding import CodeEncoder, encode_all, open_encoder
from deephash.errors import CollectionDamaged, UsageError
from deephash.models import LSH, CCAHash, HashModel, load_model, methods
from deephash.models.encoder import TorchEncoder
from tests.tiny_clip import PICTURES, TEXTS

KINDS = {
    "timm": Backbone("timm:mobilenetv2_100", None, image_size=64),
    "torchvision": Backbone("torchvision:squeezenet1_0", None, image_size=64),
    "small_cnn": Backbone("small_cnn:2", None),
    "cifar_resnet": Backbone("cifar_resnet:8", None),
    "mobilenet_v1": Backbone("mobilenet_v1:0.25", None),
    "clip": PICTURES,
}


def pictures(count=3):
    colours = np.random.default_rng(0).integers(0, 256, (count, 40, 50, 3), dtype=np.uint8)
    return [Image.fromarray(one) for one in colours]


def picture_model(backbone, num_bits=16):
    torch.manual_seed(0)
    model = LSH(num_bits, backbone, centre=False)
    return model.fit(torch.randn(40, model.encoders["image"].num_features))


def two_towers(texts=TEXTS, num_bits=12):
    torch.manual_seed(0)
    model = CCAHash(num_bits, PICTURES, texts)
    widths = [model.encoders[name].num_features for name in ("image", "text")]
    image, text = (torch.randn(60, width) for width in widths)
    return model.fit({"image_features": image, "text_features": text})


@pytest.mark.parametrize("kind", KINDS)
def test_pictures_give_the_codes_of_the_model(kind):
    model = picture_model(KINDS[kind])
    expected = model.encode_images(pictures())
    encoder = open_encoder(model)
    rows = [encoder.prepare("image", picture) for picture in pictures()]
    assert all(isinstance(row, np.ndarray) and row.dtype == np.float32 and row.ndim == 3 for row in rows)
    assert encoder.encode("image", rows).codes == expected
    assert encoder.picture_side == model.picture_side()
    assert encoder.vector_dim() == encoder.encode("image", rows, vectors=True).vectors.shape[1]
    assert encoder.neutral_phrase is None
    with pytest.raises(UsageError, match="LSH reads no phrases"):
        encoder.neutral()
    with pytest.raises(UsageError, match="reads image, not text"):
        encoder.prepare("text", "a dog")


def test_phrases_give_the_codes_of_the_model():
    model = two_towers()
    encoder = open_encoder(model)
    phrases = ["two dogs", "a red car"]
    rows = [encoder.prepare("text", phrase) for phrase in phrases]
    found = encoder.encode("text", rows, continuous=True)
    assert found.codes == model.encode_texts(phrases)
    assert np.array_equal(found.continuous >= 0, found.codes.bits())
    assert np.array_equal(encoder.neutral(), encoder.prepare("text", encoder.neutral_phrase))
    assert (encoder.modalities, encoder.layout) == (("image", "text"), CodeLayout(12))
    assert encoder.encode("image", [encoder.prepare("image", one) for one in pictures()]).codes == model.encode_images(
        pictures()
    )
    with pytest.raises(UsageError, match="the phrase is empty"):
        encoder.prepare("text", " ")


def test_a_vocabulary_is_read_and_says_nothing_with_zeros():
    texts = Backbone("tfidf:9", None).build()
    texts.fit_texts(["a dog on a beach", "a cat in snow"])
    model = two_towers(Backbone("tfidf:9", None), num_bits=6)
    model.encoders["text"] = texts
    encoder = open_encoder(model)
    assert encoder.neutral_phrase == ""
    assert not encoder.neutral().any()
    assert encoder.prepare("text", "dog dog cat").sum() == 3
    with pytest.raises(UsageError, match="no word of 'zebra'"):
        encoder.prepare("text", "zebra")


def test_vectors_are_read_as_they_are_and_phrases_refused():
    model = two_towers(Backbone("features:7", None), num_bits=5)
    encoder = open_encoder(model)
    assert encoder.neutral_phrase is None
    assert encoder.encode("text", [encoder.prepare("text", np.arange(7.0))]).codes.num_bits == 5


def test_folders_runs_collections_models_and_encoders_are_opened(tmp_path):
    model = picture_model(KINDS["small_cnn"])
    model.save(tmp_path / "run" / "model")
    Collection.create(tmp_path / "x.dh", num_bits=16, model=open_encoder(model))
    assert Collection.open(tmp_path / "x.dh").code_columns["code"].model == "LSH"
    sources = (model, tmp_path / "run", str(tmp_path / "run" / "model"), tmp_path / "x.dh", open_encoder(model))
    for source in sources:
        opened = open_encoder(source)
        assert isinstance(opened, CodeEncoder)
        assert opened.fingerprint() == model.fingerprint()
    assert open_encoder(opened) is opened
    assert load_model(tmp_path / "run").fingerprint() == model.fingerprint()
    Collection.create(tmp_path / "bare.dh", num_bits=16)
    with pytest.raises(UsageError, match="carries no model"):
        open_encoder(tmp_path / "bare.dh")
    with pytest.raises(CollectionDamaged, match=r"no model\.json"):
        open_encoder(tmp_path)
    with pytest.raises(UsageError, match="use auto, cpu or cuda"):
        open_encoder(tmp_path / "run", device="abacus")


def test_a_model_is_put_into_evaluation_mode():
    model = picture_model(KINDS["small_cnn"]).train()
    open_encoder(model)
    assert not model.training


def test_another_precision_is_the_same_model():
    encoder = open_encoder(picture_model(KINDS["small_cnn"], num_bits=64))
    rows = [encoder.prepare("image", picture) for picture in pictures(8)]
    rough = encoder.at("bf16")
    assert isinstance(rough, TorchEncoder)
    assert (rough.precision, encoder.precision, encoder.at("fp32")) == ("bf16", "fp32", encoder)
    assert open_encoder(encoder, precision="bf16").precision == "bf16"
    exact, near = (one.encode("image", rows, continuous=True).continuous for one in (encoder, rough))
    assert near.dtype == np.float32
    assert not np.array_equal(exact, near)
    np.testing.assert_allclose(exact, near, atol=0.2)


def test_threads_compute_alone_and_get_their_cores_back():
    encoder, before = open_encoder(picture_model(KINDS["small_cnn"])), torch.get_num_threads()
    with encoder.in_threads() as begin:
        begin()
        assert torch.get_num_threads() == 1
    assert torch.get_num_threads() == before


def test_a_model_that_was_not_fitted_and_nan_are_refused():
    model = LSH(8, Backbone("features:4", None))
    encoder = open_encoder(model)
    with pytest.raises(UsageError, match="was not fitted"):
        encoder.encode("image", [np.zeros(4, np.float32)])
    model.fit(torch.randn(9, 4))
    with pytest.raises(UsageError, match="1 of 2 continuous codes hold NaN"):
        encoder.encode("image", [np.zeros(4, np.float32), np.full(4, np.nan, np.float32)])


def test_any_number_of_rows_is_encoded_a_batch_at_a_time():
    encoder, sizes = open_encoder(picture_model(KINDS["small_cnn"])), []
    rows = [encoder.prepare("image", picture) for picture in pictures(7)]
    encoder.model.encoders["image"].register_forward_hook(lambda _, given, __: sizes.append(len(given[0])))
    codes = encode_all(encoder, "image", iter(rows), batch_size=3)
    assert sizes == [3, 3, 1]
    assert codes == encoder.encode("image", rows).codes
    assert encode_all(encoder, "image", []).layout == encoder.layout


def test_a_method_with_bits_of_its_own_says_that_its_codes_cannot_be_mixed():
    own = [name for name, method in methods().items() if method.bits is not HashModel.bits]
    assert "CSCENet" in own
    assert own == [name for name, method in methods().items() if not method.binarises_at_zero]
