import pytest
import torch
from lightning import Trainer

from deephash.backbones import Backbone
from deephash.data.batch import SlicedBatches
from deephash.errors import UsageError
from deephash.models import CSQ, ITQ, BiHalf, GreedyHash
from deephash.models.warm_start import WarmStart, warm_start
from tests.image_methods_toy import FEATURES, batch


def test_what_fits_is_copied_and_the_rest_is_named(tmp_path):
    source = GreedyHash(16, 4, FEATURES)
    source.save(tmp_path / "model")
    model = GreedyHash(16, 7, FEATURES)  # more classes: the classifier does not fit
    report = warm_start(model, tmp_path / "model")
    assert report.copied == ("head.bias", "head.weight")
    assert report.left == ("classifier.weight",)
    assert torch.equal(model.head.weight, source.head.weight)


def test_another_method_with_the_same_head_fits(tmp_path):
    GreedyHash(16, 4, FEATURES).save(tmp_path / "model")
    assert warm_start(BiHalf(16, FEATURES), tmp_path / "model").left == ()


def test_a_model_that_does_not_fit_at_all_is_refused(tmp_path):
    BiHalf(8, Backbone("features:3", weights=None)).save(tmp_path / "model")
    with pytest.raises(UsageError, match=r"no tensor of .* fits CSQ with 16 bits"):
        warm_start(CSQ(16, 4, FEATURES), tmp_path / "model")


def test_half_a_fitted_model_does_not_count_as_fitted(tmp_path):
    source = ITQ(8, FEATURES).fit(batch(64)["image_features"])
    source.save(tmp_path / "model")
    longer = ITQ(16, FEATURES)
    assert warm_start(longer, tmp_path / "model").copied == ("mean",)
    with pytest.raises(UsageError, match="was not fitted"):
        longer.encode(batch())
    same = ITQ(8, FEATURES)
    warm_start(same, tmp_path / "model")
    assert same.encode(batch()) == source.encode(batch())


def test_the_callback_starts_there(tmp_path):
    source = BiHalf(16, FEATURES)
    source.save(tmp_path / "model")
    model = BiHalf(16, FEATURES)
    quiet = {"logger": False, "enable_progress_bar": False, "enable_checkpointing": False, "accelerator": "cpu"}
    trainer = Trainer(max_epochs=0, callbacks=[WarmStart(str(tmp_path / "model"))], **quiet)
    trainer.fit(model, SlicedBatches(batch(), None))
    assert torch.equal(model.head.weight, source.head.weight)
