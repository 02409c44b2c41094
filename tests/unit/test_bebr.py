"""BEBR against its specification (bebr.md, 2, 3 and 9): recurrence, straight-through sign, loss, data."""

import numpy as np
import pytest
import torch
from torch.nn.functional import normalize

from deephash.backbones import Backbone
from deephash.codes.levels import level_values
from deephash.data import Vectors
from deephash.errors import DataError, DatasetNotFound, UsageError
from deephash.index.symmetric import SymmetricIndex, first_level
from deephash.models import BEBR
from deephash.models.bebr import block
from deephash.objectives.recurrent import (
    clipped_straight_through_sign,
    embedding_loss,
    recurrent_planes,
)
from deephash.testing.methods import HashModelContract


class TestBEBR(HashModelContract):
    def make_model(self, num_bits):
        return BEBR(num_bits, Backbone("features:9", None), levels=1, hidden=16).eval()

    def make_inputs(self, num_items):
        return {"image_features": torch.randn(num_items, 9, generator=torch.Generator().manual_seed(3))}


def test_the_sign_passes_gradients_within_one_and_changes_nobodys_tensor():
    values = torch.tensor([-2.0, -1.0, -0.3, 0.0, 0.5, 1.0, 1.1], requires_grad=True)
    signs = clipped_straight_through_sign(values)
    assert signs.tolist() == [-1, -1, -1, 1, 1, 1, 1]
    given = torch.arange(7.0)
    signs.backward(given)
    assert values.grad.tolist() == [0, 1, 2, 3, 4, 5, 0]
    assert given.tolist() == list(range(7))


def by_hand(features, first, back, residual):
    """The recurrence of the paper, a row at a time."""
    rows = []
    for feature in features:
        value = torch.where(first @ feature >= 0, 1.0, -1.0)
        planes = [first @ feature]
        for level in range(len(back)):
            rebuilt = back[level] @ value
            planes.append(residual[level] @ (feature - rebuilt / rebuilt.norm()))
            value = value + 2.0 ** -(level + 1) * torch.where(planes[-1] >= 0, 1.0, -1.0)
        rows.append((torch.stack(planes), value))
    return torch.stack([each[0] for each in rows]), torch.stack([each[1] for each in rows])


@pytest.mark.parametrize("levels", [1, 2, 4])
def test_the_recurrence_is_that_of_a_loop(levels):
    torch.manual_seed(0)
    features, first = normalize(torch.randn(6, 5), dim=1), torch.randn(7, 5)
    back, residual = ([torch.randn(*shape) for _ in range(levels - 1)] for shape in ((5, 7), (7, 5)))
    maps = [lambda rows, w=weight: rows @ w.T for weight in (first, *back, *residual)]
    planes, value = recurrent_planes(features, maps[0], maps[1:levels], maps[levels:])
    expected = by_hand(features, first, back, residual)
    torch.testing.assert_close(planes, expected[0])
    torch.testing.assert_close(value, expected[1])


def test_codes_stand_for_the_value_that_was_trained():
    torch.manual_seed(0)
    model = BEBR(12, Backbone("features:9", None), levels=3, hidden=16).eval()
    features = torch.randn(8, 9)
    codes = model.encode({"image_features": features})
    assert (codes.num_bits, codes.num_levels) == (12, 3)
    _, value = model.planes_and_value(features)
    assert level_values(codes) == pytest.approx(value.detach().numpy())


def loss_by_hand(first, second, ids, temperature, hardest):
    cosine = normalize(first, dim=1) @ normalize(second, dim=1).T / temperature
    total = 0.0
    for logits in (cosine, cosine.T):
        for row in range(len(logits)):
            others = sorted((float(logits[row, j]) for j in range(len(ids)) if ids[j] != ids[row]), reverse=True)[
                :hardest
            ]
            kept = torch.tensor([float(logits[row, row]), *others])
            total -= float(kept.log_softmax(0)[0]) / len(ids)
    return total


def test_the_loss_keeps_the_positive_and_the_hardest_negatives():
    torch.manual_seed(1)
    first, second, ids = torch.randn(9, 6), torch.randn(9, 6), [0, 1, 2, 3, 4, 5, 6, 7, 8]
    assert float(embedding_loss(first, second)) == pytest.approx(loss_by_hand(first, second, ids, 0.05, 5), rel=1e-4)
    ids = torch.tensor([0, 0, 1, 2, 3, 4, 5, 6, 7])  # two captions of one picture are no negatives of each other
    found = embedding_loss(first, second, ids[:, None] == ids[None], temperature=0.2, hardest=3)
    assert float(found) == pytest.approx(loss_by_hand(first, second, ids.tolist(), 0.2, 3), rel=1e-4)
    with pytest.raises(UsageError, match="at least 2"):
        embedding_loss(first[:1], second[:1])


def test_training_makes_levels_that_find_more_neighbours_than_signs_do():
    draw = np.random.default_rng(0)
    centres = draw.normal(size=(12, 16))
    vectors = (centres[np.arange(1200) % 12] + 0.3 * draw.normal(size=(1200, 16))).astype(np.float32)
    torch.manual_seed(0)
    model = BEBR(16, Backbone("features:16", None), levels=3, hidden=32)
    table = torch.from_numpy(vectors)
    model.prepare(table)
    optimizer = torch.optim.Adam(model.parameters(), 3e-3)
    losses = []
    for _ in range(80):
        index = torch.randint(1200, (256,))
        loss = model.compute_losses({"image_features": table[index], "index": index})["contrast"]
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert np.mean(losses[-10:]) < 0.8 * np.mean(losses[:5])
    codes = model.encode({"image_features": table})
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    right = np.argsort(-(unit[:100] @ unit.T), axis=1)[:, :20]

    def recall(found):
        return np.mean([len(set(one) & set(other)) / 20 for one, other in zip(found.tolist(), right.tolist())])

    by_levels = SymmetricIndex(np.arange(1200), codes).search(codes[:100], 20).ids
    signs = first_level(codes)
    by_signs = np.argsort(signs[:100].hamming(signs), axis=1, kind="stable")[:, :20]
    assert recall(by_levels) > recall(by_signs) + 0.03


def test_pairs_go_through_one_network_and_rows_without_a_half_are_left_out():
    towers = [Backbone("features:6", None)] * 2
    torch.manual_seed(0)
    model = BEBR(8, *towers, hidden=12)
    batch = {
        "image_features": torch.randn(5, 6),
        "text_features": torch.randn(5, 6),
        "index": torch.arange(5),
        "has_text": torch.tensor([1, 1, 0, 1, 1]),
    }
    assert model.compute_losses(batch)["contrast"].isfinite()
    same = torch.randn(3, 6)
    assert model.eval().encode({"image_features": same}) == model.encode({"text_features": same})
    with pytest.raises(UsageError, match="one modality at a time"):
        model.encode({"image_features": same, "text_features": same})
    with pytest.raises(UsageError, match="equally wide"):
        BEBR(8, Backbone("features:6", None), Backbone("features:7", None))


def test_neighbours_of_each_other_are_no_negatives():
    model = BEBR(8, Backbone("features:4", None), hidden=0, num_neighbours=2)
    table = torch.tensor([[1.0, 0, 0, 0], [1, 0.1, 0, 0], [1, 0, 0.1, 0], [0, 0, 0, 1], [0, 0, 0.1, 1], [0, 0.1, 0, 1]])
    model.prepare(table)
    index = torch.arange(6)
    _, other, same = model._with_neighbours({"image_features": table, "index": index})
    assert same[:3, 3:].any() == same[3:, :3].any() == False  # noqa: E712
    assert same[:3, :3].float().mean() > 0.5
    assert (normalize(other, dim=1) * normalize(table, dim=1)).sum(dim=1).min() > 0.9


def test_the_float_model_has_its_embedding_as_vectors():
    torch.manual_seed(0)
    model = BEBR(12, Backbone("features:9", None), levels=1, hidden=16, binary=False).eval()
    features = torch.randn(4, 9)
    expected = model.first(normalize(features, dim=1))
    torch.testing.assert_close(model.vectors({"image_features": features}), expected)
    assert BEBR(12, Backbone("features:9", None)).vectors({"image_features": features}) is features


@pytest.mark.parametrize(("hidden", "depth", "linear"), [(0, 3, 1), (8, 1, 2), (8, 3, 4)])
def test_blocks(hidden, depth, linear):
    layers = block(5, hidden, 7, depth)
    assert sum(isinstance(each, torch.nn.Linear) for each in layers) == linear
    assert layers(torch.randn(3, 5)).shape == (3, 7)


def test_wrong_arguments():
    with pytest.raises(UsageError, match="levels"):
        BEBR(8, Backbone("features:4", None), levels=0)
    with pytest.raises(UsageError, match="does not know neighbours"):
        BEBR(8, Backbone("features:4", None)).compute_losses(
            {"image_features": torch.ones(3, 4), "index": torch.arange(3)}
        )


# Vectors of one's own ------------------------------------------------------------------------------


@pytest.fixture
def files(tmp_path):
    import pyarrow as pa
    import pyarrow.parquet as pq

    vectors = np.random.default_rng(0).normal(size=(60, 5)).astype(np.float32)
    np.save(tmp_path / "v.npy", vectors)
    np.savez(tmp_path / "v.npz", vectors=vectors, other=np.ones((3, 3)))
    pq.write_table(pa.table({"name": [str(row) for row in range(60)], "v": vectors.tolist()}), tmp_path / "v.parquet")
    return tmp_path, vectors


@pytest.mark.parametrize("name", ["v.npy", "v.npz", "v.parquet"])
def test_vectors_are_read_from_any_of_three_files(files, name):
    folder, vectors = files
    np.save(folder / "labels.npy", np.arange(60) % 4)
    data = Vectors(str(folder / name), str(folder / "labels.npy"), queries=10)
    data.setup()
    assert len(data.splits["query"]) == 10
    assert len(data.splits["database"]) == 50
    assert not set(data.splits["query"].rows) & set(data.splits["database"].rows)
    assert np.array_equal(data.table.vectors["image"].numpy(), vectors)
    assert data.table.labels.tolist() == (np.arange(60) % 4).tolist()


def test_vectors_that_say_nothing_are_named(files):
    folder, vectors = files
    for value, message in ((np.nan, "hold NaN or infinity, the first in row 7"), (0, "are zero and have no direction")):
        broken = vectors.copy()
        broken[7] = value
        np.save(folder / "broken.npy", broken)
        with pytest.raises(DataError, match=message):
            Vectors(str(folder / "broken.npy"), queries=10).setup()


@pytest.mark.parametrize(
    ("name", "array", "options", "error", "message"),
    [
        ("flat.npy", np.ones(9), {}, UsageError, r"numbers \[N, D\]"),
        ("words.npy", np.array([["a", "b"]]), {}, UsageError, r"numbers \[N, D\]"),
        ("v.npy", None, {"queries": 60}, UsageError, "queries lies between 1 and 58"),
        ("v.npy", None, {"queries": 0}, UsageError, "at least 1"),
        ("v.npy", None, {"labels": "few.npy"}, UsageError, "whole numbers of shape"),
        ("none.npy", None, {}, DatasetNotFound, "no such file"),
        ("v.npy", None, {"labels": "none.npy"}, DatasetNotFound, "no such file"),
        ("bad.npy", None, {}, DataError, r"no \.npy array"),
        ("two.npz", None, {}, DataError, "call one of them vectors"),
        ("bad.parquet", None, {}, DataError, "no Parquet file"),
    ],
)
def test_files_that_do_not_fit(files, name, array, options, error, message):
    folder, vectors = files
    np.save(folder / "few.npy", np.arange(3))
    np.savez(folder / "two.npz", a=vectors, b=vectors)
    for each in ("bad.npy", "bad.parquet"):
        (folder / each).write_bytes(b"nothing")
    if array is not None:
        np.save(folder / name, array)
    given = {key: str(folder / value) if key == "labels" else value for key, value in options.items()}
    with pytest.raises(error, match=message):
        Vectors(str(folder / name), **{"queries": 10} | given).setup()
