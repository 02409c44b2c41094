import math

import pytest
import torch

from deephash.models import DPSH
from deephash.models.dpsh import dpsh_loss
from deephash.objectives.labels import share_label
from deephash.objectives.quantization import squared_quantization
from deephash.testing.methods import HashModelContract
from tests.image_methods_toy import CODES, FEATURES, LABELS, batch


def test_golden_value():
    codes = CODES.double()
    loss = dpsh_loss(codes, codes, share_label(LABELS, LABELS)) + 0.1 * squared_quantization(codes)
    assert loss.item() == pytest.approx(0.696483, abs=1e-6)


def test_loss_equals_the_loop_over_pairs():
    total = 0.0
    for i in range(3):
        for j in range(3):
            theta = 0.5 * sum(a * b for a, b in zip(CODES[i].tolist(), CODES[j].tolist()))
            total += math.log(1 + math.exp(theta)) - (LABELS[i] == LABELS[j]).item() * theta
    loss = dpsh_loss(CODES.double(), CODES.double(), share_label(LABELS, LABELS)).item()
    assert loss == pytest.approx(total / 9, abs=1e-9)


def test_the_remembered_factor_gets_no_gradient():
    codes, memory = CODES.clone().requires_grad_(), CODES.clone().requires_grad_()
    dpsh_loss(codes, memory, share_label(LABELS, LABELS)).backward()
    assert codes.grad is not None
    assert memory.grad is None


def test_a_batch_meets_rows_of_earlier_batches():
    model, alone = DPSH(8, FEATURES), DPSH(8, FEATURES, memory=False)
    alone.load_state_dict(model.state_dict())
    rows = batch()
    first, second = ({key: value[part] for key, value in rows.items()} for part in (slice(8), slice(8, 16)))
    assert model.compute_losses(first)["pairs"].item() == pytest.approx(alone.compute_losses(first)["pairs"].item())
    with torch.no_grad():
        codes = model(rows)
    expected = dpsh_loss(codes[8:], codes, share_label(rows["labels"][8:], rows["labels"]))
    assert model.compute_losses(second)["pairs"].item() == pytest.approx(expected.item(), abs=1e-6)


def test_the_memory_travels_with_a_checkpoint_but_not_with_the_model():
    model, checkpoint = DPSH(8, FEATURES), {"state_dict": {}}
    model.compute_losses(batch())
    model.on_save_checkpoint(checkpoint)
    resumed = DPSH(8, FEATURES)
    resumed.on_load_checkpoint(checkpoint)
    assert torch.equal(resumed.memory.everything("codes"), model.memory.everything("codes"))
    assert not any("memory" in name for name in model.state_dict())


class TestDPSH(HashModelContract):
    def make_model(self, num_bits):
        return DPSH(num_bits, FEATURES)

    def make_inputs(self, num_items):
        return {"image_features": batch(num_items)["image_features"]}
