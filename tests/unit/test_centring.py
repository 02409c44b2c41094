"""The training mean taken off frozen features: estimated once, saved, used in training and at test."""

import logging

import pytest
import torch
from lightning import LightningDataModule, Trainer

from deephash.data.batch import SlicedBatches
from deephash.errors import UsageError
from deephash.models import CSQ, DPN, DPSH, DTSH, BiHalf, GreedyHash, GreedyHashUnsupervised, HashNet, load_model
from deephash.training.fitting import quiet_lightning
from tests.image_methods_toy import FEATURES, batch

CENTRED = {
    "HashNet": lambda centre: HashNet(16, FEATURES, centre=centre),
    "DPSH": lambda centre: DPSH(16, FEATURES, centre=centre),
    "DTSH": lambda centre: DTSH(16, FEATURES, centre=centre),
    "GreedyHash": lambda centre: GreedyHash(16, 4, FEATURES, centre=centre),
    "GreedyHashUnsupervised": lambda centre: GreedyHashUnsupervised(16, FEATURES, centre=centre),
    "CSQ": lambda centre: CSQ(16, 4, FEATURES, centre=centre),
    "DPN": lambda centre: DPN(16, 4, FEATURES, centre=centre),
    "BiHalf": lambda centre: BiHalf(16, FEATURES, centre=centre),
}


class Split:
    def __init__(self, features):
        self.features = {"image": features}


class Data(LightningDataModule):
    """A training split with cached features, as a HashDataModule has it."""

    def __init__(self, rows):
        super().__init__()
        self.rows = rows
        self.splits = {"train": Split(rows["image_features"])}

    def train_dataloader(self):
        return SlicedBatches(self.rows, 8, shuffle=False, drop_last=True)


def non_negative(rows=16):
    table = batch(rows)
    return table | {"image_features": table["image_features"].relu() + 1}


def fit(model, data):
    options = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False}
    with quiet_lightning():
        trainer = Trainer(max_steps=1, accelerator="cpu", enable_model_summary=False, **options)
        given = {"datamodule": data} if isinstance(data, LightningDataModule) else {"train_dataloaders": data}
        trainer.fit(model, **given)


@pytest.mark.parametrize("name", CENTRED)
def test_losses_and_codes_are_those_of_features_without_their_mean(name):
    torch.manual_seed(0)
    centred, off = CENTRED[name](True), CENTRED[name](False)
    off.load_state_dict(centred.state_dict(), strict=False)
    rows = non_negative()
    mean = rows["image_features"].mean(dim=0)
    centred.centre_on(rows["image_features"])
    torch.testing.assert_close(centred.feature_mean, mean)
    moved = rows | {"image_features": rows["image_features"] - mean}
    assert centred.encode({"image_features": rows["image_features"]}) == off.encode(
        {"image_features": moved["image_features"]}
    )
    for term, value in centred.compute_losses(rows).items():
        torch.testing.assert_close(value, off.compute_losses(moved)[term])


def test_a_trainer_takes_the_mean_of_the_training_split_and_it_is_saved(tmp_path):
    torch.manual_seed(0)
    model, rows = DPSH(16, FEATURES, centre=True), non_negative()
    fit(model, Data(rows))
    torch.testing.assert_close(model.feature_mean, rows["image_features"].mean(dim=0))
    model.save(tmp_path / "model")
    loaded = load_model(tmp_path / "model")
    assert torch.equal(loaded.feature_mean, model.feature_mean)
    assert loaded.encode(rows) == model.encode(rows)


def test_without_the_option_nothing_is_added_to_the_weights():
    assert not [name for name in DPSH(16, FEATURES).state_dict() if "mean" in name]


def test_non_negative_features_are_remarked_upon_for_those_who_suffer(caplog):
    caplog.set_level(logging.WARNING, logger="deephash.models.centring")
    fit(DPSH(16, FEATURES, centre=True), Data(non_negative()))
    fit(DPSH(16, FEATURES), Data(batch(16)))
    fit(CSQ(16, 4, FEATURES), Data(non_negative()))
    assert not caplog.records
    fit(DPSH(16, FEATURES), Data(non_negative()))
    assert "DPSH suffers; consider centre: true" in caplog.text


def test_without_cached_features_the_way_out_is_named():
    rows = non_negative()
    loader = SlicedBatches(rows, 8, shuffle=False, drop_last=True)
    with pytest.raises(UsageError, match=r"call centre_on\(features\) first"):
        fit(DPSH(16, FEATURES, centre=True), loader)
    prepared = DPSH(16, FEATURES, centre=True)
    prepared.centre_on(rows["image_features"])
    fit(prepared, loader)
    torch.testing.assert_close(prepared.feature_mean, rows["image_features"].mean(dim=0))
