"""Figures that need more than codes and labels: own pairs, attacked queries, hubness, AP by trapezoids."""

import json

import jsonschema
import numpy as np
import pytest

from deephash.codes import BinaryCodes
from deephash.errors import UsageError
from deephash.evaluation.crossmodal import folded_instance_hits, instance_hits, rows_of_folds
from deephash.evaluation.knn import knn_accuracy
from deephash.evaluation.metrics import hubness, mean_average_precision, mean_trapezoid_average_precision
from deephash.evaluation.robustness import attack_precisions
from deephash.evaluation.scores import Settings
from deephash.reports import EvaluationReport, evaluate_codes
from deephash.reports.attack import Attack
from deephash.reports.protocol import Protocol
from tests.evaluation_cases import clustered, multi_hot
from tests.paths import ROOT

QUERY, DATABASE, ASKED, SEARCHED = clustered()
LABELS = {"query_labels": ASKED, "database_labels": SEARCHED}
PAIRS = np.arange(40) // 2, np.arange(300) % 25  # two queries a pair; twelve items a pair; five pairs nobody asks for
QUICK = Settings(resamples=0)
SCHEMA = json.loads((ROOT / "docs" / "report.schema.json").read_text())


def noisy(codes, share, seed=1):
    bits = codes.bits()
    return BinaryCodes.from_bits(bits ^ (np.random.default_rng(seed).random(bits.shape) < share))


def report(labels=(ASKED, SEARCHED), **options):
    return evaluate_codes(QUERY, DATABASE, *labels, **({"settings": QUICK} | options))


# Pairs -------------------------------------------------------------------------------------------------


def test_hits_of_the_own_pair_stand_beside_those_of_the_label():
    found = report(pairs=PAIRS, settings=Settings(resamples=200))
    expected = instance_hits(QUERY, DATABASE, query_pairs=PAIRS[0], database_pairs=PAIRS[1])
    for rank in (1, 5, 10):
        figure = found.figure(f"hit@{rank} (pairs)")
        assert figure.value == pytest.approx(expected[rank])
        assert figure.pessimistic < figure.value < figure.optimistic
        assert figure.low < figure.value < figure.high
        assert figure.protocol.relevance == "pairs"
        assert found.per_query[f"hit@{rank}|pairs"].mean() == pytest.approx(figure.value)
    assert found.figure("hit@1").protocol.relevance == "any-shared-label"
    assert found.figure("hit@1").value > found.figure("hit@1 (pairs)").value
    assert "relevance=pairs: hit@1 (pairs), hit@5 (pairs), hit@10 (pairs)" in str(found)


@pytest.mark.parametrize("folds", [1, 5, 25])
def test_each_fold_is_searched_by_itself(folds):
    """With equal folds the mean over queries is the mean over folds."""
    asked = np.arange(50) // 2
    queries = noisy(DATABASE[:50], 0.2)
    pairs = asked, PAIRS[1]
    found = evaluate_codes(
        queries, DATABASE, None, None, pairs=pairs, settings=Settings(resamples=0, folds=folds, top_k=5)
    )
    expected = folded_instance_hits(queries, DATABASE, query_pairs=asked, database_pairs=pairs[1], folds=folds)
    assert found.headline.label == "hit@1 (pairs)"
    assert found.headline.value == pytest.approx(expected[1])
    assert found.figure("hit@10 (pairs)").value == pytest.approx(expected[10])
    assert found.protocol.folds == folds
    assert Protocol.parse(str(found.protocol)) == found.protocol


def test_items_without_a_partner_are_in_no_fold():
    asked, held = np.arange(50) // 2, PAIRS[1].copy()
    held[::7] = asked[::5] = -1
    queries = noisy(DATABASE[:50], 0.2)
    found = evaluate_codes(
        queries, DATABASE, None, None, pairs=(asked, held), settings=Settings(resamples=0, folds=1, top_k=5)
    )
    expected = folded_instance_hits(queries, DATABASE, query_pairs=asked, database_pairs=held, folds=1)
    assert found.figure("hit@1 (pairs)").value == pytest.approx(expected[1])
    for rows, items in rows_of_folds(asked, held, 5):
        assert len(rows)
        assert len(items)
        assert min(*asked[rows], *held[items]) >= 0


def test_pairs_alone_make_a_report_without_classes():
    found = report(labels=(None, None), pairs=PAIRS)
    labels = {figure.label for figure in found.figures}
    assert {"hit@1 (pairs)", "mAP@all (pairs)", "R@10 (pairs)", "hubness@10"} <= labels
    assert not any(label.startswith(("kNN", "P@")) for label in labels)
    assert found.per_class == ()
    value = mean_average_precision(QUERY, DATABASE, query_labels=PAIRS[0], database_labels=PAIRS[1])
    assert found.figure("mAP@all (pairs)").value == pytest.approx(value)
    assert all("was not checked" not in warning for warning in found.warnings)  # two views of one item share a name
    jsonschema.validate(json.loads(found.to_json()), SCHEMA)


def test_queries_without_a_partner_are_left_out():
    lone = np.where(np.arange(40) < 7, -1, PAIRS[0])
    found = report(labels=(None, None), pairs=(lone, PAIRS[1]))
    assert found.protocol.num_queries == 33
    assert any("7 of 40 queries have no partner" in warning for warning in found.warnings)
    beside = report(pairs=(lone, PAIRS[1]))
    assert beside.figure("hit@1 (pairs)").protocol.num_queries == 33
    assert beside.protocol.num_queries == 40
    assert beside.figure("hit@1 (pairs)").value == pytest.approx(found.headline.value)


@pytest.mark.parametrize("ties", ["stable", "random:1", "optimistic", "pessimistic"])
def test_pair_hits_follow_the_tie_policy(ties):
    found = report(pairs=PAIRS, settings=Settings(resamples=0, ties=ties)).figure("hit@5 (pairs)")
    usual = report(pairs=PAIRS).figure("hit@5 (pairs)")
    assert (found.pessimistic, found.optimistic) == (usual.pessimistic, usual.optimistic)
    assert found.pessimistic <= found.value <= found.optimistic
    if ties == "stable":
        order = np.argsort(QUERY.hamming(DATABASE), axis=1, kind="stable")[:, :5]
        assert found.value == pytest.approx((PAIRS[1][order] == PAIRS[0][:, None]).any(axis=1).mean())


# Attacks -----------------------------------------------------------------------------------------------


def attacked(labels=ASKED, top_k=None, ties="expected"):
    targets = (labels + 1) % 5
    codes = noisy(QUERY, 0.3)
    settings = Settings(resamples=100, top_k=top_k, ties=ties)
    return report(attack=Attack(codes, targets), settings=settings), codes, targets


@pytest.mark.parametrize(("top_k", "ties"), [(None, "expected"), (50, "expected"), (None, "stable")])
def test_an_attack_is_scored_as_by_the_functions(top_k, ties):
    found, codes, targets = attacked(top_k=top_k, ties=ties)
    expected = attack_precisions(QUERY, codes, DATABASE, **LABELS, target_labels=targets, top_k=top_k, ties=ties)
    name = f"mAP@{top_k or 'all'}"
    for metric, value in (
        (f"attacked {name}", expected.attacked.mean()),
        (f"drop of {name}", expected.benign.mean() - expected.attacked.mean()),
        (f"t-{name}", expected.targeted.mean()),
        (f"clean t-{name}", expected.benign_targeted.mean()),
    ):
        figure = found.figure(metric)
        assert figure.value == pytest.approx(value)
        assert figure.pessimistic <= figure.value <= figure.optimistic
        assert figure.low <= figure.value <= figure.high
        assert figure.protocol.relevance == ("target-label" if "t-" in metric else "any-shared-label")
    asr = knn_accuracy(codes, DATABASE, query_labels=targets, database_labels=SEARCHED, k=20, ties=ties)
    assert found.figure("ASR@20").value == pytest.approx(asr)
    if top_k:
        assert found.figure(f"t-{name} (hits)").label == f"t-{name} (hits)"


def test_queries_that_find_nothing_are_left_out_of_attacked_figures_where_asked():
    """DHTA's convention; which queries those are differs from column to column."""
    targets = (ASKED + 1) % (ASKED.max() + 1)
    codes, settings = noisy(QUERY, 0.4), Settings(resamples=50, empty="drop", top_k=3)
    found = report(attack=Attack(codes, targets, "hag"), settings=settings)

    def mean(asked, labels):
        sides = {"query_labels": labels, "database_labels": SEARCHED}
        return mean_average_precision(asked, DATABASE, **sides, top_k=3, empty="drop")

    attacked, clean = mean(codes, ASKED), mean(QUERY, ASKED)
    assert found.figure("attacked mAP@3").value == pytest.approx(attacked)
    assert (
        found.figure("attacked mAP@3").value
        > report(attack=Attack(codes), settings=Settings(top_k=3)).figure("attacked mAP@3").value
    )
    assert found.figure("drop of mAP@3").value == pytest.approx(clean - attacked)
    assert found.figure("t-mAP@3").value == pytest.approx(mean(codes, targets))
    assert found.figure("clean t-mAP@3").value == pytest.approx(mean(QUERY, targets))
    for metric in ("attacked mAP@3", "drop of mAP@3", "t-mAP@3"):
        assert found.figure(metric).protocol.empty == "drop"
        assert found.figure(metric).protocol.attack == "hag"
        assert found.figure(metric).optimistic is None
    assert found.figure("ASR@20").protocol.empty == "zero"


def test_an_untargeted_attack_has_a_drop_only():
    found = report(attack=Attack(noisy(QUERY, 0.3)))
    assert found.figure("drop of mAP@all").value > 0.05
    assert not any(figure.protocol.relevance == "target-label" for figure in found.figures)
    nothing = report(attack=Attack(QUERY)).figure("drop of mAP@all")
    assert nothing.value == 0
    assert nothing.pessimistic == -nothing.optimistic  # two rankings, each in its own order of ties


def test_targets_that_share_a_label_are_told():
    own = np.where(np.arange(40) < 3, ASKED, (ASKED + 1) % 5)
    warnings = report(attack=Attack(QUERY, own)).warnings
    assert any("3 attacked queries share a label with their target" in warning for warning in warnings)
    sets = multi_hot(40), multi_hot(300, seed=1)
    found = report(labels=sets, attack=Attack(QUERY, sets[0]))
    assert any("40 attacked queries share" in warning for warning in found.warnings)
    assert found.figure("t-mAP@all").value == pytest.approx(found.headline.value)
    lost = report(attack=Attack(QUERY, np.where(np.arange(40) < 2, 99, ASKED)))
    assert any("2 attacks aim at a label that no database item has" in warning for warning in lost.warnings)
    assert lost.figure("t-mAP@all").protocol.num_queries == 38


# Everywhere --------------------------------------------------------------------------------------------


def test_hubness_is_in_every_report():
    found = report()
    expected = hubness(QUERY, DATABASE, k=10)
    assert found.hubness["skewness"] == found.figure("hubness@10").value == pytest.approx(expected.skewness)
    assert found.figure("hubness@10").protocol.relevance == "none"
    assert f"{100 * expected.antihub_rate:.1f} % of the items are in no query's 10 nearest" in str(found)
    assert evaluate_codes(QUERY, DATABASE[:4], ASKED, ASKED[:4], settings=QUICK).hubness["k"] == 4


@pytest.mark.parametrize("ties", ["expected", "stable"])
def test_trapezoids_on_request(ties):
    found = report(settings=Settings(resamples=0, trapezoid=True, ties=ties)).figure("trapezoid mAP@all")
    assert found.value == pytest.approx(mean_trapezoid_average_precision(QUERY, DATABASE, **LABELS, ties=ties))
    assert found.pessimistic <= found.value <= found.optimistic
    assert "trapezoid mAP@all" not in str(report())


def test_reports_of_the_first_schema_are_read():
    data = json.loads(report().to_json())
    data["schema"] = 1
    del data["hubness"], data["series"]
    old = EvaluationReport.from_json(json.dumps(data))
    assert old.hubness == {}
    assert old.series is None
    assert "neighbours:" not in str(old)
    assert old.headline == report().headline


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"labels": (None, None)}, "nothing says what is relevant"),
        ({"labels": (ASKED, None), "pairs": PAIRS}, "nothing says what is relevant"),
        ({"pairs": (PAIRS[0][:9], PAIRS[1])}, "9 pair numbers of queries; 40 are needed"),
        ({"pairs": PAIRS, "settings": Settings(folds=26)}, "folds is 1..25"),
        ({"attack": Attack(QUERY[:9])}, "9 attacked codes; 40 are needed"),
        ({"attack": Attack(QUERY, ASKED[:9])}, "9 targets; 40 are needed"),
        ({"attack": Attack(QUERY, np.full(40, 99))}, "no target label of the attack is in the database"),
        ({"attack": Attack(QUERY, multi_hot(40))}, "do not fit together"),
        ({"labels": (None, None), "pairs": PAIRS, "attack": Attack(QUERY)}, "an attack is scored by labels"),
    ],
)
def test_what_does_not_fit_is_refused(options, message):
    with pytest.raises(UsageError, match=message):
        report(**options)
