"""--continue-from: the ancestor is known, what does not fit is refused, stored codes stay bit for bit."""

import hashlib
import json
import subprocess
import sys
from itertools import pairwise

import numpy as np
import pytest
import torch

from deephash.backbones import Backbone
from deephash.codes import BinaryCodes
from deephash.data import FeatureFile, StreamTask
from deephash.data.codebook import BOOK_NAME, CodeBook, joined
from deephash.data.stream_drawing import class_stream
from deephash.encoding.targets import TargetTable, compare_targets
from deephash.errors import DataError, UsageError
from deephash.evaluation.codefile import CodeFile
from deephash.models import CSQ, OrthoHash, load_model
from deephash.models.warm_start import WarmStart
from deephash.training import RunFolder, TrainingInterrupted, fit, make_trainer
from deephash.training.inheritance import inherited
from deephash.training.lineage import read_ancestor, require_descendant
from deephash.training.options import TrainOptions
from tests.unit.test_streams import feature_file

FEATURES = Backbone("features:8", weights=None)
CLASSES = ("a", "b", "c", "d")


@pytest.fixture
def stream(tmp_path):
    path = feature_file(tmp_path, classes=CLASSES)
    description = {"class_path": "deephash.data.FeatureFile", "init_args": {"path": str(path)}}
    class_stream(FeatureFile(str(path)), description, [2, 1, 1], order=CLASSES).save(tmp_path / "s.json")
    return tmp_path / "s.json"


def learn(stream, folder, task=1, ancestor=None, bits=16, epochs=3, model=None, **options):
    """One run, as ``deephash train`` does it."""
    torch.manual_seed(task)
    data = StreamTask(str(stream), task=task, **options)
    model = model or OrthoHash(bits, 4, FEATURES)
    inheritance = inherited(TrainOptions(continue_from=ancestor))
    starts = [] if ancestor is None else [WarmStart(str(ancestor / "model"))]
    run = RunFolder(folder)
    (run.path / "config.yaml").write_text("{}")
    trainer = make_trainer(folder, max_epochs=epochs, callbacks=starts, accelerator="cpu")
    fit(trainer, model, data, run, inheritance=inheritance)
    return data


def digest(book: CodeBook) -> str:
    return hashlib.sha256(book.codes.packed.tobytes()).hexdigest()


def test_three_tasks_keep_the_stored_codes_bit_for_bit(stream, tmp_path):
    books = []
    for task in (1, 2, 3):
        learn(stream, tmp_path / f"run{task}", task, None if task == 1 else tmp_path / f"run{task - 1}", replay=10)
        books.append(CodeBook.load(tmp_path / f"run{task}"))
    for older, newer in pairwise(books):
        assert len(newer) > len(older)
        assert digest(newer.take(np.arange(len(older)))) == digest(older)  # the head of the newer one is the older
        assert np.array_equal(newer.side.names[: len(older)], older.side.names)
        assert np.array_equal(newer.sessions[: len(older)], older.sessions)
    assert np.bincount(books[2].sessions).tolist() == [0, 32, 16, 16]  # a fifth of 20 a class asks
    facts = json.loads((tmp_path / "run3" / "run.json").read_text())
    assert facts["task"] == 3
    assert facts["ancestor"]["path"] == str(tmp_path / "run2")
    model = json.loads((tmp_path / "run2" / "model" / "model.json").read_text())
    assert facts["ancestor"]["fingerprint"] == model["fingerprint"]
    assert facts["codes"] == 64


def test_what_is_searched_has_the_stored_codes(stream, tmp_path):
    from deephash.scoring.runs import model_and_data

    learn(stream, tmp_path / "one")
    data = learn(stream, tmp_path / "two", 2, tmp_path / "one")
    assert len(data.book) == 48
    (tmp_path / "two" / "config.yaml").write_text(
        f"data: {{class_path: deephash.data.StreamTask, init_args: {{stream: {stream}, task: 2}}}}\n"
    )
    model, again = model_and_data(tmp_path / "two", None)
    again.setup()
    searched = again.codes(model, "database")
    rows = again.book.rows(again.splits["database"].names)
    assert np.array_equal(searched.packed, again.book.codes.packed[rows])
    again.book = None
    made_anew = again.codes(model, "database")
    old = again.splits["database"].sessions == 1
    assert not np.array_equal(made_anew.packed[old], searched.packed[old])  # the model did move
    assert np.array_equal(made_anew.packed[~old], searched.packed[~old])


def test_labels_of_a_grown_stream_are_renumbered_by_name():
    def book(names, labels, classes, session):
        codes = BinaryCodes.from_bits(np.eye(8)[: len(names)])
        side = CodeFile(
            codes, np.array(labels), np.array(names), class_names=classes, sessions=np.full(len(names), session)
        )
        return CodeBook(side)

    both = joined(book(["p", "q"], [0, 1], ("a", "b"), 1), book(["r"], [0], ("c", "b", "a"), 2))
    assert both.side.labels.tolist() == [2, 1, 0]
    with pytest.raises(UsageError, match="has items of the class 'a'"):
        joined(book(["p"], [0], ("a",), 1), book(["r"], [0], ("c",), 2))
    with pytest.raises(UsageError, match="holds a code of 'p' already"):
        joined(book(["p"], [0], ("a",), 1), book(["p"], [0], ("a",), 2))


def test_a_frozen_model_is_a_run_without_epochs(stream, tmp_path):
    learn(stream, tmp_path / "one")
    learn(stream, tmp_path / "two", 2, tmp_path / "one", epochs=0)
    one, two = (json.loads((tmp_path / name / "model" / "model.json").read_text()) for name in ("one", "two"))
    assert one["fingerprint"] == two["fingerprint"]
    assert len(CodeBook.load(tmp_path / "two")) == 48


# Refusals --------------------------------------------------------------------------------------------------


def test_another_length_an_earlier_task_and_another_stream_are_refused(stream, tmp_path):
    learn(stream, tmp_path / "one")
    known = read_ancestor(tmp_path / "one")
    wrong = [
        (OrthoHash(32, 4, FEATURES), StreamTask(str(stream), task=2), "stored codes of 16 bits.*--bits 16"),
        (OrthoHash(16, 4, FEATURES), StreamTask(str(stream), task=1), "a descendant learns a later one, not 1"),
        (OrthoHash(16, 4, FEATURES), FeatureFile(str(tmp_path / "f.npz")), "FeatureFile is none: --stream FILE"),
    ]
    other = tmp_path / "other.json"
    class_stream(
        FeatureFile(str(tmp_path / "f.npz")), StreamTask(str(stream)).stream.data, [2, 2], order=CLASSES[::-1]
    ).save(other)
    wrong.append((OrthoHash(16, 4, FEATURES), StreamTask(str(other), task=2), "is not the stream of"))
    for model, data, message in wrong:
        with pytest.raises(UsageError, match=message):
            require_descendant(known, model, data)
    known.model["modalities"] = ["image", "text"]
    with pytest.raises(UsageError, match="nothing would ask for the text codes"):
        require_descendant(known, OrthoHash(16, 4, FEATURES), StreamTask(str(stream), task=2))


def test_what_is_no_finished_run_of_a_stream_is_refused(stream, tmp_path):
    with pytest.raises(DataError, match="is no run that can be continued"):
        read_ancestor(tmp_path)
    learn(stream, tmp_path / "one")
    facts = tmp_path / "one" / "run.json"
    record = json.loads(facts.read_text())
    facts.write_text(json.dumps(record | {"status": "interrupted"}))
    with pytest.raises(DataError, match="go on with: deephash train --resume"):
        read_ancestor(tmp_path / "one")
    del record["task"]
    facts.write_text(json.dumps(record))
    with pytest.raises(UsageError, match=r"was not trained on a task of a stream.*--start-from"):
        read_ancestor(tmp_path / "one")


def test_a_damaged_code_book_is_refused(stream, tmp_path):
    learn(stream, tmp_path / "one")
    path = tmp_path / "one" / BOOK_NAME
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(DataError, match="cannot be read"):
        read_ancestor(tmp_path / "one")


# Ctrl-C and kill -9 ----------------------------------------------------------------------------------------


class _Interrupt(WarmStart):
    """Ctrl-C in the second epoch."""

    def on_train_epoch_start(self, trainer, pl_module):
        if trainer.current_epoch == 1:
            raise KeyboardInterrupt


def test_a_run_that_was_interrupted_goes_on_and_stores_the_same_codes(stream, tmp_path):
    learn(stream, tmp_path / "one")
    learn(stream, tmp_path / "whole", 2, tmp_path / "one", replay=10)
    torch.manual_seed(2)
    run, data = RunFolder(tmp_path / "two"), StreamTask(str(stream), task=2, replay=10)
    begin = _Interrupt(str(tmp_path / "one" / "model"))
    model = OrthoHash(16, 4, FEATURES)
    trainer = make_trainer(run.path, max_epochs=3, callbacks=[begin], accelerator="cpu")
    with pytest.raises(TrainingInterrupted):
        fit(trainer, model, data, run, inheritance=inherited(TrainOptions(continue_from=tmp_path / "one")))
    assert digest(CodeBook.load(run.path)) == digest(CodeBook.load(tmp_path / "one"))
    again = StreamTask(str(stream), task=2, replay=10)
    trainer = make_trainer(run.path, max_epochs=3, callbacks=[WarmStart("gone")], accelerator="cpu")
    fit(trainer, OrthoHash(16, 4, FEATURES), again, run, resume=True)
    assert digest(CodeBook.load(run.path)) == digest(CodeBook.load(tmp_path / "whole"))
    assert json.loads((run.path / "run.json").read_text())["ancestor"]["task"] == 1


WRITER = """
import sys
from deephash.data.codebook import CodeBook
book = CodeBook.load(sys.argv[1])
half = book.take(book.sessions == 1)
print("ready", flush=True)
while True:
    half.save(sys.argv[1])
    book.save(sys.argv[1])
"""


def test_kill_during_an_update_leaves_the_older_or_the_newer_book(tmp_path):
    rng = np.random.default_rng(0)
    side = CodeFile(
        BinaryCodes.from_bits(rng.random((20_000, 64)) < 0.5),
        names=np.arange(20_000).astype(str),
        sessions=np.repeat([1, 2], 10_000),
    )
    book = CodeBook(side)
    book.save(tmp_path)
    for wait in (0.01, 0.07, 0.13):
        child = subprocess.Popen([sys.executable, "-c", WRITER, str(tmp_path)], stdout=subprocess.PIPE)
        child.stdout.readline()
        try:
            child.wait(wait)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()
        found = CodeBook.load(tmp_path)
        assert len(found) in (10_000, 20_000)
        assert digest(found) == digest(book.take(np.arange(len(found))))
        book.save(tmp_path)


def test_a_descendant_does_not_take_another_mean_off(stream, tmp_path):
    """Another mean of the features would shift every bit away from the codes that are stored."""
    learn(stream, tmp_path / "one", model=CSQ(16, 4, FEATURES, centre=True))
    learn(stream, tmp_path / "two", 2, tmp_path / "one", model=CSQ(16, 4, FEATURES, centre=True))
    one, two = (load_model(tmp_path / name).feature_mean for name in ("one", "two"))
    assert one.any()
    assert torch.equal(one, two)


# Runs from before there was a stream -------------------------------------------------------------------------


def test_a_plain_run_goes_on_with_what_its_data_gained(tmp_path, monkeypatch, capsys):
    from deephash.cli.main import main

    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DEEPHASH_QUIET", "1")
    path = feature_file(tmp_path, classes=("b", "d"), name="f.npz")
    words = ["--method", "orthohash", "--backbone", "features:8", "--bits", "16", "--trainer.accelerator=cpu"]
    data = ["--data=FeatureFile", f"--data.init_args.path={path}", "--epochs", "2", "--model.init_args.num_classes=2"]
    assert main(["train", "--config", "orthohash/digits_64", *words, *data, "--out", "old"]) == 0
    assert main(["train", "--continue-from", "old"]) == 2
    assert "deephash data stream --extend old --out FILE" in capsys.readouterr().err
    feature_file(tmp_path, classes=("b", "d", "c"), name="f.npz")  # two classes as they were, and a third behind
    assert main(["data", "stream", "--extend", "old", "--out", "grown.json"]) == 0
    assert main(["train", "--continue-from", "old", "--stream", "grown.json", "--replay", "5", "--out", "new"]) == 0
    book, table = CodeBook.load("new"), TargetTable.load("new")
    assert np.bincount(book.sessions).tolist()[1:] == [32, 16]
    assert book.side.class_names == ("b", "d", "c")
    assert compare_targets(TargetTable.load("old"), table).one_space
    old = load_model("old")
    first = StreamTask("grown.json")
    first.setup()
    made = first.codes(old, "database")
    assert np.array_equal(book.codes.packed[book.rows(first.splits["database"].names)], made.packed)
    capsys.readouterr()
    other = feature_file(tmp_path, classes=("x", "y", "z"), name="other.npz")
    assert main(["data", "stream", str(other), "--tasks", "2,1", "--out", "other.json"]) == 0
    assert main(["train", "--continue-from", "old", "--stream", "other.json", "--out", "no"]) == 2
    assert "other items than old was trained on" in capsys.readouterr().err
