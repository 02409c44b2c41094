"""What every backbone promises. A network's test inherits :class:`BackboneContract` and says how to describe it."""

import numpy as np
import pytest
import torch
from PIL import Image

from deephash.backbones import Backbone, Encoder
from deephash.backbones.text import TextEncoder
from deephash.encoding import open_encoder
from deephash.models import CrossModalInfoNCE, load_model
from deephash.testing.trusted import trusting_own

SHAPES = ((40, 30), (30, 40), (7, 7), (3, 200), (64, 64))


class BackboneContract:
    """Give ``make_backbone``, such as ``Backbone.of(Net, weights=None)``; inherit the rest. Pictures or words."""

    def make_backbone(self) -> Backbone:
        raise NotImplementedError

    def make_items(self) -> list[object]:
        """Return what it reads: pictures of several shapes, or phrases."""
        if isinstance(self.make_backbone().build(), TextEncoder):
            return ["a dog", "two cats", "the red house over there", "a", "sea"]
        draw = np.random.default_rng(0)
        return [Image.fromarray(draw.integers(0, 256, (*shape, 3), np.uint8)) for shape in SHAPES]

    @pytest.fixture
    def encoder(self) -> Encoder:
        torch.manual_seed(0)
        return self.make_backbone().build().eval()

    @pytest.fixture
    def batch(self, encoder):
        read = encoder.preprocess()
        return torch.stack([read(item) for item in self.make_items()])

    def test_features_are_rows_of_the_width_it_says(self, encoder, batch):
        features = encoder(batch)
        assert features.shape == (len(batch), encoder.num_features)
        assert features.isfinite().all()

    def test_an_item_alone_has_the_same_features(self, encoder, batch):
        together = encoder(batch)
        for row in range(len(batch)):
            torch.testing.assert_close(encoder(batch[row : row + 1])[0], together[row], rtol=1e-4, atol=1e-5)

    def test_items_that_differ_have_other_features(self, encoder, batch):
        features = encoder(batch)
        assert not torch.allclose(features[0], features[1])

    def test_gradients_reach_its_weights(self, encoder, batch):
        encoder.train()(batch).sum().backward()
        weights = [weight for weight in encoder.parameters() if weight.requires_grad]
        assert not weights or any(weight.grad is not None for weight in weights)

    def test_its_description_builds_it_again(self, encoder, batch):
        described = Backbone(**{**vars(encoder.spec), "weights": None})
        again = described.build().eval()
        again.load_state_dict(encoder.state_dict())
        assert torch.equal(again(batch), encoder(batch))
        assert again.spec == described

    def test_a_model_on_it_is_saved_and_loaded(self, tmp_path):
        torch.manual_seed(0)
        own, pictures = self.make_backbone(), Backbone("features:4", weights=None)
        modality = "text" if isinstance(own.build(), TextEncoder) else "image"
        towers = (pictures, own) if modality == "text" else (own, Backbone("bow:4", weights=None))
        model, items = CrossModalInfoNCE(8, *towers).eval(), self.make_items()
        model.save(tmp_path / "model")
        with trusting_own(model):
            loaded, opened = load_model(tmp_path / "model"), open_encoder(tmp_path / "model")
        codes = model.encode({modality: torch.stack([model.preprocess(modality)(item) for item in items])})
        assert loaded.fingerprint() == model.fingerprint()
        assert opened.encode(modality, [opened.prepare(modality, item) for item in items]).codes == codes
