"""How sure a code is, as somebody sees it who types: HIB, which says it itself, and OrthoHash, calibrated."""

import json

import numpy as np
import pytest
import torch
from PIL import ImageFilter

from deephash.collection import Collection
from deephash.collection.bit_certainty import FILE_NAME, load_certainty
from deephash.encoding import open_encoder
from deephash.encoding.doubt import bit_probabilities
from deephash.errors import CollectionDamaged, UsageError
from deephash.models import load_model
from deephash.pictures import open_picture
from deephash.search import Options, Part, Query, Searcher
from tests.e2e.test_cli_relevance import write_digits
from tests.e2e.typed import typed_in

METHODS = ("hib", "orthohash")


@pytest.fixture(scope="module")
def indexed(tmp_path_factory):
    """A run and a collection of the pictures it has learned for each method; ``new/7.png`` and smears of new ones."""
    from deephash.cli.main import main

    base = tmp_path_factory.mktemp("certainty")
    write_digits(base)
    for digit in range(10):
        smear = open_picture(base / "new" / f"{digit}.png").filter(ImageFilter.GaussianBlur(2))
        smear.save(base / f"smear{digit}.png")
    for method in METHODS:
        train = ["train", "--config", f"{method}/digits_64", "--trainer.accelerator=cpu", "--trainer.max_epochs=6"]
        assert main([*train, "--out", str(base / method)]) == 0
        words = ["index", str(base / "digits"), "--model", str(base / method), "--out", str(base / f"{method}.dh")]
        assert main(words) == 0
    return base


@pytest.fixture
def deephash(capfd, monkeypatch, indexed):
    """Run a command in the folder; returns exit status, standard output and error."""
    return typed_in(indexed, capfd, monkeypatch)


@pytest.mark.parametrize("method", METHODS)
def test_training_writes_how_sure_bits_are_and_the_collection_carries_it(indexed, method):
    table = load_certainty(indexed / method / "model")["image"]
    assert table.kind == ("gaussian" if method == "hib" else "margins")
    assert table.rows == 143  # a tenth of the training items; no test query has a part in it
    assert 0 < table.usual < 1
    assert (
        load_certainty(Collection.open(indexed / f"{method}.dh").model_path)["image"].to_record() == table.to_record()
    )


@pytest.mark.parametrize("method", METHODS)
def test_torch_and_the_portable_encoder_are_equally_sure(indexed, method):
    folder = indexed / method / "model"
    pictures = [open_picture(indexed / "new" / f"{digit}.png") for digit in range(4)]
    found = {}
    for engine in ("onnx", "torch"):
        encoder = open_encoder(folder, engine=engine)
        rows = [encoder.prepare("image", each) for each in pictures]
        found[engine] = bit_probabilities(encoder, "image", rows)
        told = encoder.encode("image", rows, continuous=True)
        assert told.uncertainty == pytest.approx((4 * found[engine] * (1 - found[engine])).mean(axis=1), abs=1e-5)
        assert np.array_equal(found[engine] >= 0.5, told.codes.bits())
        assert encoder.encode("image", rows).uncertainty is None
    assert found["onnx"] == pytest.approx(found["torch"], abs=1e-3)
    model = load_model(folder)
    inputs = {"image": torch.from_numpy(np.stack(rows))}
    assert model.bit_probabilities(inputs).numpy() == pytest.approx(found["torch"], abs=1e-5)


@pytest.mark.parametrize("method", METHODS)
def test_smeared_pictures_are_less_certain_and_say_so_and_can_be_refused(deephash, indexed, method):
    searcher = Searcher.open(indexed / f"{method}.dh")

    def sure(name):
        return searcher.ask(Query.of(Part("image", indexed / name))).certainty

    sharp = {sure(name): name for name in (f"new/{digit}.png" for digit in range(10))}
    smeared = {sure(name): name for name in (f"smear{digit}.png" for digit in range(10))}
    assert np.mean(list(smeared)) < np.mean(list(sharp))
    least, most = smeared[min(smeared)], sharp[max(sharp)]
    _, _, said = deephash("search", f"{method}.dh", least)
    assert "of 64 bits are within noise" in said
    _, _, said = deephash("search", f"{method}.dh", most)
    assert "within noise" not in said
    between = f"{(min(smeared) + max(sharp)) / 2:.3f}"
    code, out, said = deephash("search", f"{method}.dh", least, "--min-certainty", between)
    assert (code, out) == (1, "")
    assert said.startswith("refused: certainty")
    assert said.count("\n") == 1
    _, out, _ = deephash("search", f"{method}.dh", most, "--min-certainty", between, "--json")
    assert out
    assert searcher.by_image(indexed / least, min_certainty=float(between)) == []


def test_a_shortlist_is_put_in_order_by_expected_distance(deephash, indexed):
    words = ("search", "hib.dh", "smear3.png", "-k", "20", "--json")
    _, out, _ = deephash(*words, "--rerank-expected", "200")
    hits = [json.loads(line) for line in out.splitlines()]
    answer = Searcher.open(indexed / "hib.dh").ask(Query.of(Part("image", indexed / "smear3.png")), Options(200))
    p = answer.probabilities
    by_hand = []
    for hit, stored in zip(answer.hits, answer.codes):
        expected = sum(1 - x if bit else x for x, bit in zip(p, stored.bits()[0]))
        by_hand.append((expected, hit.distance, hit.id))
    assert [hit["id"] for hit in hits] == [item for _, _, item in sorted(by_hand)[:20]]
    assert [hit["expected_distance"] for hit in hits] == pytest.approx(
        [each for each, _, _ in sorted(by_hand)[:20]], abs=1e-3
    )
    assert [hit["id"] for hit in hits] != [hit.id for hit in answer.hits[:20]]
    _, out, _ = deephash("search", "hib.dh", "smear3.png", "--rerank-expected", "50")
    assert "expected" in out.splitlines()[0]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("new/7.png", "--min-certainty", "1.5"), "between 0 and 1"),
        (("new/7.png", "--min-certainty", "nan"), "between 0 and 1"),
        (("new/7.png", "--rerank-expected", "-1"), "at least 0"),
        (("new/7.png", "--rerank-expected", "9", "--correct-hubs"), "leave out all but one"),
        (("id:3", "--min-certainty", "0.5"), "not known"),
        (("id:3", "--rerank-expected", "9"), "not known"),
    ],
)
def test_what_cannot_be_had_is_said_in_a_sentence(deephash, words, said):
    code, out, error = deephash("search", "hib.dh", *words)
    assert (code, out) == (2, "")
    assert said in error


def test_a_model_that_nobody_calibrated_answers_as_ever(deephash, indexed):
    import shutil

    shutil.copytree(indexed / "orthohash" / "model", indexed / "plain" / "model")
    (indexed / "plain" / "model" / FILE_NAME).unlink()
    with pytest.raises(UsageError, match="not known"):
        load_model(indexed / "plain" / "model").bit_probabilities({"image": torch.zeros(1, 3, 16, 16)})
    _, out, said = deephash("search", "orthohash.dh", "smear3.png", "--model", "plain")
    assert out
    assert "within noise" not in said
    code, _, said = deephash("search", "orthohash.dh", "smear3.png", "--model", "plain", "--min-certainty", "0.1")
    assert code == 2
    assert FILE_NAME in said
    (indexed / "plain" / "model" / FILE_NAME).write_text('{"format_version": 1, "tables": {"image": {"kind": "dice"}}}')
    with pytest.raises(CollectionDamaged, match="remove that file"):
        load_model(indexed / "plain" / "model")
