"""Reports side by side: never across protocols unasked, and a paired test where the queries are the same."""

from dataclasses import replace

import numpy as np
import pytest

from deephash.codes import BinaryCodes
from deephash.errors import UsageError
from deephash.evaluation.scores import Settings
from deephash.reports import evaluate_codes
from deephash.reports.protocol import Protocol
from deephash.scoring.comparison import MixedProtocols, compare_reports
from tests.evaluation_cases import clustered

_, _, ASKED, SEARCHED = clustered()
NAMES = {"query_names": [f"q{i}" for i in range(40)], "database_names": [f"d{i}" for i in range(300)]}


def codes(labels, num_bits=24, noise=0.2, seed=0):
    """Noisy copies of one centre a class; the centres belong to the length, the noise to the seed."""
    centres = np.random.default_rng(num_bits).integers(0, 2, (5, num_bits))
    draw = np.random.default_rng([seed, len(labels)])
    return BinaryCodes.from_bits(centres[labels] ^ (draw.random((len(labels), num_bits)) < noise))


def report(method="a", settings=None, protocol=None, rows=slice(None), **options):
    names = {"query_names": NAMES["query_names"][rows], "database_names": NAMES["database_names"]}
    query, database = codes(ASKED, **options)[rows], codes(SEARCHED, **options)
    return evaluate_codes(
        query, database, ASKED[rows], SEARCHED, settings=settings, protocol=protocol, method=method, **names
    )


def test_codes_of_different_length_stand_in_one_table():
    found = compare_reports([report("a"), report("b", num_bits=48), report("c", num_bits=8)])
    assert [(row.name, row.num_bits) for row in found.rows] == [("a", 24), ("b", 48), ("c", 8)]
    assert found.metrics == ("mAP@all",)
    assert found.differences == {}
    assert found.rows[0].against_first is None
    tests = [row.against_first for row in found.rows[1:]]
    assert all(test.queries == 40 for test in tests)
    for row, test in zip(found.rows[1:], tests, strict=True):
        assert test.difference == pytest.approx(row.figures[0].value - found.rows[0].figures[0].value)
        assert test.interval.low <= test.difference <= test.interval.high
    assert tests[0].interval.low > 0 > tests[1].interval.high  # more bits help, fewer hurt
    assert max(test.p_value for test in tests) < 0.01


def test_equal_codes_do_not_differ():
    test = compare_reports([report("a"), report("b")]).rows[1].against_first
    assert (test.difference, test.p_value) == (0, 1)


@pytest.mark.parametrize(
    ("changed", "field"),
    [
        ({"settings": Settings(ties="stable")}, "ties"),
        ({"settings": Settings(empty="drop")}, "empty"),
        ({"protocol": Protocol(dataset="other/v1")}, "dataset"),
        ({"protocol": Protocol(backbone="resnet18")}, "backbone"),
        ({"protocol": Protocol(crops=10)}, "crops"),
        ({"protocol": Protocol(rerank="cosine@100")}, "rerank"),
        ({"protocol": Protocol(split="sha256:ab")}, "split"),
        ({"rows": slice(0, 30)}, "num_queries"),
    ],
)
def test_different_protocols_are_refused_with_the_fields(changed, field):
    pair = [report("a"), report("b", **changed)]
    with pytest.raises(MixedProtocols, match=f"b: {field} is"):
        compare_reports(pair)
    forced = compare_reports(pair, force=True)
    assert field in forced.differences["b"]
    assert MixedProtocols.exit_code == 1


def test_shared_figures_of_different_headlines_may_be_compared():
    pair = [report("a"), report("b", settings=Settings(top_k=20))]
    assert compare_reports(pair).metrics == ("mAP@all",)
    with pytest.raises(UsageError, match="mAP@30"):
        compare_reports(pair, metrics=["mAP@30"])
    by_hits, by_total = (report(n, settings=Settings(top_k=20, normalize=n)) for n in ("hits", "total"))
    with pytest.raises(MixedProtocols, match="normalize"):
        compare_reports([by_hits, by_total], metrics=["mAP@20"])


def test_chosen_metrics_are_the_columns():
    found = compare_reports([report("a"), report("b", seed=1)], metrics=["P@10", "mAP@all"])
    assert found.metrics == ("P@10", "mAP@all")
    first, second = (row.figures[0].value for row in found.rows)
    assert found.rows[1].against_first.difference == pytest.approx(second - first)


def test_queries_are_matched_by_name_and_not_by_order():
    whole = report("a")
    backwards = report("b", rows=slice(None, None, -1))
    assert compare_reports([whole, backwards]).rows[1].against_first.difference == pytest.approx(0, abs=1e-12)


def test_without_queries_in_common_there_is_no_test():
    bare = replace(report("b"), per_query={})
    assert compare_reports([report("a"), bare]).rows[1].against_first is None
    others = report("b")
    others = replace(others, per_query={**others.per_query, "names": np.array([f"x{i}" for i in range(40)])})
    assert compare_reports([report("a"), others]).rows[1].against_first is None
    nameless = [report("a"), report("b", protocol=Protocol(split="sha256:ab"))]  # row 3 is another query there
    for each in nameless:
        del each.per_query["names"]
    assert compare_reports(nameless, force=True).rows[1].against_first is None
    dropping = [report(name, settings=Settings(empty="drop")) for name in "ab"]
    assert compare_reports(dropping).rows[1].against_first is None


def test_equal_names_are_numbered():
    found = compare_reports([report("a"), report("a"), report("a")])
    assert [row.name for row in found.rows] == ["a", "a #2", "a #3"]


def test_one_report_is_no_comparison():
    with pytest.raises(UsageError, match="at least two"):
        compare_reports([report("a")])
