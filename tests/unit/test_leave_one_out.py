"""Leave-one-out: every figure of a query is that of the database without it, and mistakes are named."""

import numpy as np
import pytest

from deephash.codes import BinaryCodes
from deephash.errors import UsageError
from deephash.evaluation.codefile import CodeFile, own_rows
from deephash.evaluation.counts import distance_counts
from deephash.evaluation.metrics import hubness
from deephash.evaluation.relevance import relevance_among_others
from deephash.evaluation.scores import Settings
from deephash.reports import evaluate_codes
from deephash.scoring.targets import evaluate
from tests.evaluation_cases import multi_hot

SIZE = 40
DRAW = np.random.default_rng(0)
CODES = BinaryCodes.from_bits(DRAW.integers(0, 2, (SIZE, 8)))
CLASSES = DRAW.integers(-1, 3, SIZE)
OWN = DRAW.permutation(SIZE)[:15]
NAMES = np.array([f"item {row}" for row in range(SIZE)])
OPTIONS = {
    "hits": {"top_k": 7},
    "first-k, drop": {"top_k": 7, "normalize": "first-k", "empty": "drop"},
    "all": {"trapezoid": True, "at_r": True},
}


def side(rows=slice(None), **columns):
    rows = np.arange(SIZE)[rows]
    return CodeFile(CODES[rows], **({"labels": CLASSES[rows], "names": NAMES[rows]} | columns))


def without(row, ties, labels, settings):
    """The report of one query on the database it is not in; a shuffle keeps the order of the others."""
    order = np.random.default_rng(4).permutation(SIZE) if ties == "random:4" else np.arange(SIZE)
    kept = order[order != row]
    one = Settings(ties="stable" if ties == "random:4" else ties, resamples=0, ranks=(1, 10), **settings)
    return evaluate_codes(CODES[[row]], CODES[kept], labels[[row]], labels[kept], settings=one)


@pytest.mark.parametrize("options", OPTIONS)
@pytest.mark.parametrize("ties", ["expected", "optimistic", "pessimistic", "stable", "random:4"])
@pytest.mark.parametrize("labels", [CLASSES, multi_hot(SIZE)], ids=["classes", "multi-hot"])
def test_each_query_scores_as_on_a_database_without_it(labels, ties, options):
    settings = Settings(ties=ties, resamples=0, ranks=(1, 10), **OPTIONS[options])
    found = evaluate_codes(CODES[OWN], CODES, labels[OWN], labels, settings=settings, own=OWN)
    for place, row in list(enumerate(OWN[found.per_query["row"]]))[:4]:
        alone = without(row, ties, labels, OPTIONS[options]).per_query
        shared = [name for name in found.per_query if name in alone and name not in ("row", "labels")]
        assert {"mAP@all", "P@10", "hit@1", "mAP@H<=2"} <= {name.partition("|")[0] for name in shared}
        for name in shared:
            assert found.per_query[name][place] == pytest.approx(alone[name][0], abs=1e-12, nan_ok=True), name


@pytest.mark.parametrize("labels", [CLASSES, multi_hot(SIZE)], ids=["classes", "multi-hot"])
def test_both_engines_count_the_others(labels):
    relevance = relevance_among_others(labels[OWN], labels, OWN)
    slow, fast = (distance_counts(CODES[OWN], CODES, relevance, engine=engine) for engine in ("numpy", "numba"))
    np.testing.assert_array_equal(slow.by_gain, fast.by_gain)
    assert slow.num_items.tolist() == [SIZE - 1] * len(OWN)
    dense = relevance.gains()
    assert [(dense == gain).sum(axis=1).tolist() for gain in range(relevance.max_gain + 1)] == slow.totals.T.tolist()


def test_the_report_says_so_and_never_shows_a_query_as_its_own_neighbour():
    found = evaluate(side(), side(), settings=Settings(resamples=0), leave_one_out=True)
    assert str(found.protocol).endswith("| leave_one_out=yes")
    assert not any("in the database" in warning and "inflated" in warning for warning in found.warnings)
    assert found.hardest
    for query in found.hardest:
        assert len(query.nearest) == 5
        assert query.name not in query.nearest
    rows = np.flatnonzero(CLASSES >= 0)
    assert found.hubness["skewness"] == pytest.approx(hubness(CODES[rows], CODES, k=10, own=rows).skewness)


def test_without_it_the_report_warns_and_names_the_option():
    found = evaluate(side(), side(), settings=Settings(resamples=0))
    assert any("--leave-one-out" in warning for warning in found.warnings)
    assert found.protocol.leave_one_out == "no"


def test_baselines_leave_the_query_out_too():
    """Features that tell every item from all others, and no class from another: cosine could only find the query."""
    features = np.eye(SIZE, dtype=np.float32)
    labels = np.arange(SIZE) // 2
    files = side(labels=labels, features=features)
    inside, outside = (
        evaluate(files, files, settings=Settings(resamples=0, ranks=(1,)), baselines=True, leave_one_out=flag)
        for flag in (False, True)
    )
    assert inside.baselines["cosine"][0].value > 0.5
    assert outside.baselines["cosine"][0].value < 0.2
    assert {figure.protocol.leave_one_out for figure in outside.baselines["random bits"]} == {"yes"}


def test_rows_are_told_by_name_else_by_order():
    shuffled = DRAW.permutation(SIZE)
    assert own_rows(side(OWN), side(shuffled)).tolist() == [shuffled.tolist().index(row) for row in OWN]
    assert own_rows(side(names=None), side()).tolist() == list(range(SIZE))


WRONG = {
    "a stranger": (side(names=np.array(["stranger", *NAMES[1:]])), side(), "1 of 40 queries are not in .* 'stranger'"),
    "a name twice": (side(), side(names=np.array([NAMES[0], *NAMES[:-1]])), "names an item twice"),
    "another order": (side(names=None), side(slice(None, None, -1)), "not hold the same codes in the same order"),
    "fewer": (side(OWN, names=None), side(), "give one file on both sides"),
}


@pytest.mark.parametrize("case", WRONG)
def test_queries_that_are_no_items_are_refused(case):
    query, database, message = WRONG[case]
    with pytest.raises(UsageError, match=message):
        evaluate(query, database, leave_one_out=True)


@pytest.mark.parametrize("own", [OWN[:3], OWN + SIZE, OWN - SIZE, OWN / 2])
def test_rows_that_are_no_rows_are_refused(own):
    with pytest.raises(UsageError, match=r"database row, 0\.\.39, of each of the 15 queries"):
        evaluate_codes(CODES[OWN], CODES, CLASSES[OWN], CLASSES, own=own)


def test_what_goes_by_more_than_labels_is_refused():
    with pytest.raises(UsageError, match="by labels alone"):
        evaluate(side(), side(), settings=Settings(legacy="csq"), leave_one_out=True)
    with pytest.raises(UsageError, match="the database has 39 items to find"):
        evaluate(side(), side(), settings=Settings(top_k=40), leave_one_out=True)
