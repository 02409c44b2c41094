"""Right and ignored items listed for each query (ROxford): as on a database without the ignored ones."""

import json

import numpy as np
import pytest

from deephash.cli.main import main
from deephash.errors import UsageError
from deephash.evaluation.codefile import CodeFile
from deephash.evaluation.listed import ListedPairs
from deephash.evaluation.scores import Settings
from deephash.reports import evaluate_codes
from deephash.reports.protocol import Protocol
from deephash.scoring.targets import evaluate
from tests.evaluation_cases import clustered

QUERY, DATABASE, ASKED, SEARCHED = clustered(num_queries=6, num_items=60)
RIGHT = [np.flatnonzero(label == SEARCHED)[:7] for label in ASKED]
JUNK = [np.flatnonzero(label == SEARCHED)[7 : 7 + place] for place, label in enumerate(ASKED)]


def padded(lists):
    table = np.full((len(lists), max(map(len, lists))), -1)
    for row, items in zip(table, lists, strict=True):
        row[: len(items)] = items
    return table


def file(**columns):
    return CodeFile(QUERY, **({"relevant": padded(RIGHT), "ignored": padded(JUNK)} | columns))


@pytest.mark.parametrize("ties", ["expected", "optimistic", "pessimistic", "stable"])
def test_each_query_scores_as_on_a_database_without_its_junk(ties):
    options = {"ties": ties, "resamples": 0, "ranks": (1, 10), "trapezoid": True, "at_r": True}
    found = evaluate(file(), CodeFile(DATABASE), settings=Settings(top_k=9, **options))
    for row in range(len(QUERY)):
        kept = np.setdiff1d(np.arange(len(DATABASE)), JUNK[row])
        labels = np.isin(kept, RIGHT[row]).astype(np.int64)
        alone = evaluate_codes(QUERY[[row]], DATABASE[kept], [1], labels, settings=Settings(top_k=9, **options))
        shared = [name for name in found.per_query if name in alone.per_query and name not in ("row", "labels")]
        assert {"mAP@9|min", "mAP@all|hits", "P@10|hits", "MAP@R|total", "mAP@H<=2|hits"} <= set(shared)
        for name in shared:
            assert found.per_query[name][row] == pytest.approx(alone.per_query[name][0], abs=1e-12), name


def test_the_protocol_says_what_was_listed():
    found = evaluate(file(), CodeFile(DATABASE), settings=Settings(resamples=20))
    assert found.protocol.relevance == "explicit"
    assert found.protocol.split.startswith("lists:")
    assert Protocol.parse(str(found.protocol)) == found.protocol
    without = evaluate(file(ignored=None), CodeFile(DATABASE), settings=Settings(resamples=20))
    assert found.protocol.differences(without.protocol).keys() == {"split"}
    assert found.headline.value != without.headline.value
    assert not any("label" in warning or "names" in warning for warning in found.warnings)
    assert found.per_class == ()
    assert found.health["database"]["collision_rate"] is None
    assert all(query.labels == () for query in found.hardest)
    junk = {f"row {row}" for row in JUNK[5]}
    assert {len(query.nearest) for query in found.hardest} == {5}
    assert not any(junk & set(query.nearest) for query in found.hardest if query.row == 5)


def test_a_query_without_right_items_is_left_out_and_labels_have_no_say():
    table = padded(RIGHT)
    table[2] = -1
    found = evaluate(file(relevant=table, labels=ASKED), CodeFile(DATABASE), settings=Settings(resamples=0))
    assert found.counts["unanswerable_queries"] == 1
    assert found.headline.protocol.num_queries == 5
    assert found.headline.protocol.relevance == "explicit"


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"relevant": None}, "'ignored' but no 'relevant'"),
        ({"relevant": np.full((6, 1), 60)}, "query 0 names rows outside the database of 60"),
        ({"ignored": padded(RIGHT)}, "query 0 names a database row twice"),
        ({"relevant": np.full((5, 1), 1)}, "6 codes but 5 relevant"),
    ],
)
def test_lists_that_do_not_fit_are_refused(columns, message):
    with pytest.raises(UsageError, match=message):
        evaluate(file(**columns), CodeFile(DATABASE))


def test_lists_stand_alone():
    listed = ListedPairs.from_lists(RIGHT, len(DATABASE))
    with pytest.raises(UsageError, match="listed items stand alone"):
        evaluate_codes(QUERY, DATABASE, ASKED, SEARCHED, listed=listed)
    with pytest.raises(UsageError, match="listed items stand alone"):
        evaluate(file(), CodeFile(DATABASE), settings=Settings(legacy="hashnet"))
    with pytest.raises(UsageError, match="baselines are compared by labels"):
        evaluate(file(), CodeFile(DATABASE), baselines=True)


def test_the_command_reads_the_lists(tmp_path, capsys):
    paths = [str(tmp_path / name) for name in ("q.npz", "d.npz")]
    np.savez(paths[0], codes=QUERY.bits(), relevant=padded(RIGHT), ignored=padded(JUNK))
    np.savez(paths[1], codes=DATABASE.bits())
    words = [
        "evaluate",
        "--query",
        paths[0],
        "--database",
        paths[1],
        "--trapezoid",
        "--json",
        "--protocol",
        "roxford5k",
    ]
    assert main([*words, "--save", str(tmp_path / "report")]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["figures"][0]["protocol"].startswith("roxford5k | mAP@all | rel=explicit")
    np.savez(paths[0], codes=QUERY.bits(), relevant=np.zeros(6))
    assert main(words) == 2
    assert "relevant are rows of the database [N, P], filled up with -1" in capsys.readouterr().err
