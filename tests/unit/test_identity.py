"""Fingerprints: what only training reads stays out of them, and models of deephash 0.1 keep the rule they had."""

import json
import tarfile

import numpy as np
import pytest
import torch

from deephash import Collection, Searcher
from deephash.errors import FormatTooNew, IncompatibleModel
from deephash.models import DPSH, load_model
from tests.image_methods_toy import FEATURES, batch
from tests.paths import ROOT

OLD = "64a401377b91c7cb"  # DPSH of 16 bits with quantization_weight 0.5, named and saved by deephash 0.1.0


@pytest.fixture
def old(tmp_path):
    """A collection of four pictures with its model, written by deephash 0.1.0."""
    with tarfile.open(ROOT / "tests" / "golden" / "collection_0_1_0.tar.gz") as archive:
        archive.extractall(tmp_path, filter="data")
    return tmp_path / "pictures.dh"


def dpsh(**options):
    torch.manual_seed(0)
    return DPSH(16, FEATURES, **options)


def changed(folder, **facts):
    record = json.loads((folder / "model.json").read_text()) | facts
    (folder / "model.json").write_text(json.dumps(record))


def test_a_model_of_0_1_keeps_its_name_and_its_collection_is_searched_by_it(old, tmp_path):
    folder = old / "models" / OLD
    model = load_model(folder)
    assert model.fingerprint() == Collection.open(old).fingerprint == OLD
    picture = np.random.default_rng(0).integers(0, 255, (8, 8, 3)).astype(np.uint8)  # the first that was indexed
    for each in (None, folder, model):
        hits = Searcher.open(old, model=each).by_image(picture, 4)
        assert (hits[0].uri, hits[0].distance, len(hits)) == ("0.png", 0, 4)
    model.save(tmp_path / "again")
    again = load_model(tmp_path / "again")
    assert (again.fingerprint(), again.format_version) == (OLD, 1)


def test_the_same_weights_trained_by_another_loss_are_the_same_model():
    plain, other = dpsh(), dpsh(quantization_weight=0.7, memory=False)
    assert other.fingerprint() == plain.fingerprint()
    features = {"image_features": batch(4)["image_features"]}
    assert other.encode(features) == plain.encode(features)
    other.format_version = 1
    assert other.fingerprint() != plain.fingerprint()


def test_what_codes_depend_on_is_still_told_apart():
    plain, prefixes = dpsh(), dpsh(nested=(8, 16))
    prefixes.load_state_dict(plain.state_dict())
    assert prefixes.fingerprint() != plain.fingerprint()


def test_a_saved_model_remembers_the_rule_it_was_named_by(tmp_path):
    for options, version in (({"quantization_weight": 0.7}, 2), ({}, 1)):  # deephash 0.1 reads what it would name alike
        model = dpsh(**options)
        model.save(tmp_path / "model")
        record = json.loads((tmp_path / "model" / "model.json").read_text())
        assert record["format_version"] == version
        assert load_model(tmp_path / "model").fingerprint() == model.fingerprint() == record["fingerprint"]


def test_a_rule_of_a_later_deephash_is_not_guessed(tmp_path):
    dpsh().save(tmp_path / "model")
    changed(tmp_path / "model", format_version=3)
    with pytest.raises(FormatTooNew, match="model format 3; this deephash reads up to 2"):
        load_model(tmp_path / "model")


def test_another_model_is_still_refused(old):
    other = load_model(old / "models" / OLD)
    with torch.no_grad():
        other.head.weight += 1
    with pytest.raises(IncompatibleModel, match=f"holds codes of the model {OLD}"):
        Searcher.open(old, model=other)
