"""CLIP towers: the same numbers as open_clip's own model, clear errors where something is missing."""

import open_clip
import pytest
import torch
from PIL import Image

from deephash.backbones import Backbone
from deephash.errors import DataError, UsageError, WeightsNotFound
from tests.tiny_clip import OPTIONS, PICTURES, TEXTS


@pytest.fixture
def whole(tmp_path):
    torch.manual_seed(0)
    model = open_clip.CLIP(**OPTIONS).eval()
    path = tmp_path / "tiny.pt"
    torch.save(model.state_dict(), path)
    return model, str(path)


def with_weights(spec, path):
    return Backbone(spec.name, weights=path, options=spec.options)


def test_towers_give_what_the_whole_model_gives(whole):
    model, path = whole
    pictures, texts = (with_weights(spec, path).build().eval() for spec in (PICTURES, TEXTS))
    batch = torch.stack([pictures.preprocess()(Image.new("RGB", (50, 40), colour)) for colour in ("red", "blue")])
    assert batch.shape == (2, 3, 32, 32)
    with torch.no_grad():
        torch.testing.assert_close(pictures(batch), model.encode_image(batch))
        tokens = torch.stack([texts.preprocess()(phrase) for phrase in ("two dogs", "a red car")])
        torch.testing.assert_close(texts(tokens), model.encode_text(tokens))
    assert pictures.num_features == texts.num_features == 32
    assert not any("visual" in name for name in texts.state_dict())


def test_the_resolved_description_rebuilds_the_same_tower(whole):
    _, path = whole
    tower = with_weights(PICTURES, path).build()
    again = Backbone(tower.spec.name, None, options=tower.spec.options, transform=tower.spec.transform).build()
    again.load_state_dict(tower.state_dict())
    picture = Image.radial_gradient("L").convert("RGB")
    torch.testing.assert_close(tower.preprocess()(picture), again.preprocess()(picture))


def test_phrases():
    texts = TEXTS.build()
    assert texts.neutral().equal(texts.preprocess()("a photo"))
    assert texts.preprocess_data()("").shape == (20,)
    for phrase in ("", "   ", "\n"):
        with pytest.raises(UsageError, match="empty"):
            texts.preprocess()(phrase)
    for phrase in ("犬が二匹", "собака"):
        with pytest.raises(UsageError, match=r"learned English.*clip:xlm-roberta-base-ViT-B-32/laion5b_s13b_b90k"):
            texts.preprocess()(phrase)
    for phrase in ("café à Paris", "12", "dog 犬"):
        assert texts.preprocess()(phrase).shape == (20,)
    with pytest.raises(UsageError, match="not int"):
        texts.preprocess()(3)


def test_absent_weights_say_where_was_looked_and_what_to_do():
    with pytest.raises(WeightsNotFound, match=r"huggingface.*laion/CLIP-ViT-B-32.*--weights FILE"):
        Backbone("clip:ViT-B-32/laion2b_s34b_b79k").build()
    with pytest.raises(WeightsNotFound, match="DEEPHASH_WEIGHTS"):
        Backbone("clip:ViT-B-32", weights="nowhere.pt").build()


@pytest.mark.parametrize(
    ("name", "weights", "message"),
    [
        ("clip:ViT-B-33", None, "did you mean 'ViT-B-32'"),
        ("clip:ViT-B-32", "hub", "name one, for example clip:ViT-B-32/"),
        ("clip:ViT-B-32/opnai", "hub", "did you mean 'openai'"),
        ("clip:custom", None, "missing: embed_dim, vision_cfg, text_cfg"),
    ],
)
def test_wrong_names(name, weights, message):
    with pytest.raises(UsageError, match=message):
        Backbone(name, weights=weights).build()


def test_wrong_files(tmp_path):
    torch.save({"a": torch.zeros(1)}, tmp_path / "other.pt")
    (tmp_path / "broken.pt").write_bytes(b"nothing")
    with pytest.raises(UsageError, match="does not fit"):
        with_weights(PICTURES, str(tmp_path / "other.pt")).build()
    with pytest.raises(DataError, match="cannot be read"):
        with_weights(PICTURES, str(tmp_path / "broken.pt")).build()


def test_a_published_architecture_without_weights(caplog):
    tower = Backbone("clip-text:ViT-S-32", weights=None).build()
    assert not caplog.records  # open_clip would warn of missing weights at every search, even where they follow
    assert tower.num_features == 384
    assert tower.preprocess()("two dogs on a beach").shape == (77,)
