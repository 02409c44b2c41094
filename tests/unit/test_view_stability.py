"""Stability weights and relations of views (d_mve_hash.md, 4 and 10), against loops."""

from math import log

import numpy as np
import pytest
import torch

from deephash.errors import UsageError
from deephash.objectives.view_stability import (
    fluctuation,
    moving,
    pair_auc,
    sample_pairs,
    stability,
    view_distances,
)


def toy(noise=(0.1, 0.2), pure=1, rows=200, bits=16, seed=0):
    """Bits [N, M, K_v] of views that flip a class's bits with the chances in ``noise``, and of pure noise; labels."""
    draw = torch.Generator().manual_seed(seed)
    labels = torch.arange(rows) % 4
    prototypes = torch.rand(4, bits, generator=draw) < 0.5
    views = [prototypes[labels] ^ (torch.rand(rows, bits, generator=draw) < chance) for chance in noise]
    views += [torch.rand(rows, bits, generator=draw) < 0.5 for _ in range(pure)]
    return torch.stack(views, dim=1), labels


def judged(bits, labels, **options):
    pairs = sample_pairs(len(bits), 4000)
    similar = labels[pairs[:, 0]] == labels[pairs[:, 1]]
    return stability(view_distances(bits, pairs), similar, **options), pairs, similar


def by_hand(bits, pairs, similar):
    """The rule of the specification, a pair and a view at a time."""
    count = bits.shape[1]
    rows = [
        [
            sum(int(a != b) for a, b in zip(bits[i, m].tolist(), bits[j, m].tolist())) / bits.shape[2]
            for m in range(count)
        ]
        for i, j in pairs.tolist()
    ]
    moved, agreed = [], []
    for m in range(count):
        moved.append(np.mean([abs(np.mean(row) - np.mean([d for n, d in enumerate(row) if n != m])) for row in rows]))
        like = [-row[m] for row, same in zip(rows, similar.tolist()) if same]
        unlike = [-row[m] for row, same in zip(rows, similar.tolist()) if not same]
        agreed.append(np.mean([(a > b) + 0.5 * (a == b) for a in like for b in unlike]))
    scores = [max(0, 2 * a - 1) / (0.1 + d / np.mean(moved)) for a, d in zip(agreed, moved)]
    powers = [np.exp(log(g)) if g else 0.0 for g in scores]
    return np.array(powers) / sum(powers), np.corrcoef(np.array(rows).T), np.array(agreed), np.array(moved)


def test_weights_and_relations_are_those_of_the_loop():
    bits, labels = toy(rows=60)
    pairs = sample_pairs(60, 150)
    similar = labels[pairs[:, 0]] == labels[pairs[:, 1]]
    found = stability(view_distances(bits, pairs), similar)
    weights, relation, agreement, moved = by_hand(bits, pairs, similar)
    assert found.weights.numpy() == pytest.approx(weights)
    assert found.relation.numpy() == pytest.approx(relation, abs=1e-9)
    assert found.agreement.numpy() == pytest.approx(agreement)
    assert found.fluctuation.numpy() == pytest.approx(moved)


def test_weights_are_shares_and_a_temperature_evens_them_out():
    bits, labels = toy()
    found, _, _ = judged(bits, labels)
    assert (found.weights >= 0).all()
    assert float(found.weights.sum()) == pytest.approx(1)
    mild, _, _ = judged(bits, labels, temperature=100.0)
    assert mild.weights.max() < found.weights.max()


def test_permuting_the_views_permutes_weights_and_relations():
    bits, labels = toy(noise=(0.05, 0.15, 0.3))
    order = torch.tensor([2, 0, 3, 1])
    found, other = judged(bits, labels)[0], judged(bits[:, order], labels)[0]
    torch.testing.assert_close(other.weights, found.weights[order])
    torch.testing.assert_close(other.relation, found.relation[order][:, order])


def test_identical_views_count_alike_and_are_fully_related():
    bits, labels = toy(noise=(0.1,), pure=0)
    found, _, _ = judged(bits.repeat(1, 3, 1), labels)
    assert found.weights.tolist() == pytest.approx([1 / 3] * 3)
    assert found.relation.numpy() == pytest.approx(np.ones((3, 3)))


def test_pure_noise_counts_less_than_its_share():
    found, _, _ = judged(*toy(noise=(0.1, 0.2), pure=1))
    assert found.weights[2] < 0.1
    assert found.weights[:2].min() > 1 / 3


def test_a_view_of_no_use_gets_nothing_and_the_others_are_weighed_as_if_alone():
    bits, labels = toy(noise=(0.1, 0.2), pure=1)
    found, _, _ = judged(bits, labels, usable=torch.tensor([True, False, True]))
    alone, _, _ = judged(bits[:, [0, 2]], labels)
    assert found.weights[1] == 0
    torch.testing.assert_close(found.weights[[0, 2]], alone.weights)
    assert found.relation[1].tolist() == [0, 1, 0]
    only, _, _ = judged(bits, labels, usable=torch.tensor([True, False, False]))
    assert only.weights.tolist() == [1, 0, 0]
    with pytest.raises(UsageError, match="no view"):
        judged(bits, labels, usable=torch.zeros(3, dtype=torch.bool))


def test_where_no_view_agrees_with_the_labels_all_count_alike():
    bits, labels = toy()
    found, _, _ = judged(bits, torch.arange(len(labels)))  # no two items are similar
    assert found.weights.tolist() == pytest.approx([1 / 3] * 3)
    assert found.agreement.tolist() == [0.5] * 3


def test_equal_distances_count_half():
    scores = torch.tensor([1.0, 1.0, 0.0, 2.0])
    similar = torch.tensor([True, False, False, True])
    assert float(pair_auc(scores, similar)) == pytest.approx((0.5 + 1 + 1 + 1) / 4)


def test_a_constant_distance_is_related_to_nothing():
    distances = torch.rand(50, 3, dtype=torch.double)
    distances[:, 1] = 0.5
    found = stability(distances, torch.arange(50) % 2 == 0)
    assert found.relation[1].tolist() == [0, 1, 0]
    assert found.weights.isfinite().all()


def test_pairs_are_of_two_items_and_the_same_each_time():
    pairs = sample_pairs(7, 500)
    assert (pairs[:, 0] != pairs[:, 1]).all()
    assert set(pairs.flatten().tolist()) == set(range(7))
    assert torch.equal(pairs, sample_pairs(7, 500))
    with pytest.raises(UsageError, match="at least 2"):
        sample_pairs(1, 10)


def test_fluctuation_of_one_view_is_nothing_and_weights_move_slowly():
    assert fluctuation(torch.rand(9, 2).double(), torch.tensor([True, False])).tolist() == [0, 0]
    assert moving(torch.tensor([1.0, 0.0]), torch.tensor([0.0, 1.0])).tolist() == pytest.approx([0.9, 0.1])
