"""QueryEncoder without a real network: compositions over a linear map, refusals, lazy loading."""

import json

import numpy as np
import pytest
import torch

from deephash.backbones import Backbone
from deephash.codes import BinaryCodes
from deephash.encoding import open_encoder
from deephash.errors import CollectionDamaged, IncompatibleModel, UsageError
from deephash.models import LSH
from deephash.pictures import opening
from deephash.search import Part, Query, QueryEncoder


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    return LSH(32, Backbone("small_cnn:4", weights=None, frozen=True)).fit(torch.randn(60, 16))


def pictures(count=2):
    return list(np.random.default_rng(0).integers(0, 256, (count, 24, 24, 3), dtype=np.uint8))


def test_one_term_is_plain_encoding(model):
    encoder = QueryEncoder(model, model.fingerprint(), "x.dh")
    picture = pictures()[0]
    assert encoder.encode_query(Query.of(Part("image", picture))).code == model.encode_images([picture])
    assert encoder.encode_query(Query.of(Part("image", picture, 0.3))).code == model.encode_images([picture])


@pytest.mark.parametrize("with_vector", [False, True])
def test_a_query_decodes_its_picture_once_and_runs_the_network_once(model, tmp_path, monkeypatch, with_vector):
    file, decoded, ran = tmp_path / "one.png", [], []
    _pil(pictures()[0]).save(file)
    decode = opening.decode
    monkeypatch.setattr(opening, "decode", lambda *given: (decoded.append(1), decode(*given))[1])
    hook = model.encoders["image"].register_forward_hook(lambda *_: ran.append(1))
    encoder = QueryEncoder(model, None, "x.dh")
    found = encoder.encode_query(Query.of(Part("image", file)), with_vector=with_vector)
    hook.remove()
    assert (len(decoded), len(ran)) == (1, 1)
    assert found.code == model.encode_images([file])
    if with_vector:
        row = model.preprocess("image")(_pil(pictures()[0]))[None]
        assert np.array_equal(found.vector, model.vectors({"image": row}).detach().numpy())
    else:
        assert found.vector is None


def test_an_encoder_of_any_kind_answers(model):
    asked = Query.of(Part("image", pictures()[0]))
    assert QueryEncoder(open_encoder(model), model.fingerprint(), "x.dh").encode_query(asked).code == (
        model.encode_images(pictures()[:1])
    )


def test_a_mixture_is_the_sign_of_the_weighted_sum(model):
    encoder = QueryEncoder(model, None, "x.dh")
    one, two = pictures()
    values = [model({"image": model.preprocess("image")(_pil(p))[None]})[0].detach().numpy() for p in (one, two)]
    expected = sum(w * v / np.linalg.norm(v) for w, v in zip((0.7, -0.4), values)) >= 0
    found = encoder.encode_query(Query.of(Part("image", one, 0.7), Part("image", two, -0.4))).code
    assert np.array_equal(found.bits()[0], expected)


def test_neighbours_tell_which_bits_of_a_code_are_weak():
    encoder = QueryEncoder(None, None, "x.dh")
    item = BinaryCodes.from_bits([[1, 1, 1, 1], [1, 1, 0, 0], [1, 1, 0, 0]])  # bits 2 and 3 are not firm
    other = BinaryCodes.from_bits([[0, 1, 0, 1]])
    mixed = encoder.encode_query(Query.of(Part("code", item), Part("code", other, 0.5))).code
    assert mixed.bits()[0].tolist() == [True, True, False, True]
    assert encoder.encode_query(Query.of(Part("code", item))).code == item[0]


@pytest.mark.parametrize(
    ("terms", "message"),
    [([], "at least one part"), ([Part("image", 0, 0.0), Part("image", 0, 0.0)], "all weights")],
)
def test_empty_compositions_are_refused(model, terms, message):
    with pytest.raises(UsageError, match=message):
        QueryEncoder(model, None, "x.dh").encode_query(Query.of(*terms))


def test_words_for_a_picture_model_say_what_is_needed(model):
    with pytest.raises(UsageError, match="LSH reads pictures, not words"):
        QueryEncoder(model, None, "x.dh").encode("text", "a cat")


def test_a_collection_without_a_model_is_searched_by_id():
    with pytest.raises(UsageError, match="without a model"):
        QueryEncoder(None, None, "x.dh").encode("image", pictures()[0])


def test_another_model_is_refused_before_it_is_loaded(model, tmp_path):
    model.save(tmp_path / "model")
    with pytest.raises(IncompatibleModel, match="holds codes of the model 0123"):
        QueryEncoder(tmp_path / "model", "0123", "x.dh")
    with pytest.raises(IncompatibleModel, match="deephash index PICTURES"):
        QueryEncoder(model, "0123", "x.dh")


def test_a_model_folder_is_loaded_at_the_first_need(model, tmp_path):
    model.save(tmp_path / "model")
    encoder = QueryEncoder(tmp_path / "model", model.fingerprint(), "x.dh")
    assert encoder._model is None
    assert encoder.modalities == ("image",)
    assert encoder.description == "LSH on small_cnn:4"
    assert encoder.encode("image", pictures()[0]).code == model.encode_images(pictures()[:1])
    assert encoder._model is not None


def test_a_folder_without_or_with_a_damaged_description_is_named(tmp_path):
    with pytest.raises(CollectionDamaged, match=r"no model\.json"):
        QueryEncoder(tmp_path, None, "x.dh")
    (tmp_path / "model.json").write_text("{")
    with pytest.raises(CollectionDamaged, match="cannot be read"):
        QueryEncoder(tmp_path, None, "x.dh")
    (tmp_path / "model.json").write_text(json.dumps([1]))
    with pytest.raises(CollectionDamaged, match="a list, not a mapping"):
        QueryEncoder(tmp_path, None, "x.dh")


def _pil(array):
    from PIL import Image

    return Image.fromarray(array)


def test_a_run_is_taken_as_its_model(model, tmp_path):
    model.save(tmp_path / "run" / "model")
    encoder = QueryEncoder(tmp_path / "run", model.fingerprint(), "x.dh")
    assert encoder.directory == tmp_path / "run" / "model"
    assert encoder.encode_query(Query.of(Part("image", pictures()[0]))).code == model.encode_images([pictures()[0]])
