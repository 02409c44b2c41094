"""A CLIP small enough for tests: two layers a tower, fresh weights."""

from deephash.backbones import Backbone

OPTIONS = {
    "embed_dim": 32,
    "vision_cfg": {"image_size": 32, "layers": 2, "width": 64, "patch_size": 8},
    "text_cfg": {"context_length": 20, "vocab_size": 49408, "width": 32, "heads": 2, "layers": 2},
}
PICTURES = Backbone("clip:custom", weights=None, options=OPTIONS)
TEXTS = Backbone("clip-text:custom", weights=None, options=OPTIONS)
