"""Everything that may lie in a folder of pictures: nothing odd ends index; each is skipped by name with a reason."""

from __future__ import annotations

import csv
import json
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from deephash.collection import Collection
from deephash.collection.folder import list_pictures
from deephash.data.folder import PictureFolder
from deephash.errors import UnreadablePicture
from deephash.foreign.names import as_utf8, printable
from deephash.ingest import encoder, index_folder
from deephash.pictures import looks_like_picture, open_picture, scan_folder
from tests.e2e.collection_child import tiny_model
from tests.paths import ROOT, shared_data


@pytest.fixture(scope="module")
def model():
    return tiny_model()


def draw(file: Path, seed: int = 0, side: int = 8) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.random.default_rng(seed).integers(0, 256, (side, side, 3), np.uint8)).save(file)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    root = tmp_path / "pictures"
    for number, name in enumerate(["cat/1.png", "cat/2.png", "dog/1.png", "dog/2.png"]):
        draw(root / name, number)
    return root


def odd_things(root: Path) -> dict[str, str]:
    """Make them and return name -> a word of the reason why it is skipped when links are followed."""
    (root / "self.png").symlink_to("self.png")
    (root / "ping.png").symlink_to("pong.png")
    (root / "pong.png").symlink_to("ping.png")
    (root / "nowhere.jpg").symlink_to(root / "absent.jpg")
    (root / "zero.png").symlink_to("/dev/zero")
    (root / "loop").symlink_to(root)
    (root / "dog").mkdir(exist_ok=True)
    (root / "dog/up").symlink_to("..")
    os.mkfifo(root / "pipe.png")
    here = Path.cwd()
    os.chdir(root)  # addresses of sockets are short
    try:
        socket.socket(socket.AF_UNIX).bind("socket.png")
    finally:
        os.chdir(here)
    (root / "folder.jpg").mkdir()
    draw(root / "folder.jpg/inside.png", 9)
    (root / "bell\x07\x1b[31m.png").write_bytes(b"x")
    (root / "two\nlines.png").write_bytes(b"x")
    for name in (b"caf\xe9.png", b"caf\xe9/inside.png"):
        path = os.path.join(os.fsencode(root), name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "wb") as file:
            file.write(b"x")
    return {
        "self.png": "symbolic links", "ping.png": "symbolic links", "pong.png": "symbolic links",
        "nowhere.jpg": "No such file", "zero.png": "not a regular file but a device",
        "pipe.png": "not a regular file but a pipe", "socket.png": "not a regular file but a socket",
        "bell\x07\x1b[31m.png": "not a picture", "two\nlines.png": "not a picture",
        "caf\\udce9.png": "not valid UTF-8", "caf\\udce9": "not valid UTF-8",
    }  # fmt: skip


@pytest.mark.parametrize("follow", [True, False])
def test_odd_things_are_skipped_by_name(folder: Path, tmp_path: Path, model, follow: bool) -> None:
    expected = odd_things(folder)
    out = tmp_path / "x.dh"
    report = index_folder(folder, out, model, follow_symlinks=follow, batch_size=2)
    reasons = dict(report.skipped)
    links = {"self.png", "ping.png", "pong.png", "nowhere.jpg", "zero.png"}
    for name, reason in expected.items():
        assert (reason if follow or name not in links else "a symbolic link") in reasons[name], name
    assert set(reasons) - set(expected) == (set() if follow else {"loop", "dog/up"}), "a loop is entered once"
    assert report.added == 5
    assert Collection.open(out).find(["folder.jpg/inside.png"]), "a folder may be called like a picture"
    with (out / "skipped.csv").open(encoding="utf-8", newline="") as file:
        assert [tuple(row[:2]) for row in csv.reader(file)][1:] == report.skipped
    again = index_folder(folder, out, follow_symlinks=follow)
    assert (again.added, again.removed, again.unchanged) == (0, 0, 5)


def test_the_command_prints_and_writes_any_name(folder: Path, tmp_path: Path, model) -> None:
    odd_things(folder)
    model.save(tmp_path / "model")
    command = [sys.executable, "-m", "deephash.cli.main", "index", str(folder), "--out", str(tmp_path / "x.dh")]
    command += ["--model", str(tmp_path / "model"), "--follow-symlinks"]
    for more, code in ((["--json"], "ascii"), ([], "ascii"), (["--dry-run", "--json"], "utf-8")):
        environment = os.environ | {"PYTHONIOENCODING": code, "LC_ALL": "C"}
        ran = subprocess.run([*command, *more], cwd=ROOT, env=environment, capture_output=True, timeout=250)
        assert ran.returncode == 0, ran.stderr.decode()[-1500:]
        assert b"\x1b" not in ran.stdout + ran.stderr
        if "--json" in more:
            record = json.loads(ran.stdout)
            assert len(record["skipped"]) == 11  # a dry run decodes nothing, but known-bad files are remembered
            assert "scaled" in record
        else:
            assert b"11 skipped" in ran.stdout
            assert b"all 11 are listed in" in ran.stderr


@pytest.mark.posix
@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_unreadable_files_and_folders(folder: Path, tmp_path: Path, model) -> None:
    (folder / "cat").chmod(0)
    (folder / "dog/1.png").chmod(0)
    try:
        report = index_folder(folder, tmp_path / "x.dh", model)
    finally:
        (folder / "cat").chmod(0o755)
    assert report.added == 1
    assert {path: reason.split(": ")[-1] for path, reason in report.skipped} == {
        "cat": "Permission denied", "dog/1.png": "Permission denied",
    }  # fmt: skip


def test_a_folder_that_refuses_to_be_looked_at_keeps_its_rows(
    folder: Path, tmp_path: Path, model, monkeypatch: pytest.MonkeyPatch
) -> None:
    index_folder(folder, tmp_path / "x.dh", model)
    look = Path.stat

    def refusing(path: Path, **options: bool) -> os.stat_result:
        if path.name == "cat":
            raise OSError(5, "Input/output error")
        return look(path, **options)

    monkeypatch.setattr(Path, "stat", refusing)
    report = index_folder(folder, tmp_path / "x.dh")
    assert report.skipped == [("cat", "the folder cannot be listed: Input/output error")]
    assert (report.removed, report.unchanged) == (0, 4)


@pytest.mark.posix
def test_files_that_vanish_or_turn_into_something_else(
    folder: Path, tmp_path: Path, model, monkeypatch: pytest.MonkeyPatch
) -> None:
    listing = list_pictures(folder, folder)
    (folder / "cat/1.png").unlink()
    (folder / "cat/2.png").unlink()
    os.mkfifo(folder / "cat/2.png")  # reading it would wait for ever
    shutil.rmtree(folder / "dog")
    draw(folder / "late.png", 5)
    listing.files += [file for file in list_pictures(folder, folder).files if file.uri == "late.png"]
    monkeypatch.setattr("deephash.ingest.where.list_pictures", lambda *_, **__: listing)
    report = index_folder(folder, tmp_path / "x.dh", model)
    assert report.added == 1
    assert dict(report.skipped) == {
        "cat/1.png": "No such file or directory", "cat/2.png": "not a regular file",
        "dog/1.png": "No such file or directory", "dog/2.png": "No such file or directory",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (MemoryError(), "there is not enough memory for it"),
        (OSError(5, "Input/output error"), "Input/output error"),
        (ValueError("height and width\nmust be > 0"), "height and width must be > 0"),
        (RuntimeError("not enough memory: you tried to allocate 12 GB"), "not enough memory: you tried"),
    ],
)
def test_an_error_with_one_picture_is_its_own_matter(
    folder: Path, tmp_path: Path, model, monkeypatch: pytest.MonkeyPatch, error: Exception, reason: str
) -> None:
    draw(folder / "thin.png", 3, side=9)
    prepare = model.preprocess("image")

    def failing(picture: Image.Image):
        if picture.width == 9:
            raise error
        return prepare(picture)

    monkeypatch.setattr(model, "preprocess", lambda _: failing)
    report = index_folder(folder, tmp_path / "x.dh", model, engine="torch")
    assert report.added == 4
    assert [(path, reason in said) for path, said in report.skipped] == [("thin.png", True)]


def test_a_ruler_and_a_bomb_lie_beside_other_pictures(folder: Path, tmp_path: Path, model) -> None:
    from tests.unit.test_decode_budget import flat_png

    Image.new("RGB", (60_000, 1), (200, 3, 3)).save(folder / "ruler.png")
    for number in range(3):
        (folder / f"bomb{number}.png").write_bytes(flat_png(13_000, 13_000)[:9000])
    report = index_folder(folder, tmp_path / "x.dh", model, batch_size=2)
    assert report.added == 5
    assert [path for path, _ in report.skipped] == ["bomb0.png", "bomb1.png", "bomb2.png"]
    assert all(reason.startswith("13000 x 13000 pixels take about") for _, reason in report.skipped)


def test_how_values_were_scaled_is_said(folder: Path, tmp_path: Path, model) -> None:
    Image.fromarray(np.arange(64, dtype=np.uint16).reshape(8, 8) * 64).save(folder / "deep.tif")
    report = index_folder(folder, tmp_path / "x.dh", model)
    assert report.scaled == [("deep.tif", "values 0 to 4095 were taken as black to white")]
    assert not report.skipped


def test_mpo_is_a_picture(folder: Path, tmp_path: Path, model) -> None:
    frames = [Image.new("RGB", (16, 12), colour) for colour in ((200, 0, 0), (0, 0, 200))]
    frames[0].save(folder / "stereo.MPO", "MPO", save_all=True, append_images=frames[1:])
    assert looks_like_picture("stereo.MPO")
    assert open_picture(folder / "stereo.MPO").getpixel((5, 5))[0] > 180
    assert index_folder(folder, tmp_path / "x.dh", model).added == 5
    assert folder / "stereo.MPO" in list(scan_folder(folder))


def test_training_on_a_folder_meets_odd_things_too(folder: Path) -> None:
    odd_things(folder / "cat")
    table = PictureFolder(root=str(folder)).table
    assert "cat/caf\\udce9.png" in table.names
    assert all(as_utf8(name) == name for name in table.names)
    met = [_open(table.sources["image"], row) for row in range(len(table.names))]
    assert met.count("RGB") == 5
    assert all(one == "RGB" or one.isprintable() for one in met), "one printable sentence each"


def _open(source: Callable[[int], Image.Image], row: int) -> str:
    try:
        return source(row).mode
    except UnreadablePicture as error:
        return str(error)


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("plain ü 日本.png", "plain ü 日本.png"),
        ("a\x1b[2Jb", "a\\x1b[2Jb"),
        ("a\nb", "a\\nb"),
        ("caf\udce9", "caf\\udce9"),
    ],
)
def test_names_are_printable(name: str, shown: str) -> None:
    assert printable(name) == shown
    assert printable(name).isprintable()


def test_an_age_that_no_calendar_has_is_an_age(folder: Path, tmp_path: Path, model, monkeypatch) -> None:
    from deephash.collection import folder as listing

    for nanoseconds in (-(2**62), 2**63, 2**80, -(2**80), 0, 1_700_000_000_123_456_789):
        assert listing.time_of(nanoseconds).year >= 1
    assert listing.time_of(1_700_000_000_123_456_789).isoformat() == "2023-11-14T22:13:20.123456"
    assert encoder.read_picture is not None


def test_folders_that_are_not_utf8(folder: Path, tmp_path: Path, model, capsys: pytest.CaptureFixture[str]) -> None:
    from deephash.cli.main import main

    model.save(tmp_path / "model")
    strange = Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9"))
    folder.rename(strange)
    index = ["index", str(strange), "--model", str(tmp_path / "model"), "--out"]
    assert main([*index, str(tmp_path / "x.dh")]) == 0
    assert main(["index", str(strange), "--out", str(tmp_path / "x.dh"), "--json"]) == 0
    assert main(["collection", "info", str(tmp_path / "x.dh")]) == 0
    assert main(["search", str(tmp_path / "x.dh"), str(strange / "cat/1.png")]) == 0
    assert "cat/1.png" in capsys.readouterr().out
    assert main([*index, str(strange) + ".dh"]) == 2
    assert "caf\\udce9.dh: no collection can lie below a name that is not valid UTF-8" in capsys.readouterr().err
    assert sorted(path.name for path in tmp_path.iterdir() if path.name.startswith(".")) == []


def test_a_query_that_is_a_bomb_is_a_sentence(
    folder: Path, tmp_path: Path, model, capsys: pytest.CaptureFixture[str]
) -> None:
    from deephash.cli.main import main
    from tests.unit.test_decode_budget import flat_png

    index_folder(folder, tmp_path / "x.dh", model)
    bomb = tmp_path / "bomb.png"
    bomb.write_bytes(flat_png(13_000, 13_000)[:9000])
    assert main(["search", str(tmp_path / "x.dh"), str(bomb)]) == 3
    said = capsys.readouterr().err
    assert f"{bomb}: 13000 x 13000 pixels take about" in said
    assert "DEEPHASH_DECODE_MIB=1024" in said


def test_many_pictures_are_encoded_without_holding_them_all(model, monkeypatch: pytest.MonkeyPatch) -> None:
    import weakref

    opened: list[weakref.ref[Image.Image]] = []
    most = 0

    def opening(source: Image.Image, **_: object) -> Image.Image:
        nonlocal most
        picture = source.copy()
        opened.append(weakref.ref(picture))
        most = max(most, sum(one() is not None for one in opened))
        return picture

    monkeypatch.setattr("deephash.pictures.open_picture", opening)
    codes = model.encode_images([Image.new("RGB", (8, 8), (shade, 9, 9)) for shade in range(50)], batch_size=16)
    assert len(codes) == 50
    assert most <= 2


@pytest.mark.filterwarnings("ignore")  # of what Pillow finds odd in a file; index itself keeps them to itself
def test_the_cases_of_pictures_give_what_is_right(tmp_path: Path, model) -> None:
    script = shared_data().parent / "cases" / "make_cases.py"
    if not script.is_file():
        pytest.skip("../shared/cases is absent")
    cases = tmp_path / "cases"
    subprocess.run([sys.executable, str(script), str(cases)], check=True, capture_output=True)
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    for file in [*cases.glob("D*.*"), cases / "thin/D2_ruler.png"]:
        shutil.copy(file, pictures / file.name)
    report = index_folder(pictures, tmp_path / "x.dh", model)
    assert report.skipped == []
    collection = Collection.open(tmp_path / "x.dh")
    turned = [item.attributes for item in collection.items(collection.ids()) if item.uri.startswith("D1")]
    assert [(one["width"], one["height"]) for one in turned] == [(40, 60)] * 40
    right = np.asarray(Image.open(cases / "D0_right_grey.png"), int)
    for file in sorted(cases.glob("D[3-6]*")):
        seen = np.asarray(open_picture(file), int)[:, :, 1]
        differing = np.abs(seen - right) > 2
        assert differing.sum() <= ("D3" in file.name), "but for the one value that is none"
    upright = np.rot90(np.asarray(Image.open(cases / "D0_right.png"), int), -1)
    for file in cases.glob("D1*"):
        assert np.abs(np.asarray(open_picture(file), int) - upright).mean() < 12
