"""The three fusions in Hamming space (d_mve_hash.md, 5 and 10)."""

import pytest
import torch

from deephash.errors import UsageError
from deephash.objectives.view_fusion import allocate, chosen, drawn, fused, pooled, replicated, separation


def largest_remainder(weights, total):
    counts = [int(weight * total + 1e-9) for weight in weights]
    rest = sorted(range(len(weights)), key=lambda m: (-(weights[m] * total - counts[m]), m))
    for m in rest[: total - sum(counts)]:
        counts[m] += 1
    return counts


@pytest.mark.parametrize("weights", [(0.5, 0.5), (0.61, 0.29, 0.1), (1 / 3,) * 3, (1.0, 0.0), (0.97, 0.01, 0.02)])
@pytest.mark.parametrize("total", [0, 1, 7, 16, 33])
def test_every_bit_is_given_to_a_view(weights, total):
    counts = allocate(torch.tensor(weights), total).tolist()
    assert sum(counts) == total
    assert counts == largest_remainder(weights, total)
    assert all(count == 0 for count, weight in zip(counts, weights) if weight == 0)


def test_replicated_bits_weigh_the_hamming_distance():
    torch.manual_seed(0)
    image, views = torch.randn(2, 6), torch.randn(2, 3, 4)
    weights = torch.tensor([0.5, 0.25, 0.25])
    view, column = replicated(weights, 16, 4)  # 8, 4 and 4 bits of 4
    codes = fused(image, views, view, column) >= 0
    bits = views >= 0
    by_view = (bits[0] != bits[1]).sum(dim=1)
    expected = ((image[0] >= 0) != (image[1] >= 0)).sum() + 2 * by_view[0] + by_view[1] + by_view[2]
    assert (codes[0] != codes[1]).sum() == expected
    assert column[:8].tolist() == [0, 1, 2, 3] * 2


@pytest.mark.parametrize("rule", ["replicate", "viewcode", "probpool", "drawn"])
def test_gradients_reach_the_chosen_entries_only(rule):
    torch.manual_seed(0)
    image, views = torch.rand(5, 3, requires_grad=True), torch.rand(5, 2, 6, requires_grad=True)
    weights = torch.tensor([0.7, 0.3])
    places = {
        "replicate": lambda: replicated(weights, 6, 6),
        "viewcode": lambda: chosen(weights, 6, views.detach() - 0.5, torch.eye(5)),
        "probpool": lambda: pooled(weights, 6),
        "drawn": lambda: drawn(weights, torch.eye(2), 6),
    }[rule]()
    codes = fused(image, views, *places)
    assert codes.shape == (5, 9)
    codes.sum().backward()
    assert (image.grad == 1).all()
    counts = torch.zeros(2, 6)
    for view, column in zip(*(each.tolist() for each in places)):
        counts[view, column] += 1
    assert torch.equal(views.grad, counts.expand(5, 2, 6))


def test_viewcode_takes_the_bits_that_tell_classes_apart():
    labels = torch.arange(40) % 2
    classes = torch.eye(2)[labels]
    torch.manual_seed(0)
    noise = torch.randn(40, 2, 5)
    good = torch.where(labels == 0, 1.0, -1.0)
    noise[:, 0, 3] = good
    noise[:, 1, 1] = torch.where(torch.arange(40) < 4, -good, good)  # right but for 4 rows
    noise[:, 1, 4] = 1.0  # constant: tells nothing
    worth = separation(torch.where(noise >= 0, 1.0, -1.0), classes)
    assert worth[1, 4] == 0
    by_loop = [(noise[labels == c, 0, 3] >= 0).float().mean() * 2 - 1 for c in (0, 1)]
    overall = torch.where(noise[:, 0, 3] >= 0, 1.0, -1.0).mean()
    assert float(worth[0, 3]) == pytest.approx(float(sum(abs(mean - overall) for mean in by_loop) / 2))
    view, column = chosen(torch.tensor([0.5, 0.5]), 2, noise, classes, most=1.0)
    assert list(zip(view.tolist(), column.tolist())) == [(0, 3), (1, 1)]


def test_viewcode_passes_over_a_bit_that_is_there_already_but_never_runs_short():
    labels = torch.arange(40) % 2
    classes = torch.eye(2)[labels]
    torch.manual_seed(0)
    codes = torch.randn(40, 2, 3)
    good = torch.where(labels == 0, 1.0, -1.0)
    codes[:, 0, 0] = codes[:, 1, 0] = good
    codes[:, 1, 2] = -good  # the same bit, inverted
    equal = torch.tensor([0.5, 0.5])
    view, column = chosen(equal, 2, codes, classes)
    assert list(zip(view.tolist(), column.tolist())) == [(0, 0), (1, 1)]
    view, column = chosen(equal, 6, codes, classes)
    assert len(set(zip(view.tolist(), column.tolist()))) == 6


def test_viewcode_takes_no_bit_twice():
    with pytest.raises(UsageError, match="view_width"):
        chosen(torch.tensor([0.9, 0.1]), 8, torch.randn(10, 2, 4), torch.eye(2)[torch.arange(10) % 2])


def test_pooling_is_fixed_when_codes_are_made():
    weights = torch.tensor([0.2, 0.5, 0.3])
    first, second = pooled(weights, 20), pooled(weights, 20)
    assert torch.equal(first[0], second[0])
    assert torch.bincount(first[0]).tolist() == allocate(weights, 20).tolist()
    assert first[1].tolist() == list(range(20))


def test_pooling_in_training_draws_views_by_their_weights():
    weights = torch.tensor([0.15, 0.6, 0.25, 0.0])
    view, column = drawn(weights, torch.eye(4), 10_000, torch.Generator().manual_seed(0))
    shares = torch.bincount(view, minlength=4) / 10_000
    assert shares.tolist() == pytest.approx(weights.tolist(), abs=0.02)
    assert shares[3] == 0
    assert torch.equal(column, torch.arange(10_000))
    again, _ = drawn(weights, torch.eye(4), 10_000, torch.Generator().manual_seed(0))
    assert torch.equal(view, again)


def test_a_related_view_is_drawn_less_beside_the_one_it_repeats():
    weights, related = torch.full((3,), 1 / 3), torch.eye(3)
    related[0, 1] = related[1, 0] = 1.0
    second = {0: 0, 1: 0, 2: 0}
    for seed in range(3000):
        view, _ = drawn(weights, related, 2, torch.Generator().manual_seed(seed))
        if view[0] == 0:
            second[int(view[1])] += 1
    total = sum(second.values())  # chances 1/2 : 1/2 : 1
    assert second[2] / total == pytest.approx(0.5, abs=0.05)
    assert second[1] / total == pytest.approx(0.25, abs=0.05)
