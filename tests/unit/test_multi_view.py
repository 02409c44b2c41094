"""Multi-view hashing inspired by D-MVE-Hash (d_mve_hash.md, 3, 6 and 10): losses, memory, weights, bad views."""

import logging
import math

import numpy as np
import pytest
import torch

from deephash.backbones import Backbone
from deephash.codes import BinaryCodes
from deephash.errors import UsageError
from deephash.evaluation.metrics import mean_average_precision
from deephash.models import MultiViewEnhancementHash, load_model
from deephash.objectives.multi_view import memory_loss, multi_view_losses, pair_loss, view_loss
from deephash.testing.methods import HashModelContract

VIEWS = {"clear": 12, "noise": 10}
FUSIONS = ("replicate", "viewcode", "probpool")


def toy(rows=240, seed=0, classes=4):
    """Pictures' features, a clear view and a view of noise, in classes whose means do not depend on the seed."""
    draw, fixed = torch.Generator().manual_seed(seed), torch.Generator().manual_seed(99)
    labels = torch.arange(rows) % classes
    image, clear = (torch.randn(classes, width, generator=fixed) for width in (9, 12))
    return {
        "image_features": 2 * image[labels] + torch.randn(rows, 9, generator=draw),
        "clear_features": 3 * clear[labels] + torch.randn(rows, 12, generator=draw),
        "noise_features": torch.randn(rows, 10, generator=draw),
        "labels": labels,
        "index": torch.arange(rows),
    }


def views_of(table):
    return {name: table[f"{name}_features"] for name in VIEWS}


def make(num_bits=16, **options):
    options = {"views": VIEWS, "hidden": 16, "memory_hidden": 32} | options
    return MultiViewEnhancementHash(num_bits, Backbone("features:9", None), **options)


def trained(epochs=40, table=None, **options):
    torch.manual_seed(0)
    model, table = make(**options), toy() if table is None else table
    model.prepare(views_of(table), table["labels"])
    optimizer = torch.optim.Adam(model.parameters(), 3e-3)
    for epoch in range(epochs):
        if 5 <= epoch < epochs // 2:
            model.refresh()
        for rows in torch.randperm(len(table["labels"])).split(60):
            loss = sum(model.compute_losses({name: column[rows] for name, column in table.items()}).values())
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    return model.eval()


@pytest.fixture(scope="module", params=FUSIONS)
def ready(request):
    return trained(fusion=request.param)


class TestMultiView(HashModelContract):
    def make_model(self, num_bits):
        return make(num_bits)

    def make_inputs(self, num_items):
        return {"image_features": toy(num_items)["image_features"]}


# Losses against loops


def loss_by_hand(codes, labels):
    pairs = [(i, j) for i in range(len(codes)) for j in range(len(codes))]
    same = sum(labels[i] == labels[j] for i, j in pairs)
    total = 0.0
    for i, j in pairs:
        theta = max(-50.0, min(50.0, 0.5 * sum(a * b for a, b in zip(codes[i].tolist(), codes[j].tolist()))))
        alike = labels[i] == labels[j]
        total += len(pairs) / (same if alike else len(pairs) - same) * (math.log1p(math.exp(theta)) - alike * theta)
    return total / len(pairs)


@pytest.mark.parametrize("scale", [1.0, 9.0])
def test_pair_loss_is_that_of_the_loop(scale):
    codes = scale * torch.randn(6, 8, generator=torch.Generator().manual_seed(0), dtype=torch.double)
    labels = [0, 0, 1, 2, 2, 1]
    similar = torch.tensor([[a == b for a in labels] for b in labels])
    assert float(pair_loss(codes, similar)) == pytest.approx(loss_by_hand(codes, labels))


def test_all_terms_are_those_of_loops():
    draw = torch.Generator().manual_seed(1)
    target, remembered = (2 * torch.rand(5, 6, generator=draw, dtype=torch.double) - 1 for _ in range(2))
    views, weights = 2 * torch.rand(5, 2, 4, generator=draw, dtype=torch.double) - 1, torch.tensor([0.7, 0.3])
    labels = [0, 1, 0, 1, 1]
    similar = torch.tensor([[a == b for a in labels] for b in labels])
    found = multi_view_losses(target, views, remembered, weights, similar, memory_weight=2.0)
    expected = {
        "pairs": loss_by_hand(target, labels),
        "views": 0.5 * (0.7 * loss_by_hand(views[:, 0], labels) + 0.3 * loss_by_hand(views[:, 1], labels)),
        "quantization": 0.1 * np.mean([(abs(v) - 1) ** 2 for v in target.flatten().tolist()]),
        "memory": 2 * np.mean([(a - b) ** 2 for a, b in zip(remembered.flatten().tolist(), target.flatten().tolist())]),
        "memory_pairs": loss_by_hand(remembered, labels),
    }
    assert {name: float(value) for name, value in found.items()} == pytest.approx(expected, rel=1e-6)


def test_no_gradient_flows_into_weights_nor_from_the_memory_into_its_target():
    target, remembered = torch.rand(4, 6, requires_grad=True), torch.rand(4, 6, requires_grad=True)
    memory_loss(remembered, target).backward()
    assert target.grad is None
    assert remembered.grad is not None
    weights, views = torch.tensor([0.5, 0.5], requires_grad=True), torch.rand(4, 2, 3, requires_grad=True)
    view_loss(views, weights, torch.eye(4, dtype=torch.bool)).backward()
    assert weights.grad is None
    assert views.grad is not None


def test_weights_and_relations_are_no_parameters(ready):
    assert not {"view_weights", "view_relation", "bit_view"} & {name for name, _ in ready.named_parameters()}
    assert not ready.view_weights.requires_grad


# Training


def test_the_memory_gives_the_fused_code_of_the_picture_alone(ready):
    table = toy()
    by_picture = ready.encode({"image_features": table["image_features"]})
    with_views = ready.encode_fused({name: table[name] for name in table if name.endswith("_features")})
    assert (by_picture.bits() == with_views.bits()).mean() >= 0.95


def test_noise_loses_weight_and_the_clear_view_gains(ready):
    facts = {each["view"]: each for each in ready.view_facts()}
    assert facts["noise"]["weight"] < 0.4 < 0.6 < facts["clear"]["weight"]
    assert sum(each["bits"] for each in facts.values()) == ready.view_bits
    assert facts["noise"]["bits"] < facts["clear"]["bits"]
    assert facts["clear"]["relation"]["clear"] == pytest.approx(1)


def test_a_view_of_noise_costs_the_fused_code_nothing(ready):
    table, query = toy(), toy(120, seed=5)

    def score(encode):
        return mean_average_precision(
            encode(query), encode(table), query_labels=query["labels"].numpy(), database_labels=table["labels"].numpy()
        )

    def alone(rows):
        views = [rows[f"{name}_features"] for name in VIEWS]
        return BinaryCodes.from_bits((ready.view_codes(views)[:, 0] >= 0).numpy())

    assert (
        score(lambda rows: ready.encode_fused({k: v for k, v in rows.items() if "features" in k}))
        >= score(alone) - 0.01
    )
    assert score(lambda rows: ready.encode({"image_features": rows["image_features"]})) > 0.9


def test_replicated_bits_are_counted_once_as_distinct():
    model = trained(fusion="replicate", view_width=2)
    clear = model.view_facts()[0]
    assert clear["distinct"] == 2 < clear["bits"]


def test_pooling_is_random_in_training_alone():
    model, table = make(fusion="probpool"), toy(16)
    model.prepare(views_of(table), table["labels"])
    drawn = [model.train()._step_places()[0].tolist() for _ in range(6)]
    assert len({tuple(each) for each in drawn}) > 1
    fixed = [model.eval()._step_places()[0].tolist() for _ in range(3)]
    assert fixed == [model.bit_view.tolist()] * 3
    other = make(fusion="probpool").train()
    other.prepare(views_of(table), table["labels"])
    assert [other._step_places()[0].tolist() for _ in range(6)] == drawn  # all processes draw alike


def test_weights_travel_with_the_model(ready, tmp_path):
    ready.save(tmp_path / "model")
    loaded = load_model(tmp_path / "model")
    assert loaded.view_facts() == ready.view_facts()
    inputs = {name: column for name, column in toy(8).items() if name.endswith("_features")}
    assert loaded.encode_fused(inputs) == ready.encode_fused(inputs)


def test_bits_of_a_missing_view_are_those_the_memory_expects(ready):
    table = toy(20)
    inputs = {name: table[name] for name in ("image_features", "noise_features")}
    codes, expected = ready.fused(inputs), ready({"image_features": table["image_features"]})
    lacking = torch.cat([torch.zeros(8, dtype=torch.bool), ready.bit_view == 0])
    assert torch.equal(codes[:, lacking], expected[:, lacking])
    whole = ready.fused(inputs | {"clear_features": table["clear_features"]})
    assert torch.equal(codes[:, ~lacking], whole[:, ~lacking])
    some = table["clear_features"].clone()
    some[3] = float("nan")
    mixed = ready.fused(inputs | {"clear_features": some})
    assert torch.equal(mixed[3], codes[3])
    torch.testing.assert_close(mixed[4], whole[4])


@torch.no_grad()
def test_unlabelled_rows_are_left_out():
    table = toy(24)
    model = make().eval()
    model.prepare(views_of(table), table["labels"])
    some = table["labels"].clone()
    some[::2] = -1
    kept = {name: column[1::2] for name, column in table.items()}
    found, expected = model.compute_losses(table | {"labels": some}), model.compute_losses(kept)
    assert {k: float(v) for k, v in found.items()} == pytest.approx({k: float(v) for k, v in expected.items()})
    nothing = model.compute_losses(table | {"labels": torch.full_like(some, -1)})
    assert list(nothing) == ["unlabelled_batch"]
    assert float(nothing["unlabelled_batch"]) == 0


def test_multi_hot_labels_weigh_the_views_as_class_numbers_do():
    table = toy()
    one, other = make(fusion="viewcode"), make(fusion="viewcode")
    other.load_state_dict(one.state_dict())
    one.prepare(views_of(table), table["labels"])
    other.prepare(views_of(table), torch.eye(4)[table["labels"]])
    one.refresh()
    other.refresh()
    assert one.view_facts() == other.view_facts()
    assert torch.equal(one.bit_column, other.bit_column)


# Bad input


@pytest.mark.parametrize(("bad", "says"), [(7.0, "same for every item"), (float("nan"), "NaN"), (None, "1 of 60 rows")])
def test_a_view_of_no_use_has_no_weight_and_a_warning(bad, says, caplog):
    table = toy(60)
    if bad is None:
        table["noise_features"][5, 2] = float("inf")
    else:
        table["noise_features"] = torch.full((60, 10), bad)
    model = make()
    with caplog.at_level(logging.WARNING):
        model.prepare(views_of(table), table["labels"])
    assert f"view noise has weight 0: " in caplog.text and says in caplog.text  # noqa: F541, PT018
    for _ in range(2):
        assert model.view_weights.tolist() == [1, 0]
        assert model.bit_view.tolist() == [0] * 8
        model.refresh()
    assert all(term.isfinite() for term in model.compute_losses(table).values())


def test_without_a_view_of_use_there_is_an_error():
    table = toy(30)
    with pytest.raises(UsageError, match="none of the views clear, noise is of use"):
        make().prepare({name: torch.ones(30, width) for name, width in VIEWS.items()}, table["labels"])


def test_a_column_that_never_changes_is_left_out():
    table = toy(60)
    table["clear_features"][:, 3] = 5e5
    model = make()
    model.prepare(views_of(table), table["labels"])
    assert model.view_encoders[0].scale[3] == 0
    assert (model.view_encoders[0].scale > 0).sum() == 11


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"views": {"hog": 512}}, "at least two views"),
        ({"views": {"hog": 512, "lbp": 0}}, "width of view 'lbp'"),
        ({"view_bits": 16}, "at most 15"),
        ({"view_bits": -1}, "view_bits"),
        ({"fusion": "mean"}, "replicate, viewcode or probpool"),
        ({"fusion": "probpool", "view_width": 3}, "at least 8"),
        ({"fusion": "viewcode", "view_width": 7}, "at least 8"),
        ({"view_width": 0}, "view_width"),
        ({"warm_up": -1}, "warm_up"),
        ({"settle": 1.5}, "settle"),
    ],
)
def test_wrong_arguments(options, says):
    with pytest.raises(UsageError, match=says):
        make(**options)


def test_views_that_do_not_fit_are_named():
    table = toy(12)
    with pytest.raises(UsageError, match=r"'clear' is \[12, 12\], and nothing"):
        make().prepare({"noise": table["noise_features"]}, table["labels"])
    with pytest.raises(UsageError, match=r"'noise' is \[12, 10\], and \[12, 9\]"):
        make().prepare({"clear": table["clear_features"], "noise": table["noise_features"][:, :9]}, table["labels"])
    with pytest.raises(UsageError, match="supervised"):
        make().prepare(views_of(table), None)
    with pytest.raises(UsageError, match="does not know the views"):
        make().compute_losses(table)
    with pytest.raises(UsageError, match="labels"):
        make().compute_losses({name: column for name, column in table.items() if name != "labels"})


def test_the_image_branch_alone_has_no_bits_of_views():
    model, table = make(view_bits=0), toy(20)
    model.prepare(views_of(table), table["labels"])
    model.refresh()
    assert all(term.isfinite() for term in model.compute_losses(table).values())
    assert [each["bits"] for each in model.view_facts()] == [0, 0]
    assert model.eval().fused({"image_features": table["image_features"]}).shape == (20, 16)
