"""What an evaluation says in one sentence, a collection as its database, and runs that nobody scored yet."""

import json

import numpy as np
import pytest
from PIL import Image

from deephash.cli.main import main
from deephash.codes import BinaryCodes
from deephash.collection import Collection
from deephash.ingest import index_folder
from tests.e2e.collection_child import tiny_model


@pytest.fixture
def world(tmp_path):
    draw = np.random.default_rng(0)
    for label, shade in (("dark", 40), ("light", 220)):
        (tmp_path / "p" / label).mkdir(parents=True)
        for row in range(12):
            pixels = np.clip(draw.integers(-30, 30, (8, 8, 3)) + shade, 0, 255).astype(np.uint8)
            Image.fromarray(pixels).save(tmp_path / "p" / label / f"{row}.png")
    index_folder(tmp_path / "p", tmp_path / "x.dh", tiny_model())
    return tmp_path


def test_one_plain_sentence(tmp_path, capsys):
    labels = np.arange(60) % 4
    codes = BinaryCodes.from_bits(np.eye(4, dtype=np.uint8)[labels].repeat(4, axis=1))
    codes.save(tmp_path / "d.npz", labels=labels)
    codes[np.arange(8)].save(tmp_path / "q.npz", labels=labels[:8])
    words = ["evaluate", "--query", str(tmp_path / "q.npz"), "--database", str(tmp_path / "d.npz")]
    assert main(words) == 0
    assert "of the first 10 answers 10.0 are right; a random order gives 2.5\n" in capsys.readouterr().out
    codes[np.arange(9)].save(tmp_path / "d.npz", labels=labels[:9])  # fewer than ten are searched
    assert main(words) == 0
    assert "of the first" not in capsys.readouterr().out


def test_a_collection_is_a_database(world, capsys):
    collection = Collection.open(world / "x.dh")
    _, codes = collection.codes()
    labels = [item.attributes["label"] for item in collection.items(collection.ids())]
    codes.save(world / "q.npz", labels=np.array(labels))
    assert main(["evaluate", "--query", str(world / "q.npz"), "--database", str(world / "x.dh"), "--json"]) == 0
    by_collection = json.loads(capsys.readouterr().out)
    assert main(["evaluate", "--query", str(world / "q.npz"), "--database", str(world / "q.npz"), "--json"]) == 0
    by_file = json.loads(capsys.readouterr().out)
    assert by_collection["figures"][0]["value"] == by_file["figures"][0]["value"]
    assert main(["evaluate", "--query", str(world / "x.dh"), "--database", str(world / "x.dh"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["figures"][0]["value"] == by_file["figures"][0]["value"]
    assert (
        main(["evaluate", "--query", str(world / "q.npz"), "--database", str(world / "x.dh"), "--label", "lable"]) == 2
    )
    assert "did you mean 'label'" in capsys.readouterr().err


def test_compare_scores_what_nobody_scored(world, capsys):
    runs = []
    for bits in ("8", "16"):
        words = ["train", "--config", "lsh/digits_32", "--bits", bits, "--out", str(world / bits)]
        assert main(words) == 0
        runs.append(str(world / bits))
    capsys.readouterr()
    assert main(["compare", *runs]) == 0
    said = capsys.readouterr()
    assert said.err.count("was not scored yet") == 2
    assert main(["compare", *runs]) == 0
    again = capsys.readouterr()
    assert "was not scored" not in again.err
    assert again.out == said.out
    assert main(["compare", str(world / "p"), runs[0]]) == 3
    assert "no such report" in capsys.readouterr().err
