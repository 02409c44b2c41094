"""A folder of pictures searched by words: fit, index, search, compose, re-rank, correct hubs."""

import json

import numpy as np
import pytest
import torch
from PIL import Image

from deephash.backbones import Backbone
from deephash.cli.main import main
from deephash.codes import BinaryCodes
from deephash.collection import Collection
from deephash.fitting import fit_training_free
from deephash.index import open_index
from deephash.index.querybank import HubCorrection, hub_biases
from deephash.ingest import index_folder
from deephash.models import CCAHash
from deephash.search import Searcher

COLOURS = {"red": (220, 30, 30), "green": (30, 200, 40), "blue": (30, 40, 220), "yellow": (230, 220, 30)}


def plain(colour, seed, side=24):
    draw = np.random.default_rng(seed)
    pixels = np.clip(np.array(COLOURS[colour]) + draw.normal(0, 25, (side, side, 3)), 0, 255)
    return Image.fromarray(pixels.astype(np.uint8))


@pytest.fixture(scope="module")
def model():
    """Pictures and words joined from sixty captioned pictures, by CCA on a small network and TF-IDF."""
    torch.manual_seed(0)
    model = CCAHash(24, Backbone("small_cnn:16", weights=None, image_size=24), Backbone("tfidf:20", weights=None))
    names = [list(COLOURS)[row % 4] for row in range(60)]
    captions = [f"a {name} square, nothing else" if row % 2 else f"something {name}" for row, name in enumerate(names)]
    texts, pictures = model.encoders["text"], model.encoders["image"].eval()
    texts.fit_texts(captions)
    with torch.inference_mode():
        image = pictures(torch.stack([model.preprocess("image")(plain(n, s)) for s, n in enumerate(names)])).clone()
        text = texts(torch.stack([texts.preprocess_data()(caption) for caption in captions])).clone()
    return model.fit({"image_features": image, "text_features": text}).eval()


@pytest.fixture(scope="module")
def collection(model, tmp_path_factory):
    root = tmp_path_factory.mktemp("colours")
    for number in range(40):
        name = list(COLOURS)[number % 4]
        plain(name, 1000 + number).save(root / f"{name}_{number}.png")
    index_folder(root, root.parent / "colours.dh", model, keep_vectors=True)
    return root.parent / "colours.dh"


def names_found(capsys, *arguments):
    code = main(["search", *map(str, arguments), "--json"])
    lines = capsys.readouterr().out.strip().splitlines()
    return code, [json.dumps(json.loads(line)) for line in lines]


@pytest.mark.parametrize("colour", COLOURS)
def test_words_find_their_pictures(collection, capsys, colour):
    code, lines = names_found(capsys, collection, f"a {colour} thing", "-k", 10)
    assert code == 0
    assert sum(f"{colour}_" in line for line in lines) >= 9


def test_reranking_by_words_uses_vectors_of_the_same_space(model, collection):
    hits = Searcher.open(collection).by_text("something blue", k=10)
    assert all("blue" in hit.uri for hit in hits[:8])
    assert Collection.open(collection).has_vectors


def test_unknown_and_empty_words(collection, capsys):
    assert main(["search", str(collection), "un chien"]) == 2
    assert "--model clip:" in capsys.readouterr().err
    assert main(["search", str(collection), "  "]) == 2
    assert "empty" in capsys.readouterr().err


def test_words_change_a_picture(collection, capsys):
    red = collection.parent / "colours" / "red_0.png"
    if not red.exists():
        red = next(collection.parent.glob("colours*/red_0.png"))
    _, before = names_found(capsys, collection, red, "-k", 8)
    _, after = names_found(capsys, collection, red, "--plus", "3:something blue", "-k", 8)
    count = lambda lines, colour: sum(f"{colour}_" in line.replace(str(red), "") for line in lines)  # noqa: E731
    assert count(before, "red") >= 7
    assert count(after, "blue") > count(before, "blue")


def test_image_text_and_beta_go_from_the_picture_to_the_words(collection, capsys):
    red = next(collection.parent.glob("colours*/red_0.png"))
    ask = [collection, "--image", red, "--text", "something blue", "-k", 8]
    ends = [names_found(capsys, *ask, "--beta", beta)[1] for beta in (0, 1)]
    paths = [[json.loads(line)["path"] for line in lines] for lines in ends]
    assert sum(path.startswith("red_") for path in paths[0]) >= 7
    assert sum(path.startswith("blue_") for path in paths[1]) >= 7
    code, lines = names_found(capsys, *ask, "--beta", 0.7, "--minus", "red")
    assert code == 0
    assert sum("blue_" in json.loads(line)["path"] for line in lines) >= 7


def test_a_model_without_text_tower_says_so(tmp_path, capsys):
    for number in range(6):
        plain("red", number).save(tmp_path / f"{number}.png")
    lsh = fit_training_free("lsh:small_cnn:4", tmp_path, num_bits=16, weights="none")
    index_folder(tmp_path, tmp_path / "x.dh", lsh)
    assert main(["search", str(tmp_path / "x.dh"), "two dogs"]) == 2
    assert "not words" in capsys.readouterr().err


def test_hub_biases_are_stored_with_the_collection_and_applied(model, collection):
    opened = Collection.open(collection)
    ids, codes = opened.codes()
    bank = model.encode_texts([f"something {name}" for name in COLOURS] * 5)
    biases = hub_biases(codes, bank)
    opened.update(ids, [{"hub_bias": float(bias)} for bias in biases])
    stored = np.array([item.attributes["hub_bias"] for item in Collection.open(collection).items(ids)])
    np.testing.assert_allclose(stored, biases)
    query = BinaryCodes.concatenate([model.encode_texts(["blue"])])
    correction = HubCorrection(ids, stored.astype(np.float32))
    found, corrected, _ = correction.search(open_index("faiss:flat", ids, codes), query, 10)[0]
    full = query.hamming(codes)[0] + biases
    np.testing.assert_array_equal(found, ids[np.lexsort((ids, full))[:10]])
    np.testing.assert_allclose(corrected, np.sort(full)[:10], rtol=1e-6)
