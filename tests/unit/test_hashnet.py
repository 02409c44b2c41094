import math

import pytest
import torch

from deephash.errors import UsageError
from deephash.models import HashNet
from deephash.models.hashnet import PRESETS, continuation, hashnet_loss
from deephash.objectives.labels import share_label
from deephash.testing.methods import HashModelContract
from tests.image_methods_toy import CODES, FEATURES, LABELS, batch


def naive(codes, labels, alpha, weighted):
    pairs = [(i, j, labels[i] == labels[j]) for i in range(len(codes)) for j in range(len(codes))]
    similar = sum(bool(s) for _, _, s in pairs)
    total = 0.0
    for i, j, s in pairs:
        inner = alpha * sum(math.tanh(a) * math.tanh(b) for a, b in zip(codes[i].tolist(), codes[j].tolist()))
        weight = (len(pairs) / similar if s else len(pairs) / (len(pairs) - similar)) if weighted else 1.0
        total += weight * (math.log(1 + math.exp(inner)) - bool(s) * inner)
    return total / len(pairs)


@pytest.mark.parametrize("weighted", [True, False])
def test_loss_equals_the_loop_over_pairs(weighted):
    h = torch.tanh(CODES.double())
    loss = hashnet_loss(h, h, share_label(LABELS, LABELS), alpha=0.7, weighted=weighted).item()
    assert loss == pytest.approx(naive(CODES, LABELS, 0.7, weighted), abs=1e-6)


def test_golden_value():
    h = torch.tanh(CODES.double())
    loss = hashnet_loss(h, h, share_label(LABELS, LABELS), alpha=1.0)
    assert loss.item() == pytest.approx(1.216249, abs=1e-6)


def test_a_batch_without_similar_pairs_is_finite():
    h = torch.tanh(CODES)
    similar = torch.zeros(3, 3, dtype=torch.bool)
    assert torch.isfinite(hashnet_loss(h, h, similar, alpha=1.0))
    assert torch.isfinite(hashnet_loss(h, h, ~similar, alpha=1.0))


def test_beta_grows_in_steps():
    assert continuation("iterations", 199, 0) == 1
    assert continuation("iterations", 10_000, 0) == pytest.approx(51**0.5)
    assert [continuation("epochs", 0, epoch) for epoch in (19, 20)] == [1, 2**0.5]
    assert continuation("none", 10_000, 100) == 1


def test_presets_keep_paper_and_release_apart():
    assert PRESETS["paper"].weighted
    assert not PRESETS["release"].weighted
    assert HashNet(8, FEATURES, preset="orthohash").constants.alpha == 1
    overridden = HashNet(8, FEATURES, alpha=0.3).constants
    assert (overridden.alpha, overridden.alpha_per_bit) == (0.3, False)
    with pytest.raises(UsageError, match="did you mean 'release'"):
        HashNet(8, FEATURES, preset="relase")


def test_the_released_rate_is_halved_every_2000_steps_not_epochs():
    schedule = HashNet(8, FEATURES).configure_optimizers()["lr_scheduler"]
    assert schedule["interval"] == "step"
    rates = []
    for _ in range(4001):
        schedule["scheduler"].optimizer.step()
        schedule["scheduler"].step()
        rates.append(schedule["scheduler"].get_last_lr()[0])
    assert [rates[step] for step in (1998, 1999, 3999)] == pytest.approx([3e-3, 1.5e-3, 0.75e-3])
    assert HashNet(8, FEATURES, preset="orthohash").configure_optimizers()["lr_scheduler"]["interval"] == "epoch"


def test_alpha_of_the_paper_is_ten_over_the_length():
    model = HashNet(8, FEATURES)
    rows = batch()
    with torch.no_grad():
        h = torch.tanh(model(rows))
    similar = share_label(rows["labels"][:8], rows["labels"][8:])
    expected = hashnet_loss(h[:8], h[8:], similar, alpha=10 / 8)
    assert model.compute_losses(rows)["pairs"].item() == pytest.approx(expected.item(), abs=1e-6)


class TestHashNet(HashModelContract):
    def make_model(self, num_bits):
        return HashNet(num_bits, FEATURES)

    def make_inputs(self, num_items):
        return {"image_features": batch(num_items)["image_features"]}
