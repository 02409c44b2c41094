"""PrototypeNet: losses against plain loops, and what it learns on toys whose answer is known."""

from __future__ import annotations

import math

import pytest
import torch

from deephash.attacks.prototype import (
    PrototypeNet,
    Teaching,
    circle_loss,
    labelled_table,
    learn_prototypes,
    pair_loss,
    prototype_loss,
    quantization_loss,
)
from deephash.errors import UsageError


def draws(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.fixture
def sides():
    hashes, codes = draws(5, 6).tanh(), draws(8, 6, seed=1).sign()
    similar = torch.rand(5, 8, generator=torch.Generator().manual_seed(2)) < 0.4
    return hashes, codes, similar


def test_the_pair_loss_by_a_plain_loop(sides):
    hashes, codes, similar = sides
    total = 0.0
    for i in range(5):
        for j in range(8):
            theta = float(hashes[i] @ codes[j]) / 2
            total += math.log(1 + math.exp(theta)) - float(similar[i, j]) * theta
    assert float(pair_loss(hashes, codes, similar)) == pytest.approx(total / 40)


@pytest.mark.parametrize("smooth", [False, True])
def test_the_circle_loss_by_a_plain_loop_over_all_pairs(sides, smooth):
    hashes, codes, similar = sides
    near, far = 0.0, 0.0
    for i in range(5):
        for j in range(8):  # the release masks a triangle of this rectangle, and loses true pairs
            cosine = float(hashes[i] @ codes[j]) / 6
            if similar[i, j]:
                near += math.exp(-max(0.0, 2 - cosine) * cosine)
            else:
                far += math.exp(max(0.0, cosine + 2) * cosine)
    total = math.log(near) + math.log(far)
    total = math.log(1 + math.exp(total)) if smooth else total
    assert float(circle_loss(hashes, codes, similar, smooth=smooth)) == pytest.approx(total / 5)


def test_the_weights_of_the_circle_loss_have_no_gradient(sides):
    """d L / d s of a pair is a softmax share times its weight, not times the weight's slope too."""
    hashes, codes, similar = sides
    hashes = hashes.requires_grad_()
    circle_loss(hashes, codes, similar).backward()
    cosine = (hashes.detach() @ codes.T) / 6
    far = ((cosine + 2).clamp(min=0) * cosine).masked_fill(similar, -math.inf).flatten().softmax(0).view(5, 8)
    near = (-(2 - cosine).clamp(min=0) * cosine).masked_fill(~similar, -math.inf).flatten().softmax(0).view(5, 8)
    slope = far * (cosine + 2).clamp(min=0) - near * (2 - cosine).clamp(min=0)
    assert torch.allclose(hashes.grad, slope @ codes / 6 / 5)


def test_pairs_of_one_kind_only_have_a_finite_circle_loss(sides):
    hashes, codes, similar = sides
    hashes = hashes.requires_grad_()
    loss = circle_loss(hashes, codes, torch.ones_like(similar))
    loss.backward()
    assert torch.isfinite(hashes.grad).all()


def test_the_quantization_loss_by_hand():
    hashes = torch.tensor([[0.5, -0.5, 0.0], [1.0, -1.0, 0.25]])
    expected = (0.25 + 0.25 + 1.0 + 0.0 + 0.0 + 0.5625) / (10_000 * 2)  # 0 counts as +1
    assert float(quantization_loss(hashes)) == pytest.approx(expected)


def test_only_the_net_with_a_head_learns_the_labels():
    labels, codes = torch.eye(3), draws(3, 4).sign().float()
    with_head, without = PrototypeNet(3, 4, hidden=8), PrototypeNet(3, 4, classifies=False, hidden=8)
    assert with_head(labels)[2].shape == (3, 3)
    assert without(labels)[2] is None
    pairs = prototype_loss(with_head, labels, codes, labels, "pairs")
    pairs.backward()
    assert with_head.classifier[0].weight.grad.abs().sum() > 0


@pytest.mark.parametrize("objective", ["pairs", "circle", "softplus"])
def test_prototypes_of_disjoint_classes_are_their_centres(objective):
    """Of balanced bits; where most classes share a bit, leaving the many others outweighs meeting the own one."""
    centres = torch.tensor([[1, 1, 1], [1, -1, -1], [-1, 1, -1], [-1, -1, 1]]).float().repeat(1, 3)
    labels = torch.arange(60) % 4
    flips = torch.where(torch.rand(60, 9, generator=torch.Generator().manual_seed(0)) < 0.06, -1.0, 1.0)
    net = learn_prototypes(centres[labels] * flips, labels, Teaching(objective, 300, 1e-3, hidden=64))
    assert torch.equal(net.codes(torch.eye(4)), centres)


def test_a_prototype_of_two_classes_is_nearer_to_items_that_share_one():
    generator = torch.Generator().manual_seed(1)
    table = (torch.rand(80, 6, generator=generator) < 0.3).float()
    codes = torch.where(table @ torch.randn(6, 12, generator=generator) >= 0, 1.0, -1.0)
    net = learn_prototypes(codes, table, Teaching("pairs", 300, 1e-3, hidden=64))
    kept, codes = labelled_table(table, codes)
    for first in range(6):
        wanted = torch.zeros(6)
        wanted[[first, (first + 1) % 6]] = 1
        distance = (net.codes(wanted[None]) != codes).float().sum(dim=1)
        shares = (kept @ wanted) > 0
        assert distance[shares].mean() < distance[~shares].mean()


def test_unlabelled_items_teach_nothing_and_no_label_at_all_is_told():
    codes, labels = draws(6, 4).sign().float(), torch.tensor([0, 1, -1, -1, 1, 0])
    table, kept = labelled_table(labels, codes)
    assert table.tolist() == [[1, 0], [0, 1], [0, 1], [1, 0]]
    assert torch.equal(kept, codes[[0, 1, 4, 5]])
    with pytest.raises(UsageError, match="none has a label"):
        learn_prototypes(codes, torch.full((6,), -1), Teaching(steps=1))
    with pytest.raises(UsageError, match="none has a label"):
        learn_prototypes(codes, torch.zeros(6, 3, dtype=torch.long), Teaching(steps=1))


def test_a_net_is_read_back_from_its_weights():
    for classifies in (True, False):
        net = PrototypeNet(3, 5, classifies=classifies, hidden=16).eval()
        again = PrototypeNet.of_state(net.state_dict())
        assert torch.equal(again.codes(torch.eye(3)), net.codes(torch.eye(3)))
        assert (again.classifier is None) == (not classifies)
