"""Reports: complete, readable back, valid by the published schema, and honest about what was left out."""

import json
from dataclasses import replace

import jsonschema
import numpy as np
import pytest
from PIL import Image

from deephash.codes import BinaryCodes
from deephash.errors import DataError, FormatTooNew, UsageError
from deephash.evaluation.legacy import legacy_mean_average_precision
from deephash.evaluation.scores import Settings
from deephash.reports import EvaluationReport, evaluate_codes
from deephash.reports.protocol import Protocol
from tests.evaluation_cases import clustered, multi_hot
from tests.paths import ROOT

QUERY, DATABASE, ASKED, SEARCHED = clustered()
QUERY_NAMES, DATABASE_NAMES = [f"q{i}" for i in range(40)], [f"d{i}" for i in range(300)]
WORDS = ("ant", "bee", "cat", "dog", "eel")
SCHEMA = json.loads((ROOT / "docs" / "report.schema.json").read_text())


def evaluated(**changes):
    options = {"class_names": WORDS, "query_names": QUERY_NAMES, "database_names": DATABASE_NAMES} | changes
    return evaluate_codes(QUERY, DATABASE, ASKED, SEARCHED, **options)


@pytest.fixture(scope="module")
def report():
    return evaluated(settings=Settings(top_k=50, legacy="csq"), protocol=Protocol(dataset="toy/v1"), method="toy")


def multi_label_report():
    return evaluate_codes(QUERY, DATABASE, multi_hot(40), multi_hot(300, seed=1))


@pytest.mark.parametrize("make", [evaluated, multi_label_report, lambda: evaluated(settings=Settings(resamples=0))])
def test_json_is_valid_by_the_published_schema(make):
    jsonschema.validate(json.loads(make().to_json()), SCHEMA)


def test_json_is_read_back_unchanged(report):
    again = EvaluationReport.from_json(report.to_json())
    assert again.to_json() == report.to_json()
    assert again.protocol == report.protocol
    assert again.figures == report.figures
    assert str(again) == str(report)


def test_every_figure_carries_its_own_protocol(report):
    for figure in report.figures:
        assert figure.protocol.metric == figure.metric
        assert figure.protocol.dataset == "toy/v1"
        assert (figure.protocol.num_bits, figure.protocol.num_queries, figure.protocol.num_database) == (24, 40, 300)
    assert [figure.label for figure in report.figures[:3]] == ["mAP@50 (hits)", "mAP@50 (min)", "mAP@all"]
    assert report.figure("mAP@50 (min)").protocol.normalize == "min"


def test_value_lies_in_its_range_and_interval(report):
    for figure in report.figures:
        if figure.optimistic is not None:
            assert figure.pessimistic <= figure.value <= figure.optimistic
        if figure.low is not None:
            assert figure.low <= figure.value <= figure.high


def test_legacy_figure_is_what_the_repository_prints(report):
    figure = report.figure("mAP@50 (as csq)")
    labels = {"query_labels": ASKED, "database_labels": SEARCHED}
    assert figure.value == legacy_mean_average_precision("csq", QUERY, DATABASE, **labels, top_k=50)
    assert set(figure.protocol.differences(report.protocol)) >= {"legacy", "ties"}


def test_classes_average_to_the_headline(report):
    assert [each.name for each in report.per_class] == list(WORDS)
    weights = np.array([each.queries for each in report.per_class])
    values = np.array([each.value for each in report.per_class])
    assert (weights * values).sum() / weights.sum() == pytest.approx(report.headline.value)


def test_multi_label_queries_count_for_each_of_their_classes():
    report = multi_label_report()
    assert sum(each.queries for each in report.per_class) == multi_hot(40).sum()


def test_hardest_queries_come_first_with_their_nearest_items(report):
    values = [each.value for each in report.hardest]
    assert values == sorted(values)
    assert values[0] == pytest.approx(report.per_query["mAP@50|hits"].min())
    hardest = report.hardest[0]
    order = np.argsort(QUERY[hardest.row].hamming(DATABASE)[0], kind="stable")[:5]
    assert hardest.nearest == tuple(DATABASE_NAMES[row] for row in order)
    assert hardest.distances == tuple(QUERY[hardest.row].hamming(DATABASE)[0][order])
    assert hardest.relevant == tuple(SEARCHED[order] == ASKED[hardest.row])
    assert hardest.name == QUERY_NAMES[hardest.row]
    assert hardest.labels == (WORDS[ASKED[hardest.row]],)


def test_unlabelled_and_unanswerable_queries_are_left_out_and_counted():
    asked, searched = ASKED.copy(), SEARCHED.copy()
    asked[:3], asked[3:5], searched[:10] = -1, 77, -1
    report = evaluate_codes(QUERY, DATABASE, asked, searched)
    counts = report.counts
    assert (counts["queries"], counts["unlabelled_queries"], counts["unanswerable_queries"]) == (40, 3, 2)
    assert (counts["scored_queries"], counts["unlabelled_database"]) == (35, 10)
    assert report.protocol.num_queries == 35
    kept = evaluate_codes(QUERY[5:], DATABASE, asked[5:], searched)
    assert report.headline.value == pytest.approx(kept.headline.value)
    said = " ".join(report.warnings)
    for words in ("3 of 40 queries have no label", "2 queries have no relevant", "10 database items have no label"):
        assert words in said


def test_queries_in_the_database_are_reported_and_change_the_protocol():
    report = evaluated(database_names=["q0", "q1", *DATABASE_NAMES[2:]])
    assert "2 of 40 queries are also in the database" in report.warnings[0]
    assert report.protocol.differences(evaluated().protocol).keys() == {"overlap", "split"}
    crossing = evaluated(database_names=["q0", *DATABASE_NAMES[1:]], protocol=Protocol(task="i2t"))
    assert not any("in the database" in warning for warning in crossing.warnings)
    nameless = evaluated(query_names=None)
    assert any("was not checked" in warning for warning in nameless.warnings)


def test_split_is_told_by_names_in_any_order_and_else_by_labels():
    shuffled = np.random.default_rng(0).permutation(300)
    names = [DATABASE_NAMES[row] for row in shuffled]
    other = evaluate_codes(
        QUERY, DATABASE[shuffled], ASKED, SEARCHED[shuffled], query_names=QUERY_NAMES, database_names=names
    )
    assert other.protocol.split == evaluated().protocol.split
    assert other.headline.value == pytest.approx(evaluated().headline.value, abs=1e-12)
    bare = evaluated(query_names=None).protocol.split
    assert bare.startswith("labels:")
    assert bare != evaluate_codes(QUERY, DATABASE, (ASKED + 1) % 5, SEARCHED).protocol.split
    assert evaluated(protocol=Protocol(split="sha256:ab")).protocol.split == "sha256:ab"


def test_class_codes_and_dead_bits_are_called_by_their_names():
    centres = np.random.default_rng(0).integers(0, 2, (5, 24))
    centres[:, 0] = 1
    codes = [BinaryCodes.from_bits(centres[labels]) for labels in (ASKED, SEARCHED)]
    said = " ".join(evaluate_codes(*codes, ASKED, SEARCHED).warnings)
    assert "these are class codes" in said
    assert "of 24 bits never change" in said


def test_inputs_are_not_changed():
    before = ASKED.copy(), SEARCHED.copy(), QUERY.packed.copy()
    evaluated()
    assert all(np.array_equal(*pair) for pair in zip(before, (ASKED, SEARCHED, QUERY.packed), strict=True))


def test_table_and_page_hold_the_figures(report):
    table, page = str(report), report.to_markdown(pictures=["pr_curve.png"])
    for text in (table, page):
        assert f"{report.headline.value:.4f}" in text
        assert str(report.protocol) in text
        assert "mAP@50 (min)" in text
    assert all(len(line) < 170 for line in table.splitlines())
    assert "![Precision and recall by radius and by rank](pr_curve.png)" in page
    assert "precision_at_n.png" not in page


def test_files_of_a_saved_report(report, tmp_path):
    names = {path.name for path in report.save(tmp_path / "new" / "folder", pictures=True)}
    assert {"report.json", "report.md", "per_query.npz", "pr_curve.png", "distances.png", "per_class.png"} <= names
    loaded = EvaluationReport.load(tmp_path / "new" / "folder")
    assert loaded.to_json() == report.to_json()
    assert loaded.per_query["mAP@all|hits"] == pytest.approx(report.per_query["mAP@all|hits"])
    for name in names:
        if name.endswith(".png"):
            picture = Image.open(tmp_path / "new" / "folder" / name)
            assert picture.width > 300
            assert len(set(picture.convert("L").getdata())) > 20  # something was drawn


def test_contact_sheet_opens_each_picture_and_survives_a_lost_one(report, tmp_path):
    opened = []

    def open_picture(name):
        opened.append(name)
        if name == report.hardest[0].name:
            raise DataError("gone")
        return Image.new("RGB", (8, 8), "red")

    with_pictures = replace(report, open_picture=open_picture)
    assert (tmp_path / "hardest_queries.png") in with_pictures.plot(tmp_path)
    assert set(opened) >= {report.hardest[0].name, *report.hardest[1].nearest}


def test_class_names_of_any_script_are_drawn(tmp_path):
    words = ("$x_{$", "犬", "a" * 80, "", "%\\")
    report = replace(evaluated(class_names=words), open_picture=lambda name: Image.new("RGB", (8, 8)))
    assert len(report.plot(tmp_path)) == 5
    assert "犬" in report.to_markdown()


def test_many_classes_are_shown_by_their_ends(tmp_path):
    labels = np.arange(40) * 3, np.arange(300) % 120
    report = evaluate_codes(QUERY, DATABASE, *labels)
    many = replace(report, per_class=tuple(replace(report.per_class[0], name=str(i)) for i in range(90)))
    assert (tmp_path / "per_class.png") in many.plot(tmp_path)


def test_a_metric_that_is_not_there_gets_a_suggestion(report):
    with pytest.raises(UsageError, match=r"did you mean 'P@100'"):
        report.figure("P@1000")


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"schema": "1"}', '{"schema": 1}', "not json"])
def test_what_is_no_report_is_refused(text, tmp_path):
    (tmp_path / "report.json").write_text(text)
    with pytest.raises(DataError, match=r"report\.json"):
        EvaluationReport.load(tmp_path)


def test_newer_and_missing_reports_are_named(tmp_path):
    with pytest.raises(DataError, match="no such report"):
        EvaluationReport.load(tmp_path)
    with pytest.raises(FormatTooNew, match="schema 3"):
        EvaluationReport.from_json('{"schema": 3}')


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"query_labels": ASKED[:-1]}, "40 query codes but 39"),
        ({"database_labels": multi_hot(300)}, "do not fit together"),
        ({"query_labels": np.full(40, -1)}, "none of the 40 queries has a label"),
        ({"query_labels": np.full(40, 99)}, "none of the 40 labelled queries has a relevant item"),
        ({"query_labels": np.full(40, np.nan)}, "NaN"),
        ({"query": QUERY[:0], "query_labels": ASKED[:0]}, "query side holds no codes"),
        ({"database": DATABASE[:0], "database_labels": SEARCHED[:0]}, "database side holds no codes"),
        ({"query": BinaryCodes.from_bits(np.zeros((40, 16)))}, "codes of different lengths"),
        ({"query_names": ["x"]}, "40 query codes but 1"),
    ],
)
def test_what_cannot_be_scored_is_refused(changes, message):
    given = {"query": QUERY, "database": DATABASE, "query_labels": ASKED, "database_labels": SEARCHED} | changes
    with pytest.raises(UsageError, match=message):
        evaluate_codes(**given)
