"""Noisy squares of one colour with captions, and a model that joins the two: the least to search pictures by words."""

from __future__ import annotations

import numpy as np
from PIL import Image

COLOURS = {"red": (220, 30, 30), "green": (30, 200, 40), "blue": (30, 40, 220), "yellow": (230, 220, 30)}


def coloured(name: str, seed: int, side: int = 24) -> Image.Image:
    """Return a noisy square of one colour."""
    noise = np.random.default_rng(seed).normal(0, 25, (side, side, 3))
    return Image.fromarray(np.clip(np.array(COLOURS[name]) + noise, 0, 255).astype(np.uint8))


def colours_model():
    """Join pictures and words from sixty captioned squares, by CCA on a small network and TF-IDF; 24 bits."""
    import torch

    from deephash.backbones import Backbone
    from deephash.models import CCAHash

    torch.manual_seed(0)
    model = CCAHash(24, Backbone("small_cnn:16", weights=None, image_size=24), Backbone("tfidf:20", weights=None))
    names = [list(COLOURS)[row % 4] for row in range(60)]
    captions = [f"a {name} square, nothing else" if row % 2 else f"something {name}" for row, name in enumerate(names)]
    texts, pictures = model.encoders["text"], model.encoders["image"].eval()
    texts.fit_texts(captions)
    with torch.inference_mode():
        image = pictures(torch.stack([model.preprocess("image")(coloured(n, s)) for s, n in enumerate(names)])).clone()
        text = texts(torch.stack([texts.preprocess_data()(caption) for caption in captions])).clone()
    return model.fit({"image_features": image, "text_features": text}).eval()
