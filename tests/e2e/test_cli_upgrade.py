"""``deephash upgrade`` as people run it, on small pictures and models with random weights."""

import json
import os
import time
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from deephash.cli.main import main
from deephash.collection import Collection
from tests.e2e.collection_child import tiny_model

BITS = 16


@pytest.fixture
def deephash(capsys):
    """Run a command in this process, which has imported torch; returns what it said and its exit code."""

    def run(*words):
        capsys.readouterr()
        code = main(list(map(str, words)))
        said = capsys.readouterr()
        return SimpleNamespace(returncode=code, stdout=said.out, stderr=said.err)

    return run


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """Pictures of two classes (dark, light), and folders of three models."""
    folder, rng = tmp_path_factory.mktemp("world"), np.random.default_rng(0)
    for row in range(120):
        file = folder / "pictures" / ("dark" if row % 2 else "light") / f"{row:03}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (8, 8, 3), np.uint8) // (1 + row % 2)).save(file)
    for name, bits, seed in (("one", 16, 0), ("two", 16, 1), ("long", 32, 2), ("three", 16, 3)):
        tiny_model(bits, seed).save(folder / name)
    assert (
        main(["index", str(folder / "pictures"), "--out", str(folder / "made.dh"), "--model", str(folder / "one")]) == 0
    )
    return folder


@pytest.fixture
def path(world, tmp_path):
    import shutil

    shutil.copytree(world / "made.dh", tmp_path / "x.dh")
    return tmp_path / "x.dh"


def test_what_cannot_be_compared_is_refused_and_nothing_is_changed(deephash, world, path):
    version = Collection.open(path).version
    done = deephash("upgrade", path, "--model", world / "two")
    assert done.returncode == 1
    assert "new queries on old codes: " in done.stdout
    assert "series=compatibility:2" in done.stdout
    assert "nothing was published. --force keeps the old codes" in done.stderr
    assert "Traceback" not in done.stderr
    tried = deephash("upgrade", path, "--model", world / "two", "--dry-run", "--json")
    assert tried.returncode == 1
    record = json.loads(tried.stdout)
    assert not record["would_publish"]
    assert set(record["figures"]) == {"old/old", "new/old", "new/new"}
    assert Collection.open(path).version == version


def test_forced_answers_merged_encoded_anew_and_restored(deephash, world, path):
    before = Collection.open(path)
    old = before.codes()[1]
    done = deephash("upgrade", path, "--model", world / "long", "--force", "--json")
    assert done.returncode == 0, done.stderr
    record = json.loads(done.stdout)
    assert (record["model_version"], record["restore_to"]) == (2, before.version)
    new = world / "pictures" / "dark" / "new.png"
    Image.new("RGB", (8, 8), (9, 9, 9)).save(new)
    assert deephash("index", world / "pictures", "--out", path).returncode == 0
    new.unlink()
    found = deephash("search", path, "id:3", "-k", "200", "--explain")
    assert found.returncode == 0, found.stderr
    assert "model   by chance" in found.stdout
    assert "merged: answers of models that cannot be compared" in found.stderr
    assert "model version 2, LSH" in found.stderr
    lines = deephash("search", path, "id:3", "-k", "200", "--json").stdout.splitlines()
    assert {json.loads(line)["num_bits"] for line in lines} == {16, 32}
    assert len(lines) == 121
    info = deephash("collection", "info", path).stdout
    assert "not shown to be compatible; forced" in info
    assert deephash("collection", "verify", path).stdout.count("recall@10 1.0000") == 2
    for command in (
        ["evaluate", path],
        ["dedup", path, "--force"],
        ["collection", "export", path, "--to", "hex", "--out", path / "h"],
    ):
        refused = deephash(*command)
        assert refused.returncode == 2
        assert "which cannot be compared; to" in refused.stderr
        assert "--re-encode now" in refused.stderr
    anew = deephash("upgrade", path, "--re-encode", "now", "--json")
    assert json.loads(anew.stdout) == {"collection": str(path), "encoded_anew": 120, "kept": 0}
    assert Collection.open(path).rows_by_model() == {1: 0, 2: 121}
    assert deephash("evaluate", path).returncode == 0
    assert "merged" not in deephash("search", path, "id:3").stderr
    assert deephash("collection", "restore", path, before.version).returncode == 0
    again = Collection.open(path)
    assert again.codes()[1] == old
    assert len(again.model_versions) == 1
    assert deephash("search", path, "id:3").returncode == 0


def test_lazily_goes_on_when_the_command_has_ended_and_two_do_not_work_at_once(deephash, world, path):
    done = deephash("upgrade", path, "--model", world / "two", "--force", "--re-encode", "lazily", "--json")
    assert done.returncode == 0, done.stderr
    process = json.loads(done.stdout)["process"]
    for _ in range(600):
        if Collection.open(path).rows_by_model()[1] == 0 and not is_running(process):
            break
        time.sleep(0.1)
    assert Collection.open(path).rows_by_model() == {1: 0, 2: 120}
    assert "120 rows encoded anew" in (path / "re-encode.log").read_text()
    assert (
        deephash("upgrade", path, "--re-encode", "now").stdout
        == f"{path}: 0 rows encoded anew, 0 keep the code they had\n"
    )


def test_who_encodes_behind_waits_for_one_that_is_about_to_end(path):
    from threading import Event, Thread

    from deephash.collection.lock import write_lock
    from deephash.errors import UsageError
    from deephash.upgrades import reencode

    held, ended = Event(), Event()

    def another():
        with write_lock(path / "re-encode.lock"):
            held.set()
            time.sleep(0.5)
            ended.set()

    thread = Thread(target=another)
    thread.start()
    assert held.wait(10)
    with pytest.raises(UsageError, match="being encoded anew by another process already"), reencode._alone(path, 0.0):
        pass
    assert not ended.is_set()
    with reencode._alone(path, 20.0):
        assert ended.is_set()
    thread.join()


def is_running(process):
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    return open(f"/proc/{process}/stat").read().split()[2] != "Z" if os.path.exists(f"/proc/{process}/stat") else True


def test_rows_whose_picture_is_gone_keep_their_code(deephash, world, path, tmp_path):
    import shutil

    shutil.copytree(world / "pictures", tmp_path / "pictures")
    assert deephash("index", tmp_path / "pictures", "--out", path, "--moved").returncode == 0
    (tmp_path / "pictures" / "dark" / "001.png").unlink()
    Image.new("RGB", (8, 8)).save(tmp_path / "pictures" / "dark" / "003.png")
    done = deephash("upgrade", path, "--model", world / "long", "--force", "--re-encode", "now")
    assert done.returncode == 0, done.stderr
    assert "118 rows encoded anew, 2 keep the code they had" in done.stdout
    assert "kept dark/001.png: its picture is gone" in done.stderr
    assert "kept dark/003.png: its picture changed since it was indexed" in done.stderr
    assert Collection.open(path).rows_by_model() == {1: 2, 2: 118}
    assert deephash("search", path, "id:5", "-k", "130", "--json").stdout.count("\n") == 120


def test_a_training_free_model_is_fitted_anew_to_what_the_folder_holds_by_now(deephash, world, tmp_path):
    from deephash.backbones import Backbone
    from deephash.ingest import index_folder
    from deephash.models import ITQ

    pictures = sorted((world / "pictures").glob("*/*.png"))
    model = ITQ(BITS, Backbone("small_cnn:4", weights=None, image_size=8))
    import torch

    features = torch.cat([model.encoders["image"].preprocess()(Image.open(file))[None] for file in pictures[:20]])
    model.fit(model.encoders["image"](features)).eval()
    index_folder(world / "pictures", tmp_path / "itq.dh", model)
    old = Collection.open(tmp_path / "itq.dh")
    old.update(old.ids(), [{"label": None}] * len(old))
    done = deephash("upgrade", tmp_path / "itq.dh", "--refit", "--dry-run", "--json")
    record = json.loads(done.stdout)
    assert record["relevance"] == "the 10 nearest by the network's vectors"
    assert record["figures"]["new/new"] > record["figures"]["old/old"]
    assert record["renew"] is not None
    done = deephash("upgrade", tmp_path / "itq.dh", "--refit", "--re-encode", "now", "--force")
    assert done.returncode == 0, done.stderr
    assert Collection.open(tmp_path / "itq.dh").rows_by_model() == {1: 0, 2: 120}


def test_pictures_are_added_by_a_model_without_a_portable_encoder(deephash, world, path):
    assert deephash("upgrade", path, "--model", world / "two", "--force").returncode == 0
    opened = Collection.open(path)
    assert opened.card.notes["engine"] == "onnx"  # of the first model
    file = opened.model_path / "model.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"portable": {"reason": "a layer that ONNX lacks"}}))
    new = world / "pictures" / "dark" / "late.png"
    Image.new("RGB", (8, 8), (9, 99, 9)).save(new)
    done = deephash("index", world / "pictures", "--out", path)
    new.unlink()
    assert done.returncode == 0, done.stderr
    assert Collection.open(path).rows_by_model() == {1: 120, 2: 1}


def test_what_is_said_of_codes_follows_the_column_that_is_current(deephash, world, path):
    for model, more, words in (
        ("long", [], "they have codes of their own"),
        ("two", [], "they have codes of their own"),
        ("three", ["--same-space"], "their codes lie beside the old ones"),
    ):
        done = deephash("upgrade", path, "--model", world / model, "--force", "--re-encode", "now", *more)
        assert done.returncode == 0, done.stderr
        assert words in done.stdout
    column = Collection.open(path).current.column
    assert column == Collection.open(path).model_versions[-2].column != "code"


@pytest.mark.parametrize(("words", "code", "message"), [
    ([], 2, "say what to do: --model RUN, --refit, or --re-encode now"),
    (["--refit", "--bits", "8"], 2, "leave out --model, --bits and --weights"),
    (["--model", "nowhere"], 3, "nowhere: no such run or model folder"),
    (["--model", "{world}/one"], 2, "there is nothing to upgrade"),
    (["--model", "{world}/two", "--same-space"], 2, "--same-space overrides the gate"),
    (["--model", "{world}/two", "--margin", "2"], 2, "margin, of mAP,"),
    (["--re-encode", "now", "--dry-run"], 2, "--dry-run measures a newer model"),
    (["--model", "{world}/two", "--seed", "-1"], 2, "seed is 0 to 4294967295, not -1"),
    (["--re-encode", "now", "--workers", "0"], 2, "workers, the number of threads,"),
    (["--model", "{world}/two", "--sample", "0"], 2, "sample, the number of rows,"),
    (["--model", "{world}/two", "--label", "colour"], 2, "no attribute 'colour'"),
    (["--model", "{world}/two", "--sample", "20"], 2, "--force publishes without measuring"),
])  # fmt: skip
def test_bad_input_is_said_in_a_sentence(deephash, world, path, words, code, message):
    done = deephash("upgrade", path, *(word.format(world=world) for word in words))
    assert done.returncode == code, done.stderr
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert len(Collection.open(path).model_versions) == 1
