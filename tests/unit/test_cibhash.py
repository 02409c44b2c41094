import math

import pytest
import torch

from deephash.models import CIBHash
from deephash.models.cibhash import bernoulli_divergence
from deephash.objectives.contrastive import nt_xent
from deephash.objectives.signs import sign
from deephash.testing.methods import HashModelContract
from tests.image_methods_toy import FEATURES, batch


def test_divergence_equals_the_loop_and_stops_one_gradient():
    p = torch.tensor([[0.2, 0.9], [0.5, 0.4]], requires_grad=True)
    q = torch.tensor([[0.3, 0.6], [0.5, 0.5]], requires_grad=True)
    loss = bernoulli_divergence(p, q)
    loss.backward()
    expected = 0.0
    for a, b in zip(p.flatten().tolist(), q.flatten().tolist()):
        expected += a * math.log(a / b) + (1 - a) * math.log((1 - a) / (1 - b))
    assert loss.item() == pytest.approx(expected / 2, abs=1e-6)
    assert q.grad is None
    assert bernoulli_divergence(p, p).item() == pytest.approx(0, abs=1e-7)


def test_certain_bits_stay_finite():
    assert torch.isfinite(bernoulli_divergence(torch.tensor([[0.0, 1.0]]), torch.tensor([[1.0, 0.0]])))


def test_the_views_of_the_batch_are_used_where_it_holds_two():
    rows = batch(8)
    rows["image_view_features"] = rows["image_features"] + 0.1
    model = CIBHash(8, FEATURES, hidden=16)
    first = sign(model({"image_features": rows["image_features"]}))
    second = sign(model({"image_features": rows["image_view_features"]}))
    losses = model.compute_losses(rows)
    assert losses["contrast"].item() == pytest.approx(nt_xent(first, second, 0.3).item(), abs=1e-5)
    assert losses["divergence"].item() > 0


def test_cached_features_get_two_noisy_views_unless_dropout_is_off():
    rows = batch(8)
    noisy, plain = CIBHash(8, FEATURES, hidden=16), CIBHash(8, FEATURES, hidden=16, feature_dropout=0.0)
    assert not torch.equal(*noisy.views(rows).chunk(2))
    assert torch.equal(*plain.views(rows).chunk(2))


def test_codes_are_signs_of_the_logits():
    model, rows = CIBHash(8, FEATURES, hidden=16), batch(8)
    assert torch.equal(model.bits(rows), torch.sigmoid(model(rows)) >= 0.5)


class TestCIBHash(HashModelContract):
    def make_model(self, num_bits):
        return CIBHash(num_bits, FEATURES, hidden=16)

    def make_inputs(self, num_items):
        return {"image_features": batch(num_items)["image_features"]}
