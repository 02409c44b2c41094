import math

import pytest
import torch

from deephash.models import DTSH
from deephash.models import dtsh as module
from deephash.models.dtsh import dtsh_loss
from deephash.objectives.labels import share_label
from deephash.objectives.quantization import squared_quantization
from deephash.testing.methods import HashModelContract
from tests.image_methods_toy import CODES, FEATURES, LABELS, batch


def naive(similarity, similar, alpha):
    means = []
    for anchor in range(len(similar)):
        losses = [
            math.log(1 + math.exp(-(similarity[anchor, p] - similarity[anchor, n] - alpha)))
            for p in range(len(similar))
            for n in range(len(similar))
            if similar[anchor, p] and not similar[anchor, n]
        ]
        means += [sum(losses) / len(losses)] if losses else []
    return sum(means) / len(means)


def test_golden_value():
    codes = CODES.double()
    loss = dtsh_loss(codes @ codes.T, share_label(LABELS, LABELS), 5.0) + squared_quantization(codes)
    assert loss.item() == pytest.approx(3.334522, abs=1e-6)


@pytest.mark.parametrize("at_once", [1, 200, 1 << 22])
def test_loss_equals_the_loop_over_triplets_however_the_anchors_are_cut(monkeypatch, at_once):
    monkeypatch.setattr(module, "TRIPLETS_AT_ONCE", at_once)
    codes = torch.randn(7, 6, generator=torch.Generator().manual_seed(0), dtype=torch.float64, requires_grad=True)
    labels = torch.tensor([0, 0, 1, 1, 1, 2, 0])
    similar = share_label(labels, labels)
    loss = dtsh_loss(codes @ codes.T, similar, 5.0)
    loss.backward()
    assert loss.item() == pytest.approx(naive((codes @ codes.T).detach(), similar, 5.0), abs=1e-9)
    assert codes.grad.abs().sum() > 0


def test_large_codes_do_not_overflow():
    similarity = torch.tensor([[1e6, -1e6], [-1e6, 1e6]])
    assert dtsh_loss(similarity, torch.eye(2, dtype=torch.bool), 5.0).item() == 0
    assert dtsh_loss(-similarity, torch.eye(2, dtype=torch.bool), 5.0).item() == pytest.approx(2e6, rel=1e-5)


def test_a_batch_of_one_class_has_no_triplet_and_no_gradient():
    codes = CODES.clone().requires_grad_()
    loss = dtsh_loss(codes @ codes.T, torch.ones(3, 3, dtype=torch.bool), 5.0)
    loss.backward()
    assert loss.item() == 0
    assert not codes.grad.any()


def test_presets_differ_in_margin_and_inner_product():
    rows = batch()
    released, paper = DTSH(12, FEATURES), DTSH(12, FEATURES, preset="paper")
    paper.load_state_dict(released.state_dict())
    with torch.no_grad():
        codes = paper(rows)
    similar = share_label(rows["labels"], rows["labels"])
    assert paper.compute_losses(rows)["triplets"].item() == pytest.approx(
        dtsh_loss(codes @ codes.T / 2, similar, 6.0).item(), abs=1e-5
    )
    assert released.compute_losses(rows)["triplets"].item() == pytest.approx(
        dtsh_loss(codes @ codes.T, similar, 5.0).item(), abs=1e-5
    )


class TestDTSH(HashModelContract):
    def make_model(self, num_bits):
        return DTSH(num_bits, FEATURES)

    def make_inputs(self, num_items):
        return {"image_features": batch(num_items)["image_features"]}
