"""``dedup --stream`` and ``dedup PICTURES`` as people run them: no model, no collection, Ctrl-C at any time."""

import io
import json
import os
import signal
import subprocess
import sys
import time

import imagehash
import numpy as np
import pytest
from PIL import Image

from deephash.cli.main import main
from deephash.codes import BinaryCodes
from deephash.encoding import open_encoder
from deephash.encoding.perceptual import perceptual_encoder
from deephash.errors import CollectionDamaged, DataError, UsageError
from deephash.index.seen_stream import SeenStream, plan_bands
from deephash.pictures.perceptual import KINDS, perceptual_hash
from tests import item_lists


def photo(seed):
    """Return a picture with structure at all the scales that a hash looks at."""
    coarse = np.random.default_rng(seed).integers(0, 256, (24, 32, 3), np.uint8)
    return Image.fromarray(coarse).resize((256, 192), Image.Resampling.BICUBIC)


def run(*words):
    return main(["dedup", *map(str, words)])


@pytest.fixture
def pictures(tmp_path):
    """Twelve pictures, and copies of four of them at another quality."""
    (tmp_path / "p").mkdir()
    for row in range(12):
        picture = photo(row)
        picture.save(tmp_path / "p" / f"a{row:02}.png")
        if row < 4:
            picture.save(tmp_path / "p" / f"b{row:02}.jpg", quality=85)
    return tmp_path / "p"


COPIES = ["b00.jpg", "b01.jpg", "b02.jpg", "b03.jpg"]


def test_a_folder_needs_neither_model_nor_collection(pictures, capsys):
    assert run(pictures, "--json") == 0
    groups = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert sorted(other["path"] for group in groups for other in group["others"]) == COPIES
    assert run(pictures, "--json", "--model", "dhash") == 0
    assert len(capsys.readouterr().out.splitlines()) == 4


def test_a_stream_tells_what_was_seen_and_goes_on(pictures, tmp_path, capsys):
    kept = ["--stream", "--filter", tmp_path / "seen.npz", "--out", tmp_path / "seen.txt"]
    assert run(pictures, *kept, "--items", 1000, "--false-positives", 1e-3) == 0
    assert (tmp_path / "seen.txt").read_text().split() == COPIES
    said = capsys.readouterr().err
    assert "16 items looked at" in said
    assert "4 seen before" in said
    assert "are never missed; of new items at most 0.001" in said
    assert run(pictures, *kept) == 1
    assert "16 items were looked at in a run before" in capsys.readouterr().err
    photo(7).save(pictures / "c.png")
    photo(99).save(pictures / "d.png")
    assert run(pictures, *kept) == 0
    assert (tmp_path / "seen.txt").read_text().split() == [*COPIES, "c.png"]


def test_tars_code_files_and_pipes(tmp_path, capsys, monkeypatch):
    folder = item_lists.tars(tmp_path / "shards")
    assert run(folder / "train-000000.tar", "--stream", "--items", 100, "--filter", tmp_path / "f.npz") == 1
    assert run(folder, "--stream", "--filter", tmp_path / "f.npz", "--json") == 1
    said = capsys.readouterr().err
    assert "20 items looked at" in said
    assert "12 items were looked at in a run before" in said
    bits = np.random.default_rng(0).integers(0, 2, (50, 256), np.uint8)
    bits[40:] = bits[:10]
    bits[40:, 3] ^= 1
    codes = BinaryCodes.from_bits(bits)
    codes.save(tmp_path / "c.npz", names=np.array([f"n{row}" for row in range(50)]))
    np.save(tmp_path / "c.npy", codes.packed)
    for name, called in (("c.npz", "n"), ("c.npy", "row ")):
        assert run(tmp_path / name, "--stream", "--items", 1000) == 0
        assert capsys.readouterr().out.splitlines() == [f"{called}{row}" for row in range(40, 50)]
    named = "".join(f"{line}\titem{row}\n" for row, line in enumerate(codes.hex()))
    monkeypatch.setattr("sys.stdin", io.StringIO(named))
    assert run("-", "--stream", "--items", 1000, "--filter", tmp_path / "pipe.npz") == 0
    assert capsys.readouterr().out.splitlines() == [f"item{row}" for row in range(40, 50)]
    monkeypatch.setattr("sys.stdin", io.StringIO(f"{codes.hex()[0]}\n{codes.hex()[1]}\n"))
    assert run("-", "--stream", "--filter", tmp_path / "pipe.npz") == 0  # without names nothing is passed over
    assert capsys.readouterr().out.splitlines() == ["line 1", "line 2"]


@pytest.mark.parametrize(
    ("words", "status", "says"),
    [
        (["p", "--stream"], 2, "give --items N"),
        (["p", "--items", "9"], 2, "--items is an option of --stream"),
        (["p", "--stream", "--items", "9", "--like", "alike"], 2, "--like cannot be had"),
        (["p", "--stream", "--items", "1000000", "--model", "phash", "--false-positives", "1e-14"], 2, "of 128 bits"),
        (["p", "--stream", "--items", "9", "--bands", "300"], 2, "bands lie between 1 and 256"),
        (["p", "--stream", "--items", "9"], 2, "would be 16"),
        (["p", "--stream", "--items", "9", "--model", "phash:65"], 2, "a square number of bits such as 64, not 65"),
        (["p", "--model", "phsh"], 3, "phsh"),
        (["nowhere", "--stream", "--items", "9"], 3, "not there"),
        (["p", "--stream", "--filter", "f.npz", "--model", "phash"], 2, "holds codes of phash:256"),
        (["p", "--stream", "--filter", "f.npz", "--items", "8"], 2, "made with --items 100, not 8"),
        (["p", "--stream", "--filter", "f.npz", "--false-positives", "0.5"], 2, "made with --false-positives 0.0001"),
        (["p", "--stream", "--filter", "f.npz", "--bands", "1"], 2, "made with --bands"),
        (["p", "--stream", "--filter", "bad.npz"], 3, "no filter of deephash dedup"),
        (["x.dh", "--stream", "--items", "9"], 1, "the stream is empty"),
        (["p", "--stream", "--items", "1_000_000_000_000_000"], 2, "do not fit the memory"),
    ],
)  # fmt: skip
def test_what_cannot_be(pictures, tmp_path, monkeypatch, capsys, words, status, says):
    monkeypatch.chdir(tmp_path)
    if "f.npz" in words:
        assert run("p", "--stream", "--items", 100, "--filter", "f.npz") == 0
    np.savez(tmp_path / "bad.npz", a=np.zeros(3))
    (tmp_path / "x.dh").mkdir()
    capsys.readouterr()
    assert run(*words) == status
    assert says in capsys.readouterr().err


def test_ctrl_c_loses_nothing(tmp_path):
    """A run that is interrupted and told again ends with the lines of one that was not."""
    draw = np.random.default_rng(0)
    fresh = draw.integers(0, 256, (150_000, 32), np.uint8)
    table = np.concatenate([fresh, fresh[::7]])
    np.save(tmp_path / "c.npy", table)
    kept = ["--filter", tmp_path / "f.npz", "--out", tmp_path / "o.txt"]
    words = [tmp_path / "c.npy", "--stream", "--items", len(table), *kept]
    environment = os.environ | {"PYTHONUNBUFFERED": "1"}
    command = [sys.executable, "-m", "deephash", "dedup", *map(str, words)]
    child = subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True)
    while not (tmp_path / "o.txt").exists() and child.poll() is None:  # the first batch is being looked at
        time.sleep(0.01)
    child.send_signal(signal.SIGINT)
    said = child.communicate(timeout=120)[1]
    assert child.returncode in (130, 0), said
    if child.returncode == 130:
        assert "run the same command again to go on" in said
        assert SeenStream.load(tmp_path / "f.npz", "codes made elsewhere", 256, None, None).looked < len(table)
        assert run(*words) == 0
    assert (tmp_path / "o.txt").read_text().splitlines() == [f"row {row}" for row in range(len(fresh), len(table))]


def test_lines_after_the_last_save_are_written_again(tmp_path):
    """A crash between two saves: the file of lines is cut to what the filter knows."""
    bits = np.random.default_rng(0).integers(0, 2, (30, 256), np.uint8)
    bits[20:] = bits[:10]
    np.save(tmp_path / "a.npy", BinaryCodes.from_bits(bits).packed)
    words = ["--stream", "--filter", tmp_path / "f.npz", "--out", tmp_path / "o.txt"]
    assert run(tmp_path / "a.npy", *words, "--items", 100) == 0
    whole = (tmp_path / "o.txt").read_text()
    with (tmp_path / "o.txt").open("a") as file:
        file.write("row 5 of a run that crashed\nrow 6")
    np.save(tmp_path / "b.npy", BinaryCodes.from_bits(bits[:1]).packed)
    assert run(tmp_path / "b.npy", *words) == 0
    assert (tmp_path / "o.txt").read_text() == f"{whole}row 0\n"


def test_the_rate_is_kept_when_the_filter_is_full():
    """Uniform codes, no copies: at most the stated share is flagged, with room for chance."""
    rate, items = 0.01, 20_000
    draw = np.random.default_rng(0)
    state = SeenStream("x", 128, items, rate)
    for _ in range(items // 5000):
        state.take(None, BinaryCodes(draw.integers(0, 256, (5000, 16), np.uint8), 128))
    asked = BinaryCodes(draw.integers(0, 256, (20_000, 16), np.uint8), 128)
    assert state.codes.seen(asked).mean() < 1.2 * rate
    assert state.codes.seen(asked).mean() > 0.2 * rate  # nor is room wasted
    assert plan_bands(128, items, rate).bands - 1 == 4
    near = asked.bits()[:100].copy()
    state = SeenStream("x", 128, items, rate)
    state.take(None, BinaryCodes.from_bits(near))
    near[:, [5, 50, 100, 127]] ^= True
    assert state.take(None, BinaryCodes.from_bits(near)).all()  # four bits apart are never missed


def test_codes_that_are_not_uniform_are_told(tmp_path, capsys):
    """A third of the bits are the same in all: bands agree more often than the rate says, and the run says so."""
    bits = np.random.default_rng(0).integers(0, 2, (2000, 64), np.uint8)
    bits[:, 40:] = 0
    np.save(tmp_path / "c.npy", BinaryCodes.from_bits(bits).packed)
    assert run(tmp_path / "c.npy", "--stream", "--items", 2000, "--false-positives", 0.01) == 0
    assert "they are not: of the first 2,000 items" in capsys.readouterr().err
    state = SeenStream("x", 64, 2000, 0.01)
    thrice = BinaryCodes.from_bits(np.repeat(bits[:500], 3, axis=0))
    assert state.take(None, thrice).sum() >= 1000  # one like an item that was flagged wrongly is found as well


def test_a_damaged_filter_is_refused(tmp_path):
    SeenStream("x", 128, 100, 0.01).save(tmp_path / "f.npz")
    parts = dict(np.load(tmp_path / "f.npz"))
    for change in ({"counts": np.array([9, 100, 0, 0, 0])}, {"codes_words": np.zeros((1, 1), np.uint64)}):
        np.savez(tmp_path / "bad.npz", **(parts | change))
        with pytest.raises(DataError):
            SeenStream.load(tmp_path / "bad.npz", "x", 128, None, None)


@pytest.mark.parametrize("side", [8, 16])
@pytest.mark.parametrize("kind", sorted(KINDS))
def test_bits_are_those_of_imagehash(kind, side):
    theirs = {"phash": imagehash.phash, "dhash": imagehash.dhash, "ahash": imagehash.average_hash}[kind]
    encoder = perceptual_encoder(f"imagehash:{kind}", side * side)
    for seed in range(5):
        picture = photo(seed)
        ours = encoder.encode("image", [encoder.prepare("image", picture)]).codes.bits()[0]
        assert np.array_equal(ours, theirs(picture, hash_size=side).hash.ravel())
    assert np.array_equal(perceptual_hash(photo(1)), imagehash.phash(photo(1)).hash.ravel())


def test_a_collection_by_phash_searches_verifies_and_goes_on(pictures, tmp_path, capsys):
    made = tmp_path / "x.dh"
    assert main(["index", str(pictures), "--out", str(made), "--model", "imagehash:phash"]) == 0
    photo(50).save(pictures / "e.png")
    assert main(["index", str(pictures), "--out", str(made)]) == 0
    assert "1 new" in capsys.readouterr().out
    assert main(["index", str(pictures), "--out", str(made), "--model", "phash"]) == 0
    assert main(["collection", "verify", str(made)]) == 0
    assert run(made, "--stream", "--items", 9) == 2
    assert "whose copies are found exactly" in capsys.readouterr().err
    assert main(["search", str(made), str(pictures / "b02.jpg"), "-k", "2", "--json"]) == 0
    assert "a02.png" in capsys.readouterr().out
    assert main(["index", str(pictures), "--out", str(made), "--model", "dhash"]) == 4
    assert main(["search", str(made), "two dogs"]) == 2
    assert "words" in capsys.readouterr().err
    record = next(made.rglob("model.json"))
    record.write_text(record.read_text().replace('"phash"', '"dhash"'))
    with pytest.raises(CollectionDamaged, match="another fingerprint"):
        open_encoder(record.parent)


def test_what_a_perceptual_hash_cannot_do():
    encoder = perceptual_encoder("phash")
    for ask in (
        lambda: encoder.prepare("text", "a dog"),
        encoder.neutral,
        encoder.vector_dim,
        lambda: encoder.at("int8"),
        lambda: perceptual_encoder("phash:x"),
        lambda: perceptual_encoder("phash:64", 256),
    ):
        with pytest.raises(UsageError):
            ask()
    assert encoder.encode("image", [np.zeros((32, 32), np.uint8)], continuous=True).continuous.shape == (1, 64)
