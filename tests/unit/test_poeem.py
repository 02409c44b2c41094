"""Poeem against its specification (two_stage_search.md, 2 and 5): formulas by loops, rotation, warm start."""

import numpy as np
import pytest
import torch
from torch.nn.functional import normalize

from deephash.backbones import Backbone
from deephash.errors import UsageError
from deephash.index.product_codes import ProductQuantizer
from deephash.models import Poeem
from deephash.objectives.product import (
    asymmetric_contrast,
    dealt_axes,
    decoded,
    fitted_codebooks,
    fitted_rotation_and_codebooks,
    nearest_centroids,
    nearest_rotation,
    quantised_straight_through,
    require_parts,
    turned_for_signs,
)
from deephash.testing.methods import HashModelContract


class TestPoeem(HashModelContract):
    def make_model(self, num_bits):
        return Poeem(num_bits, Backbone("features:9", None), parts=1 if num_bits == 1 else 4, centroids=5).eval()

    def make_inputs(self, num_items):
        return {"image_features": torch.randn(num_items, 9, generator=torch.Generator().manual_seed(3))}


# Formulas ------------------------------------------------------------------------------------------


def drawn(seed=0, rows=7, width=6, parts=3, count=4):
    torch.manual_seed(seed)
    rotation = nearest_rotation(torch.randn(width, width))
    return torch.randn(rows, width), rotation, torch.randn(parts, count, width // parts)


def quantised_by_hand(rows, rotation, centroids):
    """A row and a part at a time."""
    wide, codes, values = centroids.shape[2], [], []
    for row in rows:
        numbers = []
        for piece, table in zip((row @ rotation).split(wide), centroids):
            away = [float((piece - one).norm()) for one in table]
            numbers.append(away.index(min(away)))
        codes.append(numbers)
        values.append(torch.cat([centroids[part][number] for part, number in enumerate(numbers)]) @ rotation.T)
    return torch.tensor(codes), torch.stack(values)


def test_the_value_is_that_of_the_selected_centroids():
    rows, rotation, centroids = drawn()
    codes, values = quantised_by_hand(rows, rotation, centroids)
    assert torch.equal(nearest_centroids(rows @ rotation, centroids), codes)
    found, distortion = quantised_straight_through(rows, rotation, centroids)
    torch.testing.assert_close(found, values)
    torch.testing.assert_close(distortion, (values - rows).square().sum(1).mean())


def test_the_gradient_is_that_of_the_identity_and_the_regulariser_moves_codebooks_and_rotation_alone():
    rows, rotation, centroids = (each.requires_grad_() for each in drawn())
    weights = torch.randn(7, 6)
    value, distortion = quantised_straight_through(rows, rotation, centroids)
    (value * weights).sum().backward(retain_graph=True)
    torch.testing.assert_close(rows.grad, weights)
    assert rotation.grad is None
    assert centroids.grad is None
    rows.grad = None
    distortion.backward()
    assert rows.grad is None
    assert rotation.grad.abs().sum() > 0
    used = torch.zeros(3, 4, dtype=torch.bool)
    used[torch.arange(3), nearest_centroids(rows @ rotation, centroids)] = True
    assert torch.equal(centroids.grad.abs().sum(2) > 0, used)


def test_the_contrast_is_that_of_a_loop():
    torch.manual_seed(1)
    queries, items, ids = torch.randn(5, 4), torch.randn(5, 4), [0, 0, 1, 2, 3]  # rows 0 and 1 belong together
    total = 0.0
    for row in range(5):
        kept = [row, *(other for other in range(5) if ids[other] != ids[row])]
        total -= float((7 * items[kept] @ queries[row]).log_softmax(0)[0]) / 5
    same = torch.tensor(ids)[:, None] == torch.tensor(ids)[None]
    assert float(asymmetric_contrast(queries, items, same, scale=7)) == pytest.approx(total, rel=1e-5)
    with pytest.raises(UsageError, match="at least 2"):
        asymmetric_contrast(queries[:1], items[:1])


def test_procrustes_finds_the_rotation_back():
    torch.manual_seed(0)
    rows, rotation = torch.randn(50, 6), nearest_rotation(torch.randn(6, 6))
    torch.testing.assert_close(rotation @ rotation.T, torch.eye(6), atol=1e-5, rtol=0)
    torch.testing.assert_close(nearest_rotation(rows.T @ (rows @ rotation)), rotation, atol=1e-4, rtol=0)


def test_k_means_and_the_rotation_lower_the_distortion():
    torch.manual_seed(0)
    rows = torch.randn(400, 8) * torch.tensor([4.0, 2, 1, 1, 0.3, 0.2, 0.1, 0.1])

    def distortion(turned, centroids):
        return float((decoded(nearest_centroids(turned, centroids), centroids) - turned).square().sum(1).mean())

    short, long = (distortion(rows, fitted_codebooks(rows, 4, 8, rounds=rounds)) for rounds in (0, 20))
    rotation, centroids = fitted_rotation_and_codebooks(rows, 4, 8)
    assert distortion(rows @ rotation, centroids) < 0.8 * long < 0.8 * short
    same = torch.tensor([[1.0, 2.0]]).repeat(9, 1)  # empty clusters do no harm
    torch.testing.assert_close(fitted_codebooks(same, 1, 3), torch.tensor([[[1.0, 2.0]] * 3]))


@pytest.mark.parametrize(
    ("rows", "parts", "count", "message"),
    [
        (torch.ones(5, 6), 4, 2, r"6 dimensions cannot be cut into 4 equal parts; take parts=3"),
        (torch.ones(5, 6), 3, 6, "6 centroids a part need at least 6 rows, not 5"),
        (torch.full((5, 6), torch.nan), 3, 2, "embeddings hold NaN"),
    ],
)
def test_tables_that_cannot_be_quantised(rows, parts, count, message):
    with pytest.raises(UsageError, match=message):
        fitted_rotation_and_codebooks(rows, parts, count)


def test_axes_are_dealt_there_and_back_and_turning_a_part_changes_no_product_code():
    torch.manual_seed(0)
    rows = torch.randn(500, 6) * torch.tensor([6.0, 5, 4, 3, 2, 1])
    spread = (rows @ dealt_axes(rows, 3)).std(dim=0)
    assert spread.argsort(descending=True).argsort().tolist() == [0, 5, 1, 4, 2, 3]
    rotation, centroids = fitted_rotation_and_codebooks(rows, 3, 8, alternations=2)
    turned, moved = turned_for_signs(rows, rotation, centroids)
    torch.testing.assert_close(turned @ turned.T, torch.eye(6), atol=1e-5, rtol=0)
    assert torch.equal(nearest_centroids(rows @ turned, moved), nearest_centroids(rows @ rotation, centroids))

    def lost(rotation):
        return float((torch.where(rows @ rotation >= 0, 1.0, -1.0) - rows @ rotation).square().mean())

    assert lost(turned) < lost(rotation)


def test_parts_divide():
    assert require_parts(64, 16) == 4
    with pytest.raises(UsageError, match="parts=1"):
        require_parts(7, 0)


# The model -----------------------------------------------------------------------------------------


def clustered(rows=1200, width=16):
    draw = np.random.default_rng(0)
    centres = draw.normal(size=(40, width))
    table = centres[np.arange(rows) % 40] + 0.5 * draw.normal(size=(rows, width))
    return torch.from_numpy(table.astype(np.float32))


def trained(table, steps, **options):
    torch.manual_seed(0)
    model = Poeem(16, Backbone(f"features:{table.shape[1]}", None), parts=4, centroids=16, **options)
    model.prepare(table)
    optimizer = torch.optim.Adam([each for each in model.parameters() if each.requires_grad], 1e-3)
    losses = []
    for _ in range(steps):
        index = torch.randint(len(table), (256,))
        terms = model.compute_losses({"image_features": table[index], "index": index})
        loss = terms["contrast"] + terms["distortion"]
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        model.restore_rotation()
        losses.append({name: float(term.detach()) for name, term in terms.items()})
    return model.eval(), losses


def test_training_lowers_the_loss_and_keeps_the_rotation_a_rotation():
    table = clustered()
    model, losses = trained(table, 60)
    first, last = (np.mean([each["contrast"] for each in some]) for some in (losses[:10], losses[-10:]))
    assert last < first - 0.01  # the start is good
    torch.testing.assert_close(model.rotation @ model.rotation.T, torch.eye(16), atol=1e-4, rtol=0)
    turned = model.vectors({"image_features": table})
    torch.testing.assert_close(turned.norm(dim=1), torch.ones(1200))
    torch.testing.assert_close(turned, model({"image_features": table}))
    quantizer = ProductQuantizer(model.product_centroids.detach().numpy())
    codes = nearest_centroids(turned, model.product_centroids)
    assert np.array_equal(quantizer.encode(turned.detach().numpy()).packed, codes.numpy())


def test_it_begins_at_principal_axes_and_after_the_warm_up_codebooks_are_fitted_anew(monkeypatch):
    table = clustered()
    fitted = []
    own = Poeem.fit_codebooks
    monkeypatch.setattr(Poeem, "fit_codebooks", lambda model: fitted.append(int(model.steps)) or own(model))
    model, _ = trained(table, 6, warm_up=4)
    assert fitted == [0, 4]
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    model.prepare(table)  # as when a run is resumed: nothing begins again
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
    rows = normalize(table, dim=1)
    model, _ = trained(table, 0)
    centred = rows - rows.mean(dim=0)
    covariance = (centred @ model.head.weight.T).T @ (centred @ model.head.weight.T)
    off = covariance - covariance.diagonal().diag()
    assert off.abs().max() < 1e-3 * covariance.max()
    assert (covariance.diagonal().diff() <= 1e-3).all()
    kept, _ = trained(table, 5, learn_rotation=False)
    assert torch.equal(kept.rotation, model.rotation)


def test_codes_longer_than_the_features_are_filled_up():
    model = Poeem(32, Backbone("features:9", None), parts=4, centroids=5)
    model.prepare(torch.randn(60, 9))
    assert model.vectors({"image_features": torch.randn(3, 9)}).isfinite().all()


@pytest.mark.parametrize(("bits", "parts"), [(64, 8), (4, 1), (36, 4), (52, 4), (13, 1)])
def test_parts_are_as_many_as_bytes_where_they_divide(bits, parts):
    assert Poeem(bits, Backbone("features:4", None), centroids=2).parts == parts


def test_wrong_arguments():
    small = Backbone("features:4", None)
    with pytest.raises(UsageError, match="8 dimensions cannot be cut into 3 equal parts"):
        Poeem(8, small, parts=3)
    with pytest.raises(UsageError, match="centroids, of each part, is 2 to 256, not 257"):
        Poeem(8, small, centroids=257)
    model = Poeem(8, small, parts=2, centroids=8)
    with pytest.raises(UsageError, match="does not know neighbours"):
        model.compute_losses({"image_features": torch.ones(3, 4), "index": torch.arange(3)})
    with pytest.raises(UsageError, match="8 centroids a part need at least 8 rows, not 7"):
        model.prepare(torch.randn(7, 4))
    with pytest.raises(UsageError, match="features hold NaN"):
        model.prepare(torch.full((9, 4), torch.nan))
    model.prepare(torch.randn(9, 4))
    with pytest.raises(UsageError, match="at least 2 rows"):
        model.compute_losses({"image_features": torch.ones(1, 4), "index": torch.arange(1)})
