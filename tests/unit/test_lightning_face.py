"""A hash model as Lightning and torch users hold it: ``model(pictures)``, ``Trainer.predict``, ``Trainer.test``."""

import pytest
import torch
from lightning import Trainer
from torch.utils.data import DataLoader, TensorDataset

from deephash.backbones import Backbone
from deephash.codes import BinaryCodes
from deephash.data import Digits, SyntheticViews
from deephash.errors import UsageError
from deephash.models import CSQ, ITQ, CCAHash
from deephash.scoring import mean_average_precision_of


@pytest.fixture
def trainer():
    quiet = {"logger": False, "enable_progress_bar": False, "enable_model_summary": False}
    return Trainer(accelerator="cpu", enable_checkpointing=False, **quiet)


@pytest.fixture(scope="module")
def digits():
    data = Digits(batch_size=64)
    data.limit_items(100)
    return data


def reader():
    torch.manual_seed(0)
    return CSQ(16, 10, Backbone("small_cnn:4", weights=None, frozen=False)).eval()


def fitted(data):
    model = ITQ(16, Backbone("features:64", weights=None))
    data.attach(model)
    return model.fit(data.splits["train"].features["image"])


def test_a_plain_tensor_is_pictures():
    model, pictures = reader(), torch.rand(3, 3, 16, 16)
    assert torch.equal(model(pictures), model({"image": pictures}))
    assert torch.equal(model.bits(pictures), model(pictures) >= 0)
    assert model.encode(pictures) == model.encode({"image": pictures})


def test_a_plain_table_is_features(digits):
    model, table = fitted(digits), torch.rand(4, 64)
    assert torch.equal(model(table), model({"image_features": table}))


def test_one_picture_is_answered_with_what_to_write():
    with pytest.raises(UsageError, match=r"one picture is picture\[None\]"):
        reader()(torch.rand(3, 16, 16))


def test_features_of_a_model_across_modalities_have_to_be_named():
    model = CCAHash(8, Backbone("features:256", weights=None), Backbone("features:160", weights=None))
    with pytest.raises(UsageError, match="Name what it is"):
        model(torch.rand(4, 160))


def test_predict_gives_the_codes_of_queries_and_database(trainer, digits):
    model = fitted(digits)
    queries, database = (BinaryCodes.concatenate(part) for part in trainer.predict(model, datamodule=digits))
    assert queries == digits.codes(model, "query")
    assert database == digits.codes(model, "database")


def test_predict_takes_any_loader(trainer):
    model, pictures = reader(), torch.rand(6, 3, 16, 16)
    loader = DataLoader(TensorDataset(pictures, torch.zeros(6)), batch_size=4)
    assert BinaryCodes.concatenate(trainer.predict(model, loader)) == model.encode(pictures)


def test_test_gives_the_figure_of_evaluate(trainer, digits):
    model = fitted(digits)
    figures, *_ = trainer.test(model, datamodule=digits, verbose=False)
    assert figures == {"test/mAP": pytest.approx(mean_average_precision_of(model, digits)[""])}


def test_across_modalities_there_are_two_figures_and_a_dictionary(trainer):
    data = SyntheticViews(400)
    model = CCAHash(8, Backbone("features:256", weights=None), Backbone("features:160", weights=None))
    data.attach(model)
    model.fit({f"{name}_features": table for name, table in data.splits["train"].features.items()})
    figures, *_ = trainer.test(model, datamodule=data, verbose=False)
    scores = mean_average_precision_of(model, data)
    assert {name: figures[f"test/mAP_{name}"] for name in scores} == pytest.approx(scores)
    queries, _ = trainer.predict(model, datamodule=data)
    assert queries[0]["text"] == data.codes(model, "query", modality="text")


def test_one_loader_ranks_nothing(trainer, digits):
    with pytest.raises(UsageError, match="two loaders"):
        trainer.test(fitted(digits), dataloaders=digits.batches("query"), verbose=False)
