"""``deephash index``, ``collection``, ``dedup`` and ``encode`` as people call them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from deephash.cli.main import main
from deephash.codes import BinaryCodes
from deephash.collection import Collection
from tests.e2e.collection_child import tiny_model
from tests.paths import ROOT, shared_data

COMMAND = [sys.executable, "-m", "deephash.cli.main"]


def draw(file: Path, seed: int, side: int = 8) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (side, side, 3), np.uint8)
    Image.fromarray(pixels).save(file)


@pytest.fixture(scope="module")
def run_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("run")
    tiny_model().save(folder / "model")
    return folder


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for number, name in enumerate(["cat/1.png", "cat/2.png", "dog/1.png"]):
        draw(tmp_path / "pictures" / name, number)
    draw(tmp_path / "pictures" / "dog" / "same.png", 2)
    (tmp_path / "pictures" / "bad.png").write_text("no picture")
    return tmp_path / "pictures"


@pytest.fixture
def indexed(folder: Path, run_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Path:
    out = tmp_path / "x.dh"
    assert main(["index", str(folder), "--out", str(out), "--model", str(run_folder), "--workers", "1"]) == 0
    capsys.readouterr()
    return out


def said(capsys: pytest.CaptureFixture[str], arguments: list[object], code: int = 0) -> tuple[str, str]:
    assert main([str(word) for word in arguments]) == code
    captured = capsys.readouterr()
    return captured.out, captured.err


@pytest.mark.parametrize(
    ("spec", "flags", "kept"),
    [
        ("clip:ViT-B-32/openai", [], True),
        ("clip:ViT-B-32/openai", ["--no-vectors"], False),
        ("itq:timm:resnet18", [], False),
        ("itq:timm:resnet18", ["--keep-vectors"], True),
    ],
)
def test_clip_keeps_vectors_unless_told_otherwise(folder, tmp_path, monkeypatch, spec, flags, kept):
    monkeypatch.setattr("deephash.cli.choosing.model_named", lambda name, **_: tiny_model())  # no weights are here
    command = ["index", str(folder), "--out", str(tmp_path / "x.dh"), "--model", spec]
    assert main([*command, *flags]) == 0
    assert Collection.open(tmp_path / "x.dh").has_vectors == kept
    assert main(command) == 0  # again, with vectors or without


def test_the_same_words_fit_no_model_twice(folder, tmp_path, capsys, monkeypatch):
    from deephash.cli import choosing

    fitted = []
    monkeypatch.setattr(choosing, "model_named", lambda name, **_: fitted.append(name) or tiny_model())
    command = ["index", folder, "--out", tmp_path / "x.dh"]
    said(capsys, [*command, "--model", "lsh:timm:resnet18"])
    draw(folder / "new.png", 77)
    assert "1 new" in said(capsys, [*command, "--model", "lsh:timm:resnet18"])[0]
    said(capsys, [*command, "--model", "lsh:timm:resnet18", "--bits", "16"])
    said(capsys, command)
    assert fitted == ["lsh:timm:resnet18"]
    said(capsys, [*command, "--model", "itq:timm:resnet18"])
    said(capsys, [*command, "--model", "lsh:timm:resnet18", "--bits", "32"])
    assert fitted == ["lsh:timm:resnet18", "itq:timm:resnet18", "lsh:timm:resnet18"]


def test_auto_takes_the_weights_that_are_here(folder, tmp_path, capsys, no_hub, monkeypatch):
    from deephash.cli import choosing

    (tmp_path / "weights").mkdir()
    file = tmp_path / "weights" / "resnet18.safetensors"
    file.touch()
    monkeypatch.setenv("DEEPHASH_WEIGHTS", str(file.parent))
    asked = {}
    monkeypatch.setattr(choosing, "model_named", lambda name, **how: asked.update(how, name=name) or tiny_model())
    _, errors = said(capsys, ["index", folder, "--out", tmp_path / "x.dh"])
    assert (asked["name"], asked["weights"]) == ("itq:timm:resnet18", file)
    assert (
        f"model itq:timm:resnet18: searched by pictures; its weights are {file}. Others: deephash models list" in errors
    )


def test_index_says_what_happened_and_what_next(
    folder: Path, run_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "x.dh"
    text, errors = said(capsys, ["index", folder, "--out", out, "--dry-run"])
    assert "would be: 5 new" in text
    assert not out.exists()
    text, errors = said(capsys, ["index", folder, "--out", out, "--model", run_folder / "model"])
    assert "4 new, 1 skipped" in text
    assert f"next: deephash search {out} PICTURE" in text
    assert "skipped bad.png: not a picture in a known format" in errors
    draw(folder / "cat" / "3.png", 7)
    text, _ = said(capsys, ["index", folder, "--out", out, "--json"])
    record = json.loads(text)
    assert (record["added"], record["unchanged"], record["dry_run"]) == (1, 4, False)
    assert record["skipped"] == [{"path": "bad.png", "reason": "not a picture in a known format"}]


@pytest.mark.usefixtures("no_hub")
@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["{absent}", "--out", "{x}", "--model", "{run}"], 3, "is not there; nothing was changed"),
        (["{folder}", "--out", "{x}"], 3, "no model can be had here"),
        (["{folder}", "--out", "{x}", "--model", "{absent}"], 3, "no such run or model folder"),
        (["{folder}", "--out", "{x}", "--model", "{folder}"], 4, "model.json"),
        (["{folder}", "--out", "{folder}", "--model", "{run}"], 4, "is not a collection"),
        (["{folder}", "--out", "{x}", "--modell", "{run}"], 2, "--modell"),
        (["{folder}", "--out", "{x}", "--model", "{run}", "--precision", "fp8"], 2, "fp8"),
        (["{folder}", "--out", "{x}", "--model", "{run}", "--batch-size", "0"], 2, "at least 1"),
        (["{folder}", "--out", "{x}", "--model", "{run}", "--attributes", "{absent}"], 3, "cannot be read"),
        (["{folder}", "--out", "{x}", "--model", "{run}", "--device", "abacus"], 2, "abacus"),
    ],
)
def test_index_refuses_nonsense_in_one_sentence(
    folder: Path,
    run_folder: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    words: list[str],
    code: int,
    message: str,
) -> None:
    places = {"folder": folder, "run": run_folder, "x": tmp_path / "x.dh", "absent": tmp_path / "absent"}
    _, errors = said(capsys, ["index", *(word.format(**places) for word in words)], code)
    assert message in errors
    assert "Traceback" not in errors
    assert "internal error" not in errors
    assert not (tmp_path / "x.dh").exists()


def test_interrupted_index_keeps_its_work_and_says_how_to_go_on(
    tmp_path: Path, run_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, out = tmp_path / "pictures", tmp_path / "x.dh"
    draw(folder / "00.png", 0, side=1200)  # large, so that decoding takes its time
    for number in range(1, 40):
        (folder / f"{number:02}.png").write_bytes((folder / "00.png").read_bytes())
    words = ["index", str(folder), "--out", str(out), "--model", str(run_folder), "--batch-size", "2", "--workers", "1"]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    child = subprocess.Popen(
        [*COMMAND, *words], stderr=subprocess.PIPE, text=True, cwd=ROOT, env=environment,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # shells let background jobs ignore Ctrl-C
    )  # fmt: skip
    deadline = time.monotonic() + 200
    while not out.exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    time.sleep(0.3)
    child.send_signal(signal.SIGINT)
    _, errors = child.communicate(timeout=60)
    assert child.returncode == 130, errors
    assert "Go on with the same command:\n  deephash index" in errors
    assert "Traceback" not in errors
    kept = len(Collection.open(out))
    assert kept < 40
    record = json.loads(said(capsys, [*words, "--json"])[0])
    assert (record["added"], record["unchanged"]) == (40 - kept, kept)


def test_collection_commands(indexed: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    record = json.loads(said(capsys, ["collection", "info", indexed, "--json"])[0])
    assert (record["items"], record["unique_codes"], record["attributes"]["label"]) == (4, 3, 4)
    assert "LSH" in said(capsys, ["collection", "info", indexed])[0]
    text, errors = said(capsys, ["collection", "remove", indexed, "--where", "label=cat", "--dry-run"])
    assert "would remove 2 rows" in text
    assert not errors
    text, errors = said(capsys, ["collection", "remove", indexed, "--where", "label=cat"])
    assert "removed 2 rows" in text
    version = int(errors.split()[-1])
    assert errors.strip() == f"undo with: deephash collection restore {indexed} {version}"
    assert "(4 rows)" in said(capsys, ["collection", "restore", indexed, version])[0]
    rows = [json.loads(line) for line in said(capsys, ["collection", "versions", indexed, "--json"])[0].splitlines()]
    assert rows[-1]["rows"] == 4
    assert "1 file(s)" in said(capsys, ["collection", "compact", indexed])[0]
    (tmp_path / "t.csv").write_text("path,stars\ncat/1.png,5\nnone.png,1\n")
    text, errors = said(capsys, ["collection", "update", indexed, "--attributes", tmp_path / "t.csv"])
    assert text == "1 rows changed, 1 lines matched, 1 did not\n"
    assert "removed 1 rows" in said(capsys, ["collection", "remove", indexed, "--where", "stars>4"])[0]
    assert "no such rows" in said(capsys, ["collection", "remove", indexed, "77"], 1)[1]
    assert "either by ids or by --where" in said(capsys, ["collection", "remove", indexed], 2)[1]
    assert (
        "no column 'lable'; did you mean 'label'"
        in said(capsys, ["collection", "remove", indexed, "--where", "lable=cat"], 2)[1]
    )
    said(capsys, ["collection", "export", indexed, "--to", "hex", "--out", tmp_path / "x.hex"])
    text, _ = said(capsys, ["collection", "import", tmp_path / "x.hex", "--out", tmp_path / "y.dh"])
    assert "3 codes of 16 bits" in text
    assert "no such collection" in said(capsys, ["collection", "info", tmp_path / "z.dh"], 3)[1]
    assert "did you mean 'info'" in said(capsys, ["collection", "inof", indexed], 2)[1]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["remove", "x.dh", "--where", " "], "empty --where passes every row"),
        (["compact", "x.dh", "--forget-days", "-1"], "at least 0 days"),
        (["verify", "x.dh", "--sample", "0"], "--sample is at least 1"),
        (["verify", "x.dh", "--target", "2"], "--target between 0 and 1"),
    ],
)
def test_careless_orders_change_nothing(indexed, capsys, monkeypatch, words, message):
    monkeypatch.chdir(indexed.parent)
    before = [version.version for version in Collection.open(indexed).versions()]
    assert message in said(capsys, ["collection", *words], code=2)[1]
    assert [version.version for version in Collection.open(indexed).versions()] == before
    assert "recall" not in Collection.open(indexed).card.notes


def test_verify_reads_everything_and_writes_into_the_card(indexed: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text, _ = said(capsys, ["collection", "verify", indexed])
    assert "4 rows read, auto: recall@10 1.0000" in text
    assert Collection.open(indexed).card.notes["recall"]["sound"] is True
    (weights,) = (indexed / "models").rglob("model.safetensors")
    sound = weights.read_bytes()
    weights.write_bytes(sound[:100])
    assert "model.safetensors is not the file" in said(capsys, ["collection", "verify", indexed], 4)[1]
    weights.write_bytes(sound)
    for file in (indexed / "rows.lance" / "data").iterdir():
        file.write_bytes(file.read_bytes()[:100])
    _, errors = said(capsys, ["collection", "verify", indexed], 4)
    assert "cannot be read" in errors
    assert "deephash collection restore" in errors


def test_dedup_lists_and_deletes_nothing(
    indexed: Path, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text, errors = said(capsys, ["dedup", indexed, "--out", tmp_path / "d.csv"])
    assert "keep  dog/1.png  8 x 8\n    0  dog/same.png  8 x 8" in text
    assert "1 confirmed by their pixels; 1 groups; 1 of 4 pictures could go; none was deleted" in errors
    assert (tmp_path / "d.csv").read_text().splitlines()[1:] == ["1,yes,0,dog/1.png", "1,no,0,dog/same.png"]
    assert said(capsys, ["dedup", indexed, "--paths"])[0] == "dog/same.png\n"
    record = json.loads(said(capsys, ["dedup", indexed, "--json", "--keep", "oldest"])[0])
    assert [one["path"] for one in record["others"]] in (["dog/same.png"], ["dog/1.png"])
    said(capsys, ["dedup", indexed, "--where", "label=cat"], 1)
    assert (folder / "dog" / "same.png").exists()
    assert len(Collection.open(indexed)) == 4


def test_encode_pictures_lists_and_folders(
    folder: Path,
    run_folder: Path,
    indexed: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    model = ["--model", run_folder]
    text, _ = said(capsys, ["encode", folder, "-o", tmp_path / "codes.npz", *model])
    assert "4 codes of 16 bits, 1 skipped" in text
    _, codes = Collection.open(indexed).codes()
    assert set(BinaryCodes.load(tmp_path / "codes.npz").hex()) == set(codes.hex())
    with np.load(tmp_path / "codes.npz") as archive:
        assert sorted(archive["labels"].tolist()) == ["cat", "cat", "dog", "dog"]
    said(capsys, ["encode", folder / "cat" / "1.png", "-o", tmp_path / "one.hex", *model])
    assert (tmp_path / "one.hex").read_text().split("\t")[0] in codes.hex()
    (folder / "list.csv").write_text("path,label\ncat/1.png,x\ndog/1.png,y\n")
    said(capsys, ["encode", folder / "list.csv", "-o", tmp_path / "two.npz", *model])
    with np.load(tmp_path / "two.npz") as archive:
        assert archive["labels"].tolist() == ["x", "y"]
    import io

    monkeypatch.setattr("sys.stdin", io.StringIO(f"{folder}/cat/1.png\n"))
    said(capsys, ["encode", "-", "-o", tmp_path / "three.npz", *model])
    assert len(BinaryCodes.load(tmp_path / "three.npz")) == 1
    said(capsys, ["encode", folder / "cat" / "1.png", "-o", tmp_path / "four.hex", "--model", indexed])
    assert (tmp_path / "four.hex").read_text() == (tmp_path / "one.hex").read_text()
    assert "no such file" in said(capsys, ["encode", tmp_path / "absent", "-o", tmp_path / "x.npz", *model], 3)[1]
    (folder / "texts.txt").write_text("a cat\n")
    assert (
        "reads image, not text"
        in said(capsys, ["encode", folder / "texts.txt", "-o", tmp_path / "x.npz", *model, "--text"], 2)[1]
    )


def test_caltech_is_indexed_by_a_real_network(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from deephash.backbones import Backbone
    from deephash.models import LSH

    weights = shared_data("weights", "mobilenetv1_025_128_imagenet.safetensors")
    model = LSH(64, Backbone("mobilenet_v1:0.25", weights=str(weights)), centre=False)
    model.save(tmp_path / "model")
    folder = tmp_path / "photos"
    for label in ("ant", "chair"):
        (folder / label).mkdir(parents=True)
        for file in sorted(shared_data("caltech101", "test", label).iterdir())[:5]:
            (folder / label / file.name).write_bytes(file.read_bytes())
    said(capsys, ["index", folder, "--out", tmp_path / "x.dh", "--model", tmp_path / "model"])
    collection = Collection.open(tmp_path / "x.dh")
    ids, codes = collection.codes()
    files = [collection.picture_path(item) for item in collection.items(ids)]
    assert len(ids) == 10
    assert (codes.bits() == model.encode_images(files).bits()).mean() > 0.995  # batches may round differently
    assert collection.matching("label=ant and width>0").tolist() == ids[:5].tolist()
