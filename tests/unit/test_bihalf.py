import pytest
import torch

from deephash.models import BiHalf
from deephash.objectives.pairs import structure_loss
from deephash.testing.methods import HashModelContract
from tests.image_methods_toy import FEATURES, batch


def test_training_codes_are_half_and_half_and_test_codes_are_not():
    model, rows = BiHalf(8, FEATURES), batch(8)
    with torch.no_grad():
        model.head.bias.fill_(100.0)
        values = model(rows)
    order = values.argsort(dim=0, descending=True)
    codes = torch.full_like(values, -1).scatter_(0, order[:4], 1.0)
    expected = structure_loss(codes, rows["image_features"])
    assert model.compute_losses(rows)["structure"].item() == pytest.approx(expected.item(), abs=1e-6)
    assert model.bits(rows).all()


def test_labels_are_not_needed():
    rows = {key: value for key, value in batch().items() if key != "labels"}
    loss = BiHalf(8, FEATURES).compute_losses(rows)["structure"]
    assert 0 < loss.item() < 4


class TestBiHalf(HashModelContract):
    def make_model(self, num_bits):
        return BiHalf(num_bits, FEATURES)

    def make_inputs(self, num_items):
        return {"image_features": batch(num_items)["image_features"]}
