"""What HeadHashModel gives every gradient method: checked inputs, fp32 losses, saving."""

import pytest
import torch

from deephash.backbones import Backbone
from deephash.errors import UsageError
from deephash.models import (
    CSQ,
    DPN,
    DPSH,
    DTSH,
    SDC,
    BiHalf,
    CIBHash,
    GreedyHash,
    GreedyHashUnsupervised,
    HashNet,
    OrthoHash,
    load_model,
)
from tests.image_methods_toy import FEATURES, batch

SUPERVISED = {
    "OrthoHash": lambda backbone=FEATURES: OrthoHash(16, 4, backbone),
    "HashNet": lambda backbone=FEATURES: HashNet(16, backbone),
    "DPSH": lambda backbone=FEATURES: DPSH(16, backbone),
    "DTSH": lambda backbone=FEATURES: DTSH(16, backbone),
    "GreedyHash": lambda backbone=FEATURES: GreedyHash(16, 4, backbone),
    "CSQ": lambda backbone=FEATURES: CSQ(16, 4, backbone),
    "DPN": lambda backbone=FEATURES: DPN(16, 4, backbone),
}
UNSUPERVISED = {
    "GreedyHashUnsupervised": lambda backbone=FEATURES: GreedyHashUnsupervised(16, backbone),
    "BiHalf": lambda backbone=FEATURES: BiHalf(16, backbone),
    "CIBHash": lambda backbone=FEATURES: CIBHash(16, backbone, hidden=32),
    "SDC": lambda backbone=FEATURES: SDC(16, backbone),
    "SDC_simclr": lambda backbone=FEATURES: SDC(16, backbone, preset="release_simclr"),
}
ALL = SUPERVISED | UNSUPERVISED


def total(model, rows):
    return sum(model.compute_losses(rows).values())


@pytest.mark.parametrize("name", SUPERVISED)
def test_unlabelled_rows_are_left_out_and_counted(name):
    torch.manual_seed(0)
    model, rows = SUPERVISED[name](), batch(16)
    rows["labels"][8:] = -1
    before = rows["labels"].clone()
    labelled = {key: value[:8] for key, value in rows.items()}
    with torch.no_grad():
        model.eval()  # batch norm would see the unlabelled rows too
        loss = total(model, rows).item()
        assert model.unlabelled_rows == 8
        assert loss == pytest.approx(total(SUPERVISED_twin(name, model), labelled).item(), abs=1e-5)
    assert torch.equal(rows["labels"], before)


def SUPERVISED_twin(name, model):  # noqa: N802
    twin = SUPERVISED[name]()
    twin.load_state_dict(model.state_dict())
    return twin.eval()


@pytest.mark.parametrize("name", SUPERVISED)
def test_a_batch_without_any_label_teaches_nothing(name):
    model, rows = SUPERVISED[name](), batch(8)
    rows["labels"][:] = -1
    loss = total(model, rows)
    loss.backward()
    assert loss.item() == 0
    assert not any(p.grad is not None and p.grad.any() for p in model.parameters())


@pytest.mark.parametrize("name", SUPERVISED)
def test_several_labels_a_picture_give_a_finite_loss(name):
    model, rows = SUPERVISED[name](), batch(9)
    rows["labels"] = (torch.rand(9, 4, generator=torch.Generator().manual_seed(0)) > 0.5).to(torch.uint8)
    kept = rows["labels"].clone()
    loss = total(model, rows)
    loss.backward()
    assert loss.item() > 0
    assert torch.equal(rows["labels"], kept)


@pytest.mark.parametrize("name", SUPERVISED)
def test_without_labels_a_supervised_method_says_so(name):
    rows = {key: value for key, value in batch().items() if key != "labels"}
    with pytest.raises(UsageError, match="is supervised: batches need 'labels'"):
        SUPERVISED[name]().compute_losses(rows)


@pytest.mark.parametrize("name", ["OrthoHash", "GreedyHash", "CSQ", "DPN"])
def test_a_label_beyond_the_classes_is_refused(name):
    rows = batch()
    rows["labels"][3] = 4
    with pytest.raises(UsageError, match="class numbers run from 0 to 3"):
        SUPERVISED[name]().compute_losses(rows)


@pytest.mark.parametrize("name", ["OrthoHash", "GreedyHash", "CSQ", "DPN"])
def test_a_negative_label_other_than_unlabelled_is_refused(name):
    rows = batch()
    rows["labels"][3] = -2
    with pytest.raises(UsageError, match="-1 means unlabelled"):
        SUPERVISED[name]().compute_losses(rows)


@pytest.mark.parametrize("name", SUPERVISED)
def test_a_class_without_images_changes_nothing_for_the_others(name):
    torch.manual_seed(0)
    model, rows = SUPERVISED[name](), batch()
    rows["labels"] = torch.where(rows["labels"] == 2, 0, rows["labels"])
    optimizer = torch.optim.Adam(model.parameters(), 1e-2)
    before = total(model, rows).item()
    for _ in range(20):
        optimizer.zero_grad()
        total(model, rows).backward()
        optimizer.step()
    assert total(model, rows).item() < before
    assert all(torch.isfinite(parameter).all() for parameter in model.parameters())


@pytest.mark.parametrize("name", SUPERVISED)
def test_a_batch_of_one_class_is_finite(name):
    model, rows = SUPERVISED[name](), batch()
    rows["labels"][:] = 1
    loss = total(model, rows)
    loss.backward()
    assert torch.isfinite(loss)
    assert all(torch.isfinite(p.grad).all() for p in model.parameters() if p.grad is not None)


@pytest.mark.parametrize("make", [OrthoHash, CSQ, DPN])
def test_fewer_bits_than_the_classes_need_are_refused(make):
    with pytest.raises(UsageError, match="distinct centres with 3 bits; use at least 4"):
        make(3, 9, FEATURES)


@pytest.mark.parametrize("make", [lambda: OrthoHash(48, 9, FEATURES, targets="hadamard"), lambda: CSQ(48, 9, FEATURES)])
def test_hadamard_without_a_power_of_two_names_what_would_do(make):
    with pytest.raises(UsageError, match="power of two as num_bits, not 48; use 32 or 64, or bernoulli or maxhd"):
        make()


@pytest.mark.parametrize("name", ALL)
def test_nan_features_are_refused_in_training_and_encoding(name):
    model, rows = ALL[name](), batch()
    rows["image_features"][5, 2] = float("nan")
    with pytest.raises(UsageError, match="features hold NaN or infinity"):
        model.compute_losses(rows)
    with pytest.raises(UsageError, match="NaN"):
        model.encode(rows)


@pytest.mark.parametrize("name", ALL)
def test_an_odd_last_batch_works(name):
    loss = total(ALL[name](), batch(7))
    loss.backward()
    assert torch.isfinite(loss)


@pytest.mark.parametrize("name", ALL)
def test_a_batch_of_one_works_or_names_the_remedy(name):
    model, rows = ALL[name](), batch(1)
    if name in ("GreedyHash", "CSQ", "DPN"):
        assert torch.isfinite(total(model, rows))
    else:
        with pytest.raises(UsageError, match="at least 2 rows in a training batch, not 1"):
            model.compute_losses(rows)
    assert len(model.encode(rows)) == 1


@pytest.mark.parametrize("name", ALL)
def test_losses_are_float32_under_mixed_precision(name):
    model, rows = ALL[name](), batch()
    with torch.autocast("cpu", torch.bfloat16):
        losses = model.compute_losses(rows)
    assert {value.dtype for value in losses.values()} == {torch.float32}


@pytest.mark.parametrize("name", ALL)
def test_a_saved_model_gives_the_same_codes(name, tmp_path):
    model, rows = ALL[name](), batch()
    model.save(tmp_path / "model")
    again = load_model(tmp_path / "model")
    assert again.fingerprint() == model.fingerprint()
    assert again.encode(rows) == model.encode(rows)


@pytest.mark.parametrize("name", ["CIBHash", "SDC_simclr"])
def test_raw_pictures_are_augmented_into_two_views(name):
    torch.manual_seed(0)
    backbone = Backbone("small_cnn:8", weights=None, frozen=False, image_size=32)
    model = UNSUPERVISED[name](backbone)
    rows = {"image": torch.rand(4, 3, 32, 32), "index": torch.arange(4)}
    first, second = model.views(rows).chunk(2)
    assert not torch.equal(first, second)
    total(model, rows).backward()
    assert all(p.grad is not None for p in model.encoders.parameters())


def test_views_of_sdc_are_always_blurred_and_those_of_cibhash_half_of_the_time(monkeypatch):
    chances = []
    monkeypatch.setattr("deephash.models.views.PictureViews", lambda model, blur: chances.append(blur) or (lambda x: x))
    backbone = Backbone("small_cnn:8", weights=None, frozen=False, image_size=32)
    for name in ("SDC_simclr", "CIBHash"):
        UNSUPERVISED[name](backbone).views({"image": torch.rand(2, 3, 32, 32)})
    assert chances == [1.0, 0.5]


def test_views_of_nothing_are_refused():
    with pytest.raises(UsageError, match="two views need 'image' or 'image_features'"):
        CIBHash(8, FEATURES).compute_losses({"index": torch.arange(4)})
