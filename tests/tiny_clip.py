"""A CLIP small enough for tests: two layers a tower, fresh weights."""

from deephash.backbones import Backbone

OPTIONS = {
    "embed_dim": 32,
    "vision_cfg": {"image_size": 32, "layers": 2, "width": 64, "patch_size": 8},
    "text_cfg": {"context_length": 20, "vocab_size": 49408, "width": 32, "heads": 2, "layers": 2},
}
PICTURES = Backbone("clip:custom", weights=None, options=OPTIONS)
TEXTS = Backbone("clip-text:custom", weights=None, options=OPTIONS)


def tiny_clip_model():
    """Return a model of both towers, fitted to random embeddings; 16 bits."""
    import torch

    from deephash.models import CrossModalITQ

    torch.manual_seed(0)
    model = CrossModalITQ(16, PICTURES, TEXTS, project_texts=False)
    return model.fit({f"{name}_features": torch.randn(60, 32) for name in ("image", "text")}).eval()
