"""``deephash evaluate`` with pairs, attacks and series of models; ``compare`` across protocols, as people type them."""

import json
import shutil

import numpy as np
import pytest

from deephash.cli.main import main
from tests.evaluation_cases import clustered

QUERY, DATABASE, ASKED, SEARCHED = clustered(num_bits=24)
BOTH = ["--query", "q.npz", "--database", "d.npz"]


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Two sides, their attacked queries, three stages and two models, in the folder the command runs in."""
    monkeypatch.chdir(tmp_path)
    names = [f"q{row}" for row in range(40)]
    pairs = {"q.npz": np.arange(40), "d.npz": np.arange(300) % 40}
    QUERY.save("q.npz", labels=ASKED, names=names, pairs=pairs["q.npz"])
    DATABASE.save("d.npz", labels=SEARCHED, names=[f"d{row}" for row in range(300)], pairs=pairs["d.npz"])
    backwards = slice(None, None, -1)
    QUERY[backwards].save("adv.npz", names=names[backwards], targets=((ASKED + 1) % 5)[backwards])
    for number in (1, 2, 3):
        stage = tmp_path / f"s{number}"
        stage.mkdir()
        asked = slice(10 * number)
        QUERY[asked].save(stage / "query.npz", labels=ASKED[asked], sessions=1 + np.arange(10 * number) // 10)
        DATABASE[:90].save(stage / "database.npz", labels=SEARCHED[:90])
    for name in ("old", "new"):
        (tmp_path / name).mkdir()
        QUERY.save(tmp_path / name / "query.npz", labels=ASKED)
        DATABASE.save(tmp_path / name / "database.npz", labels=SEARCHED)
    return tmp_path


def run(*words):
    return main([str(word) for word in words])


def figures(capsys):
    report = json.loads(capsys.readouterr().out)
    return {figure["label"]: figure for figure in report["figures"]}, report


def test_pairs_of_a_file_give_hits_of_the_pair(folder, capsys):
    assert run("evaluate", *BOTH, "--json", "--folds", 2, "--task", "i2t", "--trapezoid", "--map-at-r") == 0
    found, report = figures(capsys)
    assert found["hit@1 (pairs)"]["protocol"].endswith("| task=i2t | folds=2")
    assert {"hit@5 (pairs)", "hit@10 (pairs)", "trapezoid mAP@all", "MAP@R", "R-precision", "hubness@10"} <= set(found)
    assert report["schema"] == 2
    np.savez("q.npz", codes=QUERY.bits(), pairs=[f"item {row}" for row in range(40)])
    np.savez("d.npz", codes=DATABASE.bits(), pairs=[f"item {row % 40}" for row in range(300)])
    assert run("evaluate", *BOTH, "--json") == 0
    assert next(iter(figures(capsys)[0])) == "hit@1 (pairs)"


def test_attacked_queries_are_matched_by_name(folder, capsys):
    """The file holds the same codes in reverse: with the names nothing is lost, without them a lot is."""
    assert run("evaluate", *BOTH, "--adversarial", "adv.npz", "--json") == 0
    found, _ = figures(capsys)
    assert found["drop of mAP@all"]["value"] == 0
    assert found["t-mAP@all"]["value"] == found["clean t-mAP@all"]["value"]
    np.savez("adv.npz", codes=QUERY.bits()[::-1])
    assert run("evaluate", *BOTH, "--adversarial", "adv.npz", "--save", "out") == 0
    assert "drop of mAP@all" in (folder / "out" / "report.md").read_text()
    assert run("compare", "out", "out", "--metric", "attacked mAP@all") == 0


def test_series_print_their_table_and_are_saved(folder, capsys):
    assert run("evaluate", "s1", "s2", "s3", "--lifelong", "--save", "out", "--method", "mine") == 0
    said = capsys.readouterr().out
    assert "mAP@all by stage and session of the queries" in said
    assert "series=lifelong-frozen:3: final average of mAP@all, forgetting of mAP@all" in said
    page = (folder / "out" / "report.md").read_text()
    assert "| stage | 1 | 2 | 3 |" in page
    assert page.startswith("# mine, 24 bits")
    assert run("evaluate", "old", "new", "--compatibility", "--json") == 0
    found, report = figures(capsys)
    assert found["AC of mAP@all"]["value"] == 0  # equal is not better
    assert report["series"]["names"] == ["old", "new"]
    assert run("evaluate", "new", "--json") == 0  # one folder of codes is an ordinary target
    assert figures(capsys)[1]["method"] == "new"


WRONG = {
    "two targets": (["old", "new"], 2, "--lifelong or --compatibility"),
    "both kinds": (["old", "new", "--lifelong", "--compatibility"], 2, "one at a time"),
    "reencoded alone": (["old", "new", "--reencoded"], 2, "belongs to --lifelong"),
    "one stage": (["s1", "--lifelong"], 2, "at least two stages"),
    "no stage": (["--lifelong"], 2, "at least two stages"),
    "no sessions": (["old", "new", "--lifelong"], 2, "needs an array 'sessions'"),
    "stages out of order": (["s2", "s1", "--lifelong"], 2, "stage 1 needs those of all sessions from 1 to 1"),
    "missing stage": (["s1", "s9", "--lifelong"], 3, "s9: no such folder"),
    "files with a series": (["s1", "s2", "--lifelong", *BOTH], 2, "--query, --database is for one model"),
    "missing attack": ([*BOTH, "--adversarial", "x.npz"], 3, "x.npz: no such file"),
    "too many folds": ([*BOTH, "--folds", "41"], 2, "folds is 1..40"),
    "no fold": ([*BOTH, "--folds", "0"], 2, "folds is 1..40"),
    "odd task": ([*BOTH, "--task", "i2x"], 2, "i2x"),
}


@pytest.mark.parametrize("case", WRONG)
def test_wrong_words_end_with_a_sentence(folder, capsys, case):
    words, status, message = WRONG[case]
    assert run("evaluate", *words) == status
    said = capsys.readouterr()
    assert message in said.err
    assert said.out == ""


BAD_ARRAYS = {
    "real pairs": ({"pairs": np.zeros(300)}, "pairs are numbers or names"),
    "names against numbers": ({"pairs": np.arange(300).astype(str)}, "pairs are numbers in one and names"),
    "nothing in common": ({"pairs": np.arange(300) + 500}, "no pair has an item both in"),
    "short pairs": ({"pairs": np.arange(9)}, "300 codes but 9 pairs"),
    "sessions from 0": ({"sessions": np.arange(300)}, "sessions are whole numbers [N] from 1"),
}


@pytest.mark.parametrize("case", BAD_ARRAYS)
def test_bad_arrays_end_with_a_sentence(folder, capsys, case):
    arrays, message = BAD_ARRAYS[case]
    np.savez("d.npz", codes=DATABASE.bits(), labels=SEARCHED, **arrays)
    assert run("evaluate", *BOTH) == 2
    assert message in capsys.readouterr().err


BAD_ATTACKS = {
    "other length": ({"codes": np.zeros((40, 16))}, "attacked queries need codes of the same length"),
    "too few": ({"codes": QUERY.bits()[:9]}, "9 attacked queries for 40 of q.npz"),
    "other names": ({"codes": QUERY.bits(), "names": np.arange(40).astype(str)}, "lacks 40 queries, the first 'q0'"),
    "targets of another kind": ({"codes": QUERY.bits(), "targets": np.eye(5)[ASKED]}, "labels of different kinds"),
}


@pytest.mark.parametrize("case", BAD_ATTACKS)
def test_bad_attacks_end_with_a_sentence(folder, capsys, case):
    arrays, message = BAD_ATTACKS[case]
    np.savez("adv.npz", **arrays)
    assert run("evaluate", *BOTH, "--adversarial", "adv.npz") == 2
    assert message in capsys.readouterr().err


def test_forced_tables_name_the_protocol_of_each_row(folder, capsys):
    for name, options in (("a", []), ("b", ["--ties", "stable"])):
        assert run("evaluate", *BOTH, "--save", name, "--method", name, *options, "--resamples", 0) == 0
    shutil.copytree("a", "c")
    capsys.readouterr()
    for option, start in (([], ""), (["--markdown"], ""), (["--latex"], "% ")):
        assert run("compare", "a", "b", "c", "--force", *option) == 0
        lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith(f"{start}protocol of ")]
        assert [line.partition(":")[0] for line in lines] == [f"{start}protocol of a, a #2", f"{start}protocol of b"]
        assert "ties=stable" in lines[1]
    assert run("compare", "a", "b", "--force", "--json") == 0
    rows = [json.loads(line)["protocol"] for line in capsys.readouterr().out.splitlines()]
    assert ["ties=stable" in row for row in rows] == [False, True]
    assert run("compare", "a", "b") == 1
