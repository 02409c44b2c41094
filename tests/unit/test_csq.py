import math

import pytest
import torch

from deephash.errors import UsageError
from deephash.models import CSQ
from deephash.models.csq import central_similarity_loss, merged_centres
from deephash.objectives.quantization import squared_quantization
from deephash.testing.methods import HashModelContract
from tests.image_methods_toy import CODES, FEATURES, LABELS, TARGETS, batch


def test_golden_value():
    codes = CODES.double()
    loss = central_similarity_loss(codes, TARGETS[LABELS].double()) + 1e-3 * squared_quantization(torch.tanh(codes))
    assert loss.item() == pytest.approx(1.209266, abs=1e-6)


def test_loss_equals_binary_cross_entropy_of_tanh_and_stays_finite():
    h, c = (torch.tanh(CODES.double()) + 1) / 2, (TARGETS[LABELS].double() + 1) / 2
    expected = torch.nn.functional.binary_cross_entropy(h, c)
    assert central_similarity_loss(CODES.double(), TARGETS[LABELS].double()).item() == pytest.approx(expected.item())
    assert central_similarity_loss(torch.full((1, 1), 1e4), -torch.ones(1, 1)).item() == 2e4


def test_several_labels_take_the_majority_and_a_fixed_code_breaks_ties():
    labels = torch.tensor([[1.0, 1.0], [1.0, 0.0]])
    tie_break = torch.tensor([1.0, -1.0, -1.0, 1.0])
    merged = merged_centres(labels, TARGETS, tie_break)
    assert merged.tolist() == [[1, 1, -1, 1], TARGETS[0].tolist()]


@pytest.mark.parametrize("seed", range(5))
def test_the_loss_of_several_labels_is_that_of_the_authors_rule_given_its_tie_code(seed):
    generator = torch.Generator().manual_seed(seed)
    codes = torch.randn(12, 16, generator=generator, dtype=torch.float64)
    centres = torch.randint(0, 2, (6, 16), generator=generator).double() * 2 - 1
    labels = (torch.rand(12, 6, generator=generator) < 0.5).double()
    labels[:, 0] = 1
    tie_break = torch.randint(0, 2, (16,), generator=generator).double() * 2 - 1
    total = 0.0
    for code, row in zip(codes.tolist(), labels.tolist()):
        for bit, output in enumerate(code):
            votes = sum(centres[c][bit].item() for c, present in enumerate(row) if present)
            wanted = (1 if votes > 0 else -1) if votes else tie_break[bit].item()
            probability = (math.tanh(output) + 1) / 2
            total -= math.log(probability if wanted > 0 else 1 - probability)
    loss = central_similarity_loss(codes, merged_centres(labels, centres, tie_break))
    assert loss.item() == pytest.approx(total / codes.numel(), rel=1e-6)


def test_hadamard_centres_need_a_power_of_two_other_centres_do_not():
    with pytest.raises(UsageError, match=r"power of two.*48.*bernoulli"):
        CSQ(48, 10, FEATURES)
    assert CSQ(48, 10, FEATURES, centres="bernoulli").centres.shape == (10, 48)


def test_too_few_bits_for_the_classes_are_refused():
    with pytest.raises(UsageError, match="at least 7"):
        CSQ(4, 100, FEATURES)


def test_presets_differ_in_head_and_lambda():
    released, plain = CSQ(16, 4, FEATURES, preset="release"), CSQ(16, 4, FEATURES)
    layers = [type(layer).__name__ for layer in released.head]
    assert layers == ["Linear", "ReLU", "Dropout", "Linear", "ReLU", "Linear"]
    assert [type(layer).__name__ for layer in plain.head] == ["Linear"]
    assert (released.constants.quantization_weight, plain.constants.quantization_weight) == (0.05, 1e-3)
    assert CSQ(16, 4, FEATURES, quantization_weight=0.0).constants.quantization_weight == 0
    assert released.optimizer.milestones == (10, 20, 30, 40, 50, 60, 70, 80)
    assert released.optimizer.gamma == 0.7


def test_centres_are_saved_with_the_weights_and_a_seed_repeats_them():
    one, two = (CSQ(16, 4, FEATURES, centres="bernoulli", centre_seed=seed) for seed in (0, 1))
    assert "centres" in one.state_dict()
    assert torch.equal(one.centres, CSQ(16, 4, FEATURES, centres="bernoulli").centres)
    assert not torch.equal(one.centres, two.centres)


def test_the_loss_of_a_code_on_its_centre_is_small():
    model, rows = CSQ(16, 4, FEATURES), batch()
    losses = model.code_losses(20 * model.centres[rows["labels"]], rows["image_features"], rows)
    assert losses["centres"].item() < 1e-6
    assert model.code_losses(torch.zeros(16, 16), rows["image_features"], rows)["centres"].item() == pytest.approx(
        math.log(2)
    )


class TestCSQ(HashModelContract):
    def make_model(self, num_bits):
        return CSQ(num_bits, 2, FEATURES, centres="bernoulli")

    def make_inputs(self, num_items):
        return {"image_features": batch(num_items)["image_features"]}
