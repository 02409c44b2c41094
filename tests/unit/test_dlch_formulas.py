"""DLCH's formulas against loops, its discrete descent against brute force."""

import itertools

import numpy as np
import pytest
import torch
from torch.nn.functional import one_hot

from deephash.errors import UsageError
from deephash.objectives.dlch import (
    balance,
    code_loss,
    inner_product_loss,
    label_similarity,
    label_step_losses,
    lifelong_losses,
    network_step_losses,
    phase_one_codes,
    similarity_loss,
)
from deephash.objectives.new_codes import (
    initial_codes,
    random_codes,
    released_shared_codes,
    shared_codes,
    solve_new_codes,
)
from deephash.objectives.signs import sign

LABELS = torch.tensor([[1, 0, 1], [0, 1, 1], [1, 0, 1], [0, 1, 0]])


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def cosine(first, second):
    return float(first @ second / (first.norm() * second.norm()))


# Similarity of labels


def test_similarity_is_the_cosine_symmetric_in_zero_to_one():
    found = label_similarity(LABELS.double(), LABELS.double())
    expected = [[cosine(a, b) for b in LABELS.double()] for a in LABELS.double()]
    np.testing.assert_allclose(found.numpy(), expected, atol=1e-12)
    assert torch.equal(found, found.T)
    assert found.min() >= 0
    assert found.max() <= 1
    assert found[0, 2] == pytest.approx(1)
    assert label_similarity(LABELS, LABELS).max() <= 1


def test_class_numbers_are_one_hot_rows():
    numbers = torch.tensor([2, 0, 2, 1])
    rows = one_hot(numbers, 3)
    assert torch.equal(label_similarity(numbers, numbers), label_similarity(rows, rows))


@pytest.mark.parametrize("labels", [torch.tensor([1, -1, 0]), torch.tensor([[1, 0], [0, 0], [0, 1]])])
def test_an_item_without_labels_is_refused(labels):
    whole = labels[[0, 2]]
    for sides in ((labels, whole), (whole, labels)):
        with pytest.raises(UsageError, match="1 of 3 items have no label"):
            label_similarity(*sides)


def test_labels_of_two_kinds_are_refused():
    with pytest.raises(UsageError, match="of one width"):
        label_similarity(torch.tensor([0, 1]), LABELS)
    with pytest.raises(UsageError, match="of one width"):
        label_similarity(LABELS[:, :2], LABELS)


# Phase 1


def test_similarity_loss_is_the_loop():
    u, y, similar = normal(3, 5), normal(4, 5, seed=1), label_similarity(LABELS[:3].double(), LABELS.double())
    total = sum((max(0.0, cosine(u[i], y[j])) - float(similar[i, j])) ** 2 for i in range(3) for j in range(4))
    assert similarity_loss(u, y, similar).item() == pytest.approx(total / 12)
    total = sum(float((y[i, k] - u[i, k]) ** 2) for i in range(3) for k in range(5))
    assert code_loss(u, y[:3]).item() == pytest.approx(total / 15)


def test_the_loss_is_zero_where_cosines_are_those_of_the_labels():
    embedding = normal(3, 3).square()  # any rotation of the label vectors has their cosines
    rotated = LABELS.double() @ torch.linalg.qr(embedding)[0]
    similar = label_similarity(LABELS.double(), LABELS.double())
    assert similarity_loss(rotated, 3 * rotated, similar).item() == pytest.approx(0, abs=1e-20)


def test_outputs_of_zero_give_no_nan():
    u = torch.zeros(2, 4, requires_grad=True)
    similarity_loss(u, torch.zeros(3, 4), torch.ones(2, 3)).backward()
    assert u.grad.isfinite().all()


def steps(dtype=torch.float64):
    similar = label_similarity(LABELS[:2].to(dtype), LABELS.to(dtype))
    draw = lambda seed, rows=4: normal(rows, 6, seed=seed).to(dtype)  # noqa: E731
    return similar, draw


def test_the_steps_are_as_written():
    similar, draw = steps()
    u, label, image, text = draw(0, 2), draw(1), draw(2), draw(3)
    first, second = sign(draw(4, 2)), sign(draw(5, 2))
    found = label_step_losses(u, label, {"image": (image, first), "text": (text, second)}, similar, gamma=7.0, mu=3.0)
    expected = 10 * similarity_loss(u, label, similar) + similarity_loss(u, image, similar)
    expected += 7 * similarity_loss(u, text, similar) + 1.5 * (code_loss(u, first) + code_loss(u, second))
    assert sum(found.values()).item() == pytest.approx(expected.item())
    alone = label_step_losses(u, label, {"image": (image, first)}, similar, mu=3.0)
    assert alone["quantization_image"].item() == pytest.approx(3 * code_loss(u, first).item())
    found = network_step_losses(u, image, label, first, similar, eta=4.0, mu=3.0)
    expected = 4 * similarity_loss(u, image, similar) + similarity_loss(u, label, similar) + 3 * code_loss(u, first)
    assert sum(found.values()).item() == pytest.approx(expected.item())


def test_no_gradient_flows_into_buffers():
    similar, draw = steps(torch.float32)
    u, others = draw(0, 2).requires_grad_(), [draw(seed).requires_grad_() for seed in (1, 2)]
    codes = sign(draw(3, 2)).requires_grad_()
    (
        sum(label_step_losses(u, others[0], {"image": (others[1], codes)}, similar).values())
        + sum(network_step_losses(u, others[0], others[1], codes, similar).values())
    ).backward()
    assert u.grad.abs().sum() > 0
    assert all(each.grad is None for each in (*others, codes))


def test_codes_of_phase_one():
    assert phase_one_codes(torch.tensor([[1.0, -1.0, 0.5]]), torch.tensor([[-3.0, 1.0, -1.0]])).tolist() == [
        [-1, -1, 1]
    ]


# Phase 2


def phase_two(bits=6):
    labels = torch.arange(7) % 3
    u = normal(4, bits)
    old, new = sign(normal(5, bits, seed=1)), sign(normal(2, bits, seed=2))
    similar = label_similarity(labels[:4], labels).double()
    return u, (old, similar[:, :5]), (new, similar[:, 5:]), sign(normal(4, bits, seed=3))


def test_the_lifelong_loss_is_the_loop():
    u, old, new, own = phase_two()
    found = lifelong_losses(u, own, old, new, alpha=2.0, beta=5.0)
    total = 0.0
    for codes, similar in (old, new):
        for i in range(4):
            for j in range(len(codes)):
                total += (6 * float(similar[i, j]) - float(u[i] @ codes[j])) ** 2
    total += 2 * sum(float((own[i] - u[i]).square().sum()) for i in range(4))
    total += 5 * sum(float(u[:, k].sum()) ** 2 for k in range(6)) / 4
    assert sum(found.values()).item() == pytest.approx(total / (4 * 7))
    assert set(found) == {"old", "new", "quantization", "balance"}


def test_the_release_forgets_the_new_term_and_has_no_lower_bound():
    u, old, new, own = phase_two()
    found = lifelong_losses(u, own, old, new, preset="release")
    assert set(found) == {"old", "quantization", "balance"}
    assert found["balance"].item() == pytest.approx(100 * u.sum().item() / 28)
    assert balance(-1e6 * torch.ones(2, 3), preset="release") < -1e6
    assert balance(-1e6 * torch.ones(2, 3)) > 0
    assert balance(torch.tensor([[1.0, -2.0], [-1.0, 2.0]])) == 0


def test_no_new_items_leave_the_old_terms():
    u, old, new, own = phase_two()
    found = lifelong_losses(u, own, old, (new[0][:0], new[1][:, :0]))
    assert found["new"] == 0
    assert found["old"].item() == pytest.approx(inner_product_loss(u, *old).item() / (4 * 5))


# Discrete descent


def objective(u, similar, codes, own=None, among=None, alpha=10.0):
    total = 0.0
    for i, j in itertools.product(range(len(u)), range(len(codes))):
        total += (u.shape[1] * float(similar[i, j]) - float(u[i] @ codes[j])) ** 2
    if own is not None:
        for j in range(len(codes)):
            if among is None or among[j]:
                total += alpha * float((codes[j] - own[j]).square().sum())
    return total


def problem(seed, bits, items=3, outputs=10):
    draw = np.random.default_rng(seed)
    u = torch.tanh(normal(outputs, bits, seed=seed))
    similar = torch.from_numpy(draw.random((outputs, items)))
    own, among = torch.tanh(normal(items, bits, seed=seed + 50)), torch.from_numpy(draw.random(items) < 0.6)
    return u, similar, own, among, sign(normal(items, bits, seed=seed + 90))


@pytest.mark.parametrize("seed", range(5))
def test_a_sweep_never_raises_the_objective_and_says_it_right(seed):
    u, similar, own, among, start = problem(seed, 24, items=40, outputs=60)
    found = solve_new_codes(u, similar, start, own=own, among=among, sweeps=8)
    assert len(found.objectives) == 9
    assert all(after <= before + 1e-9 for before, after in itertools.pairwise(found.objectives))
    assert found.objectives[-1] < found.objectives[0]
    assert found.objectives[0] == pytest.approx(objective(u, similar, start, own, among))
    assert found.objectives[-1] == pytest.approx(objective(u, similar, found.codes, own, among))
    assert set(found.codes.unique().tolist()) == {-1, 1}


@pytest.mark.parametrize("bits", [1, 3, 5, 8])
@pytest.mark.parametrize("seed", range(3))
def test_with_restarts_it_finds_what_brute_force_finds(bits, seed):
    u, similar, own, among, start = problem(seed, bits)
    found = solve_new_codes(u, similar, start, own=own, among=among, sweeps=10, restarts=40)
    every = torch.tensor(list(itertools.product((-1.0, 1.0), repeat=bits)), dtype=torch.float64)
    best = 0.0
    for j in range(3):  # items do not touch each other
        costs = [objective(u, similar[:, j : j + 1], code[None], own[j : j + 1], among[j : j + 1]) for code in every]
        assert torch.equal(found.codes[j], every[int(np.argmin(costs))])
        best += min(costs)
    assert found.objectives[-1] == pytest.approx(best)


def test_each_bit_is_the_best_while_the_others_stand():
    u, similar, own, among, start = problem(4, 6)
    found = solve_new_codes(u, similar, start, own=own, among=among, sweeps=30).codes
    least = objective(u, similar, found, own, among)
    for j, bit in itertools.product(range(3), range(6)):
        turned = found.clone()
        turned[j, bit] *= -1
        assert objective(u, similar, turned, own, among) >= least


def test_zero_has_the_side_plus_one():
    found = solve_new_codes(torch.zeros(2, 4), torch.zeros(2, 3), -torch.ones(3, 4))
    assert torch.equal(found.codes, torch.ones(3, 4))


def test_the_start_is_not_changed_and_nothing_new_is_nothing():
    u, similar, own, _, start = problem(0, 8)
    kept = start.clone()
    solve_new_codes(u, similar, start, own=own)
    assert torch.equal(start, kept)
    empty = solve_new_codes(u, similar[:, :0], start[:0], own=own[:0])
    assert empty.codes.shape == (0, 8)
    with pytest.raises(UsageError, match=r"similarities \[m, n\]"):
        solve_new_codes(u, similar.T, start)
    with pytest.raises(UsageError, match="own outputs"):
        solve_new_codes(u, similar, start, own=own[:1])


def test_starts_are_signs():
    assert initial_codes(torch.tensor([[0.0, -3.0]])).tolist() == [[1, -1]]
    assert set(random_codes(5, 8, seed=0).unique().tolist()) == {-1, 1}
    assert torch.equal(random_codes(5, 8, seed=3), random_codes(5, 8, seed=3))


def test_conflicting_bits_of_a_shared_code_follow_the_outputs():
    image, text = torch.tensor([[1.0, 1, -1, -1]]), torch.tensor([[1.0, -1, 1, -1]])
    outputs = torch.tensor([[-9.0, 0.5, -2.0, 9.0]]), torch.tensor([[-9.0, -0.7, 3.0, 9.0]])
    assert shared_codes(image, text, *outputs).tolist() == [[1, -1, 1, -1]]
    assert released_shared_codes(image, text).tolist() == [[1, 0, 0, -1]]
