"""What is done to a batch before its losses: seen by training, resumed with it, and no part of the model."""

import csv
import json

import pytest
import torch
from safetensors.torch import save_file

from deephash.backbones import Backbone
from deephash.data import Digits
from deephash.errors import UsageError
from deephash.models import ITQ, BatchHook, Optimizer, OrthoHash, load_model
from deephash.training import RunFolder, fit, make_trainer
from tests.e2e.cli import deephash
from tests.paths import ROOT

CNN = Backbone("small_cnn:2", None, frozen=False, image_size=8)
VECTORS = Backbone("features:64", weights=None)


class Noise(BatchHook):
    """Teaches the model to keep its codes under noise, and counts its batches."""

    needs_pixels = True

    def __init__(self, sigma: float = 0.1):
        self.sigma, self.batches = sigma, 0

    def prepare(self, model, batch):
        self.batches += 1
        return batch | {"noisy": batch["image"] + self.sigma * torch.randn_like(batch["image"])}

    def extra_losses(self, model, batch):
        return {"noise": (model({"image": batch["noisy"]}) - model({"image": batch["image"]})).square().mean()}

    def state_dict(self):
        return {"batches": self.batches}

    def load_state_dict(self, state_dict):
        self.batches = state_dict["batches"]


class Nothing(BatchHook):
    pass


class Watching(BatchHook):
    """Keeps what it saw."""

    def __init__(self):
        self.seen = []

    def prepare(self, model, batch):
        self.seen.append((sorted(batch), model.training))
        return batch


class WatchingPixels(Watching):
    needs_pixels = True


class Twice(BatchHook):
    def extra_losses(self, model, batch):
        return {"cosine": torch.zeros(())}


def orthohash(backbone=CNN):
    torch.manual_seed(0)
    return OrthoHash(8, 10, backbone, optimizer=Optimizer(learning_rate=1e-2))


def trained(folder, *hooks, model=None, epochs=2, resume=False):
    model, data, run = model or orthohash(), Digits(), RunFolder(folder)
    data.limit_items(300)
    torch.manual_seed(1)
    trainer = make_trainer(folder, max_epochs=epochs, accelerator="cpu", log_every_n_steps=1, callbacks=list(hooks))
    fit(trainer, model, data, run, resume=resume)
    return model


def logged(folder, name):
    with (folder / "metrics.csv").open() as file:
        return [float(row[name]) for row in csv.DictReader(file) if row.get(name)]


def test_the_terms_of_a_hook_are_logged_and_summed(tmp_path):
    hook = Noise()
    trained(tmp_path, hook)
    noise, cosine, total = (logged(tmp_path, f"train/{name}") for name in ("noise", "cosine", "loss"))
    assert hook.batches == len(noise) == 4
    assert all(each > 0 for each in noise)
    assert total[0] == pytest.approx(noise[0] + cosine[0], rel=1e-5)
    assert json.loads((tmp_path / "run.json").read_text())["hooks"] == ["Noise"]


def test_a_hook_is_no_part_of_the_model(tmp_path):
    plain, hooked, noisy = (trained(tmp_path / name, *hooks) for name, hooks in
                            {"none": (), "nothing": (Nothing(),), "noise": (Noise(),)}.items())  # fmt: skip
    assert hooked.fingerprint() == plain.fingerprint() != noisy.fingerprint()
    record = (tmp_path / "noise" / "model" / "model.json").read_text()
    assert "oise" not in record
    assert load_model(tmp_path / "noise" / "last").fingerprint() == noisy.fingerprint()
    assert noisy.state_dict().keys() == plain.state_dict().keys()


def test_a_resumed_run_has_the_hook_as_it_was(tmp_path):
    trained(tmp_path, Noise(), epochs=1)
    again = Noise()
    trained(tmp_path, again, epochs=3, resume=True)
    assert again.batches == 3 * 2
    assert len(logged(tmp_path, "train/noise")) >= 2 * 2


def test_a_frozen_backbone_gives_pixels_to_the_hook_and_cached_features_to_validation(tmp_path):
    weights = orthohash().encoders["image"].network.state_dict()
    save_file({name: tensor.contiguous() for name, tensor in weights.items()}, tmp_path / "weights.safetensors")
    frozen = Backbone("small_cnn:2", str(tmp_path / "weights.safetensors"), frozen=True, image_size=8)
    model, pixels, features = orthohash(frozen), WatchingPixels(), Watching()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    trained(tmp_path / "pixels", pixels, model=model)
    trained(tmp_path / "features", features, model=orthohash(frozen))
    assert pixels.seen[0] == (["image", "index", "labels"], True)
    assert features.seen[0] == (["image_features", "index", "labels"], True)
    changed = {name for name, tensor in model.state_dict().items() if not torch.equal(tensor, before[name])}
    assert changed
    assert not any(name.startswith("encoders.") for name in changed)


def test_pixels_reach_the_hook_with_gradients_through_a_frozen_backbone():
    model, data = orthohash(Backbone("small_cnn:2", None, frozen=True, image_size=8)), Digits()
    data.attach(model, live=True)
    assert "image" in data.splits["train"].features  # still cached for who reads the whole table
    batch = next(iter(data.train_dataloader()))
    pixels = batch["image"].requires_grad_()
    model({"image": pixels}).sum().backward()
    assert pixels.grad.abs().sum() > 0
    data.codes(model, "query")
    assert "image" in next(iter(data.train_dataloader()))  # scoring an epoch does not end it
    data.attach(model)
    assert "image" not in next(iter(data.train_dataloader()))


def test_pixels_where_there_are_none(tmp_path):
    with pytest.raises(UsageError, match=r"needs pictures.*the model reads image by features:64"):
        trained(tmp_path, Noise(), model=orthohash(VECTORS))


def test_closed_form_models_have_no_losses_to_hook(tmp_path):
    with pytest.raises(UsageError, match=r"Nothing works on .*gradients, and ITQ is fitted in closed form"):
        trained(tmp_path, Nothing(), model=ITQ(8, VECTORS))


def test_two_terms_of_one_name(tmp_path):
    with pytest.raises(UsageError, match="Twice adds the term 'cosine'"):
        trained(tmp_path, Twice(), model=orthohash(VECTORS))


def test_a_configuration_names_a_hook_and_a_resumed_run_has_it_again(tmp_path):
    hook = "--trainer.callbacks+=tests.unit.test_batch_hooks.Noise"
    words = ("--trainer.callbacks.sigma=0.3", "--trainer.log_every_n_steps=1", "--trainer.accelerator=cpu")
    run = tmp_path / "run"
    done = deephash("train", "--config", "orthohash/digits_64", "--fast-dev-run", "--out", run, hook, *words,
                    PYTHONPATH=str(ROOT))  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "sigma: 0.3" in (run / "config.yaml").read_text()
    before = len(logged(run, "train/noise"))
    known = ("--trust", "tests.unit.test_batch_hooks")
    done = deephash("train", "--resume", run, "--epochs", 3, *known, PYTHONPATH=str(ROOT))
    assert done.returncode == 0, done.stderr
    assert len(logged(run, "train/noise")) > before > 0
