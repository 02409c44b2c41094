"""``deephash evaluate`` and ``compare`` as people run them, on files and collections, and everything they get wrong."""

import json
import subprocess
import sys

import numpy as np
import pytest

from deephash.cli.main import main
from deephash.codes import BinaryCodes
from deephash.collection import Collection
from deephash.evaluation.metrics import mean_average_precision
from tests.evaluation_cases import clustered

QUERY, DATABASE, ASKED, SEARCHED = clustered(num_bits=24)
LABELS = {"query_labels": ASKED, "database_labels": SEARCHED}
EXACT = mean_average_precision(QUERY, DATABASE, **LABELS)


@pytest.fixture
def files(tmp_path, monkeypatch):
    """Two files in the folder the command runs in."""
    monkeypatch.chdir(tmp_path)
    QUERY.save("q.npz", labels=ASKED, names=[f"q{i}" for i in range(40)])
    DATABASE.save("d.npz", labels=SEARCHED, names=[f"d{i}" for i in range(300)])
    return tmp_path


def run(*words):
    return main([str(word) for word in words])


def printed(capsys):
    return json.loads(capsys.readouterr().out)


def test_two_files_without_torch(files):
    """The whole command in a fresh process: the right value, one JSON object, and torch is never imported."""
    code = (
        "import sys; from deephash.cli.main import main; status = main(sys.argv[1:]);"
        "bad = {'torch', 'lightning', 'matplotlib'} & set(sys.modules); sys.exit(f'imported {bad}' if bad else status)"
    )
    words = ["evaluate", "--query", "q.npz", "--database", "d.npz", "--json"]
    done = subprocess.run([sys.executable, "-c", code, *words], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    report = json.loads(done.stdout)
    assert report["figures"][0]["value"] == pytest.approx(EXACT, abs=1e-12)
    assert report["protocol"].startswith("custom | mAP@all | rel=any-shared-label | ties=expected | norm=hits")


SPELLINGS = {
    "0/1": lambda codes: {"codes": codes.bits().astype(np.uint8)},
    "signs": lambda codes: {"codes": codes.signs()},
    "packed": lambda codes: {"codes": codes.packed, "num_bits": 24},
    "float signs": lambda codes: {"codes": codes.signs().astype(np.float32)},
}


@pytest.mark.parametrize("spelling", SPELLINGS)
@pytest.mark.parametrize("kind", ["numbers", "multi-hot", "words"])
def test_every_spelling_of_a_file_gives_the_same_figure(files, capsys, spelling, kind):
    of = {"numbers": lambda y: y, "multi-hot": lambda y: np.eye(5)[y], "words": lambda y: np.array(list("abcde"))[y]}
    np.savez("q.npz", **SPELLINGS[spelling](QUERY), labels=of[kind](ASKED))
    np.savez("d.npz", **SPELLINGS[spelling](DATABASE), labels=of[kind](SEARCHED))
    assert run("evaluate", "--query", "q.npz", "--database", "d.npz", "--json", "--resamples", 0) == 0
    assert printed(capsys)["figures"][0]["value"] == pytest.approx(EXACT, abs=1e-12)


def test_options_reach_the_metric_and_the_protocol(files, capsys):
    options = [
        "--top-k",
        50,
        "--ties",
        "stable",
        "--normalize",
        "min",
        "--empty",
        "drop",
        "--radius",
        4,
        "--resamples",
        0,
    ]
    more = ["--protocol", "cifar10-i/v1", "--legacy", "hashnet", "--method", "mine", "--ranks", 5]
    assert run("evaluate", "--query", "q.npz", "--database", "d.npz", "--json", *options, *more) == 0
    report = printed(capsys)
    expected = mean_average_precision(QUERY, DATABASE, **LABELS, top_k=50, ties="stable", normalize="min", empty="drop")
    assert report["figures"][0]["value"] == pytest.approx(expected)
    assert report["method"] == "mine"
    assert (
        "cifar10-i/v1 | mAP@50 | rel=any-shared-label | ties=stable | norm=min | empty=drop | K=24"
        in report["protocol"]
    )
    labels = [figure["label"] for figure in report["figures"]]
    assert {"mAP@50 (min)", "P@5", "P@H<=4", "mAP@50 (as hashnet)"} <= set(labels)
    assert "P@10" not in labels


def test_a_whole_protocol_string_is_taken(files, capsys):
    text = "my/v2 | mAP@5 | rel=any-shared-label | ties=expected | norm=hits | empty=zero | K=9 | q=1 db=2"
    text += " | split=sha256:ab"
    run(
        "evaluate",
        "--query",
        "q.npz",
        "--database",
        "d.npz",
        "--json",
        "--protocol",
        text + " | backbone=resnet18 | crops=10",
    )
    assert printed(capsys)["protocol"] == (
        "my/v2 | mAP@all | rel=any-shared-label | ties=expected | norm=hits | empty=zero | K=24 | q=40 db=300 "
        "| split=sha256:ab | backbone=resnet18 | crops=10"
    )


def test_saved_reports_are_compared(files, capsys):
    for name, noise in (("one", 0.2), ("two", 0.35)):
        query, database, asked, searched = clustered(noise=noise)
        query.save("q.npz", labels=asked, names=[f"q{i}" for i in range(40)])
        database.save("d.npz", labels=searched, names=[f"d{i}" for i in range(300)])
        assert run("evaluate", "--query", "q.npz", "--database", "d.npz", "--save", name, "--method", name) == 0
        assert {path.name for path in (files / name).iterdir()} >= {"report.json", "report.md", "per_query.npz"}
    capsys.readouterr()
    assert run("compare", "one", "two/report.json", "--json", "--metric", "mAP@all", "--metric", "P@100") == 0
    first, second = (json.loads(line) for line in capsys.readouterr().out.splitlines())
    assert second["difference"] == pytest.approx(second["figures"]["mAP@all"] - first["figures"]["mAP@all"])
    assert second["high"] < 0
    assert first["difference"] is None
    for option, sign in (("--markdown", "| one | 24 |"), ("--latex", r"one & 24 &"), ("--csv", "one,24,")):
        assert run("compare", "one", "two", option) == 0
        assert sign in capsys.readouterr().out
    assert run("compare", "one", "two") == 0
    assert "protocol: custom | mAP@all" in capsys.readouterr().out
    assert run("compare", "one", "two", "--csv", "--latex") == 2
    assert run("compare", "one") == 2
    assert run("compare", "one", "nowhere") == 3


def test_mixed_protocols_end_with_one_and_the_fields(files, capsys):
    run("evaluate", "--query", "q.npz", "--database", "d.npz", "--save", "a")
    run("evaluate", "--query", "q.npz", "--database", "d.npz", "--save", "b", "--ties", "stable", "--method", "b")
    capsys.readouterr()
    assert run("compare", "a", "b") == 1
    assert "b: ties is 'stable', but 'expected' in q" in capsys.readouterr().err
    assert run("compare", "a", "b", "--force") == 0
    assert "forced: b has ties 'stable'" in capsys.readouterr().err


def test_a_collection_with_labels(tmp_path, capsys):
    collection = Collection.create(tmp_path / "c.dh", num_bits=24, vector_dim=24)
    uris = [f"{label}/{row}.jpg" for row, label in enumerate(SEARCHED)]
    attributes = [{"kind": "" if row < 20 else f"k{label}"} for row, label in enumerate(SEARCHED)]
    signs = DATABASE.signs()
    collection.append(uris=uris, codes=DATABASE, attributes=attributes, vectors=signs)
    assert run("evaluate", tmp_path / "c.dh", "--label", "kind", "--queries", 30, "--json", "--baselines") == 0
    report = printed(capsys)
    assert report["counts"]["queries"] == 30
    assert report["counts"]["database"] == 270
    assert report["counts"]["unlabelled_database"] == 20
    assert report["protocol"].startswith("collection-draw-30-seed-0 | mAP@all")
    assert report["baselines"]["cosine"][0]["value"] > 0.5
    assert report["baselines"]["random bits"][0]["value"] < report["figures"][0]["value"]
    assert {"LSH", "PCA-sign", "ITQ", "class code (3 bit)"} <= set(report["baselines"])
    assert run("evaluate", tmp_path / "c.dh", "--label", "kinds") == 2
    assert "did you mean 'kind'" in capsys.readouterr().err
    assert run("evaluate", tmp_path / "c.dh") == 2
    assert "--label" in capsys.readouterr().err


def test_a_collection_may_name_its_queries(tmp_path, capsys):
    collection = Collection.create(tmp_path / "c.dh", num_bits=24)
    codes = BinaryCodes.concatenate([QUERY, DATABASE])
    rows = [{"label": f"k{label}", "split": "query"} for label in ASKED]
    rows += [{"label": f"k{label}", "split": "train"} for label in SEARCHED]
    collection.append(uris=[f"{row}.jpg" for row in range(340)], codes=codes, attributes=rows)
    assert run("evaluate", tmp_path / "c.dh", "--json", "--resamples", 0) == 0
    assert printed(capsys)["figures"][0]["value"] == pytest.approx(EXACT, abs=1e-12)


WRONG = {
    "no sides": ([], 2, "give a run folder or a collection"),
    "one side": (["--query", "q.npz"], 2, "give a run folder or a collection"),
    "a file as target": (["q.npz"], 2, "two sides are needed"),
    "missing file": (["--query", "q.npz", "--database", "x.npz"], 3, "x.npz: no such file"),
    "missing run": (["runs/none"], 3, "no such run folder"),
    "empty folder": (["."], 3, "holds no model"),
    "top_k 0": (["--query", "q.npz", "--database", "d.npz", "--top-k", "0"], 2, "top_k is 1 or more"),
    "top_k -1": (["--query", "q.npz", "--database", "d.npz", "--top-k", "-1"], 2, "top_k is 1 or more"),
    "top_k > N": (["--query", "q.npz", "--database", "d.npz", "--top-k", "301"], 2, "the database has 300"),
    "odd ties": (["--query", "q.npz", "--database", "d.npz", "--ties", "fair"], 2, "'fair'"),
    "odd norm": (["--query", "q.npz", "--database", "d.npz", "--normalize", "best"], 2, "best"),
    "odd legacy": (["--query", "q.npz", "--database", "d.npz", "--legacy", "csqq"], 2, "did you mean 'csq'"),
    "folds without pairs": (["--query", "q.npz", "--database", "d.npz", "--folds", "5"], 2, "there are no pairs"),
    "strangers": (
        ["--query", "q.npz", "--database", "d.npz", "--leave-one-out"],
        2,
        "40 of 40 queries are not in d.npz",
    ),
    "odd option": (["--query", "q.npz", "--database", "d.npz", "--topk", "5"], 2, "topk"),
    "odd protocol": (["--query", "q.npz", "--database", "d.npz", "--protocol", "a | b | c=d"], 2, "no protocol field"),
}


def test_queries_that_search_each_other(files, capsys):
    assert run("evaluate", "--query", "q.npz", "--database", "q.npz", "--leave-one-out", "--json") == 0
    found = printed(capsys)["figures"][0]
    assert found["protocol"].endswith("| leave_one_out=yes")
    rows = range(40)
    alone = [
        mean_average_precision(
            QUERY[[row]],
            QUERY[np.setdiff1d(rows, [row])],
            query_labels=ASKED[[row]],
            database_labels=np.delete(ASKED, row),
        )
        for row in rows
    ]
    assert found["value"] == pytest.approx(np.mean(alone))


@pytest.mark.parametrize("case", WRONG)
def test_wrong_words_end_with_a_sentence(files, capsys, case):
    words, status, message = WRONG[case]
    assert run("evaluate", *words) == status
    said = capsys.readouterr()
    assert message in said.err
    assert said.out == ""
    assert "Traceback" not in said.err


BAD_FILES = {
    "mismatched K": ({"codes": DATABASE.bits()[:, :23], "labels": SEARCHED}, 2, "different lengths"),
    "NaN": ({"codes": np.where(DATABASE.bits(), np.nan, 1.0), "labels": SEARCHED}, 2, "hold NaN"),
    "real values": ({"codes": DATABASE.signs() * 0.5, "labels": SEARCHED}, 2, "real values"),
    "no labels": ({"codes": DATABASE.bits()}, 2, "has no labels"),
    "short labels": ({"codes": DATABASE.bits(), "labels": SEARCHED[:7]}, 2, "300 codes but 7 labels"),
    "other kind": ({"codes": DATABASE.bits(), "labels": np.eye(5)[SEARCHED]}, 2, "labels of different kinds"),
    "nothing relevant": ({"codes": DATABASE.bits(), "labels": SEARCHED + 50}, 2, "has a relevant item"),
    "empty": ({"codes": np.zeros((0, 24)), "labels": SEARCHED[:0]}, 2, "holds no codes"),
    "no codes": ({"hashes": DATABASE.bits()}, 3, "no array 'codes'"),
}


@pytest.mark.parametrize("case", BAD_FILES)
def test_bad_files_end_with_a_sentence(files, capsys, case):
    arrays, status, message = BAD_FILES[case]
    np.savez("d.npz", **arrays)
    assert run("evaluate", "--query", "q.npz", "--database", "d.npz") == status
    assert message in capsys.readouterr().err


def test_a_corrupt_file_ends_with_a_sentence(files, capsys):
    (files / "d.npz").write_bytes((files / "d.npz").read_bytes()[:-300])
    assert run("evaluate", "--query", "q.npz", "--database", "d.npz") == 3
    assert "d.npz" in capsys.readouterr().err


def test_a_file_of_another_kind_is_not_called_unsafe(files, capsys):
    (files / "d.npz").write_bytes(b"these are no arrays")
    assert run("evaluate", "--query", "q.npz", "--database", "d.npz") == 3
    said = capsys.readouterr().err
    assert "d.npz cannot be read as an .npz of plain arrays: it is another kind of file" in said
    assert "pickle" not in said


def test_a_damaged_report_ends_with_a_sentence(files, capsys):
    (files / "report.json").write_text('{"schema": 1, "figures": 3}')
    assert run("compare", "report.json", "report.json") == 3
    assert "damaged evaluation report" in capsys.readouterr().err
