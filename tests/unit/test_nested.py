import itertools
import math

import pytest
import torch

from deephash.codes import BinaryCodes
from deephash.errors import UsageError
from deephash.models import CSQ, DPN, DPSH, DTSH, SDC, TLDR, BiHalf, CIBHash, GreedyHash, HashNet, OrthoHash, load_model
from deephash.models.optimizers import Optimizer
from deephash.objectives.balanced_centres import balanced_signs, csq_centres, nested_centres
from deephash.objectives.centres import centre_report
from deephash.objectives.nested import Nested, cascade_distillation, dominance_weights
from tests.image_methods_toy import FEATURES, batch

# Which lengths -------------------------------------------------------------------------------------


@pytest.mark.parametrize("lengths", [(), (12, 16), (16, 8), (8, 8), (0, 8)])
def test_lengths_must_ascend_in_whole_bytes(lengths):
    with pytest.raises(UsageError, match="ascending multiples of 8"):
        Nested(lengths)


def test_the_longest_length_is_the_code_and_distillation_is_not_negative():
    with pytest.raises(UsageError, match="num_bits = 32, not 16"):
        BiHalf(32, FEATURES, nested=Nested((8, 16)))
    with pytest.raises(UsageError, match="at least 0"):
        Nested((8,), distillation=-1)


def test_a_bare_list_of_lengths_is_enough(tmp_path):
    torch.manual_seed(0)
    bare = BiHalf(32, FEATURES, nested=[8, 16, 32])
    assert bare.nested == Nested((8, 16, 32))
    named = BiHalf(32, FEATURES, nested=Nested((8, 16, 32)))
    named.load_state_dict(bare.state_dict())
    assert bare.init_args() == named.init_args()
    assert bare.fingerprint() == named.fingerprint()
    bare.save(tmp_path / "model")
    loaded = load_model(tmp_path / "model")
    assert (loaded.nested, loaded.fingerprint()) == (bare.nested, bare.fingerprint())


# Weights -------------------------------------------------------------------------------------------


def test_conflicting_gradients_are_damped_by_the_formula():
    short, long = torch.ones(8, 3), torch.cat([-5 * torch.ones(8, 3), torch.zeros(8, 3)])
    weights = dominance_weights([short, long])
    alpha = 1 / ((2 - 1) * 5)
    assert weights.tolist() == pytest.approx([2 / (1 + alpha), 2 * alpha / (1 + alpha)])


def test_with_more_lengths_alpha_has_the_count_in_it_and_further_lengths_are_capped_by_the_next():
    first = torch.ones(8, 1)
    second = torch.cat([-5 * torch.ones(8, 1), torch.ones(8, 1)])
    third = torch.cat([-0.6 * torch.ones(8, 1), torch.ones(16, 1)])  # alone it would get 1 / (2 * .6) = .83
    weights = dominance_weights([first, second, third])
    assert (weights / weights[0]).tolist() == pytest.approx([1, 1 / 10, 1 / 10])
    assert weights.sum().item() == pytest.approx(3)


def test_aligned_or_mildly_opposed_gradients_leave_all_weights_one():
    g = torch.randn(16, 4, generator=torch.Generator().manual_seed(0))
    assert dominance_weights([g[:8], g]).tolist() == [1, 1]
    assert dominance_weights([g[:8], -0.9 * g]).tolist() == pytest.approx([1, 1])
    assert dominance_weights([torch.zeros(8, 4), g]).tolist() == [1, 1]


def released_weights(gradients):
    """The rule of the authors' code, loop by loop."""
    count, energy = len(gradients), float((gradients[0] ** 2).sum())
    alphas = []
    for k in range(count - 1):
        row, rows = [], len(gradients[k])
        for longer in gradients[k + 1 :]:
            dot = float((gradients[k] * longer[:rows]).sum())
            bound = energy / (count - 1)
            row.append(bound / -dot if dot < 0 and -dot > bound else 1.0)
        alphas.append([min(alpha, row[0]) for alpha in row])
    weights = [1.0] + [math.prod(alphas[k][longer - k - 1] for k in range(longer)) for longer in range(1, count)]
    return [count * weight / sum(weights) for weight in weights]


@pytest.mark.parametrize("seed", range(5))
def test_the_weights_of_the_release_are_a_rule_of_their_own(seed):
    generator = torch.Generator().manual_seed(seed)
    gradients = [torch.randn(rows, 3, generator=generator) for rows in (8, 16, 32, 64)]
    for short, long in itertools.pairwise(gradients):
        long[: len(short)] -= 0.6 * short  # longer codes against shorter ones, as the rule is made for
    released = dominance_weights(gradients, as_released=True)
    assert released.tolist() == pytest.approx(released_weights(gradients), rel=1e-5)
    assert not torch.allclose(released, dominance_weights(gradients), atol=1e-3)


def test_nested_codes_train_with_the_weights_of_the_release():
    model = BiHalf(32, FEATURES, nested=Nested((8, 16, 32), weighting="release"))
    losses = model.compute_losses(batch())
    assert {"loss_8", "loss_16", "loss_32"} <= losses.keys()
    assert all(loss.isfinite() for loss in losses.values())


# Distillation --------------------------------------------------------------------------------------


def test_distillation_is_zero_for_equal_similarities_and_teaches_only_the_shorter():
    short = torch.randn(5, 8, generator=torch.Generator().manual_seed(0), requires_grad=True)
    long = torch.randn(5, 16, generator=torch.Generator().manual_seed(1), requires_grad=True)
    assert cascade_distillation(short, torch.cat([short, short], dim=1)).item() == pytest.approx(0, abs=1e-10)
    loss = cascade_distillation(short, long)
    loss.backward()
    rows = lambda u: u @ u.T / (u @ u.T).norm(dim=1, keepdim=True)  # noqa: E731
    assert loss.item() == pytest.approx(((rows(long) - rows(short)) ** 2).sum().item() / 25, abs=1e-6)
    assert long.grad is None
    assert short.grad.abs().sum() > 0


# Centres -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("num_classes", [2, 10, 40])
def test_every_prefix_of_nested_centres_keeps_classes_apart(num_classes):
    centres = nested_centres(num_classes, (16, 32, 64))
    for length in (16, 32, 64):
        report = centre_report(centres[:, :length])
        assert report.min_distance >= length // 4
    assert torch.equal(centres, nested_centres(num_classes, (16, 32, 64)))


def test_csq_centres_are_hadamard_rows_then_balanced_ones():
    assert centre_report(csq_centres(16, 16)).min_distance == 8
    assert centre_report(csq_centres(32, 16)).opposite_pairs == 16
    many = csq_centres(40, 16)
    assert (many[32:].sum(dim=1) == 0).all()
    assert centre_report(many).min_distance > 0
    assert centre_report(csq_centres(100, 64)).opposite_pairs == 36
    with pytest.raises(UsageError, match="at least 6"):
        csq_centres(40, 4)


def test_too_many_classes_for_balanced_codes_are_refused():
    with pytest.raises(UsageError, match="use more bits"):
        csq_centres(250, 8)
    assert (balanced_signs(5, 8, torch.Generator().manual_seed(0)) == -1).sum(dim=1).tolist() == [4] * 5


# Models --------------------------------------------------------------------------------------------

NESTED = Nested((8, 16, 32))
FACTORIES = {
    "OrthoHash": lambda: OrthoHash(32, 4, FEATURES, nested=NESTED),
    "HashNet": lambda: HashNet(32, FEATURES, nested=NESTED),
    "DPSH": lambda: DPSH(32, FEATURES, nested=NESTED),
    "DTSH": lambda: DTSH(32, FEATURES, nested=NESTED),
    "GreedyHash": lambda: GreedyHash(32, 4, FEATURES, nested=NESTED),
    "CSQ": lambda: CSQ(32, 4, FEATURES, nested=NESTED),
    "DPN": lambda: DPN(32, 4, FEATURES, nested=NESTED),
    "BiHalf": lambda: BiHalf(32, FEATURES, nested=NESTED),
    "CIBHash": lambda: CIBHash(32, FEATURES, hidden=16, nested=NESTED),
    "SDC": lambda: SDC(32, FEATURES, nested=NESTED),
    "TLDR": lambda: TLDR(32, FEATURES, projector_width=32, nested=NESTED),
}


@pytest.mark.parametrize("name", FACTORIES)
def test_every_method_trains_every_prefix(name):
    torch.manual_seed(0)
    model, rows = FACTORIES[name](), batch()
    if isinstance(model, TLDR):
        model.prepare(rows["image_features"])
    losses = model.compute_losses(rows)
    assert {"loss_8", "loss_16", "loss_32", "distillation"} <= set(losses)
    sum(losses.values()).backward()
    assert all(torch.isfinite(p.grad).all() for p in model.head.parameters() if p.grad is not None)
    gradient = model._hash_layer().weight.grad
    assert (gradient.abs().sum(dim=1) > 0).all()


@pytest.mark.parametrize("name", FACTORIES)
def test_the_loss_of_a_prefix_does_not_touch_later_bits(name):
    model, rows = FACTORIES[name](), batch()
    if isinstance(model, TLDR):
        model.prepare(rows["image_features"])
    features = model.views(rows)
    codes = model.head(features)
    model.observe(codes, rows)
    losses = model.code_losses(codes[:, :8], features, rows)
    weight = model._hash_layer().weight
    gradient = torch.autograd.grad(sum(losses.values()), weight)[0]
    assert gradient[:8].any()
    assert not gradient[8:].any()


def test_quantisation_counts_once_because_bits_are_shared():
    torch.manual_seed(0)
    plain = DTSH(16, FEATURES)
    nested = DTSH(16, FEATURES, nested=Nested((8, 16), weighting="equal", distillation=0.0))
    nested.load_state_dict(plain.state_dict())
    rows = batch()
    one, many = plain.compute_losses(rows), nested.compute_losses(rows)
    assert set(many) == {"loss_8", "loss_16", "quantization"}
    assert many["quantization"].item() == pytest.approx(one["quantization"].item())
    assert many["loss_16"].item() == pytest.approx(one["triplets"].item())


def test_regularisation_of_dpn_counts_once_because_outputs_are_shared():
    torch.manual_seed(0)
    nested = DPN(16, 4, FEATURES, regularization=0.5, nested=Nested((8, 16), weighting="equal", distillation=0.0))
    rows = batch()
    losses = nested.compute_losses(rows)
    assert set(losses) == {"loss_8", "loss_16", "regularization"}
    with torch.no_grad():
        assert losses["regularization"].item() == pytest.approx(0.5 * nested(rows).square().mean().item())


def test_weights_are_estimated_without_leaving_gradients_behind():
    model, rows = OrthoHash(16, 4, FEATURES, nested=Nested((8, 16))), batch()
    model.compute_losses(rows)
    assert all(p.grad is None for p in model.parameters())


def test_a_shorter_code_is_a_slice_of_the_stored_bytes():
    model, rows = OrthoHash(32, 4, FEATURES, nested=NESTED), batch()
    codes = model.encode(rows)
    for length in NESTED.lengths:
        sliced = BinaryCodes(codes.packed[:, : length // 8], length)
        assert sliced == codes.prefix(length)
        rest = BinaryCodes(codes.packed[:, length // 8 :], 32 - length) if length < 32 else None
        full = codes.hamming(codes)
        assert (full == sliced.hamming(sliced) + (rest.hamming(rest) if rest else 0)).all()


def test_nested_training_makes_the_short_prefix_good():
    from deephash.evaluation.metrics import mean_average_precision

    torch.manual_seed(0)
    model = OrthoHash(32, 8, FEATURES, optimizer=Optimizer(learning_rate=1e-2), nested=NESTED)
    optimizer = torch.optim.Adam(model.parameters(), 1e-2)
    train, test = batch(128, 8), batch(64, 8, seed=5)
    for _ in range(40):
        optimizer.zero_grad()
        sum(model.compute_losses(train).values()).backward()
        optimizer.step()
    query, database = model.encode(test).prefix(8), model.encode(train).prefix(8)
    labels = {"query_labels": test["labels"].numpy(), "database_labels": train["labels"].numpy()}
    assert mean_average_precision(query, database, **labels) > 0.9
