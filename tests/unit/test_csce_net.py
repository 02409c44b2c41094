import math

import pytest
import torch

from deephash.backbones import Backbone
from deephash.errors import UsageError
from deephash.models import CSCENet
from deephash.models.csce_layers import (
    ASPP,
    CrossScaleEmbedding,
    SlidingWindows,
    coded_projection,
    exact_projection,
    num_windows,
)
from deephash.models.csce_net import dynamic_sign, elastic_margins, trainable_dynamic_sign
from deephash.objectives.margin_softmax import cosines, margin_softmax
from deephash.testing.methods import HashModelContract
from tests.image_methods_toy import FEATURES

SMALL = Backbone("timm-stages:test_resnet", weights=None, image_size=128, frozen=False)


def pictures(rows=4):
    generator = torch.Generator().manual_seed(0)
    return {
        "image": torch.randn(rows, 3, 128, 128, generator=generator),
        "labels": torch.arange(rows) % 4,
        "index": torch.arange(rows),
    }


# Shapes --------------------------------------------------------------------------------------------


def test_windows_are_counted_from_the_map():
    assert num_windows(7, 7) == 52
    assert num_windows(8, 8) == 74
    with pytest.raises(UsageError, match="only 3 x 3; raise image_size"):
        num_windows(3, 3)


def test_shapes_of_the_paper():
    windows = SlidingWindows(32, 1024)
    assert [layer.out_channels for layer in windows.projections] == [256, 64]
    assert windows(torch.randn(2, 32, 7, 7)).shape == (2, 1024, 52)
    joined = CrossScaleEmbedding(((64, 14, 14), (32, 7, 7)), 1024, aspp=False, projection="coded")
    assert joined(torch.randn(2, 64, 14, 14), torch.randn(2, 32, 7, 7)).shape == (2, 2048)
    assert ASPP(32)(torch.randn(2, 32, 6, 6)).shape == (2, 32, 6, 6)


def test_added_parameters_are_those_of_the_release():
    shapes = ((1024, 14, 14), (2048, 7, 7))
    embedding = CrossScaleEmbedding(shapes, 1024, aspp=False, projection="coded")
    heads = (2048 + 1) * 64 + (2048 + 1)
    assert sum(p.numel() for p in embedding.parameters()) + heads == 1_841_591


# AIE -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("project", [coded_projection, exact_projection])
def test_with_one_window_the_residual_is_orthogonal_to_it(project):
    generator = torch.Generator().manual_seed(0)
    local, window = torch.randn(2, 8, 5, generator=generator), torch.randn(2, 8, 1, generator=generator)
    residual = local - project(local, window)
    assert (residual.transpose(1, 2) @ window).abs().max().item() < 1e-4


def test_with_many_windows_only_the_exact_projection_removes_their_span():
    generator = torch.Generator().manual_seed(0)
    local, windows = torch.randn(2, 16, 5, generator=generator), torch.randn(2, 16, 6, generator=generator)
    exact, coded = exact_projection(local, windows), coded_projection(local, windows)
    assert (windows.transpose(1, 2) @ (local - exact)).abs().max().item() < 1e-3
    assert (windows.transpose(1, 2) @ (local - coded)).abs().max().item() > 1
    assert (coded.flatten(1).norm(dim=1) <= local.flatten(1).norm(dim=1)).all()


# Dynamic sign --------------------------------------------------------------------------------------

NEAR_ZERO = torch.tensor([[0.005, -0.005, 0.5, -0.5]])


def test_dynamic_sign_fills_near_zero_bits_towards_balance():
    assert dynamic_sign(NEAR_ZERO, torch.tensor([[0.01]]), 2).tolist() == [[1, 1, 1, -1]]
    crowded = torch.tensor([[0.005, 0.4, 0.5, -0.5]])  # three positive: the near one goes to -1
    assert dynamic_sign(crowded, torch.tensor([[0.01]]), 2).tolist() == [[-1, 1, 1, -1]]


@pytest.mark.parametrize("threshold", [0.0, -0.01])
def test_no_threshold_is_the_plain_sign_and_zero_is_positive(threshold):
    values = torch.tensor([[0.0, -0.005, 0.005, -1.0]])
    assert dynamic_sign(values, torch.tensor([[threshold]]), 2).tolist() == [[1, -1, 1, -1]]


def test_trainable_dynamic_sign_passes_gradients_to_values_and_threshold():
    values, threshold = NEAR_ZERO.clone().requires_grad_(), torch.tensor([[0.01]], requires_grad=True)
    out = trainable_dynamic_sign(values, threshold, 2)
    assert torch.allclose(out, dynamic_sign(NEAR_ZERO, torch.tensor([[0.01]]), 2))
    out.sum().backward()
    assert torch.equal(values.grad, torch.ones(1, 4))
    assert threshold.grad.item() > 0  # raising the threshold flips the second bit to +1


# Losses --------------------------------------------------------------------------------------------


def test_margin_loss_closed_forms():
    options = {"margin": 0.15, "scale": 10.0, "kind": "arc"}
    label = torch.tensor([0])
    zero = margin_softmax(torch.zeros(1, 100), label, **options).item()
    at_centre = margin_softmax(torch.eye(100)[:1], label, **options).item()
    assert zero == pytest.approx(math.log(1 + 99 * math.exp(10 * math.sin(0.15))), abs=1e-4)
    assert zero == pytest.approx(6.0918, abs=1e-4)
    assert at_centre == pytest.approx(0.0050, abs=1e-4)


def test_margins_differ_by_row_only_while_training_and_for_single_labels():
    margins = elastic_margins(10_000, 0.15, 0.125, torch.device("cpu"))
    assert (margins.mean().item(), margins.std().item()) == pytest.approx((0.15, 0.125), abs=0.01)
    model, rows = CSCENet(8, 4, SMALL, width=32), pictures()
    codes, features = torch.randn(4, 8), torch.randn(4, 64)
    twice = [model.code_losses(codes, features, rows)["margin"].item() for _ in range(2)]
    assert twice[0] != twice[1]
    rows["labels"] = torch.eye(4)
    several = [model.code_losses(codes, features, rows)["margin"].item() for _ in range(2)]
    calm = model.eval().code_losses(codes, features, pictures())["margin"].item()
    assert several[0] == several[1] == pytest.approx(calm, abs=1e-6)


def test_without_elastic_noise_the_loss_is_that_of_orthoarc():
    model, rows = CSCENet(8, 4, SMALL, margin_deviation=0.0, width=32), pictures()
    codes, features = torch.randn(4, 8), torch.randn(4, 64)
    arc = margin_softmax(cosines(codes, model.centres), rows["labels"], margin=0.15, scale=10.0, kind="arc")
    assert model.train().code_losses(codes, features, rows)["margin"].item() == pytest.approx(arc.item(), abs=1e-6)


def test_quantisation_vanishes_beyond_half():
    model, features = CSCENet(8, 4, SMALL, preset="release"), torch.zeros(4, 2 * 192)
    codes = torch.where(torch.randn(4, 8) >= 0, 1.0, -1.0) * (0.5 + torch.rand(4, 8))
    assert model.code_losses(codes, features, pictures())["quantization"].item() == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize(("preset", "learns"), [("paper", True), ("release", False)])
def test_only_the_paper_preset_trains_its_threshold(preset, learns):
    torch.manual_seed(0)
    model = CSCENet(16, 4, SMALL, preset=preset)
    losses = model.compute_losses(pictures())
    sum(losses.values()).backward()
    gradient = model.threshold.weight.grad
    assert (gradient is not None and bool(gradient.abs().sum() > 0)) is learns
    assert isinstance(model.embedding.context, ASPP) is learns
    assert model.thresholds(model.embed(pictures())).abs().max() <= 0.01


# Model ---------------------------------------------------------------------------------------------


def test_bits_follow_the_dynamic_sign_and_not_the_plain_one():
    torch.manual_seed(0)
    model = CSCENet(16, 4, SMALL).eval()
    with torch.no_grad():
        model.head.weight.mul_(0.001)
        model.head.bias.zero_()
        model.threshold.bias.fill_(5.0)  # t = tau: every entry is within the band
        inputs = {"image": pictures()["image"]}
        positive = (model(inputs) > 0).sum(dim=1)
        assert torch.equal(model.bits(inputs), (positive <= 8)[:, None].expand(-1, 16))


def test_cached_stage_maps_give_the_codes_of_the_pictures():
    model = CSCENet(16, 4, SMALL).eval()
    with torch.no_grad():
        cached = model.features({"image": pictures()["image"]})
    assert cached.shape == (4, 192 * 64 + 96 * 16)
    assert model.encode({"image_features": cached}) == model.encode({"image": pictures()["image"]})


def test_other_backbones_and_maps_of_another_size_are_refused():
    with pytest.raises(UsageError, match="timm-stages:NAME, not 'features:24'"):
        CSCENet(8, 4, FEATURES)
    with pytest.raises(UsageError, match="cache the features with this backbone"):
        CSCENet(8, 4, SMALL)({"image_features": torch.zeros(2, 10)})
    with pytest.raises(UsageError, match="multiple of 16, not 40"):
        CSCENet(8, 4, SMALL, width=40)


@pytest.mark.parametrize("preset", ["paper", "release"])
def test_nested_prefixes_learn_and_only_they_do(preset):
    torch.manual_seed(0)
    model = CSCENet(32, 4, SMALL, width=32, preset=preset, nested=[8, 16, 32])
    with torch.no_grad():
        rows = pictures() | {"image_features": model.eval().features(pictures())}
    model.train()
    losses = model.compute_losses(rows)
    assert set(losses) == {"loss_8", "loss_16", "loss_32", "quantization", "distillation"}
    sum(losses.values()).backward()
    assert (model.head.weight.grad.abs().sum(dim=1) > 0).all()
    features = model.views(rows)
    short = model.code_losses(model.head(features)[:, :8], features, rows)["margin"]
    gradient = torch.autograd.grad(short, model.head.weight)[0]
    assert gradient[:8].any()
    assert not gradient[8:].any()
    model.eval()
    assert model.encode(rows).prefix(8).num_bits == 8


def test_two_classes_of_eight_pictures_are_learned_by_heart():
    torch.manual_seed(0)
    model = CSCENet(8, 2, SMALL, width=32, preset="release")
    rows = pictures(16)
    rows["labels"] = torch.arange(16) % 2
    rows["image"][::2] += 0.5
    with torch.no_grad():
        cached = rows | {"image_features": model.eval().features(rows)}
    model.train()
    optimizer = torch.optim.RMSprop([p for n, p in model.named_parameters() if not n.startswith("encoders")], 1e-4)
    for _ in range(60):
        optimizer.zero_grad()
        sum(model.compute_losses(cached).values()).backward()
        optimizer.step()
    signs = torch.where(model.eval()(cached) >= 0, 1.0, -1.0)
    assert torch.equal((signs @ model.centres.T).argmax(dim=1), rows["labels"])


class TestCSCENet(HashModelContract):
    lengths = (1, 12, 16)

    def make_model(self, num_bits):
        return CSCENet(num_bits, 2, SMALL, centres="bernoulli", width=32)

    def make_inputs(self, num_items):
        return {"image": pictures(num_items)["image"]}
