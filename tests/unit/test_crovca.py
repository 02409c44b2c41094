"""CroVCA and Hashing-Baseline: losses against loops, rotations, and the contract of every method."""

import math

import numpy as np
import pytest
import torch
from torch.nn.functional import normalize

from deephash.backbones import Backbone
from deephash.errors import UsageError
from deephash.models import CrossModalCroVCA, CroVCA, HashingBaseline, PCASign
from deephash.models.hashing_baseline import random_rotation
from deephash.objectives.code_alignment import bit_alignment, coding_rate
from deephash.testing.methods import HashModelContract


def rows(count, width, seed=0):
    return torch.randn(count, width, generator=torch.Generator().manual_seed(seed))


class TestCroVCA(HashModelContract):
    def make_model(self, num_bits):
        return CroVCA(num_bits, Backbone("features:9", None), hidden=16).eval()

    def make_inputs(self, num_items):
        return {"image_features": rows(num_items, 9, 3)}


class TestCrossModalCroVCA(HashModelContract):
    def make_model(self, num_bits):
        return CrossModalCroVCA(num_bits, Backbone("features:9", None), Backbone("features:5", None)).eval()

    def make_inputs(self, num_items):
        return {"text_features": rows(num_items, 5, 3)}


class TestHashingBaseline(HashModelContract):
    lengths = (1, 12, 16)

    def make_model(self, num_bits):
        return HashingBaseline(num_bits, Backbone("features:16", None)).fit(rows(60, 16, 1))

    def make_inputs(self, num_items):
        return {"image_features": rows(num_items, 16, 3)}


def alignment_by_hand(first, second):
    total = 0.0
    for logits, other in ((first, second), (second, first)):
        for row in range(len(logits)):
            for bit in range(logits.shape[1]):
                p = 1 / (1 + math.exp(-float(logits[row, bit])))
                total -= math.log(p if float(other[row, bit]) >= 0 else 1 - p) / logits.numel()
    return total / 2


def test_alignment_is_the_cross_entropy_of_each_bit_against_the_other_view():
    first, second = rows(5, 7, 1), rows(5, 7, 2)
    assert float(bit_alignment(first, second)) == pytest.approx(alignment_by_hand(first, second), rel=1e-5)
    assert float(bit_alignment(20 * first, 20 * first)) < float(bit_alignment(20 * first, -20 * first))
    with pytest.raises(UsageError, match="one shape"):
        bit_alignment(first, second[:4])


def test_the_bits_of_the_other_view_are_targets_and_get_no_gradient():
    first, second = rows(4, 3, 1).requires_grad_(), rows(4, 3, 2).requires_grad_()
    bit_alignment(first, second).backward()
    for view, other in ((first, second), (second, first)):
        expected = (torch.sigmoid(view.detach()) - (other.detach() >= 0).float()) / (2 * view.numel())
        torch.testing.assert_close(view.grad, expected)


def test_the_coding_rate_is_half_the_log_determinant():
    logits = rows(30, 6, 1)
    unit = normalize(logits, dim=1).double().numpy()
    expected = 0.5 * np.linalg.slogdet(np.eye(6) + 6 / (30 * 0.25) * unit.T @ unit)[1]
    assert float(coding_rate(logits, 0.25)) == pytest.approx(expected, rel=1e-5)
    collapsed = logits[:1].repeat(30, 1)
    assert float(coding_rate(collapsed)) < float(coding_rate(logits))
    with pytest.raises(UsageError, match="above 0"):
        coding_rate(logits, 0)


def test_training_spreads_codes_and_views_agree():
    torch.manual_seed(0)
    table = torch.cat([rows(60, 12, seed) * 0.2 + 2 * rows(1, 12, 50 + seed) for seed in range(4)])
    model = CroVCA(16, Backbone("features:12", None), hidden=32)
    optimizer = torch.optim.Adam(model.parameters(), 3e-3)
    for _ in range(60):
        index = torch.randint(240, (64,))
        losses = model.compute_losses({"image_features": table[index], "index": index})
        optimizer.zero_grad()
        sum(losses.values()).backward()
        optimizer.step()
    assert set(losses) == {"alignment", "rate"}
    bits = torch.from_numpy(model.encode({"image_features": table}).bits())
    assert len(torch.unique(bits, dim=0)) > 4
    own = bits.reshape(4, 60, 16).float().mean(dim=1)
    assert ((own - 0.5).abs() > 0.3).float().mean() > 0.6  # most bits say the same of a whole class
    assert len(torch.unique(own.round(), dim=0)) == 4


def test_a_weight_that_would_draw_codes_together_is_refused():
    for make in (
        lambda: CroVCA(8, Backbone("features:4", None), rate_weight=-1),
        lambda: CrossModalCroVCA(8, Backbone("features:4", None), Backbone("features:4", None), rate_weight=-0.1),
    ):
        with pytest.raises(UsageError, match="codes would collapse"):
            make()


@pytest.mark.parametrize("size", [1, 2, 33])
def test_rotations_are_orthogonal_and_follow_their_seed(size):
    rotation = random_rotation(size, 3)
    torch.testing.assert_close(rotation @ rotation.T, torch.eye(size, dtype=torch.float64))
    assert torch.equal(rotation, random_rotation(size, 3))
    if size > 1:
        assert not torch.equal(rotation, random_rotation(size, 4))


def test_the_rotation_turns_the_principal_axes_and_spreads_their_variance():
    table = rows(400, 16, 1) * torch.linspace(4, 0.1, 16)
    turned = HashingBaseline(16, Backbone("features:16", None), seed=5).fit(table)
    plain = PCASign(16, Backbone("features:16", None)).fit(table)
    expected = plain.projection.double() @ random_rotation(16, 5)
    torch.testing.assert_close(turned.projection.double(), expected, rtol=1e-4, atol=1e-5)
    spread = [model({"image_features": table}).var(dim=0) for model in (turned, plain)]
    assert spread[0].max() / spread[0].min() < 0.2 * spread[1].max() / spread[1].min()
