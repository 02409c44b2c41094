"""Readers: from a picture, a phrase or a vector to the row that a network takes, described as data in ``model.json``.

A model that torch computes has readers of its own; those of a portable encoder are made here from their description,
and give the same rows.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from deephash.encoding.phrases import english_phrase, known_counts, unknown_words, with_near, word_counts
from deephash.encoding.transform import PictureTransform, normalised
from deephash.encoding.word_pieces import WordPieces
from deephash.errors import CollectionDamaged
from deephash.foreign import read_json, refused_as
from deephash.pictures.middle import is_thin, resized_middle

VOCABULARY_LIMIT = 32 << 20  # bytes of the file
Row = NDArray[Any]


@dataclass(frozen=True)
class Reader:
    """What a tower of a portable encoder reads.

    Attributes:
        read: from an item to a row.
        neutral: the row that says nothing; None of what are no phrases.
        neutral_phrase: the phrase behind it.
        picture_side: pixels to which the shorter side of a picture is brought.
        unknown: the words of a phrase that have no effect, each with a known one; None where all have.
    """

    read: Callable[[Any], Row]
    neutral: Callable[[], Row] | None = None
    neutral_phrase: str | None = None
    picture_side: int | None = None
    unknown: Callable[[str], list[tuple[str, str | None]]] | None = None


def reader_of(record: Mapping[str, Any], folder: Path) -> Reader:
    """Return the reader that a record of ``model.json`` describes; files it names lie in ``folder``.

    Raises:
        CollectionDamaged: a kind or a setting that is not known, or a file that cannot be read.
    """
    make = _KINDS.get(str(record.get("kind")))
    if make is None:
        raise CollectionDamaged(f"{folder} describes a reader of an unknown kind {record.get('kind')!r:.40}")
    return make(record, folder)


# Pictures ------------------------------------------------------------------------------------------


def _picture(record: Mapping[str, Any], folder: Path) -> Reader:
    transform = PictureTransform.of(record["transform"])
    return Reader(transform, picture_side=transform.resize)


def _clip_picture(record: Mapping[str, Any], folder: Path) -> Reader:
    settings = record["transform"]
    return Reader(partial(clip_row, settings), picture_side=int(settings["size"]))


def clip_row(settings: Mapping[str, Any], picture: Any) -> NDArray[np.float32]:
    """Return a picture as open_clip's evaluation transform does: the shorter side resized, the middle cut; or squashed.

    Args:
        settings: ``size``, ``interpolation``, ``resize_mode`` (shortest or squash), ``mean``, ``std``.
        picture: a PIL picture.
    """
    size = int(settings["size"])
    resample = Image.Resampling[str(settings["interpolation"]).upper()]
    image: Image.Image = picture if picture.mode == "RGB" else picture.convert("RGB")
    if settings["resize_mode"] == "squash":
        image = image.resize((size, size), resample)
    elif is_thin(image):
        image = resized_middle(image, size, size, resample)
    else:
        image = _shorter_to(image, size, resample)
        left, top = (round((side - size) / 2) for side in image.size)  # half a pixel to the even side
        image = image.crop((left, top, left + size, top + size))
    pixels = np.asarray(image, dtype=np.float32).transpose(2, 0, 1) / np.float32(255)
    return normalised(pixels, settings["mean"], settings["std"])


def _shorter_to(image: Image.Image, size: int, resample: Image.Resampling) -> Image.Image:
    width, height = image.size
    if min(width, height) == size:
        return image
    longer = int(size * max(width, height) / min(width, height))
    return image.resize((size, longer) if width <= height else (longer, size), resample)


# Phrases and vectors -------------------------------------------------------------------------------


def _word_pieces(record: Mapping[str, Any], folder: Path) -> Reader:
    pieces, called = WordPieces(folder / record["file"], int(record["length"])), str(record["called"])
    neutral = str(record["neutral"])
    return Reader(lambda phrase: pieces(english_phrase(phrase, called)), lambda: pieces(neutral), neutral)


def _word_counts(record: Mapping[str, Any], folder: Path) -> Reader:
    width, called = int(record["width"]), str(record["called"])
    with refused_as(CollectionDamaged, "copy the model folder again"):
        frequency = read_json(folder / record["file"], "vocabulary", limit=VOCABULARY_LIMIT)["frequency"]
    columns = {word: column for column, word in enumerate(frequency)}
    return Reader(
        lambda phrase: known_counts(phrase, columns, width, called),
        lambda: word_counts("", columns, width),
        "",
        unknown=lambda phrase: with_near(unknown_words(phrase, columns), columns),
    )


def _vector(record: Mapping[str, Any], folder: Path) -> Reader:
    return Reader(lambda vector: np.asarray(vector, dtype=np.float32))


_KINDS: Mapping[str, Callable[[Mapping[str, Any], Path], Reader]] = {
    "picture": _picture,
    "clip-picture": _clip_picture,
    "word-pieces": _word_pieces,
    "word-counts": _word_counts,
    "vector": _vector,
}
