"""Composed queries out of pictures and words: encodes the parts, once, for :class:`ComposedQuery`'s sliders.

Formulas and the paper are in :mod:`deephash.index.composition`. Without a captioner, the text without the prompt is the
tower's neutral phrase ("a photo"; no words at all for TF-IDF), and the text with it is the same phrase followed by the
prompt, so that the difference holds the prompt only. A caption of the picture, where there is one, serves better.
Continuous codes are mixed, which is exact for linear hash heads (ITQ, CCA, CMFH, RREH, the linear heads on CLIP).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from deephash.backbones.text import TextEncoder
from deephash.errors import UsageError
from deephash.index.composition import ComposedQuery, add_words
from deephash.models.base import HashModel
from deephash.pictures import open_picture

CLIP_EXAMPLE = "deephash index PICTURES --out NEW.dh --model clip:ViT-B-32/laion2b_s34b_b79k"


def text_encoder(model: HashModel) -> TextEncoder:
    """Return the model's text encoder. Raises UsageError that names models which have one."""
    encoder = dict(model.encoders.items()).get("text")
    if isinstance(encoder, TextEncoder):
        return encoder
    if encoder is not None:
        raise UsageError(
            f"this {type(model).__name__} reads text vectors ({encoder.spec.name}), not phrases; search by such a "
            f"vector, or train with text_backbone tfidf:1000, or index with CLIP: {CLIP_EXAMPLE}"
        )
    raise UsageError(
        f"this {type(model).__name__} has no text tower, so words cannot be searched. Models that can: "
        f"clip:ARCHITECTURE/TAG without training ({CLIP_EXAMPLE}); and, after `deephash train` on pictures with "
        "captions or tags, CrossModalOrthoHash, CrossModalInfoNCE, RREH, CCAHash, CMFH, DCMH, DJSRH, UCCH"
    )


def picture_codes(model: HashModel, picture: Any) -> NDArray[np.float64]:
    """Return the continuous codes [K] of a picture (path, PIL picture or array)."""
    prepared = model.preprocess("image")(open_picture(picture, reduced_to=model.picture_side()))
    return _continuous(model, "image", prepared)


def phrase_codes(model: HashModel, phrase: str) -> NDArray[np.float64]:
    """Return the continuous codes [K] of a phrase. Raises UsageError for an empty or wholly unknown one."""
    return _continuous(model, "text", text_encoder(model).preprocess()(phrase))


def neutral_codes(model: HashModel) -> NDArray[np.float64]:
    """Return the continuous codes [K] of saying nothing."""
    return _continuous(model, "text", text_encoder(model).neutral())


def compose_picture(model: HashModel, picture: Any, words: str, *, caption: str | None = None) -> ComposedQuery:
    """Encode picture, plain text and worded text.

    Args:
        model: reads pictures and texts.
        picture: path, PIL picture or array.
        words: what to change, for example ``at night``.
        caption: what the picture shows, if known.

    Raises:
        UsageError: no text tower; or the words are empty or unknown to it.
    """
    encoder = text_encoder(model)
    encoder.preprocess()(words)  # an unknown prompt must not hide behind a known caption
    if caption is None:
        plain, start = neutral_codes(model), encoder.neutral_phrase
    else:
        plain, start = phrase_codes(model, caption), caption
    worded = phrase_codes(model, f"{start}, {words}" if start else words)
    return ComposedQuery(picture_codes(model, picture), plain, worded)


def change_by_words(
    model: HashModel,
    base: NDArray[np.floating],
    plus: Sequence[str] = (),
    minus: Sequence[str] = (),
    *,
    strength: float = 1.0,
) -> NDArray[np.float64]:
    """Return continuous codes ``base`` [K] moved towards the phrases ``plus`` and away from ``minus``."""
    encoder = text_encoder(model)
    start = f"{encoder.neutral_phrase}, " if encoder.neutral_phrase else ""

    def codes(phrase: str) -> NDArray[np.float64]:
        encoder.preprocess()(phrase)
        return phrase_codes(model, start + phrase)

    plus_codes, minus_codes = ([codes(phrase) for phrase in phrases] for phrases in (plus, minus))
    return add_words(base, neutral_codes(model), plus_codes, minus_codes, strength=strength)


def _continuous(model: HashModel, modality: str, prepared: Tensor) -> NDArray[np.float64]:
    was_training = model.training
    model.eval()
    try:
        with torch.inference_mode():
            values = model({modality: prepared[None].to(model.device)})[0]
    finally:
        model.train(was_training)
    if values.ndim != 1:
        raise UsageError(f"codes of several levels, as {type(model).__name__} makes, cannot be mixed")
    return np.asarray(values.double().cpu())
