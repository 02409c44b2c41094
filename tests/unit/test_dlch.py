"""DLCH: whose turn it is, what is kept between batches, what later phases need, and that they learn."""

import numpy as np
import pytest
import torch
from torch import nn

from deephash.backbones import Backbone
from deephash.errors import UsageError
from deephash.models import DLCH, load_model
from deephash.objectives.dlch import code_loss, label_similarity, network_step_losses, similarity_loss
from deephash.objectives.signs import sign
from deephash.testing.methods import HashModelContract
from tests.dlch_toy import PICTURES, TEXTS, alone, at, both, later, pairs
from tests.image_methods_toy import batch


def with_gradient(model):
    """Return the networks whose weights have a gradient."""
    found = [name for name, head in model.heads.items() if any(_moved(each) for each in head.parameters())]
    return found + (["label"] if any(_moved(each) for each in model.label_net.net.parameters()) else [])


def _moved(weight):
    return weight.grad is not None and bool(weight.grad.abs().sum())


# Turns ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("epoch", range(4))
def test_a_step_of_phase_one_touches_one_network(epoch, monkeypatch):
    model = at(both(), epoch, monkeypatch)
    sum(model.compute_losses(pairs()).values()).backward()
    assert with_gradient(model) == [("label", "image", "text")[epoch % 3]] == [model.turn]
    model = at(alone(), epoch, monkeypatch)
    sum(model.compute_losses(batch()).values()).backward()
    assert with_gradient(model) == [("label", "image")[epoch % 2]]


@pytest.mark.parametrize("epoch", range(3))
def test_a_step_of_a_later_phase_touches_one_network_and_never_the_label_net(epoch, monkeypatch):
    model = at(later(both(), pairs()), epoch, monkeypatch)
    sum(model.compute_losses(pairs()).values()).backward()
    assert with_gradient(model) == [("image", "text")[epoch % 2]]
    model = at(later(alone(), batch()), epoch, monkeypatch)
    sum(model.compute_losses(batch()).values()).backward()
    assert with_gradient(model) == ["image"]


def test_a_backbone_learns_in_its_own_turn_only(monkeypatch):
    cnn = Backbone("small_cnn:2", weights=None, frozen=False, image_size=8)
    model = at(DLCH(8, 4, cnn, TEXTS, text_hidden=(8,), label_hidden=8), 2, monkeypatch)
    rows = {**pairs(), "image": torch.rand(16, 3, 8, 8)}
    del rows["image_features"]
    sum(model.compute_losses(rows).values()).backward()
    assert not any(_moved(each) for each in model.encoders["image"].parameters())
    sum(at(model, 1, monkeypatch).compute_losses(rows).values()).backward()
    assert any(_moved(each) for each in model.encoders["image"].parameters())


# Buffers -------------------------------------------------------------------------------------------------


def test_the_batch_is_refreshed_before_it_is_compared(monkeypatch):
    model, rows = at(both(), 1, monkeypatch), pairs()
    first, second = ({key: value[part] for key, value in rows.items()} for part in (slice(8), slice(8, 16)))
    model.compute_losses(first)
    found = model.compute_losses(second)
    with torch.no_grad():
        outputs = model({"image_features": rows["image_features"]})
    held = model.memory.everything
    torch.testing.assert_close(held("image"), outputs)
    similar = label_similarity(rows["labels"][8:], rows["labels"])
    expected = network_step_losses(outputs[8:], outputs, held("label"), held("codes_image")[8:], similar)
    for name, term in expected.items():
        assert found[name].item() == pytest.approx(term.item(), rel=1e-5), name


def test_codes_follow_at_the_end_of_a_round():
    model = both()
    model.compute_losses(pairs())
    held = model.memory.everything
    before = held("codes_text").clone()
    model.first.renew_codes()
    assert torch.equal(held("codes_image"), sign(2 * held("image") + held("label")))
    assert torch.equal(held("codes_text"), sign(2 * held("text") + held("label")))
    assert not torch.equal(held("codes_text"), before)


def test_first_buffers_are_normal_and_their_codes_the_sign_of_the_sum():
    model = both()
    model.first.admit(torch.arange(400), torch.arange(400) % 4)
    held = model.memory.everything
    for name in ("label", "image", "text"):
        assert abs(float(held(name).mean())) < 0.1
        assert float(held(name).std()) == pytest.approx(1, abs=0.05)
    for name in ("image", "text"):
        assert torch.equal(held(f"codes_{name}"), sign(held(name) + held("label")))
    model.first.admit(torch.arange(500), torch.arange(500) % 4)  # those that are there stay as they are
    assert len(model.memory) == 500


def test_fine_tuning_begins_at_the_outputs_of_the_network_as_it_is():
    model, index = both(), torch.arange(5)
    model.first.admit(index, torch.arange(5) % 4)
    outputs = {
        name: torch.randn(5, 8, generator=torch.Generator().manual_seed(n)) for n, name in enumerate(model.encoders)
    }
    model.first.begin_at_outputs(index, outputs)
    held = model.memory.everything
    torch.testing.assert_close(held("label"), (outputs["image"] + outputs["text"]) / 2)
    for name, own in outputs.items():
        assert torch.equal(held(name), own)
        assert torch.equal(held(f"codes_{name}"), sign(2 * own + held("label")))


def test_buffers_and_label_net_travel_in_checkpoints_and_not_in_saved_models(tmp_path):
    model, checkpoint = both(), {"state_dict": {}}
    model.compute_losses(pairs())
    model.on_save_checkpoint(checkpoint)
    resumed = DLCH(8, 4, PICTURES, TEXTS, text_hidden=(16,), label_hidden=16)
    resumed.on_load_checkpoint(checkpoint)
    for name in ("label", "image", "text", "codes_image", "codes_text", "labels"):
        assert torch.equal(resumed.memory.everything(name), model.memory.everything(name))
    labels = torch.arange(4)
    assert torch.equal(resumed.label_net(labels), model.label_net(labels))
    model.save(tmp_path / "model")
    assert not any("label" in name or "memory" in name for name in load_model(tmp_path / "model").state_dict())


def test_rows_without_labels_are_left_out_of_all_and_lone_halves_of_the_other_network(monkeypatch):
    rows = pairs()
    rows["labels"][3] = -1
    rows |= {"has_image": torch.arange(16) < 14, "has_text": torch.arange(16) > 0}
    model = both()
    found = model.compute_losses(rows)
    held, known = model.memory.everything, [row for row in range(16) if row != 3]
    assert model.memory.numbers().tolist() == known
    labels, h = rows["labels"][known], held("label")
    similar = label_similarity(labels, labels)
    for name, there in (("image", [row < 14 for row in known]), ("text", [row > 0 for row in known])):
        own = torch.tensor(there)
        weight = 10 if name == "text" else 1
        expected = weight * similarity_loss(h, held(name)[own], similar[:, own])
        assert found[f"similarity_{name}"].item() == pytest.approx(expected.item(), rel=1e-5)
        expected = code_loss(h[own], held(f"codes_{name}")[own]) / 2
        assert found[f"quantization_{name}"].item() == pytest.approx(expected.item(), rel=1e-5)
    before = held("text").clone()
    at(model, 2, monkeypatch).compute_losses(rows)
    assert torch.equal(held("text")[0], before[0])  # of an item without a text
    assert not torch.equal(held("text")[1:], before[1:])
    nothing = rows | {"labels": torch.full((16,), -1)}
    assert {name: term.item() for name, term in model.compute_losses(nothing).items()} == {"unlabelled_batch": 0.0}
    with pytest.raises(UsageError, match="supervised"):
        model.compute_losses({key: value for key, value in rows.items() if key != "labels"})
    with pytest.raises(UsageError, match="run from"):
        model.compute_losses(rows | {"labels": torch.full((16,), 4)})


def test_a_batch_of_one_is_a_batch(monkeypatch):
    rows = {key: value[:1] for key, value in pairs().items()}
    for epoch in range(3):
        assert all(term.isfinite() for term in at(both(), epoch, monkeypatch).compute_losses(rows).values())
    model = at(later(both(), pairs()), 0, monkeypatch)
    assert all(term.isfinite() for term in model.compute_losses(rows).values())


@pytest.mark.parametrize("epoch", range(3))
def test_multi_hot_labels_give_the_losses_of_class_numbers(epoch, monkeypatch):
    rows, table = pairs(), torch.zeros(16, 4)
    table[torch.arange(16), rows["labels"]] = 1
    numbers = at(both(), epoch, monkeypatch).compute_losses(rows)
    hot = both().compute_losses(rows | {"labels": table})
    assert {key: term.item() for key, term in numbers.items()} == pytest.approx(
        {key: term.item() for key, term in hot.items()}, rel=1e-5
    )


# Presets and arguments -------------------------------------------------------------------------------------


class _Trainer:
    max_epochs, datamodule = 30, None


def test_the_release_descends_by_sgd_to_almost_nothing(monkeypatch):
    model = both(preset="release")
    monkeypatch.setattr(type(model), "trainer", _Trainer())
    built = model.configure_optimizers()
    optimizer, schedule = built["optimizer"], built["lr_scheduler"]["scheduler"]
    assert type(optimizer).__name__ == "SGD"
    assert {id(each) for group in optimizer.param_groups for each in group["params"]} >= {
        id(each) for each in model.label_net.net.parameters()
    }
    rates = []
    for _ in range(30):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step()
    assert rates == pytest.approx(np.repeat(np.linspace(1e-3, 1e-10, 11)[:10], 3).tolist())
    assert optimizer.param_groups[0]["lr"] == pytest.approx(1e-10, rel=1e-3)


def test_the_release_hardly_moves_later(monkeypatch):
    model = later(both(preset="release"), pairs())
    monkeypatch.setattr(type(model), "trainer", _Trainer())
    built = model.configure_optimizers()
    optimizer, schedule = built["optimizer"], built["lr_scheduler"]["scheduler"]
    rates = []
    for _ in range(5):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step()
    assert type(optimizer).__name__ == "Adam"
    assert rates == pytest.approx([1e-7, 1e-7, 0.95e-7, 0.95e-7, 0.95**2 * 1e-7])
    corrected = later(both(lifelong_rate=5e-4), pairs()).configure_optimizers()
    assert [group["lr"] for group in corrected.param_groups] == [5e-4]


def test_the_preset_reaches_the_later_losses(monkeypatch):
    assert both(preset="release").lifelong.preset == "release"
    assert both().lifelong.preset == "corrected"
    with pytest.raises(UsageError, match="did you mean 'release'"):
        both(preset="releas")


def test_heads_are_linear_unbounded_and_small_at_first():
    model = both()
    assert [type(layer) for layer in model.heads["image"]] == [nn.Linear]
    assert [type(layer) for layer in model.heads["text"]] == [nn.Linear, nn.ReLU, nn.Linear]
    assert both().heads["image"][0].weight.detach().std().item() == pytest.approx(0.01, rel=0.2)
    grown = model({"image_features": 1e6 * torch.ones(1, 24)})
    assert grown.abs().max() > 100


def test_features_are_brought_to_one_mean_and_scale():
    model = alone()
    table = 5 + 3 * torch.randn(500, 24, generator=torch.Generator().manual_seed(0))
    model.steady_on("image", table)
    steady = (table - model.image_mean) / model.image_scale
    assert float(steady.mean()) == pytest.approx(0, abs=1e-5)
    assert float(steady.square().mean()) == pytest.approx(1, rel=1e-5)


def test_one_modality_at_a_time():
    with pytest.raises(UsageError, match="never meets its partner"):
        both()(pairs())
    assert list(alone().encoders) == ["image"]


class TestDLCH(HashModelContract):
    def make_model(self, num_bits):
        return DLCH(num_bits, 4, PICTURES, label_hidden=8)

    def make_inputs(self, num_items):
        return {"image_features": batch(num_items)["image_features"]}


class TestDLCHByText(HashModelContract):
    def make_model(self, num_bits):
        return DLCH(num_bits, 4, PICTURES, TEXTS, text_hidden=(8,), label_hidden=8)

    def make_inputs(self, num_items):
        return {"text_features": pairs(num_items)["text_features"]}
