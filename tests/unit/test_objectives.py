import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from deephash.errors import UsageError
from deephash.objectives.balance import bit_correlation, bit_imbalance, half_half_sign
from deephash.objectives.checks import require_finite, require_rows
from deephash.objectives.contrastive import nt_xent
from deephash.objectives.gathering import gather_rows, mean_over_processes
from deephash.objectives.labels import labelled_mask, multi_hot, share_label, target_distribution
from deephash.objectives.pairs import balanced_weights, halves, pair_likelihood, structure_loss
from deephash.objectives.quantization import cosine_quantization, cubic_quantization, squared_quantization
from deephash.objectives.signs import sign, straight_through_sign
from tests.image_methods_toy import CODES

# Signs ---------------------------------------------------------------------------------------------


def test_zero_has_a_side_even_negative_zero():
    assert sign(torch.tensor([0.0, -0.0, -1e-30, 2.0])).tolist() == [1, 1, -1, 1]


def test_straight_through_sign_is_exact_forward_and_the_identity_backward():
    values = torch.tensor([0.3, -7.0, 0.0], requires_grad=True)
    out = straight_through_sign(values)
    (out * torch.tensor([1.0, 2.0, 3.0])).sum().backward()
    assert out.tolist() == [1, -1, 1]
    assert values.grad.tolist() == [1, 2, 3]


# Labels --------------------------------------------------------------------------------------------


def test_unlabelled_rows_are_found_in_both_kinds():
    assert labelled_mask(torch.tensor([0, -1, 2]), 3).tolist() == [True, False, True]
    assert labelled_mask(torch.tensor([[0, 0], [1, 0]]), 2).tolist() == [False, True]


def test_labels_are_never_changed_in_place():
    numbers, rows = torch.tensor([0, -1, 1]), torch.tensor([[0.0, 1.0], [1.0, 1.0]])
    kept = numbers.clone(), rows.clone()
    multi_hot(numbers, 2), target_distribution(rows, 2).mul_(5), multi_hot(rows, 2).mul_(7)
    assert torch.equal(numbers, kept[0])
    assert torch.equal(rows, kept[1])


@pytest.mark.parametrize("labels", [[0, 3], [-2, 0]])
def test_class_numbers_out_of_range_are_refused_with_the_range(labels):
    with pytest.raises(UsageError, match="class numbers run from 0 to 2 and -1 means unlabelled"):
        labelled_mask(torch.tensor(labels), 3)


def test_multi_hot_of_wrong_width_or_content_is_refused():
    with pytest.raises(UsageError, match=r"multi-hot \[B, 3\]"):
        labelled_mask(torch.zeros(2, 4), 3)
    with pytest.raises(UsageError, match="only 0 and 1"):
        labelled_mask(torch.tensor([[0.5, 1.0]]), 2)
    with pytest.raises(UsageError, match="integers"):
        labelled_mask(torch.tensor([0.0, 1.0]))


def test_target_distribution_shares_one_among_the_labels():
    assert target_distribution(torch.tensor([[1, 1, 0], [0, 0, 0]]), 3).tolist() == [[0.5, 0.5, 0], [0, 0, 0]]
    assert target_distribution(torch.tensor([2, -1]), 3).tolist() == [[0, 0, 1], [0, 0, 0]]


def test_unlabelled_rows_share_a_label_with_nobody_not_even_themselves():
    assert share_label(torch.tensor([-1, 0]), torch.tensor([-1, 0])).tolist() == [[False, False], [False, True]]
    assert not share_label(torch.zeros(1, 3), torch.zeros(1, 3)).any()
    with pytest.raises(UsageError, match="both sides"):
        share_label(torch.zeros(1, 3), torch.tensor([0]))


# Pairs ---------------------------------------------------------------------------------------------


def test_pair_likelihood_does_not_overflow():
    logits = torch.tensor([1e4, -1e4])
    assert pair_likelihood(logits, torch.tensor([True, False])).tolist() == [0, 0]
    assert pair_likelihood(logits, torch.tensor([False, True])).tolist() == [1e4, 1e4]


def test_balanced_weights_without_similar_pairs_divide_by_nothing():
    assert balanced_weights(torch.zeros(2, 2, dtype=torch.bool)).tolist() == [[1, 1], [1, 1]]
    weights = balanced_weights(torch.tensor([True, False, False, False]))
    assert weights.tolist() == pytest.approx([4, 4 / 3, 4 / 3, 4 / 3], abs=1e-6)


def test_halves_drop_the_odd_row():
    first, second = halves(torch.arange(5)[:, None])
    assert (first.flatten().tolist(), second.flatten().tolist()) == ([0, 1], [2, 3])


def test_structure_loss_is_zero_where_cosines_agree_and_sends_nothing_to_features():
    features = torch.tensor([[1.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 0.0]], requires_grad=True)
    codes = torch.tensor([[1.0, 1.0], [1.0, -1.0], [1.0, 1.0], [1.0, 1.0]], requires_grad=True)
    loss = structure_loss(codes, features)
    loss.backward()
    assert loss.item() == pytest.approx(0, abs=1e-12)
    assert features.grad is None


# Quantisation --------------------------------------------------------------------------------------


def test_quantisation_losses_vanish_on_signs_and_know_the_golden_value():
    assert cubic_quantization(CODES).item() == pytest.approx(0.304323, abs=1e-6)
    for loss in (squared_quantization, cubic_quantization, cosine_quantization):
        assert loss(sign(CODES)).item() == pytest.approx(0, abs=1e-6)


def test_cosine_quantization_survives_a_zero_code():
    codes = torch.zeros(2, 4, requires_grad=True)
    cosine_quantization(codes).backward()
    assert torch.isfinite(codes.grad).all()


# Contrast ------------------------------------------------------------------------------------------


def test_nt_xent_equals_the_loop():
    generator = torch.Generator().manual_seed(0)
    first, second = torch.randn(3, 5, generator=generator), torch.randn(3, 5, generator=generator)
    rows = [*first, *second]
    losses = []
    for anchor in range(6):
        cosine = [torch.cosine_similarity(rows[anchor], row, dim=0) / 0.3 for row in rows]
        others = torch.stack([value for place, value in enumerate(cosine) if place != anchor])
        losses.append(torch.logsumexp(others, 0) - cosine[(anchor + 3) % 6])
    assert nt_xent(first, second, 0.3).item() == pytest.approx(torch.stack(losses).mean().item(), abs=1e-6)


# Balance -------------------------------------------------------------------------------------------


@given(st.integers(1, 9), st.integers(1, 5), st.integers(0, 5))
@settings(max_examples=30, deadline=None)
def test_half_half_sign_gives_each_bit_the_lower_half_of_the_batch(rows, bits, seed):
    values = torch.randn(rows, bits, generator=torch.Generator().manual_seed(seed)).round()  # with ties
    codes = half_half_sign(values, 6.0)
    assert ((codes == 1).sum(dim=0) == rows // 2).all()
    for bit in range(bits):
        assert not (rows // 2) or values[codes[:, bit] == 1, bit].min() >= values[codes[:, bit] == -1, bit].max()


def test_half_half_gradient_is_the_identity_plus_the_pull():
    values = torch.tensor([[3.0], [1.0]], requires_grad=True)
    half_half_sign(values, 6.0).sum().backward()
    assert values.grad.flatten().tolist() == [1 + 6 * (3 - 1) / 2, 1 + 6 * (1 + 1) / 2]


def test_balance_measures_know_the_extremes():
    balanced = torch.tensor([[1.0, 1.0], [1.0, -1.0], [-1.0, 1.0], [-1.0, -1.0]])
    assert bit_imbalance(balanced).item() == 0
    assert bit_correlation(balanced).item() == pytest.approx(0, abs=1e-6)
    assert bit_imbalance(torch.ones(4, 2)).item() == 1
    assert bit_correlation(balanced[:, :1].expand(-1, 2)).item() == pytest.approx(1, abs=1e-5)
    assert bit_correlation(balanced[:, :1]).item() == 0


# Checks and gathering ------------------------------------------------------------------------------


def test_checks_name_the_number_of_rows_and_a_remedy():
    with pytest.raises(UsageError, match="features hold NaN or infinity in 1 of 2 rows"):
        require_finite(torch.tensor([[0.0, 1.0], [float("nan"), float("inf")]]), "features")
    with pytest.raises(UsageError, match="at least 2 rows in a training batch, not 1; raise batch_size"):
        require_rows(1, 2, "SDC")


def test_a_single_process_gathers_itself():
    rows = torch.ones(2, 3, requires_grad=True)
    assert gather_rows(rows) is rows
    assert not mean_over_processes(rows).requires_grad
