import pytest
import torch

from deephash.errors import UsageError
from deephash.models import DPN
from deephash.models.dpn import polarization_loss
from deephash.objectives.labels import multi_hot
from deephash.testing.methods import HashModelContract
from tests.image_methods_toy import CODES, FEATURES, LABELS, TARGETS, batch


def naive(codes, targets, labels, margin):
    total = 0.0
    for row, positive in zip(codes.tolist(), labels.tolist()):
        for target, chosen in zip(targets.tolist(), positive):
            total += chosen * sum(max(0.0, margin - u * t) for u, t in zip(row, target))
    return total / len(codes)


def test_golden_value():
    assert polarization_loss(CODES.double(), TARGETS, multi_hot(LABELS, 2)).item() == pytest.approx(4.45, abs=1e-6)


def test_loss_equals_the_loop_with_several_labels():
    labels = torch.tensor([[1.0, 1.0], [1.0, 0.0], [0.0, 1.0]])
    for margin in (0.5, 1.0):
        loss = polarization_loss(CODES, TARGETS, labels, margin).item()
        assert loss == pytest.approx(naive(CODES, TARGETS, labels, margin), abs=1e-6)


def test_loss_vanishes_beyond_the_margin():
    assert polarization_loss(1.5 * TARGETS, TARGETS, torch.eye(2)).item() == 0


def test_a_margin_of_zero_is_refused():
    with pytest.raises(UsageError, match="margin of DPN is positive"):
        DPN(8, 4, FEATURES, margin=0)


def test_mean_reduction_is_smaller_by_the_length_and_regularisation_is_optional():
    rows, total, mean = batch(), DPN(8, 4, FEATURES), DPN(8, 4, FEATURES, reduction="mean", regularization=0.001)
    mean.load_state_dict(total.state_dict())
    losses = mean.compute_losses(rows)
    assert losses["polarization"].item() == pytest.approx(total.compute_losses(rows)["polarization"].item() / 8)
    assert losses["regularization"].item() == pytest.approx(0.001 * mean(rows).square().mean().item())


def test_updated_targets_are_signs_of_class_means_and_a_class_without_pictures_keeps_its_own():
    model, rows = DPN(8, 5, FEATURES, update_targets_every=1), batch()  # the toy has classes 0..3, the model 5
    before = model.targets.clone()
    model.compute_losses(rows)
    model.on_train_epoch_end()
    with torch.no_grad():
        means = torch.stack([model(rows)[rows["labels"] == label].mean(0) for label in range(4)])
    assert torch.equal(model.targets[:4], torch.where(means >= 0, 1.0, -1.0))
    assert torch.equal(model.targets[4], before[4])


def test_an_epoch_without_labelled_rows_keeps_the_targets_and_keeps_no_other_process_waiting(monkeypatch):
    model = DPN(8, 4, FEATURES, update_targets_every=1)
    before, reduced = model.targets.clone(), []
    monkeypatch.setattr("deephash.models.dpn.num_processes", lambda: 2)
    monkeypatch.setattr("deephash.models.dpn.dist.all_reduce", reduced.append)
    model.on_train_epoch_end()
    assert torch.equal(model.targets, before)
    assert [sums.shape for sums in reduced] == [(4, 8)]


def test_targets_stay_without_an_update():
    model, rows = DPN(8, 4, FEATURES), batch()
    before = model.targets.clone()
    model.compute_losses(rows)
    model.on_train_epoch_end()
    assert torch.equal(model.targets, before)


class TestDPN(HashModelContract):
    def make_model(self, num_bits):
        return DPN(num_bits, 2, FEATURES)

    def make_inputs(self, num_items):
        return {"image_features": batch(num_items)["image_features"]}
