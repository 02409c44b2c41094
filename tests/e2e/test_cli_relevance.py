"""What is an answer and what is not, as somebody sees it who types: a trained model, its pictures, and strange ones."""

import json
import shutil

import numpy as np
import pytest
from PIL import Image

from deephash.collection import Collection
from deephash.collection.pair_counts import FILE_NAME, load_pair_counts
from tests.e2e.typed import typed_in
from tests.paths import shared_data


def write_digits(base):
    """Write the digits of ``Digits``: ``digits/CLASS/ROW.png`` to be searched, ``new/CLASS.png`` to ask."""
    from deephash.data import Digits

    data = Digits()
    data.setup()
    for part, folder in (("database", base / "digits"), ("query", base / "new")):
        for name, row in zip(data.splits[part].names, data.splits[part].rows):
            path = folder / (name if part == "database" else f"{name.split('/')[0]}.png")
            path.parent.mkdir(parents=True, exist_ok=True)
            data.table.sources["image"](int(row)).save(path)


@pytest.fixture(scope="module")
def indexed(tmp_path_factory):
    """A model trained on digits, ``digits.dh`` of the pictures it has learned, one it has not, and noise."""
    from deephash.cli.main import main

    base = tmp_path_factory.mktemp("relevance")
    assert (
        main(["train", "--config", "orthohash/digits_64", "--trainer.accelerator=cpu", "--out", str(base / "run")]) == 0
    )
    write_digits(base)
    words = ["index", str(base / "digits"), "--model", str(base / "run"), "--out", str(base / "digits.dh")]
    assert main(words) == 0
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    Image.fromarray(noise).save(base / "noise.png")
    return base


@pytest.fixture
def deephash(capfd, monkeypatch, indexed):
    """Run a command in the folder; returns exit status, standard output and error."""
    return typed_in(indexed, capfd, monkeypatch)


def test_train_keeps_known_pairs_and_index_takes_them_along(indexed):
    (table,) = load_pair_counts(indexed / "run" / "model")
    assert (table.query, table.database) == ("image", "image")
    assert table.source.startswith("validation part")
    assert table.queries == 143  # a tenth of the training items; the 359 test queries have no part in it
    (copied,) = load_pair_counts(Collection.open(indexed / "digits.dh").model_path)
    assert copied.to_record() == table.to_record()


def test_a_new_picture_finds_its_class_above_the_line(deephash, indexed):
    code, out, _ = deephash("search", "digits.dh", "new/7.png", "-k", "300", "--max-distance", "auto", "--json")
    hits = [json.loads(line) for line in out.splitlines()]
    right = [hit["path"].startswith("7/") for hit in hits]
    of_its_class = len(list((indexed / "digits" / "7").iterdir()))
    assert code == 0
    assert np.mean(right) > 0.95
    assert sum(right) > 0.9 * of_its_class
    assert {hit["word"] for hit in hits} == {"likely"}
    assert all(hit["probability"] >= 0.5 for hit in hits)


def test_the_line_is_in_the_list_and_no_wall(deephash):
    code, out, _ = deephash("search", "digits.dh", "new/7.png", "-k", "400")
    lines = out.splitlines()
    (line,) = [place for place, text in enumerate(lines) if text.endswith("not likely from here on")]
    assert code == 0
    assert len(lines) == 402
    assert all("  likely, " in text for text in lines[1:line])
    assert all("unlikely, " in text or "by chance, " in text for text in lines[line + 1 :])


def test_noise_is_no_match_with_exit_status_one(deephash):
    code, out, err = deephash("search", "digits.dh", "noise.png", "-k", "5")
    assert code == 1
    assert "no match: the nearest, at" in err
    assert len(out.splitlines()) == 7  # header, line, and the five below it
    assert out.splitlines()[1].endswith("from here on")
    assert deephash("search", "digits.dh", "noise.png", "--max-distance", "auto")[:2] == (1, "")


def test_without_known_pairs_chance_alone_is_told(deephash, indexed):
    """A model folder of 0.1.0."""
    shutil.copytree(indexed / "digits.dh", indexed / "old.dh")
    (Collection.open(indexed / "old.dh").model_path / FILE_NAME).unlink()
    code, out, _ = deephash("search", "old.dh", "new/7.png", "-k", "3", "--json")
    hits = [json.loads(line) for line in out.splitlines()]
    assert code == 0
    assert [(hit["word"], hit["probability"]) for hit in hits] == [("nearer than chance", None)] * 3
    assert all(hit["expected"] < 0.05 for hit in hits)
    assert deephash("search", "old.dh", "noise.png")[0] == 1
    code, out, _ = deephash("collection", "calibrate", "old.dh", "--sample", "300")
    assert code == 0
    assert "300 rows searched the others; rows of one label lie" in out
    hit = json.loads(deephash("search", "old.dh", "new/7.png", "-k", "1", "--json")[1])
    assert (hit["word"], hit["probability"] > 0.9) == ("likely", True)


def test_the_item_that_asks_is_no_answer_to_itself(deephash):
    _, out, _ = deephash("search", "digits.dh", "id:1", "-k", "2")
    assert "the query itself" in out.splitlines()[1]
    assert "likely, " in out.splitlines()[2]


def test_few_items_say_nothing(deephash, indexed):
    sizes = np.sort(Collection.open(indexed / "digits.dh").table(["size"]).column("size").to_numpy())
    code, out, err = deephash("search", "digits.dh", "noise.png", "-k", "2", "--where", f"size < {sizes[30]}")
    assert code == 0
    assert out.splitlines()[0].split() == ["#", "d", "sim", "path"]
    assert "too few items to tell" in err
    code, _, err = deephash("search", "digits.dh", "noise.png", "--where", "label = nobody")
    assert (code, "no item passes" in err) == (1, True)


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["search", "digits.dh", "new/7.png", "--max-distance", "near"], 2, "max-distance"),
        (["search", "digits.dh", "new/7.png", "--max-distance", "-1"], 2, "at least 0"),
        (["collection", "calibrate", "digits.dh", "--label", "colour"], 2, "no attribute 'colour'; it has:"),
        (["collection", "calibrate", "digits.dh", "--label", "year"], 3, "too few pairs"),
        (["collection", "calibrate", "digits.dh", "--sample", "0"], 2, "at least 1"),
        (["collection", "calibrate", "nowhere.dh"], 3, "no such collection"),
    ],
)
def test_mistakes_get_a_sentence(deephash, words, code, message):
    found, out, err = deephash(*words)
    assert (found, out) == (code, "")
    assert message in err


def test_a_damaged_table_is_named_and_chance_told_instead(deephash, indexed):
    shutil.copytree(indexed / "digits.dh", indexed / "damaged.dh")
    (Collection.open(indexed / "damaged.dh").model_path / FILE_NAME).write_text('{"format_version": 1, "tables": [3]}')
    code, out, err = deephash("search", "damaged.dh", "new/7.png", "-k", "3")
    assert code == 0
    assert [line.count("nearer than chance, ") for line in out.splitlines()] == [0, 1, 1, 1]
    assert "relevance.json cannot be read, so only chance is told" in err
    assert deephash("search", "damaged.dh", "noise.png")[0] == 1


def test_a_searcher_that_is_open_sees_what_was_measured_meanwhile(deephash, indexed):
    from deephash.search import Options, Part, Query, Searcher

    shutil.copytree(indexed / "digits.dh", indexed / "served.dh")
    searcher = Searcher.open(indexed / "served.dh")
    source = lambda: searcher.ask(Query.of(Part("item", 3)), Options(5)).verdicts[0].source  # noqa: E731
    assert source().startswith("validation part")
    assert "replaces" not in deephash("collection", "calibrate", "served.dh", "--sample", "200")[2]
    assert source() == "its own rows, by label"
    _, _, err = deephash("search", "served.dh", "id:3", "-k", "1")
    assert "how likely: by known pairs of its own rows, by label" in err
    _, _, err = deephash("collection", "calibrate", "served.dh", "--sample", "200", "--label", "size")
    assert "this replaces what was measured on its own rows, by label" in err


def test_a_table_of_another_length_does_not_hide_the_fitting_one_of_the_model(indexed):
    from dataclasses import replace

    from deephash.collection.pair_counts import known_pairs_of, save_pair_counts

    shutil.copytree(indexed / "digits.dh", indexed / "longer.dh")
    opened = Collection.open(indexed / "longer.dh")
    space = opened.current
    (fitting,) = load_pair_counts(opened.model_path)
    longer = replace(fitting, relevant=np.append(fitting.relevant, 0), irrelevant=np.append(fitting.irrelevant, 0))
    save_pair_counts(opened.path, [longer], column=space.column, fingerprint=space.fingerprint)
    (found,) = known_pairs_of(opened, space, 64)
    assert found.source == fitting.source
    assert len(found.relevant) == 65


def test_a_cross_modal_model_keeps_a_table_of_each_direction(deephash, indexed):
    file = shared_data("wiki", "wiki_features.npz")
    assert deephash("train", "--config", "cca/wiki_32", "--data.init_args.file", file, "--out", "words")[0] == 0
    tables = {(table.query, table.database): table for table in load_pair_counts(indexed / "words" / "model")}
    assert tables.keys() == {(one, other) for one in ("image", "text") for other in ("image", "text")}
    means = {way: table.relevant @ np.arange(33) / table.relevant.sum() for way, table in tables.items()}
    assert means["text", "text"] < means["text", "image"]  # words are nearer to words than to pictures
    assert tables["text", "image"].relevant.tolist() != tables["image", "text"].relevant.tolist()
