"""Lightning for real: two processes, mixed precision, clipping, resuming, stopping early."""

import csv
import json
import os
import socket
import subprocess
import sys

import numpy as np
import pytest
import torch
from lightning import Callback, Trainer
from lightning.pytorch.callbacks import EarlyStopping

from deephash.backbones import Backbone
from deephash.data import Digits, FeatureFile
from deephash.data.batch import SlicedBatches
from deephash.models import DCMH, DPSH, SDC, UCCH, GreedyHash, HashNet, Optimizer, OrthoHash, load_model
from deephash.scoring import mean_average_precision_of
from deephash.training import RunFolder, fit, make_trainer
from deephash.training.callbacks import RetrievalEvaluation
from tests.cross_modal_toy import two_views
from tests.e2e import ddp_child
from tests.image_methods_toy import FEATURES, batch
from tests.paths import ROOT

QUIET = {"enable_progress_bar": False, "enable_model_summary": False, "accelerator": "cpu", "log_every_n_steps": 1}


# Two processes -------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def two_processes(tmp_path_factory):
    folder = tmp_path_factory.mktemp("ddp")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    group = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "WORLD_SIZE": "2", "NODE_RANK": "0"}
    environment = os.environ | group | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "tests.e2e.ddp_child"]
    paths = [str(folder / "store"), str(folder / "out")]
    children = [
        subprocess.Popen([*command, str(rank), *paths], cwd=ROOT, env=environment | {"LOCAL_RANK": str(rank)})
        for rank in (0, 1)
    ]
    try:
        assert [child.wait(timeout=270) for child in children] == [0, 0]
    finally:
        for child in children:
            child.kill()
    results = [torch.load(f"{folder / 'out'}.{rank}", weights_only=True) for rank in (0, 1)]
    results[0]["folder"] = folder / "out_run"
    return results


@pytest.mark.parametrize("name", ddp_child.METHODS)
def test_two_processes_have_the_loss_and_gradient_of_one_with_the_whole_batch(two_processes, name):
    loss, gradient = ddp_child.gradients(name, batch(16))
    for theirs, averaged in (results[name] for results in two_processes):
        assert theirs.item() == pytest.approx(loss.item(), abs=1e-5)
        assert torch.allclose(averaged, gradient, atol=1e-5)


def test_cached_batches_are_divided_without_overlap_in_one_order(two_processes):
    first, second = (results["rows"] for results in two_processes)
    assert [len(part) for part in first] == [len(part) for part in second] == [4, 4]
    seen = torch.cat([*first, *second]).tolist()
    assert len(set(seen)) == 16


def test_two_processes_train_one_model_and_its_figure_is_that_of_one_process(two_processes):
    first, second = two_processes
    assert torch.equal(first["weights"], second["weights"])
    model, data = load_model(first["folder"] / "last"), Digits()
    data.attach(model)
    names = {"query": "validation_query", "database": "validation_database"}
    score = mean_average_precision_of(model, data, **names, top_k=None)
    assert first["score"].item() == pytest.approx(sum(score.values()), abs=1e-6)
    assert first["score"].item() > 0.5


# Mixed precision and clipping ----------------------------------------------------------------------


class Losses(Callback):
    def __init__(self):
        self.values, self.types = [], set()

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
        self.values.append(outputs["loss"].item())
        self.types.add(outputs["loss"].dtype)


@pytest.mark.parametrize("make", [lambda o: OrthoHash(16, 4, FEATURES, optimizer=o), lambda o: SDC(16, FEATURES, o)])
def test_mixed_precision_learns_with_losses_in_float32(make):
    torch.manual_seed(0)
    model, losses = make(Optimizer(learning_rate=1e-2)), Losses()
    trainer = Trainer(max_epochs=15, precision="bf16-mixed", callbacks=[losses], logger=False,
                      enable_checkpointing=False, **QUIET)  # fmt: skip
    trainer.fit(model, SlicedBatches(batch(64), None))
    assert losses.types == {torch.float32}
    assert losses.values[-1] < 0.8 * losses.values[0]


def test_clipping_bounds_the_step():
    sgd = Optimizer("sgd", learning_rate=1.0, momentum=0.0, weight_decay=0.0)
    model = GreedyHash(16, 4, FEATURES, sgd)
    before = torch.cat([p.detach().flatten().clone() for p in model.parameters()])
    trainer = Trainer(max_steps=1, gradient_clip_val=0.01, logger=False, enable_checkpointing=False, **QUIET)
    trainer.fit(model, SlicedBatches(batch(32), None))
    moved = torch.cat([p.detach().flatten() for p in model.parameters()]) - before
    assert moved.norm().item() == pytest.approx(0.01, rel=1e-3)


# Resuming ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("make", [lambda: DPSH(16, FEATURES), lambda: HashNet(16, FEATURES, preset="orthohash")])
def test_resuming_continues_as_if_never_stopped(tmp_path, make):
    data = SlicedBatches(batch(32), None)

    def train(epochs, checkpoint=None):
        torch.manual_seed(0)
        model = make()
        trainer = Trainer(
            max_epochs=epochs, default_root_dir=tmp_path, logger=False, enable_checkpointing=False, **QUIET
        )
        trainer.fit(model, data, ckpt_path=checkpoint)
        return model, trainer

    straight, _ = train(4)
    _, halfway = train(2)
    halfway.save_checkpoint(tmp_path / "half.ckpt")
    resumed, trainer = train(4, str(tmp_path / "half.ckpt"))
    assert trainer.current_epoch == 4
    for name, tensor in straight.state_dict().items():
        assert torch.allclose(resumed.state_dict()[name], tensor, atol=1e-6), name
    if isinstance(straight, DPSH):
        assert torch.allclose(resumed.memory.everything("codes"), straight.memory.everything("codes"), atol=1e-6)


@pytest.fixture(scope="module")
def pairs(tmp_path_factory):
    image, text, labels = two_views(0, count=160)
    file = tmp_path_factory.mktemp("pairs") / "pairs.npz"
    split = np.where(np.arange(160) < 40, "query", "train,database")
    np.savez(file, image_features=image.float(), text_features=text.float(), labels=labels, split=split)
    return lambda: FeatureFile(str(file), batch_size=32)


PICTURES, TEXTS, CNN = Backbone("features:256"), Backbone("features:160"), Backbone("small_cnn:2", None, False, 8)


@pytest.mark.parametrize("make", [
    lambda: UCCH(16, PICTURES, TEXTS, image_hidden=(32,), text_hidden=(32,), num_negatives=20),
    lambda: DCMH(16, PICTURES, TEXTS, hidden=(32,)),
    lambda: DPSH(16, CNN),
])  # fmt: skip
def test_a_resumed_run_gives_the_model_of_an_uninterrupted_one(tmp_path, pairs, make):
    def run(name, epochs, resume=False):
        torch.manual_seed(0)
        model = make()
        torch.manual_seed(1 if not resume else 2)  # a new process draws otherwise
        data = Digits(batch_size=256) if isinstance(model, DPSH) else pairs()
        trainer = make_trainer(tmp_path / name, max_epochs=epochs, accelerator="cpu")
        fit(trainer, model, data, RunFolder(tmp_path / name), resume=resume)
        return model

    straight = run("straight", 4)
    run("stopped", 2)
    resumed = run("stopped", 4, resume=True)
    for name, tensor in straight.state_dict().items():
        assert torch.allclose(resumed.state_dict()[name], tensor, atol=1e-6), name
    kept = straight.memory.state_dict()["columns"]
    assert all(torch.allclose(resumed.memory.everything(name), column, atol=1e-6) for name, column in kept.items())


# Early stopping ------------------------------------------------------------------------------------


def test_training_stops_once_the_validation_figure_no_longer_rises():
    torch.manual_seed(0)
    stuck = Optimizer("sgd", learning_rate=1e-12, weight_decay=0.0)  # learns nothing, so nothing rises
    model = GreedyHash(16, 10, Backbone("features:64", weights=None), stuck)
    callbacks = [RetrievalEvaluation(every_n_epochs=1), EarlyStopping("validation/mAP", mode="max", patience=2)]
    trainer = Trainer(max_epochs=50, callbacks=callbacks, logger=False, enable_checkpointing=False, **QUIET)
    trainer.fit(model, datamodule=Digits())
    assert trainer.current_epoch == 3


class Impatient(Callback):
    def on_train_epoch_end(self, trainer, pl_module):
        trainer.should_stop = trainer.current_epoch == 2


@pytest.mark.parametrize("stop", [Impatient(), EarlyStopping("train/loss", mode="min", patience=2, min_delta=1e9)])
def test_the_epoch_that_another_callback_ends_the_run_with_is_scored_and_saved(tmp_path, stop):
    torch.manual_seed(0)
    model, data = GreedyHash(16, 10, Backbone("features:64", weights=None)), Digits()
    trainer = make_trainer(tmp_path, max_epochs=50, callbacks=stop, accelerator="cpu")  # else scored every fifth epoch
    fit(trainer, model, data, RunFolder(tmp_path))
    assert trainer.current_epoch == 3
    names = {"query": "validation_query", "database": "validation_database"}
    expected = mean_average_precision_of(load_model(tmp_path / "last"), data, **names)[""]
    assert float(trainer.callback_metrics["validation/mAP"]) == pytest.approx(expected, abs=1e-6)


def test_a_run_scores_after_each_epoch_for_a_callback_that_watches_the_figure(tmp_path):
    torch.manual_seed(0)
    stuck = Optimizer("sgd", learning_rate=1e-12, weight_decay=0.0)
    model, data = GreedyHash(16, 10, Backbone("features:64", weights=None), stuck), Digits()
    stop = EarlyStopping("validation/mAP", mode="max", patience=2)
    trainer = make_trainer(tmp_path, max_epochs=50, callbacks=[stop], accelerator="cpu")
    fit(trainer, model, data, RunFolder(tmp_path))
    assert trainer.current_epoch == 3
    assert (tmp_path / "last" / "model.json").is_file()
    facts = json.loads((tmp_path / "run.json").read_text())
    assert (facts["status"], facts["best_epoch"]) == ("finished", 0)


def test_every_tenth_step_is_written_and_the_last_one_of_an_epoch_is_known(tmp_path):
    seen = []

    class Watch(Callback):
        def on_train_epoch_end(self, trainer, pl_module):
            seen.append((trainer.global_step, float(trainer.callback_metrics["train/loss"])))

    model, data = GreedyHash(16, 10, Backbone("features:64", weights=None)), Digits(batch_size=64)
    losses = []
    compute = model.compute_losses
    model.compute_losses = lambda batch: losses.append(compute(batch)) or losses[-1]
    fit(make_trainer(tmp_path, max_epochs=2, callbacks=[Watch()], accelerator="cpu"), model, data, RunFolder(tmp_path))
    totals = [sum(float(term.detach()) for term in each.values()) for each in losses]
    assert [loss for _, loss in seen] == pytest.approx([totals[step - 1] for step, _ in seen], rel=1e-5)
    rows = list(csv.DictReader((tmp_path / "metrics.csv").open()))
    written = {int(row["step"]): float(row["train/loss"]) for row in rows if row["train/loss"]}
    assert written == pytest.approx({step: totals[step] for step in range(9, len(totals), 10)}, rel=1e-5)
