"""``deephash data`` and ``deephash codes`` as people run them, and what they get wrong."""

import json

import numpy as np
import pytest

from deephash.cli.main import main
from deephash.codes import BinaryCodes
from deephash.data.manifests import read_manifest
from tests import item_lists
from tests.paths import shared_data


def run(*words):
    return main([str(word) for word in words])


def lines(capsys):
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def test_list_and_info(capsys):
    assert run("data", "list", "--json") == 0
    rows = {row["split"]: row for row in lines(capsys)}
    assert rows["cifar10-i"]["available"] == "drawn"
    assert rows["caltech101"]["available"] == "shipped"
    assert rows["coco-hashnet"]["available"] == "counts"
    assert (rows["coco-hashnet"]["database"], rows["coco-hashnet"]["cut_off"]) == (107218, 5000)
    assert run("data", "list") == 0
    assert "imagenet100" in capsys.readouterr().out
    assert run("data", "info", "coco-hashnet") == 0
    assert "holds all 5,000 queries" in capsys.readouterr().out
    assert run("data", "info", "caltech101", "--json") == 0
    assert lines(capsys)[0]["checksum"].startswith("sha256:")
    assert run("data", "info", "cifar") == 2
    assert "did you mean" in capsys.readouterr().err


def test_split_writes_the_same_file_each_time_and_it_is_sound(tmp_path, capsys):
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        assert run("data", "split", "--protocol", "cifar10-i", "--seed", seed, "--out", tmp_path / name) == 0
    first, again, other = ((tmp_path / name).read_bytes() for name in "abc")
    assert first == again != other
    assert run("data", "check", tmp_path / "a") == 0
    assert "sound (1,000 query, 5,000 train, 59,000 database" in capsys.readouterr().err
    assert run("data", "stats", tmp_path / "a", "--json") == 0
    query = lines(capsys)[0]
    assert (query["items"], query["classes"], query["smallest_class"], query["largest_class"]) == (1000, 10, 100, 100)


def test_split_of_own_labels(tmp_path, capsys):
    labels, names = np.array(["cat", "dog"] * 25), np.array([f"{i}.jpg" for i in range(50)])
    np.savez(tmp_path / "l.npz", labels=labels, names=names)
    assert run("data", "split", "--protocol", "fifth", "--labels", tmp_path / "l.npz") == 0
    (tmp_path / "m.tsv").write_text(capsys.readouterr().out)
    manifest = read_manifest(tmp_path / "m.tsv")
    assert {name: len(rows) for name, rows in manifest.splits.items()}["query"] == 10
    assert manifest.class_names == ("cat", "dog")
    assert manifest.names[7] == "7.jpg"
    assert run("data", "split", "--protocol", "official", "--labels", tmp_path / "l.npz") == 2
    assert "n_train_images" in capsys.readouterr().err
    assert run("data", "split", "--protocol", "official", "--labels", tmp_path / "l.npz", "--train-images", 40) == 0
    assert run("data", "split", "--protocol", "fifth") == 2
    np.savez(tmp_path / "n.npz", names=names)
    assert run("data", "split", "--protocol", "fifth", "--labels", tmp_path / "n.npz") == 2


def test_check_names_the_queries_in_the_database_and_fixes_them(tmp_path, capsys):
    (tmp_path / "q.txt").write_text("a.jpg 1 0\nb.jpg 0 1\n")
    (tmp_path / "d.txt").write_text("b.jpg 0 1\nc.jpg 1 0\nc.jpg 1 0\nd.jpg 0 0\n")
    lists = ["--query", tmp_path / "q.txt", "--database", tmp_path / "d.txt"]
    assert run("data", "check", *lists) == 1
    said = capsys.readouterr()
    assert "query-in-database: 1 of 2 queries are also in database; mAP would be inflated\n  b.jpg" in said.out
    assert "duplicate: database has 4 lines but 3 distinct items\n  c.jpg" in said.out
    assert "unlabelled: 1 items of database have no label\n  d.jpg" in said.out
    assert "--fix" in said.err
    assert run("data", "check", *lists, "--json", "--fix", tmp_path / "fixed.tsv") == 1
    assert {row["kind"] for row in lines(capsys)} == {"query-in-database", "duplicate", "unlabelled"}
    assert run("data", "check", tmp_path / "fixed.tsv") == 0


def test_check_of_real_pictures(capsys):
    assert run("data", "check", "flowers17", "--root", shared_data("flowers17")) == 0
    assert run("data", "check", "flowers17", "--root", shared_data("caltech101")) == 1
    assert "missing-file: 1,360 of 1,360" in capsys.readouterr().out


def test_check_of_a_table(tmp_path, capsys):
    table = tmp_path / "t.csv"
    table.write_text('path,split,labels\na.jpg,query,cat\nb.jpg,"train,database",cat|dog\nb.jpg,query,dog\n')
    assert run("data", "check", table) == 1
    said = capsys.readouterr().out
    for kind in ("query-in-database: 1 of 2", "query-in-train: 1 of 2", "two-labellings: 1"):
        assert kind in said
    table.write_text("path,split,labels\na.jpg,query,cat\nb.jpg,train,cat|dog\n")
    assert run("data", "check", table) == 0
    table.write_text("path\na.jpg\n")
    assert run("data", "check", table) == 2
    assert "neither split nor labels" in capsys.readouterr().err


def test_overlap_can_be_allowed(tmp_path):
    (tmp_path / "q.txt").write_text("a.jpg 1 0\n")
    lists = ["--query", tmp_path / "q.txt", "--database", tmp_path / "q.txt"]
    assert run("data", "check", *lists) == 1
    assert run("data", "check", *lists, "--allow-overlap") == 0


@pytest.mark.parametrize(
    ("words", "status", "message"),
    [
        (["data", "check"], 2, "give a manifest"),
        (["data", "check", "x.tsv"], 3, "no such file"),
        (["data", "check", "caltech101", "--protocol", "coco"], 2, "coco"),
        (["data", "split", "--protocol", "cifar10"], 2, "did you mean"),
        (["data", "splits"], 2, "did you mean 'split'"),
        (["codes", "inspect", "x.npz"], 3, "no such file"),
        (["codes", "inspect"], 2, "which codes"),
        (["codes", "diff", "x.npz"], 2, "SECOND"),
    ],
)
def test_wrong_words_end_with_a_sentence(words, status, message, capsys):
    assert run(*words) == status
    assert message.lower() in capsys.readouterr().err.lower()


@pytest.fixture
def files(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    bits = np.zeros((6, 8), dtype=np.uint8)
    bits[3:, 4:] = 1
    labels = np.array(["cat", "dog", "cat", "emu", "emu", "emu"])
    BinaryCodes.from_bits(bits).save("a.npz", labels=labels)
    bits[0, 0] = 1
    BinaryCodes.from_bits(bits).save("b.npz", labels=labels)


def test_inspect(files, capsys):
    assert run("codes", "inspect", "a.npz", "b.npz", "--json") == 0
    first, second = lines(capsys)
    assert (first["unique_codes"], first["dead_bits"], second["dead_bits"]) == (2, 4, 3)
    assert first["collision_rate"] == 0.5
    assert run("codes", "inspect", "a.npz") == 0
    assert "unique codes         2" in capsys.readouterr().out


def test_diff(files, capsys):
    assert run("codes", "diff", "a.npz", "b.npz", "--json") == 0
    found = lines(capsys)[0]
    assert (found["flipped_bits"], found["changed_codes"], found["worst_bit"]) == (1, 1, 0)
    assert run("codes", "diff", "a.npz", "b.npz", "--most", "0.01") == 1
    assert "flipped bits  1 of 48 (2.0833 %)" in capsys.readouterr().out


def test_collisions(files, capsys):
    assert run("codes", "collisions", "a.npz", "--json") == 1
    assert lines(capsys) == [{"code": "00", "size": 3, "classes": [["cat", 2, "row 0, row 2"], ["dog", 1, "row 1"]]}]
    assert run("codes", "collisions", "a.npz") == 1
    said = capsys.readouterr()
    assert "00  3 items" in said.out
    assert "1 codes are shared by unrelated items: 3 of 6 items" in said.err
    np.savez("c.npz", codes=np.eye(8, dtype=np.uint8), labels=np.arange(8))
    assert run("codes", "collisions", "c.npz") == 0


@pytest.mark.parametrize("form", ["oml", "coco", "saved_to_disk", "hub_folder", "tars"])
def test_lists_in_the_forms_of_others_are_sound(tmp_path, capsys, form):
    if form == "oml":
        (tmp_path / "set").mkdir()
    assert run("data", "check", getattr(item_lists, form)(tmp_path / "set")) == 0
    said = capsys.readouterr()
    assert said.out == ""
    assert "sound (" in said.err


def test_what_is_wrong_with_a_list_of_coco(tmp_path, capsys):
    folder = item_lists.coco(tmp_path / "coco")
    (folder / "val2017" / "000002.png").unlink()
    captions = folder / "annotations" / "captions_val2017.json"
    document = json.loads(captions.read_text())
    document["annotations"][0]["caption"] = document["annotations"][1]["caption"] = " "
    captions.write_text(json.dumps(document))
    assert run("data", "check", folder, "--json") == 1
    assert {row["kind"]: row["items"] for row in lines(capsys)} == {
        "missing-file": ["val2017/000002.png"],
        "empty-caption": ["val2017/000000.png"],
    }
    assert run("data", "check", folder, "--root", folder, "--json") == 1
    assert "same-picture" in {row["kind"] for row in lines(capsys)}  # val repeats train's pictures under other names
    document["annotations"][3]["image_id"] = 4
    captions.write_text(json.dumps(document))
    assert run("data", "check", captions) == 3
    assert "annotations[3] is of image id 4" in capsys.readouterr().err


def test_a_list_without_a_split_is_checked_as_it_is_drawn(tmp_path, capsys):
    (tmp_path / "a.csv").write_text("\n".join(["path,label", *(f"{row}.png,c{row % 2}" for row in range(10))]))
    assert run("data", "check", tmp_path / "a.csv") == 0
    said = capsys.readouterr().err
    assert "this one is what training draws" in said
    assert "--root" in said
    (tmp_path / "a.csv").write_text("text,label,split\na,x,train\nb,x,query\nc,x,\n")
    assert run("data", "check", tmp_path / "a.csv", "--json") == 1
    assert [row["kind"] for row in lines(capsys)] == ["no-split"]
