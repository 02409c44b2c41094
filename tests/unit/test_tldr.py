import pytest
import torch

from deephash.errors import UsageError
from deephash.models import TLDR
from deephash.models.tldr import barlow_loss, nearest_neighbours
from deephash.objectives.nested import Nested
from deephash.testing.methods import HashModelContract
from tests.image_methods_toy import FEATURES, batch

SMALL = {"projector_width": 32, "num_neighbours": 3}


def test_loss_is_zero_where_the_correlations_are_the_identity():
    rows = torch.tensor([[1.0, 1.0], [1.0, -1.0], [-1.0, 1.0], [-1.0, -1.0]])
    assert barlow_loss(rows, rows).item() == pytest.approx(0, abs=1e-8)


def test_loss_equals_the_loop_over_correlations():
    generator = torch.Generator().manual_seed(0)
    first, second = torch.randn(9, 4, generator=generator), torch.randn(9, 4, generator=generator)
    total = 0.0
    for i in range(4):
        for j in range(4):
            a, b = first[:, i] - first[:, i].mean(), second[:, j] - second[:, j].mean()
            correlation = (a * b).mean() / (a.square().mean() * b.square().mean()).sqrt()
            total += (correlation - 1) ** 2 if i == j else 0.1 * correlation**2
    assert barlow_loss(first, second, 0.1).item() == pytest.approx(total.item() / 32, abs=1e-5)


def test_a_row_is_never_its_own_neighbour_even_among_copies_and_short_vectors():
    rows = torch.cat([torch.ones(3, 2), torch.tensor([[100.0, 100.0]]), 0.01 * torch.ones(1, 2)])
    for similarity in ("inner_product", "cosine"):
        neighbours = nearest_neighbours(rows, 2, similarity=similarity)
        assert not (neighbours == torch.arange(5)[:, None]).any()
    assert (nearest_neighbours(rows, 1, similarity="inner_product")[[0, 1, 2, 4]] == 3).all()
    with pytest.raises(UsageError, match="5 neighbours need more than 5"):
        nearest_neighbours(rows, 5, similarity="cosine")


def test_neighbours_equal_brute_force_beyond_one_block():
    rows = torch.randn(1100, 4, generator=torch.Generator().manual_seed(0))
    scores = (rows @ rows.T).fill_diagonal_(float("-inf"))
    assert torch.equal(nearest_neighbours(rows, 1, similarity="inner_product")[:, 0], scores.argmax(dim=1))


def train(model, rows, steps=40):
    model.prepare(rows["image_features"])
    optimizer = torch.optim.Adam(model.parameters(), 1e-2)
    losses = []
    for _ in range(steps):
        optimizer.zero_grad()
        loss = model.compute_losses(rows)["twins"]
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses


@pytest.mark.parametrize("binarize", ["straight_through", "itq"])
def test_training_lowers_the_loss_and_decorrelates_the_outputs(binarize):
    torch.manual_seed(0)
    model, rows = TLDR(8, FEATURES, binarize=binarize, **SMALL), batch(64, 8)
    losses = train(model, rows)
    assert sum(losses[-5:]) < 0.7 * sum(losses[:5])


def test_itq_turns_the_projections_without_changing_their_distances():
    torch.manual_seed(0)
    model, rows = TLDR(8, FEATURES, binarize="itq", **SMALL), batch(64, 8)
    model.prepare(rows["image_features"])
    before = model.eval()(rows)
    model.fit_rotation()
    after = model(rows)
    assert torch.allclose(model.rotation @ model.rotation.T, torch.eye(8), atol=1e-4)
    assert torch.allclose(torch.cdist(before, before), torch.cdist(after, after), atol=1e-2)
    loss = lambda v: (v - torch.where(v >= 0, 1.0, -1.0)).square().mean()  # noqa: E731
    assert loss(after) < loss(before - before.mean(0))
    model.on_train_epoch_end()  # refits
    assert torch.allclose(model(rows), after, atol=1e-3)


def test_without_neighbours_the_way_out_is_named():
    model = TLDR(8, FEATURES, binarize="itq", **SMALL)
    with pytest.raises(UsageError, match=r"call prepare\(features\)"):
        model.compute_losses(batch())
    with pytest.raises(UsageError, match=r"call prepare\(training features\)"):
        model.fit_rotation()


def test_a_rotation_cannot_be_nested():
    with pytest.raises(UsageError, match="rotation mixes all bits"):
        TLDR(16, FEATURES, binarize="itq", nested=Nested((8, 16)))


class TestTLDR(HashModelContract):
    def make_model(self, num_bits):
        return TLDR(num_bits, FEATURES, projector_width=32)

    def make_inputs(self, num_items):
        return {"image_features": batch(num_items)["image_features"]}
