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
from numpy.typing import NDArray

from deephash.encoding.opening import Source, open_encoder
from deephash.encoding.port import CodeEncoder, Modality, Row
from deephash.errors import UsageError
from deephash.index.composition import ComposedQuery, add_words
from deephash.pictures import open_picture

CLIP_EXAMPLE = "deephash index PICTURES --out NEW.dh --model clip:ViT-B-32/laion2b_s34b_b79k"


def picture_codes(model: Source, picture: Any) -> NDArray[np.float64]:
    """Return the continuous codes [K] of a picture (path, PIL picture or array)."""
    encoder = open_encoder(model)
    opened = open_picture(picture, reduced_to=encoder.picture_side)
    return continuous_codes(encoder, "image", encoder.prepare("image", opened))


def phrase_codes(model: Source, phrase: str) -> NDArray[np.float64]:
    """Return the continuous codes [K] of a phrase. Raises UsageError for an empty or wholly unknown one."""
    encoder, _ = _with_words(model)
    return continuous_codes(encoder, "text", encoder.prepare("text", phrase))


def neutral_codes(model: Source) -> NDArray[np.float64]:
    """Return the continuous codes [K] of saying nothing."""
    encoder, _ = _with_words(model)
    return continuous_codes(encoder, "text", encoder.neutral())


def compose_picture(model: Source, picture: Any, words: str, *, caption: str | None = None) -> ComposedQuery:
    """Encode picture, plain text and worded text.

    Args:
        model: reads pictures and texts: an encoder, or what :func:`~deephash.encoding.open_encoder` opens.
        picture: path, PIL picture or array.
        words: what to change, for example ``at night``.
        caption: what the picture shows, if known.

    Raises:
        UsageError: no text tower; or the words are empty or unknown to it.
    """
    encoder, neutral = _with_words(model)
    encoder.prepare("text", words)  # an unknown prompt must not hide behind a known caption
    if caption is None:
        plain, start = neutral_codes(encoder), neutral
    else:
        plain, start = phrase_codes(encoder, caption), caption
    worded = phrase_codes(encoder, f"{start}, {words}" if start else words)
    return ComposedQuery(picture_codes(encoder, picture), plain, worded)


def change_by_words(
    model: Source,
    base: NDArray[np.floating],
    plus: Sequence[str] = (),
    minus: Sequence[str] = (),
    *,
    strength: float = 1.0,
) -> NDArray[np.float64]:
    """Return continuous codes ``base`` [K] moved towards the phrases ``plus`` and away from ``minus``."""
    encoder, neutral = _with_words(model)
    start = f"{neutral}, " if neutral else ""

    def codes(phrase: str) -> NDArray[np.float64]:
        encoder.prepare("text", phrase)
        return phrase_codes(encoder, start + phrase)

    plus_codes, minus_codes = ([codes(phrase) for phrase in phrases] for phrases in (plus, minus))
    return add_words(base, neutral_codes(encoder), plus_codes, minus_codes, strength=strength)


def continuous_codes(encoder: CodeEncoder, modality: Modality, row: Row) -> NDArray[np.float64]:
    """Return the continuous codes [K] of one row. Raises UsageError for codes of several levels."""
    if not encoder.layout.is_flat:
        raise UsageError(f"codes of several levels, as {encoder.method} makes, cannot be mixed")
    values = encoder.encode(modality, [row], continuous=True).continuous
    assert values is not None
    return np.asarray(values[0], np.float64)


def _with_words(model: Source) -> tuple[CodeEncoder, str]:
    """Return the encoder and its neutral phrase. Raises UsageError that names models which read phrases."""
    encoder = open_encoder(model)
    if encoder.neutral_phrase is not None:
        return encoder, encoder.neutral_phrase
    if "text" in encoder.modalities:
        raise UsageError(
            f"this {encoder.method} reads text vectors, not phrases; search by such a vector",
            remedy=f"Or train with text_backbone tfidf:1000, or index with CLIP: {CLIP_EXAMPLE}",
        )
    raise UsageError(
        f"this {encoder.method} has no text tower, so words cannot be searched",
        remedy=f"Models that can: clip:ARCHITECTURE/TAG without training ({CLIP_EXAMPLE}); and, after `deephash train` "
        "on pictures with captions or tags, CrossModalOrthoHash, CrossModalInfoNCE, RREH, CCAHash, CMFH, DCMH, DJSRH, "
        "UCCH",
    )
