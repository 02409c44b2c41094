"""Scoring models: on their data set, from a run folder, beside baselines, and across modalities."""

import numpy as np
import pytest
import torch

import deephash
from deephash.backbones import Backbone
from deephash.data import Digits, FeatureFile
from deephash.errors import DataError, UsageError
from deephash.evaluation.metrics import mean_average_precision
from deephash.evaluation.scores import Settings
from deephash.models import ITQ
from deephash.models.cca import CCAHash
from deephash.scoring import float_mean_average_precision, mean_average_precision_of

QUICK = Settings(resamples=0)


@pytest.fixture(scope="module")
def fitted():
    data = Digits()
    data.setup()
    model = ITQ(16, Backbone("features:64"))
    data.attach(model)
    model.fit({"image_features": data.splits["train"].features["image"]}, max_sweeps=5)
    return model, data


def test_a_model_is_scored_on_query_against_database(fitted):
    model, data = fitted
    report = deephash.evaluate(model, data, settings=QUICK)
    splits = data.splits
    expected = mean_average_precision(
        data.codes(model, "query"),
        data.codes(model, "database"),
        query_labels=splits["query"].labels,
        database_labels=splits["database"].labels,
    )
    assert report.headline.value == pytest.approx(expected)
    assert report.method == "ITQ"
    assert report.protocol.dataset == "digits-fifth/v1"
    assert report.protocol.backbone == "features:64"
    assert data.split_checksum.startswith(report.protocol.split)
    assert report.warnings == () or all("overlap" not in warning for warning in report.warnings)
    assert report.open_picture(report.hardest[0].name).size == (32, 32)
    assert report.timings["encoding"] > 0


def test_a_run_folder_knows_its_data(fitted, tmp_path):
    model, data = fitted
    model.save(tmp_path / "model")
    with pytest.raises(UsageError, match="which data set"):
        deephash.evaluate(tmp_path)
    (tmp_path / "config.yaml").write_text("data:\n  class_path: deephash.data.Digits\n  init_args:\n    seed: 0\n")
    report = deephash.evaluate(tmp_path, settings=QUICK)
    assert report.headline == deephash.evaluate(model, data, settings=QUICK).headline


@pytest.mark.parametrize(
    ("text", "error", "message"),
    [
        ("data: 3", UsageError, "a data set of deephash.data is needed"),
        ("model: 3", DataError, "names no data set"),
        ("data: {class_path: os.system}", UsageError, r"names os\.system, which is not one of deephash"),
        (
            "data: {class_path: deephash.data.Digits, init_args: {base: {class_path: os.system}}}",
            UsageError,
            "os.system",
        ),
        ("data: {class_path: deephash.data.Digitz}", UsageError, "Digitz"),
        ("data: {class_path: deephash.data.Digits, init_args: {sead: 3}}", UsageError, "sead"),
        ("data: [", DataError, "names no data set"),
    ],
)
def test_odd_configurations_are_refused(fitted, tmp_path, text, error, message):
    fitted[0].save(tmp_path / "model")
    (tmp_path / "config.yaml").write_text(text)
    with pytest.raises(error, match=message):
        deephash.evaluate(tmp_path)


def test_baselines_stand_in_the_expected_order(fitted):
    report = deephash.evaluate(*fitted, settings=Settings(resamples=0, top_k=100), baselines=True)
    value = {name: figures[0].value for name, figures in report.baselines.items()}
    assert set(value) == {"random bits", "LSH", "PCA-sign", "ITQ", "class code (4 bit)", "cosine"}
    assert value["random bits"] < 0.25 < value["LSH"] < value["ITQ"] < value["cosine"]
    assert value["class code (4 bit)"] > value["ITQ"]
    assert report.baselines["cosine"][0].protocol.rerank == "cosine"
    assert "ITQ" in str(report)
    assert "Baselines from the same features" in report.to_markdown()


def test_the_float_figure_is_the_cosine_baseline(fitted):
    report = deephash.evaluate(*fitted, settings=QUICK, baselines=True)
    assert float_mean_average_precision(fitted[1]) == pytest.approx(report.baselines["cosine"][0].value)
    with pytest.raises(UsageError, match="cached features"):
        float_mean_average_precision(fitted[1], "text")


def test_cosine_is_exact(fitted):
    model, data = fitted
    report = deephash.evaluate(model, data, settings=Settings(resamples=0, top_k=50), baselines=True)
    unit = {
        name: torch.nn.functional.normalize(data.splits[name].features["image"]).numpy()
        for name in ("query", "database")
    }
    relevant = data.splits["query"].labels[:, None] == data.splits["database"].labels
    scores = []
    for row in range(len(unit["query"])):
        order = np.argsort(-(unit["query"][row] @ unit["database"].T), kind="stable")[:50]
        hits = relevant[row][order]
        precision = np.cumsum(hits) / np.arange(1, 51)
        scores.append((precision * hits).sum() / max(1, hits.sum()))
    assert report.baselines["cosine"][0].value == pytest.approx(np.mean(scores), abs=1e-6)


def cross_modal_file(path):
    draw = np.random.default_rng(0)
    labels = np.arange(120) % 4
    image = np.eye(4)[labels] @ draw.normal(size=(4, 12)) + 0.3 * draw.normal(size=(120, 12))
    text = np.eye(4)[labels] @ draw.normal(size=(4, 8)) + 0.6 * draw.normal(size=(120, 8))
    split = np.where(np.arange(120) < 100, "train", "query")
    np.savez(path, image_features=image.astype("f4"), text_features=text.astype("f4"), labels=labels, split=split)


def test_cross_modal_tasks_are_told_apart(tmp_path):
    """Each direction gives its own figure; buffers that are one and the same (torchcmh issue 11) would not."""
    cross_modal_file(tmp_path / "pairs.npz")
    data = FeatureFile(str(tmp_path / "pairs.npz"))
    model = CCAHash(4, Backbone("features:12"), Backbone("features:8"))
    data.setup()
    data.attach(model)
    features = {f"{name}_features": data.splits["train"].features[name] for name in ("image", "text")}
    model.fit(features)
    reports = {task: deephash.evaluate(model, data, settings=QUICK, task=task) for task in ("i2t", "t2i", "i2i", "t2t")}
    assert {task: report.protocol.task for task, report in reports.items()} == {task: task for task in reports}
    assert len({report.headline.value for report in reports.values()}) == 4
    assert deephash.evaluate(model, data, settings=QUICK).protocol.task == "i2t"
    while_training = mean_average_precision_of(model, data)
    assert while_training == pytest.approx({task: reports[task].headline.value for task in ("i2t", "t2i")})
    with pytest.raises(UsageError, match="no task is called 'it2'; did you mean"):
        deephash.evaluate(model, data, task="it2")


def test_scoring_while_training_reads_codes_and_labels_only(fitted, monkeypatch):
    """Copying a feature table of 59,000 x 1,280 takes a second, and names of as many items a third of one."""
    model, data = fitted
    expected = mean_average_precision_of(model, data)

    class Untouched(list):
        def __iter__(self):
            raise AssertionError("names are of no use to mAP")

    for split in data.splits.values():
        monkeypatch.setattr(split, "names", Untouched(split.names))
    monkeypatch.setattr("deephash.scoring.encoding.described_side", None)
    assert mean_average_precision_of(model, data) == expected


def test_what_cannot_be_scored_is_refused(fitted, tmp_path):
    model, data = fitted
    with pytest.raises(UsageError, match="leave the task out"):
        deephash.evaluate(model, data, task="i2t")
    with pytest.raises(UsageError, match="which data set"):
        deephash.evaluate(model)
    with pytest.raises(UsageError, match="data module"):
        deephash.evaluate(model, "digits")
    with pytest.raises(UsageError, match="a int cannot be scored"):
        deephash.evaluate(3, data)
    with pytest.raises(UsageError, match="give the database too"):
        deephash.evaluate(tmp_path / "q.npz")
    np.savez(tmp_path / "q.npz", codes=np.zeros((2, 8)), labels=[0, 1])
    with pytest.raises(UsageError, match="not a Digits"):
        deephash.evaluate(tmp_path / "q.npz", data)
