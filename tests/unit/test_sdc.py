import pytest
import torch
from scipy import stats

from deephash.errors import UsageError
from deephash.models import SDC
from deephash.models.sdc import PRESETS, TargetLaw, calibration_loss, pair_cosines, target_quantiles
from deephash.objectives.quantization import cosine_quantization
from deephash.testing.methods import HashModelContract
from tests.image_methods_toy import FEATURES, batch

X = torch.tensor([[1.0, 0, 0], [0, 1, 0], [1, 1, 0], [1, 0.2, 0.1]])
V = torch.tensor([[0.5, -1, 2, -0.25], [1, 1, -1, 0.5], [-0.5, 0.2, 0.3, -2], [0.1, 0.9, -1.2, 0.4]])


def test_quantiles_golden_values():
    q = target_quantiles(32)
    assert q[:4].tolist() == pytest.approx([-0.6207, -0.5053, -0.4363, -0.3833], abs=5e-5)
    assert (q[-1].item(), q.mean().item()) == pytest.approx((0.6207, 0), abs=5e-5)
    assert q.std(unbiased=False).item() == pytest.approx(0.2983, abs=5e-5)
    assert target_quantiles(8)[:4].tolist() == pytest.approx([-0.4679, -0.2817, -0.1575, -0.0510], abs=5e-5)
    assert target_quantiles(2).tolist() == pytest.approx([-0.2161, 0.2161], abs=5e-5)


def test_quantiles_are_antisymmetric_and_computed_once():
    assert torch.allclose(target_quantiles(31), -target_quantiles(31).flip(0), atol=1e-6)
    assert target_quantiles(31) is target_quantiles(31)


def test_laws_have_the_stated_spread():
    wide = target_quantiles(4000, TargetLaw(a=1, b=1))
    assert wide.std().item() == pytest.approx(0.577, abs=1e-3)
    gaussian = target_quantiles(64, TargetLaw("gaussian"))
    assert gaussian[10].item() == pytest.approx(0.3 * stats.norm.ppf(21 / 128), abs=1e-6)
    assert target_quantiles(64, TargetLaw("gaussian", sigma=5.0)).abs().max() == 1
    with pytest.raises(UsageError, match="positive"):
        TargetLaw(a=0)


def test_fixed_example():
    h, t = pair_cosines(V.double(), X.double())
    assert t.tolist() == pytest.approx([0.7071, 0.1952], abs=5e-5)
    assert h.tolist() == pytest.approx([0.1347, 0.8558], abs=5e-5)
    assert calibration_loss(h, t, target_quantiles(2)).item() == pytest.approx(0.576587, abs=1e-6)
    assert cosine_quantization(V.double()).item() == pytest.approx(0.165847, abs=1e-6)


def test_loss_is_zero_where_codes_follow_the_law_in_feature_order():
    t = torch.tensor([0.9, 0.1, 0.5, 0.3])
    q = target_quantiles(4)
    h = q[t.argsort().argsort()]
    assert calibration_loss(h, t, q).item() == 0
    assert calibration_loss(h, -t, q).item() > 0.1  # the same values in another order: sorting h would not notice


def test_loss_keeps_under_scaling_permutation_and_monotone_transforms():
    generator = torch.Generator().manual_seed(0)
    x, v = torch.randn(16, 6, generator=generator), torch.randn(16, 8, generator=generator)
    scale = torch.rand(16, 1, generator=generator) + 0.5
    h, t = pair_cosines(v, x)
    q, order = target_quantiles(8), torch.randperm(8, generator=generator)
    loss = calibration_loss(h, t, q).item()
    assert calibration_loss(*pair_cosines(v * scale, x * scale), q).item() == pytest.approx(loss, abs=1e-6)
    assert calibration_loss(h[order], t[order], q).item() == pytest.approx(loss, abs=1e-6)
    assert calibration_loss(h, torch.exp(3 * t), q).item() == pytest.approx(loss, abs=1e-6)


def test_no_gradient_reaches_the_features():
    x, v = X.clone().requires_grad_(), V.clone().requires_grad_()
    calibration_loss(*pair_cosines(v, x), target_quantiles(2)).backward()
    assert x.grad is None
    assert v.grad.abs().sum() > 0


def test_presets_keep_paper_and_release_apart():
    assert [PRESETS[name].weight_decay for name in PRESETS] == [5e-4, 1e-5, 1e-5]
    paper, release = SDC(8, FEATURES, preset="paper"), SDC(8, FEATURES)
    assert (paper.head[0].out_features, release.head[0].out_features) == (4096, 24)
    assert (paper.num_views, SDC(8, FEATURES, preset="release_simclr").num_views) == (1, 2)
    assert type(SDC(8, FEATURES, head="linear").head[0]).__name__ == "Linear"
    assert len(SDC(8, FEATURES, head="linear").head) == 2


def two_view_losses(preset, **options):
    torch.manual_seed(0)
    model, rows = SDC(8, FEATURES, preset=preset, **options), batch(9)
    rows["image_view_features"] = batch(9, seed=1)["image_features"]
    features = model.views(rows)
    codes = model.head(features)
    return codes, features, model.code_losses(codes, features, rows)


def test_release_simclr_calibrates_within_each_view_and_clips_targets():
    v, x, losses = two_view_losses("release_simclr")
    pairs = [pair_cosines(each, own) for each, own in zip(v.chunk(2), x.chunk(2))]  # 9 rows: 4 pairs a view
    h, t = (torch.cat([pair[part] for pair in pairs]) for part in (0, 1))
    q = target_quantiles(8).clamp(min=0)
    assert not q[:4].any()
    assert losses["calibration"].item() == pytest.approx(calibration_loss(h, t, q).item(), abs=1e-6)
    assert losses["quantization"].item() == pytest.approx(cosine_quantization(v).item(), abs=1e-6)
    assert losses["contrast"].item() > 0


def test_paper_with_contrast_calibrates_the_first_view_only():
    v, x, losses = two_view_losses("paper", contrast_weight=1.0)
    first = calibration_loss(*pair_cosines(v[:9], x[:9]), target_quantiles(4))
    assert losses["calibration"].item() == pytest.approx(first.item(), abs=1e-6)
    assert losses["quantization"].item() == pytest.approx(cosine_quantization(v[:9]).item(), abs=1e-6)


def toy_code_cosines(shift, calibrate):
    torch.manual_seed(0)
    means = torch.randn(10, 64) + shift
    x = (means.repeat(100, 1) + 2 * torch.randn(1000, 64))[torch.randperm(1000)]
    linear = torch.nn.Linear
    head = torch.nn.Sequential(linear(64, 128), torch.nn.GELU(), linear(128, 32), torch.nn.BatchNorm1d(32))
    optimizer = torch.optim.Adam(head.parameters(), 3e-3, weight_decay=1e-5)
    for _ in range(300):
        rows = x[torch.randperm(1000)[:64]]
        codes = head(rows)
        h, t = pair_cosines(codes, rows)
        fit = calibration_loss(h, t, target_quantiles(32)) if calibrate else (h - t).abs().mean()
        optimizer.zero_grad()
        (fit + cosine_quantization(codes)).backward()
        optimizer.step()
    return pair_cosines(torch.where(head.eval()(x) >= 0, 1.0, -1.0), x)[0]


def test_calibration_spreads_code_cosines_that_reconstruction_leaves_biased():
    calibrated, copied = toy_code_cosines(2.0, True), toy_code_cosines(2.0, False)
    assert abs(calibrated.mean().item()) < 0.1
    assert calibrated.std().item() >= 0.2
    assert copied.mean().item() > 0.3


class TestSDC(HashModelContract):
    def make_model(self, num_bits):
        return SDC(num_bits, FEATURES)

    def make_inputs(self, num_items):
        return {"image_features": batch(num_items)["image_features"]}
