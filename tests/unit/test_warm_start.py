import pytest
import torch
from lightning import Trainer

from deephash.backbones import Backbone
from deephash.data import Digits, FashionItems
from deephash.data.batch import SlicedBatches
from deephash.errors import UsageError
from deephash.models import CSQ, ITQ, BiHalf, CrossModalInfoNCE, GreedyHash
from deephash.models.warm_start import WarmStart, warm_start
from tests.e2e.cross_modal_miniatures import write_fashion
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


# What encoders keep besides tensors, and features that were cached before


TFIDF = Backbone("tfidf:6", weights=None)


def test_a_vocabulary_goes_with_the_weights_that_learned_it(tmp_path):
    source, model = CrossModalInfoNCE(8, FEATURES, TFIDF), CrossModalInfoNCE(8, FEATURES, TFIDF)
    source.encoders["text"].fit_texts(["red shoes", "red hat", "blue hat"])
    model.encoders["text"].fit_texts(["green coat", "green tie"])
    source.save(tmp_path / "model")
    warm_start(model, tmp_path / "model")
    assert model.encoders["text"].terms == source.encoders["text"].terms
    assert model.encode_texts(["red hat"]) == source.encode_texts(["red hat"])
    other = CrossModalInfoNCE(8, FEATURES, Backbone("tfidf:9", weights=None))
    other.encoders["text"].fit_texts(["green coat", "green tie"])
    assert "encoders.text.idf" in warm_start(other, tmp_path / "model").left
    assert set(other.encoders["text"].terms) == {"green", "coat", "tie"}


@pytest.mark.parametrize("before_caching", [True, False])
def test_features_are_those_of_the_encoder_that_was_taken_over(tmp_path, before_caching):
    """By deephash's fit, which starts before features are cached, and by a bare Trainer, which caches first."""
    torch.manual_seed(0)
    source = ITQ(8, Backbone("small_cnn:4", None, True, 16))
    source.save(tmp_path / "model")
    torch.manual_seed(1)
    model = GreedyHash(8, 10, Backbone("small_cnn:4", None, True, 16))
    data = Digits()
    start = WarmStart(str(tmp_path / "model"))
    if before_caching:
        start.begin(model)
    trainer = Trainer(max_epochs=0, accelerator="cpu", logger=False, enable_checkpointing=False,
                      enable_progress_bar=False, enable_model_summary=False, callbacks=[start])  # fmt: skip
    trainer.fit(model, datamodule=data)
    cached = data.splits["query"].features["image"][:5]
    rows = data.splits["query"].rows[:5].tolist()
    shown = torch.stack([model.preprocess()(data.table.sources["image"](row)) for row in rows])
    with torch.inference_mode():
        torch.testing.assert_close(cached, source.eval().features({"image": shown}), rtol=1e-4, atol=1e-5)


def test_the_second_model_of_a_grid_gets_a_vocabulary_too(tmp_path):
    data = FashionItems(str(write_fashion(tmp_path)))
    pictures = Backbone("small_cnn:2", None, True, 8)
    for _ in range(2):
        torch.manual_seed(0)
        model = CrossModalInfoNCE(8, pictures, TFIDF)
        data.attach(model)
        assert model.encode_texts(["black watches"]).num_bits == 8
