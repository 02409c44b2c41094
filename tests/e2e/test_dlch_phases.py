"""DLCH in phases, as people run it: old codes stand bit for bit, new classes are learned at little cost."""

import csv
import hashlib
import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import torch
from lightning import Trainer

from deephash.backbones import Backbone
from deephash.cli.main import main
from deephash.data import Digits, FeatureFile
from deephash.data.codebook import CodeBook
from deephash.data.stream_drawing import class_stream, modality_stream
from deephash.evaluation.metrics import mean_average_precision
from deephash.models import DLCH, load_model
from deephash.scoring.runs import model_and_data
from tests.cross_modal_toy import two_views
from tests.paths import ROOT

BATCH = 64


@pytest.fixture(autouse=True)
def quiet(monkeypatch):
    monkeypatch.setenv("DEEPHASH_QUIET", "1")


def digest(book, task):
    """Return the hash of the codes that the tasks up to ``task`` stored, and of whom they are."""
    part = book.before(task + 1)
    return hashlib.sha256(part.codes.packed.tobytes() + "\n".join(part.side.names.tolist()).encode()).hexdigest()


# Learning ------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def toy(tmp_path_factory):
    """Two classes of 450 items, then two of 50: a tenth is new."""
    folder = tmp_path_factory.mktemp("toy")
    image, text, labels = two_views(3, count=3000, num_classes=4)
    rows = np.concatenate([np.flatnonzero(labels == each)[: 450 if each < 2 else 50] for each in range(4)])
    asks = np.concatenate([np.flatnonzero(labels == each)[500:530] for each in range(4)])
    split = np.array(["train,database"] * len(rows) + ["query"] * len(asks))
    chosen = np.concatenate([rows, asks])
    np.savez(
        folder / "toy.npz", image_features=image[chosen].float(), text_features=text[chosen].float(),
        labels=labels[chosen], split=split, class_names=np.array(list("abcd")),
    )  # fmt: skip
    data = {
        "class_path": "deephash.data.FeatureFile",
        "init_args": {"path": str(folder / "toy.npz"), "batch_size": BATCH, "hold_out": False},
    }
    stream = class_stream(FeatureFile(str(folder / "toy.npz")), data, [2, 2], order=list("abcd"))
    stream.save(folder / "stream.json")
    return folder


def trained(folder, name, *words, config=None):
    """Train by the command line; return the run's folder and the rows that its steps looked at."""
    out = folder / name
    start = ["--config", str(config), "--stream", str(folder / "stream.json")] if config else []
    said = ["train", *start, *words, "--out", str(out), "--trainer.accelerator=cpu", "--trainer.log_every_n_steps=1"]
    assert main([*map(str, said)]) == 0
    log = out / "metrics.csv"
    rows = list(csv.DictReader(log.read_text().splitlines())) if log.exists() else []
    steps = [int(row["step"]) for row in rows] or [-1]
    return out, BATCH * (1 + max(steps))


def configuration(folder, kind):
    """Write a small DLCH of pairs, or of pictures alone."""
    arguments = {"num_bits": 32, "num_classes": 4, "image_backbone": {"name": "features:256", "weights": None}}
    arguments |= {"text_hidden": [64], "label_hidden": 64}
    if kind == "pairs":
        arguments["text_backbone"] = {"name": "features:160", "weights": None}
    model = {"class_path": "deephash.models.DLCH", "init_args": arguments}
    content = {"seed_everything": 0, "model": model, "data": {"class_path": "deephash.data.Digits"}}
    path = folder / f"{kind}.yaml"
    path.write_text(json.dumps(content))
    return path


def scores(folder):
    """Return mAP@all over the directions, of the queries of each task, against all that is stored."""
    model, data = model_and_data(folder, None)
    data.setup()
    ways = [(None, None)] if len(model.encoders) == 1 else [("image", "text"), ("text", "image")]
    found = []
    for asked, searched in ways:
        asking, answering = data.codes(model, "query", modality=asked), data.codes(model, "database", modality=searched)
        labels, known = data.splits["query"].labels, data.splits["database"].labels
        found.append(
            [
                mean_average_precision(asking[rows], answering, query_labels=labels[rows], database_labels=known)
                for rows in (np.flatnonzero(data.splits["query"].sessions == task) for task in (1, data.task))
            ]
        )
    return np.mean(found, axis=0)


@pytest.mark.parametrize("kind", ["pairs", "pictures"])
def test_new_classes_are_learned_old_ones_kept_at_a_fifth_of_the_cost(toy, kind):
    config, networks = configuration(toy, kind), 2 if kind == "pairs" else 1
    one, first_rows = trained(toy, f"{kind}-one", "--epochs", 15 * (networks + 1), config=config)
    frozen, _ = trained(toy, f"{kind}-frozen", "--continue-from", one, "--epochs", 0)
    two, rows = trained(toy, f"{kind}-two", "--continue-from", one, "--replay", 60, "--epochs", 30 * networks)
    before, learned = scores(frozen), scores(two)
    assert learned[1] >= before[1] + 0.15, (before, learned)
    assert learned[0] >= before[0] - 0.03, (before, learned)
    anew = first_rows / (900 // BATCH) * (1000 // BATCH)  # as many rounds over all items, as a full retraining has
    assert rows < 0.2 * anew


# Codes that stand ------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def digits(tmp_path_factory):
    """A folder with a stream of digits in three tasks, a run on the first, and the configuration that made it."""
    folder = tmp_path_factory.mktemp("digits")
    data = {"class_path": "deephash.data.Digits", "init_args": {}}
    class_stream(Digits(), data, [4, 3, 3]).save(folder / "stream.json")
    trained(folder, "one", "--epochs", 8, config=ROOT / "configs" / "dlch" / "digits_32.yaml")
    return folder


def test_old_codes_stand_through_three_phases_and_what_is_saved_and_loaded(digits, tmp_path):
    one = CodeBook.load(digits / "one")
    two, _ = trained(digits, "two", "--continue-from", digits / "one", "--replay", 100, "--epochs", 5)
    three, _ = trained(digits, "three", "--continue-from", two, "--replay", 100, "--epochs", 5)
    books = [CodeBook.load(folder) for folder in (digits / "one", two, three)]
    assert len(books[0]) < len(books[1]) < len(books[2])
    assert digest(books[0], 1) == digest(books[1], 1) == digest(books[2], 1) == digest(one, 1)
    assert digest(books[1], 2) == digest(books[2], 2)
    books[2].save(tmp_path)
    assert digest(CodeBook.load(tmp_path), 3) == digest(books[2], 3)
    assert main(["evaluate", str(three), "--json"]) == 0
    assert CodeBook.load(three).codes == books[2].codes


def test_what_is_stored_was_solved_and_not_encoded(digits):
    two, _ = trained(digits, "solved", "--continue-from", digits / "one", "--replay", 100, "--epochs", 5)
    model, data = model_and_data(two, None)
    data.setup()
    book, train = CodeBook.load(two), data.splits["train"]
    new = data.new_rows("train")
    solved, names = model.database_codes("image"), [name for name, fresh in zip(train.names, new) if fresh]
    assert len(solved) == len(train)
    assert book.codes[book.rows(names)] == solved[np.flatnonzero(new)]
    replayed = [name for name, fresh in zip(train.names, new) if not fresh]
    assert len(replayed) == 100
    assert book.codes[book.rows(replayed)] == solved[np.flatnonzero(~new)]  # as they stood
    data.book = None
    assert data.codes(model, "train") != solved


def test_killed_in_the_middle_of_an_update_nothing_stored_is_lost(digits):
    out, before = digits / "killed", digest(CodeBook.load(digits / "one"), 1)
    said = ["train", "--continue-from", digits / "one", "--replay", 100, "--epochs", 4000, "--out", out]
    words = [sys.executable, "-m", "deephash.cli.main", *map(str, said), "--trainer.accelerator=cpu"]
    child = subprocess.Popen(words, cwd=ROOT, env=os.environ | {"OMP_NUM_THREADS": "1"}, stderr=subprocess.DEVNULL)
    try:
        while not (out / "last.ckpt").exists():
            assert child.poll() is None
            time.sleep(0.05)
        time.sleep(0.3)
    finally:
        child.send_signal(signal.SIGKILL)
        child.wait()
    assert child.returncode == -signal.SIGKILL
    for folder in (digits / "one", out):
        assert digest(CodeBook.load(folder), 1) == before
    done = int(torch.load(out / "last.ckpt", weights_only=True)["epoch"])
    assert main(["train", "--resume", str(out), "--trainer.accelerator=cpu", f"--trainer.max_epochs={done + 3}"]) == 0
    book = CodeBook.load(out)
    assert digest(book, 1) == before
    assert set(book.sessions.tolist()) == {1, 2}


@pytest.mark.parametrize("start", [[], ["--continue-from", "one", "--replay", "100"]])
def test_an_interrupted_phase_goes_on_as_if_it_had_not_been(digits, start, monkeypatch):
    monkeypatch.chdir(digits)
    config = ROOT / "configs" / "dlch" / "digits_32.yaml" if not start else None
    name = "later" if start else "first"
    whole, _ = trained(digits, f"{name}-whole", *start, "--epochs", 6, config=config)
    half, _ = trained(digits, f"{name}-half", *start, "--epochs", 3, config=config)
    assert main(["train", "--resume", str(half), "--trainer.max_epochs=6", "--trainer.accelerator=cpu"]) == 0
    one, other = load_model(whole / "last"), load_model(half / "last")
    for key, tensor in one.state_dict().items():
        assert torch.allclose(other.state_dict()[key], tensor, atol=1e-6), key
    assert one.learned_codes == other.learned_codes


def test_fine_tuning_goes_on_with_the_first_losses_and_keeps_what_is_stored(digits):
    words = ("--continue-from", digits / "one", "--model.init_args.fine_tune=true", "--epochs", 2)
    two, _ = trained(digits, "tuned", *words)
    head = (two / "metrics.csv").read_text().splitlines()[0].split(",")
    assert "train/similarity_image" in head
    assert "train/old" not in head
    assert digest(CodeBook.load(two), 1) == digest(CodeBook.load(digits / "one"), 1)
    assert torch.equal(load_model(two / "model").image_mean, load_model(digits / "one" / "model").image_mean)


def test_without_new_items_codes_and_a_resting_network_stay(digits):
    model, data = model_and_data(digits / "one", None)
    data.setup()
    data.task = 2  # of whose items none came
    later = DLCH(32, 10, Backbone("features:64", weights=None), lifelong_rate=0.0, label_hidden=64)
    later.load_state_dict(model.state_dict())
    book = data.book
    trainer = Trainer(max_epochs=3, accelerator="cpu", logger=False, enable_checkpointing=False,
                      enable_progress_bar=False, enable_model_summary=False)  # fmt: skip
    trainer.fit(later, datamodule=data)
    assert later.later is not None
    assert later.fingerprint() == model.fingerprint()
    assert data.book is book
    assert later.learned_codes == book.codes[book.rows(data.splits["train"].names)]
    assert not len(later.later.tables["image"].codes)


def test_texts_that_arrive_after_pictures_find_them(toy, tmp_path):
    """A stream of modalities: the first items have pictures alone, the later ones texts alone."""
    data = {"class_path": "deephash.data.FeatureFile", "init_args": {"path": str(toy / "toy.npz"), "batch_size": BATCH}}
    modality_stream(FeatureFile(str(toy / "toy.npz")), data, [("image",), ("text",)]).save(tmp_path / "stream.json")
    config = configuration(tmp_path, "pairs")
    one, _ = trained(tmp_path, "one", "--epochs", 30, config=config)
    frozen, _ = trained(tmp_path, "frozen", "--continue-from", one, "--epochs", 0)
    two, _ = trained(tmp_path, "two", "--continue-from", one, "--replay", 200, "--epochs", 40)
    assert digest(CodeBook.load(one), 1) == digest(CodeBook.load(two), 1)
    before, after = (text_to_old_pictures(folder) for folder in (frozen, two))
    assert after > before + 0.2


def text_to_old_pictures(folder):
    model, data = model_and_data(folder, None)
    data.setup()
    book, query = CodeBook.load(folder), data.splits["query"]
    stored = book.take((book.sessions == 1) & (book.modalities == "image"))
    asks = np.flatnonzero(query.present["text"])
    codes = data.codes(model, "query", modality="text")[asks]
    return mean_average_precision(
        codes, stored.codes, query_labels=query.labels[asks], database_labels=stored.side.labels
    )


def test_a_network_that_learns_as_a_whole_goes_through_phases_too(digits):
    network = [
        f"--model.init_args.image_backbone.{each}" for each in ("name=small_cnn:4", "frozen=false", "image_size=16")
    ]
    config = ROOT / "configs" / "dlch" / "digits_32.yaml"
    one, _ = trained(digits, "whole-one", *network, "--epochs", 2, config=config)
    two, _ = trained(digits, "whole-two", "--continue-from", one, "--replay", 50, "--epochs", 1)
    assert digest(CodeBook.load(one), 1) == digest(CodeBook.load(two), 1)
    before, after = (load_model(folder / "model").encoders.state_dict() for folder in (one, two))
    assert any(not torch.equal(after[name], weight) for name, weight in before.items() if name.endswith("weight"))
