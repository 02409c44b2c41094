"""A folder of pictures searched by words: fit, index, search, compose, re-rank, correct hubs."""

import json
import shutil

import numpy as np
import pytest

from deephash.cli.main import main
from deephash.collection import Collection
from deephash.collection.hubs import complete_hub_biases, hub_correction, store_hub_bank
from deephash.errors import UsageError
from deephash.fitting import fit_training_free
from deephash.index.querybank import hub_biases
from deephash.ingest import index_folder
from deephash.search import Searcher
from tests.coloured_squares import COLOURS, coloured, colours_model


@pytest.fixture(scope="module")
def model():
    return colours_model()


@pytest.fixture(scope="module")
def collection(model, tmp_path_factory):
    root = tmp_path_factory.mktemp("colours")
    for number in range(40):
        name = list(COLOURS)[number % 4]
        coloured(name, 1000 + number).save(root / f"{name}_{number}.png")
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
    assert main(["search", str(collection), "a red shoos"]) == 0
    assert "'shoos' is not known to the model, so without effect" in capsys.readouterr().err
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
        coloured("red", number).save(tmp_path / f"{number}.png")
    lsh = fit_training_free("lsh:small_cnn:4", tmp_path, num_bits=16, weights="none")
    index_folder(tmp_path, tmp_path / "x.dh", lsh)
    assert main(["search", str(tmp_path / "x.dh"), "two dogs"]) == 2
    assert "not words" in capsys.readouterr().err


@pytest.fixture
def banked(model, collection, tmp_path):
    """A copy of the collection with a bank of phrases, made by the command line."""
    copy = shutil.copytree(collection, tmp_path / "banked.dh")
    bank = tmp_path / "captions.txt"
    bank.write_text("\n".join([f"something {name}" for name in ("red", "red", "red", "green")] * 5) + "\n\nun chien\n")
    assert main(["collection", "hubs", str(copy), "--bank", str(bank)]) == 0
    return copy


def test_hub_biases_are_stored_and_order_the_answers(model, banked, capsys):
    ids, codes = Collection.open(banked).codes()
    known = [f"something {name}" for name in ("red", "red", "red", "green")] * 5
    biases = hub_biases(codes, model.encode_texts(known))
    assert biases.std() > 0.5  # else the order below would prove nothing
    distances = model.encode_texts(["a blue thing"]).hamming(codes)[0]
    order = np.lexsort((ids, distances + biases.astype(float)))[:30]
    assert (order != np.lexsort((ids, distances))[:30]).any()
    _, lines = names_found(capsys, banked, "a blue thing", "--correct-hubs", "-k", 30)
    found = [json.loads(line) for line in lines]
    assert [hit["id"] for hit in found] == ids[order].tolist()
    assert [hit["corrected"] for hit in found] == pytest.approx((distances + biases)[order], abs=1e-3)
    assert [hit["distance"] for hit in found] == distances[order].tolist()
    assert all("hub_bias_text" not in hit["attributes"] for hit in found)
    assert "1 of 21 phrases" not in capsys.readouterr().err


def test_new_and_changed_pictures_get_their_own_bias(model, banked, tmp_path, capsys):
    root = shutil.copytree(Collection.open(banked).root, tmp_path / "pictures")
    coloured("blue", 7).save(root / "blue_new.png")
    coloured("yellow", 8).save(root / "red_0.png")
    index_folder(root, banked, moved=True)
    opened = Collection.open(banked)
    _, codes = opened.codes()
    bank = model.encode_texts(["something red", "something red", "something red", "something green"])
    stored = hub_correction(opened, "text").biases
    np.testing.assert_allclose(stored, hub_biases(codes, bank), atol=1e-5)
    assert main(["collection", "hubs", str(banked)]) == 0
    assert "0 items" in capsys.readouterr().out


def test_a_second_bank_that_is_interrupted_leaves_no_bias_of_the_first(model, banked, tmp_path, monkeypatch):
    opened = Collection.open(shutil.copytree(banked, tmp_path / "copy.dh"))
    bank = model.encode_texts(["something blue"])

    def killed(*arguments, **options):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("deephash.collection.hubs.hub_biases", killed)
        with pytest.raises(KeyboardInterrupt):
            store_hub_bank(opened, "text", bank)
    with pytest.raises(UsageError, match="have no hub bias"):
        hub_correction(opened, "text")
    ids, codes = opened.codes()
    assert complete_hub_biases(opened) == len(ids)
    np.testing.assert_allclose(hub_correction(opened, "text").biases, hub_biases(codes, bank), atol=1e-5)


def test_hubs_that_cannot_be_corrected_say_why(collection, banked, tmp_path, capsys):
    red = next(collection.parent.glob("colours*/red_0.png"))
    for arguments, reason in [
        ([collection, "something red"], "no hub biases for text queries"),
        ([banked, red], "no hub biases for image queries"),
        ([banked, red, "--plus", "something blue"], "one phrase or one picture"),
        ([banked, "id:1"], "one phrase or one picture"),
        ([banked, "something red", "--rerank", 20], "leave out all but one"),
    ]:
        assert main(["search", *map(str, arguments), "--correct-hubs"]) == 2
        assert reason in capsys.readouterr().err
    empty = tmp_path / "foreign.txt"
    empty.write_text("un chien\n")
    for arguments, reason in [
        ([collection], "keeps no bank"),
        ([collection, "--bank", tmp_path / "missing.txt"], "no such file"),
        ([collection, "--bank", empty], "no phrase that the model understands, of 1"),
        ([collection, "--bank", red.parent, "--beta", 0], "above 0"),
    ]:
        assert main(["collection", "hubs", *map(str, arguments)]) in (2, 3)
        assert reason in capsys.readouterr().err


def test_a_bank_of_pictures_corrects_queries_by_picture(model, collection, tmp_path):
    copy = shutil.copytree(collection, tmp_path / "copy.dh")
    bank = tmp_path / "bank"
    bank.mkdir()
    for seed in range(6):
        coloured("blue" if seed % 3 else "red", 5000 + seed).save(bank / f"{seed}.png")
    assert main(["collection", "hubs", str(copy), "--bank", str(bank)]) == 0
    query = coloured("red", 99)
    hits = Searcher.open(copy).by_image(query, k=40, correct_hubs=True)
    assert [hit.corrected for hit in hits] == sorted(hit.corrected for hit in hits)
    ids, codes = Collection.open(copy).codes()
    bank_codes = model.encode_images(sorted(bank.iterdir()))
    full = dict(zip(ids, model.encode_images([query]).hamming(codes)[0] + hub_biases(codes, bank_codes)))
    assert [hit.corrected for hit in hits] == pytest.approx([full[hit.id] for hit in hits], abs=1e-4)
    limit = hits[len(hits) // 2].distance
    near = Searcher.open(copy).by_image(query, k=40, correct_hubs=True, max_distance=limit)
    assert [(hit.id, hit.corrected) for hit in near] == [(h.id, h.corrected) for h in hits if h.distance <= limit]
    assert 0 < len(near) < len(hits)
