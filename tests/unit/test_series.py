"""Lifelong and compatibility series: the table, its summary, ranges and intervals, from folders and from runs."""

import json
from dataclasses import replace

import jsonschema
import numpy as np
import pytest
import yaml

from deephash.backbones import Backbone
from deephash.codes import BinaryCodes
from deephash.data import Digits, FeatureFile, StreamTask
from deephash.data.stream_drawing import modality_stream
from deephash.errors import DataError, UsageError
from deephash.evaluation.codefile import CodeFile
from deephash.evaluation.compatibility import compatibility_scores
from deephash.evaluation.lifelong import lifelong_scores
from deephash.evaluation.metrics import mean_average_precision
from deephash.evaluation.scores import Settings
from deephash.models import ITQ, LSH, CrossModalOrthoHash
from deephash.scoring.series import evaluate_compatibility, evaluate_lifelong, joined
from deephash.scoring.sides import CodePair, Stage
from deephash.scoring.stages import compatibility_models, lifelong_stages
from deephash.training import RunFolder, fit, make_trainer
from deephash.training.inheritance import inherited
from deephash.training.options import TrainOptions
from tests.paths import ROOT

SCHEMA = json.loads((ROOT / "docs" / "report.schema.json").read_text())
CENTRES = np.random.default_rng(0).integers(0, 2, (6, 24))
QUICK = Settings(resamples=0)


def side(labels, noise, seed, sessions=None, names=None):
    flips = np.random.default_rng(seed).random((len(labels), 24)) < noise
    codes = BinaryCodes.from_bits(CENTRES[labels] ^ flips)
    return CodeFile(codes, labels=labels, sessions=sessions, names=names, source=f"side {seed}")


def stage(number, *, noise=0.1, names=True):
    """Two classes a session, twelve queries and forty items; old queries get noisier."""
    asked, sessions, ages = [], [], []
    for session in range(1, number + 1):
        asked.append(np.arange(12) % 2 + 2 * (session - 1))
        sessions.append(np.full(12, session))
        ages.append(np.full((12, 1), noise * (1 + number - session)))
    labels = np.concatenate(asked)
    called = np.array([f"{session}-{place}" for session in range(1, number + 1) for place in range(12)])
    query = side(labels, np.concatenate(ages), number, np.concatenate(sessions), called if names else None)
    return CodePair(query, side(np.arange(40) % 2 + 2 * (number - 1), noise, 100 + number), method=f"s{number}")


STAGES = [stage(1), stage(2), stage(3)]


def score(query, database):
    return mean_average_precision(
        query.codes, database.codes, query_labels=query.labels, database_labels=database.labels
    )


def test_lifelong_figures_are_those_of_the_table():
    report = evaluate_lifelong(STAGES, settings=Settings(resamples=200))
    table = []
    for number, each in enumerate(STAGES):
        gallery = joined([earlier.database for earlier in STAGES[: number + 1]])
        rows = [np.flatnonzero(each.query.sessions == session) for session in range(1, number + 2)]
        table.append([score(each.query.take(kept), gallery) for kept in rows])
    for found, expected in zip(report.series.scores, table, strict=True):
        assert found == pytest.approx(expected)
    summary = lifelong_scores(table)
    for name in ("final_average", "forgetting", "backward_transfer"):
        figure = report.figure(f"{name.replace('_', ' ')} of mAP@all")
        assert figure.value == pytest.approx(getattr(summary, name))
        assert figure.pessimistic <= figure.value <= figure.optimistic
        assert figure.low <= figure.value <= figure.high
        assert figure.protocol.series == "lifelong-frozen:3"
    assert report.figure("forgetting of mAP@all").value > 0.02  # the noise was made to grow
    assert report.protocol.series == "none"
    assert report.headline.value == pytest.approx(score(STAGES[2].query, joined([each.database for each in STAGES])))
    jsonschema.validate(json.loads(report.to_json()), SCHEMA)
    assert "mAP@all by stage and session of the queries" in str(report)
    assert "| s3 | " in report.to_markdown()


def test_the_range_holds_the_figures_of_every_order_of_ties():
    usual = evaluate_lifelong(STAGES, settings=QUICK)
    for seed in range(4):
        ordered = evaluate_lifelong(STAGES, settings=replace(QUICK, ties=f"random:{seed}"))
        for name in ("final average", "forgetting", "backward transfer"):
            figure = usual.figure(f"{name} of mAP@all")
            assert figure.pessimistic < ordered.figure(f"{name} of mAP@all").value < figure.optimistic


def test_queries_of_a_session_are_matched_by_name():
    """Another order of the queries at one stage changes nothing, the interval included."""
    shuffled = np.random.default_rng(0).permutation(36)
    last = replace(STAGES[2], query=STAGES[2].query.take(shuffled))
    settings = Settings(resamples=50)
    usual, other = (evaluate_lifelong([*STAGES[:2], each], settings=settings) for each in (STAGES[2], last))
    for name in ("forgetting", "backward transfer"):
        one, two = (each.figure(f"{name} of mAP@all") for each in (usual, other))
        assert (one.value, one.low, one.high) == pytest.approx((two.value, two.low, two.high))


def test_reencoded_databases_are_searched_alone():
    anew = [replace(each, database=side(np.arange(80) % (2 * n), 0.05, n)) for n, each in enumerate(STAGES, 1)]
    report = evaluate_lifelong(anew, settings=QUICK, reencoded=True)
    assert report.protocol.num_database == 80
    assert report.figure("forgetting of mAP@all").protocol.series == "lifelong-reencoded:3"
    assert evaluate_lifelong(anew, settings=QUICK).protocol.num_database == 240


def models(noises, seed=0):
    asked, searched = np.arange(30) % 6, np.arange(200) % 6
    return [
        CodePair(side(asked, noise, seed + n), side(searched, noise, 50 + seed + n), method=f"m{n}")
        for n, noise in enumerate(noises)
    ]


def test_compatibility_figures_are_those_of_the_table():
    series = models([0.25, 0.12, 0.3])  # the second is better than the first, the third worse than both
    report = evaluate_compatibility(series, settings=Settings(resamples=200))
    table = [[score(new.query, old.database) for old in series[: n + 1]] for n, new in enumerate(series)]
    for found, expected in zip(report.series.scores, table, strict=True):
        assert found == pytest.approx(expected)
    summary = compatibility_scores(table)
    assert report.figure("AC of mAP@all").value == pytest.approx(summary.compatibility) == pytest.approx(1 / 3)
    mean = report.figure("AM of mAP@all")
    assert mean.value == pytest.approx(summary.mean_score)
    assert mean.pessimistic < mean.low < mean.value < mean.high < mean.optimistic
    assert mean.protocol.series == "compatibility:3"
    assert report.series.names == ("m0", "m1", "m2")


WRONG_STAGES = {
    "one": (STAGES[:1], "at least two stages"),
    "no sessions": ([STAGES[0], replace(STAGES[1], query=side(np.arange(4), 0.1, 1))], "needs an array 'sessions'"),
    "missing session": ([STAGES[0], STAGES[2]], "stage 2 needs those of all sessions from 1 to 2"),
    "fewer queries": (
        [STAGES[0], replace(STAGES[1], query=STAGES[1].query.take(np.arange(3, 24)))],
        "12 queries and side 2 9",
    ),
    "other queries": ([stage(1), replace(stage(2), query=replace(stage(2).query, names=np.arange(24).astype(str)))],
                      "differ in the names"),
    "other labels": ([stage(1, names=False), replace(stage(2), query=replace(stage(2, names=False).query,
                      labels=(stage(2).query.labels + 1) % 4))], "differ in the labels"),
    "other length": ([STAGES[0], replace(STAGES[1], query=replace(STAGES[1].query, codes=BinaryCodes.from_bits(
                      np.zeros((24, 8)))))], "codes of different length"),
    "nothing relevant": ([replace(STAGES[0], database=side(np.full(9, 5), 0.1, 7)), STAGES[1]], "nothing is defined"),
}  # fmt: skip


@pytest.mark.parametrize("case", WRONG_STAGES)
def test_stages_that_do_not_fit_are_refused(case):
    stages, message = WRONG_STAGES[case]
    with pytest.raises(UsageError, match=message):
        evaluate_lifelong(stages, settings=QUICK)


def test_class_words_are_numbered_over_all_stages():
    words = [("ant", "bee"), ("ant", "bee", "cat")]
    files = [
        CodePair(
            replace(side(np.arange(12) % len(names), 0.1, n), class_names=names),
            replace(side(np.arange(40) % len(names), 0.1, 9 + n), class_names=names),
            method=str(n),
        )
        for n, names in enumerate(words)
    ]
    backwards = [files[0], replace(files[1], query=replace(files[1].query, class_names=("cat", "bee", "ant")))]
    asked = [replace(pair, query=pair.query.take(np.flatnonzero(pair.query.labels < 2)[:6])) for pair in files]
    report = evaluate_compatibility(asked, settings=QUICK)
    assert [each.name for each in report.per_class] == ["ant", "bee"]
    with pytest.raises(UsageError, match="differ in the labels"):
        evaluate_compatibility(
            [asked[0], replace(asked[1], query=replace(asked[1].query, class_names=backwards[1].query.class_names))],
            settings=QUICK,
        )


# Runs --------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Two models of one data set, saved as runs."""
    folder = tmp_path_factory.mktemp("runs")
    data = Digits()
    data.setup()
    for name, model in (("old", LSH(16, Backbone("features:64"))), ("new", ITQ(16, Backbone("features:64")))):
        data.attach(model)
        model.fit(data.splits["train"].features["image"], max_sweeps=2)
        model.save(folder / name / "model")
        (folder / name / "config.yaml").write_text("data:\n  class_path: deephash.data.Digits\n")
    return folder


def test_runs_encode_their_own_stages(runs):
    found = compatibility_models([runs / "old", runs / "new"])
    assert [pair.method for pair in found] == ["old", "new"]
    report = evaluate_compatibility(found, settings=QUICK)
    assert report.protocol.dataset == "digits-fifth/v1"
    assert report.series.scores[1][1] > report.series.scores[0][0] > report.series.scores[1][0]
    assert report.figure("AC of mAP@all").value == 0  # nobody taught ITQ to search codes of LSH
    stages = lifelong_stages([runs / "old", runs / "new"])
    assert [len(np.unique(each.query.sessions)) for each in stages] == [1, 2]
    queries = len(found[0].query)
    assert [len(each.query) for each in stages] == [queries, 2 * queries]
    assert [len(each.database) for each in stages] == [len(found[0].database)] * 2
    np.testing.assert_array_equal(stages[1].query.codes[:queries].packed, found[1].query.codes.packed)
    anew = lifelong_stages([runs / "old", runs / "new"], reencoded=True)
    assert len(anew[1].database) == 2 * len(found[0].database)
    lifelong = evaluate_lifelong(stages, settings=QUICK)
    assert lifelong.series.scores[0][0] == pytest.approx(report.series.scores[0][0])


def test_folders_of_two_kinds_are_refused(runs, tmp_path):
    for name in ("query", "database"):
        BinaryCodes.from_bits(CENTRES).save(tmp_path / f"{name}.npz", labels=np.arange(6))
    with pytest.raises(UsageError, match="which the others have"):
        compatibility_models([tmp_path, runs / "new"])
    with pytest.raises(DataError, match="no such folder"):
        lifelong_stages([runs / "new", runs / "newest"])
    (runs / "new" / "config.yaml").write_text("data:\n  class_path: deephash.data.Digits\n  init_args: {seed: 5}\n")
    with pytest.raises(UsageError, match="models are compared on one split"):
        compatibility_models([runs / "old", runs / "new"])


def test_both_tie_rules_stand_side_by_side():
    """Galleries of equal codes tie everything: the strict rule counts a failure, the other does not."""
    same = models([0.2, 0.2], seed=3)
    twins = [same[0], replace(same[0], method="again")]
    report = evaluate_compatibility(twins, settings=QUICK)
    assert report.figure("AC of mAP@all").value == 0
    assert report.figure("AC (equal is compatible) of mAP@all").value == 1


def test_lifelong_stages_have_ac_and_am_of_what_was_stored():
    report = evaluate_lifelong(STAGES, settings=Settings(resamples=50))
    table = []
    for number, new in enumerate(STAGES):
        row = []
        for old in range(number + 1):
            gallery = joined([earlier.database for earlier in STAGES[: old + 1]])
            row.append(score(new.query.take(np.flatnonzero(new.query.sessions <= old + 1)), gallery))
        table.append(row)
    expected = compatibility_scores(table)
    assert report.figure("AC of mAP@all").value == pytest.approx(expected.compatibility)
    mean = report.figure("AM of mAP@all")
    assert mean.value == pytest.approx(expected.mean_score)
    assert mean.low <= mean.value <= mean.high
    assert mean.protocol.series == "compatibility-frozen:3"


def test_forward_transfer_is_what_unlearned_codes_gain_over_chance():
    def staged(number, ahead):
        base = STAGES[number]
        return Stage(base.query, base.database, base.method, ahead=ahead, seconds=2.0 * (number + 1))

    perfect = np.arange(10) % 2 + 2  # two classes of session 2, as clean codes and as equal ones
    clean = CodePair(side(perfect, 0.0, 1), side(np.arange(40) % 2 + 2, 0.0, 2), "ahead")
    blank = BinaryCodes.from_bits(np.zeros((50, 24), dtype=bool))
    tied = CodePair(replace(clean.query, codes=blank[:10]), replace(clean.database, codes=blank[10:]), "ahead")
    reports = [evaluate_lifelong([staged(0, each), staged(1, None)], settings=QUICK) for each in (clean, tied)]
    gallery = joined([STAGES[0].database, clean.database])
    chance = mean_average_precision(
        BinaryCodes.from_bits(np.zeros((10, 24))), BinaryCodes.from_bits(np.zeros((80, 24))),
        query_labels=perfect, database_labels=gallery.labels,
    )  # fmt: skip
    figure = reports[0].figure("forward transfer of mAP@all")
    assert figure.value == pytest.approx(1 - chance)
    assert figure.pessimistic <= figure.value <= figure.optimistic
    assert reports[1].figure("forward transfer of mAP@all").value < 0.5 * figure.value
    assert reports[0].series.seconds == (2.0, 4.0)
    assert "the last took 2.00 of the first" in str(reports[0])
    assert "the last took 2.00 of the first" in reports[0].to_markdown()
    with pytest.raises(UsageError):
        evaluate_lifelong(STAGES[:2], settings=QUICK).figure("forward transfer of mAP@all")


def test_the_picture_has_a_line_a_session(tmp_path):
    from deephash.reports.plots import draw_series

    for report in (
        evaluate_lifelong(STAGES, settings=QUICK),
        evaluate_compatibility(models([0.2, 0.1]), settings=QUICK),
    ):
        axes = draw_series(report).axes[0]
        size = len(report.series.names)
        assert len(axes.lines) == size + 1
        assert axes.lines[0].get_ydata() == pytest.approx([row[0] for row in report.series.scores])
        assert axes.lines[-1].get_ydata() == pytest.approx([np.mean(row) for row in report.series.scores])
    assert "series.png" in {path.name for path in report.plot(tmp_path)}


def test_pairs_of_a_stream_are_scored_by_direction(tmp_path):
    """Texts arrive with the second task: pictures are compared from the first on, texts are not."""
    rng, labels = np.random.default_rng(0), np.repeat(np.arange(3), 40)
    halves = {half: (rng.normal(size=(3, 8))[labels] + 0.3 * rng.normal(size=(120, 8))) for half in ("image", "text")}
    columns = {f"{half}_features": rows.astype(np.float32) for half, rows in halves.items()}
    np.savez(tmp_path / "p.npz", labels=labels, class_names=np.array(list("abc")), **columns)
    description = {"class_path": "deephash.data.FeatureFile", "init_args": {"path": str(tmp_path / "p.npz")}}
    base = FeatureFile(str(tmp_path / "p.npz"))
    modality_stream(base, description, [["image"], ["image", "text"]]).save(tmp_path / "s.json")
    features, folders = Backbone("features:8", weights=None), []
    for number in (1, 2):
        folders.append(tmp_path / f"r{number}")
        data = StreamTask(str(tmp_path / "s.json"), task=number, batch_size=16)
        how = inherited(TrainOptions(continue_from=folders[0] if number == 2 else None))
        (folders[-1]).mkdir()
        words = {"stream": str(tmp_path / "s.json"), "task": number}
        (folders[-1] / "config.yaml").write_text(
            yaml.safe_dump({"data": {"class_path": "deephash.data.StreamTask", "init_args": words}})
        )
        trainer = make_trainer(folders[-1], max_epochs=3, accelerator="cpu")
        fit(trainer, CrossModalOrthoHash(16, 3, features, features), data, RunFolder(folders[-1]), inheritance=how)
    report = evaluate_lifelong(lifelong_stages(folders, task="i2i"), settings=QUICK)
    assert [len(row) for row in report.series.scores] == [1, 2]
    assert len(report.series.seconds) == 2
    with pytest.raises(UsageError, match=r"task 1 of .* has no text that asks"):
        lifelong_stages(folders, task="t2i")
    with pytest.raises(UsageError, match=r"task 1 of .* has no text that is searched"):
        lifelong_stages(folders, task="i2t")
