import math

import pytest
import torch

from deephash.models import GreedyHash, GreedyHashUnsupervised
from deephash.models.greedyhash import bit_classification_loss
from deephash.objectives.pairs import structure_loss
from deephash.objectives.signs import sign
from deephash.testing.methods import HashModelContract
from tests.image_methods_toy import CODES, FEATURES, TARGETS, batch


def test_classification_loss_closed_form():
    bits, weight = sign(CODES), TARGETS
    loss = bit_classification_loss(bits, weight, torch.eye(2)[[0, 0, 1]]).item()
    logits = [[sum(a * b for a, b in zip(row, w)) for w in weight.tolist()] for row in bits.tolist()]
    terms = [math.log(sum(map(math.exp, row))) - row[label] for row, label in zip(logits, [0, 0, 1])]
    assert loss == pytest.approx(sum(terms) / 3, abs=1e-6)


def test_the_classifier_sees_bits_and_learns():
    model = GreedyHash(8, 4, FEATURES)
    losses = model.compute_losses(batch())
    sum(losses.values()).backward()
    assert model.classifier.weight.grad.abs().sum() > 0
    assert model.head.weight.grad.abs().sum() > 0
    assert model.classifier in set(model.modules())  # the optimiser must include W


def test_several_labels_share_or_keep_the_first():
    rows = batch(4, 4)
    rows["labels"] = torch.tensor([[0.0, 1.0, 1.0, 0.0]]).expand(4, -1)
    share, first = GreedyHash(8, 4, FEATURES), GreedyHash(8, 4, FEATURES, multi_label="first")
    first.load_state_dict(share.state_dict())
    with torch.no_grad():
        bits = sign(share(rows))
    wanted = torch.tensor([[0.0, 0.5, 0.5, 0.0]]).expand(4, -1)
    weight = share.classifier.weight
    assert share.compute_losses(rows)["classes"].item() == pytest.approx(
        bit_classification_loss(bits, weight, wanted).item(), abs=1e-6
    )
    assert first.compute_losses(rows)["classes"].item() == pytest.approx(
        bit_classification_loss(bits, weight, torch.eye(4)[[1] * 4]).item(), abs=1e-6
    )


def test_unsupervised_form_needs_no_labels_and_takes_an_odd_batch():
    rows = {key: value[:7] for key, value in batch().items() if key != "labels"}
    model = GreedyHashUnsupervised(8, FEATURES)
    with torch.no_grad():
        expected = structure_loss(sign(model(rows))[:6], rows["image_features"][:6])
    assert model.compute_losses(rows)["structure"].item() == pytest.approx(expected.item(), abs=1e-6)


class TestGreedyHash(HashModelContract):
    def make_model(self, num_bits):
        return GreedyHash(num_bits, 4, FEATURES)

    def make_inputs(self, num_items):
        return {"image_features": batch(num_items)["image_features"]}


class TestGreedyHashUnsupervised(HashModelContract):
    def make_model(self, num_bits):
        return GreedyHashUnsupervised(num_bits, FEATURES)

    def make_inputs(self, num_items):
        return {"image_features": batch(num_items)["image_features"]}
