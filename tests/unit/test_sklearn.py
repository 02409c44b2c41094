"""deephash.sklearn: scikit-learn's own checks, and the same bits as the models behind it."""

import pickle

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.datasets import load_digits
from sklearn.model_selection import GridSearchCV
from sklearn.neighbors import NearestNeighbors
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

import deephash.models
import deephash.sklearn
from deephash.backbones import Backbone
from deephash.codes import BinaryCodes
from deephash.evaluation.metrics import mean_average_precision
from deephash.sklearn import ITQ, LSH, HammingNeighbors, HammingNeighborsClassifier, HashingBaseline, PCASign

TRANSFORMERS = [ITQ(), PCASign(), LSH(num_bits=12), HashingBaseline(), ITQ(output="packed"), LSH(output="continuous")]


@parametrize_with_checks([*TRANSFORMERS, HammingNeighbors(), HammingNeighborsClassifier()])
def test_the_checks_of_scikit_learn(estimator, check):
    check(estimator)


@pytest.fixture(scope="module")
def digits():
    return load_digits(return_X_y=True)


@pytest.mark.parametrize("make", [ITQ, PCASign, LSH, HashingBaseline])
def test_bits_are_those_of_the_model(digits, make):
    features, _ = digits
    seeded = {} if make is PCASign else {"seed": 3}
    model = getattr(deephash.models, make.__name__)(16, Backbone("features:64"), **seeded)
    table = torch.tensor(features).float()
    expected = model.fit(table).encode({"image_features": table})
    ours = make(num_bits=16, **({"random_state": 3} if seeded else {}))
    bits = ours.fit_transform(features)
    assert (bits != expected.bits()).mean() < 1e-4  # the model keeps its projection in float32
    assert ours.encode(features).bits().astype(np.uint8).tolist() == bits.tolist()
    assert make(num_bits=16, output="packed").fit_transform(features).shape == (len(features), 2)


def test_outputs_say_the_same(digits):
    features, _ = digits
    bits, packed, continuous = (
        ITQ(12, output=kind).fit_transform(features) for kind in ("bits", "packed", "continuous")
    )
    assert np.array_equal(bits, continuous >= 0)
    assert (bits.dtype, packed.dtype, packed.shape[1]) == (np.uint8, np.uint8, 2)
    table = ITQ(12).set_output(transform="pandas").fit_transform(features)
    assert list(table.columns) == [f"itq{bit}" for bit in range(12)]
    assert np.array_equal(table.to_numpy(), bits)
    assert ITQ(12, output="packed").fit(features).get_feature_names_out().tolist() == ["itq0", "itq1"]


def test_a_pipeline_is_searched_cloned_and_kept(digits, tmp_path):
    features, labels = digits
    pipeline = make_pipeline(StandardScaler(), ITQ(), HammingNeighborsClassifier())
    search = GridSearchCV(pipeline, {"itq__num_bits": [8, 32], "hammingneighborsclassifier__n_neighbors": [1, 5]}, cv=2)
    search.fit(features[:600], labels[:600])
    assert search.best_params_["itq__num_bits"] == 32
    assert search.score(features[600:], labels[600:]) > 0.85
    again = clone(search.best_estimator_).fit(features[:600], labels[:600])
    kept = pickle.loads(pickle.dumps(again))
    assert np.array_equal(kept.predict(features[600:]), search.predict(features[600:]))
    again["itq"].model_.float().save(tmp_path / "model", portable=False)
    loaded = deephash.load_model(tmp_path / "model")
    assert loaded.num_bits == 32


@pytest.mark.parametrize("codes", ["bits", "packed"])
def test_neighbours_are_exact_and_in_order(codes):
    draw = np.random.default_rng(0)
    bits = draw.integers(0, 2, (300, 16), np.uint8)
    table = BinaryCodes.from_bits(bits).packed if codes == "packed" else bits
    asked = slice(0, 40)
    found = HammingNeighbors(7, codes=codes).fit(table)
    everything = (bits[asked, None] != bits[None]).sum(axis=2)
    expected = np.argsort(everything * 300 + np.arange(300), axis=1)[:, :7]
    distances, rows = found.kneighbors(table[asked])
    assert np.array_equal(rows, expected)
    assert np.array_equal(distances, np.take_along_axis(everything, expected, 1))
    near, within = found.radius_neighbors(table[asked], radius=3)
    assert [len(each) for each in within] == (everything <= 3).sum(axis=1).tolist()
    assert max(each.max() for each in near) == 3
    theirs = NearestNeighbors(metric="hamming").fit(bits)
    assert np.array_equal(np.sort(theirs.kneighbors(bits[asked], 7)[0] * 16), distances)


def test_nobody_is_its_own_neighbour():
    bits = np.repeat(np.eye(3, 8, dtype=np.uint8), 4, axis=0)  # three codes, four items each
    found = HammingNeighbors(3).fit(bits)
    distances, rows = found.kneighbors()
    assert not distances.any()
    for row in range(12):
        assert sorted([row, *rows[row]]) == list(range(row // 4 * 4, row // 4 * 4 + 4))
    assert HammingNeighbors(1).fit(bits).kneighbors(return_distance=False)[:, 0].tolist() == [
        1,
        0,
        0,
        0,
        5,
        4,
        4,
        4,
        9,
        8,
        8,
        8,
    ]
    assert [len(each) for each in found.radius_neighbors(radius=0, return_distance=False)] == [3] * 12


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: ITQ(65).fit(np.ones((100, 64))), "65 principal axes"),
        (lambda: ITQ(output="hex").fit(np.eye(4)), "bits, packed or continuous"),
        (lambda: ITQ(max_iter=0).fit(np.eye(4)), "max_iter"),
        (lambda: HammingNeighbors(9).fit(np.eye(4)).kneighbors(np.eye(4)), "between 1 and n_samples_fit = 4"),
        (lambda: HammingNeighbors(codes="packed").fit(np.full((4, 2), 0.5)), "from 0 to 255"),
        (lambda: HammingNeighbors(codes="hex").fit(np.eye(4)), "bits or packed"),
    ],
)
def test_mistakes(make, says):
    with pytest.raises(ValueError, match=says):
        make()


def test_codes_are_scored_by_deephash(digits):
    features, labels = digits
    itq = ITQ(32).fit(features[:1500])
    score = mean_average_precision(
        itq.encode(features[1500:]),
        itq.encode(features[:1500]),
        query_labels=labels[1500:],
        database_labels=labels[:1500],
    )
    assert score > 0.4


def test_public_names():
    assert all(getattr(deephash.sklearn, name) for name in deephash.sklearn.__all__)
