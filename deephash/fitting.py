"""Models that need no training: fitted to a folder of pictures in the time it takes to encode some of them.

A specification is ``METHOD:BACKBONE``:

- ``clip:ARCHITECTURE/TAG``: both towers of CLIP and ITQ with the mean of each modality taken off; searched by words
too;
- ``itq:BACKBONE``, ``pca_sign:BACKBONE``, ``lsh:BACKBONE``: any picture backbone, for example ``itq:timm:resnet18``.

Options of the backbone follow a question mark: ``itq:timm:mobilenetv2_100?pad_type=same``.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from copy import deepcopy
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import numpy as np
import torch
from torch import Tensor

from deephash.backbones import Encoder
from deephash.collection.sources.every import every_picture
from deephash.collection.sources.found import FoundFile
from deephash.data.feature_cache import FeatureCache
from deephash.errors import DataError, UnreadablePicture, UsageError, did_you_mean
from deephash.models import AlternatingHashModel, HashModel, training_free_methods
from deephash.pictures import PictureMemory, open_picture, read_file

LEAST_PICTURES = 2
MOST_BITS = 256  # where nothing else is asked

# Phrases whose mean stands for "any text": everyday things, in the ways people write about pictures.
_THINGS = (
    "a person", "two people talking", "a child playing", "a crowd", "a face", "a dog", "a cat", "a horse", "a bird",
    "a fish in the water", "an insect on a leaf", "flowers", "a tree", "a forest", "a mountain", "a lake", "the sea",
    "a beach", "a river", "snow", "clouds in the sky", "a sunset", "a field", "a garden", "a street", "a city at night",
    "a building", "a church", "a bridge", "a house", "a kitchen", "a bedroom", "a living room", "an office", "a shop",
    "a car", "a bicycle", "a train", "an aeroplane", "a boat", "a plate of food", "fruit", "a cake", "a cup of coffee",
    "a table with chairs", "a book", "a computer", "a phone", "a lamp", "a toy", "clothes", "a shirt", "shoes", "a bag",
    "a football match", "someone running", "people dancing", "a concert", "a painting", "a map", "a page of text",
    "a screenshot", "a drawing", "a close-up of a texture",
)  # fmt: skip
_WAYS = ("{}", "a photo of {}", "a picture showing {}", "{} outdoors", "an old black and white photo of {}")
TYPICAL_PHRASES = tuple(way.format(thing) for thing in _THINGS for way in _WAYS)


def is_training_free_spec(name: str) -> bool:
    """Say whether ``name`` is ``METHOD:...`` with a method known here."""
    return name.partition(":")[0] in training_free_methods() and ":" in name


def fit_training_free(
    spec: str,
    pictures: str | Path | Sequence[Any],
    num_bits: int | None = None,
    weights: str | Path | None = None,
    *,
    texts: Iterable[str] | None = None,
    max_pictures: int = 5000,
    batch_size: int = 32,
    seed: int = 0,
    memory: PictureMemory | None = None,
) -> HashModel:
    """Return the model that ``spec`` describes, fitted to ``pictures``.

    Args:
        spec: see the head of this module.
        pictures: a folder, or paths, PIL pictures or arrays.
        num_bits: K; None takes 256, or the longest of 128, 64, ... that so few pictures can give.
        weights: a file with the backbone's weights; None fetches them from its hub.
        texts: captions or tags that belong to such pictures; their mean is the mean of the texts (CLIP only). None
            takes everyday phrases.
        max_pictures: fit to at most so many, evenly spread.
        batch_size: pictures a forward pass.
        seed: of rotations and random projections.
        memory: keeps files that were decoded, so that they need not be decoded again to be encoded.

    Raises:
        UsageError: unknown method, or more bits than the method can give.
        DataError: fewer than two readable pictures.
        WeightsNotFound: the weights are not here and cannot be fetched.
    """
    source = str(weights) if weights is not None else "hub"
    model = _build(spec, MOST_BITS if num_bits is None else num_bits, source, seed)
    features = _picture_features(model, _chosen(pictures, max_pictures), batch_size, memory)
    if num_bits is None and (fewer := _bits_for(model, features)) < MOST_BITS:
        model = _build(spec, fewer, source, seed)
    table = {"image_features": features}
    if "text" in model.encoders:
        phrases = list(texts) if texts is not None else list(TYPICAL_PHRASES)
        table["text_features"] = _text_features(model.encoders["text"], phrases)
    return model.fit(table).eval()


def refit(
    model: HashModel,
    pictures: Sequence[Any],
    *,
    texts: Iterable[str] | None = None,
    max_pictures: int = 5000,
    batch_size: int = 32,
) -> HashModel:
    """Return a training-free model of the same method, network and length, fitted anew to ``pictures``.

    A collection's model was fitted to the pictures of its first day; the network stays as it is, and only what was
    fitted is learned again. Arguments as of :func:`fit_training_free`.

    Raises:
        UsageError: the model is trained by gradients, which are learned anew by ``deephash train``.
        DataError: fewer than two readable pictures.
    """
    if not isinstance(model, AlternatingHashModel) or model.training_free is None:
        raise UsageError(
            f"{type(model).__name__} is trained, not fitted; train a newer one (deephash train "
            "--continue-from RUN) and give it with --model"
        )
    anew = deepcopy(model)
    table = {"image_features": _picture_features(anew, _chosen(pictures, max_pictures), batch_size)}
    if "text" in anew.encoders:
        table["text_features"] = _text_features(anew.encoders["text"], list(texts or TYPICAL_PHRASES))
    return anew.fit(table).eval()


def _bits_for(model: AlternatingHashModel, features: Tensor) -> int:
    """Return the longest usual code that ``features`` [n, D] can give."""
    axes = min(MOST_BITS, model.most_bits(*features.shape))
    return max(8, 1 << axes.bit_length() - 1) if axes > 0 else 8


def _build(spec: str, num_bits: int, weights: str, seed: int) -> AlternatingHashModel:
    method, _, name = spec.partition(":")
    known = training_free_methods()
    if method not in known or not name:
        raise UsageError(
            f"{spec!r} is not METHOD:BACKBONE" + did_you_mean(method, sorted(known)) + ", for example itq:timm:resnet18"
        )
    name, _, query = name.partition("?")
    options = {key: _value(value) for key, value in parse_qsl(query)}
    given = None if weights == "none" else weights
    return known[method].on_network(name, num_bits, seed=seed, weights=given, options=options)


def _value(text: str) -> Any:
    """Return an option as a number or boolean where it reads like one."""
    if text in ("true", "false"):
        return text == "true"
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text


def _chosen(pictures: str | Path | Sequence[Any], most: int) -> list[Any]:
    """Return at most ``most`` pictures, evenly spread over all."""
    found = list(every_picture(pictures)) if isinstance(pictures, (str, Path)) else list(pictures)
    if len(found) <= most:
        return found
    return [found[row * len(found) // most] for row in range(most)]


def _picture_features(
    model: HashModel, pictures: Sequence[Any], batch_size: int, memory: PictureMemory | None = None
) -> Tensor:
    """Return features [n, D] of the readable ``pictures``; indexing tells why the others are not."""
    side = model.picture_side()

    def opened(row: int) -> Any:
        picture = pictures[row]
        try:
            picture = picture.read() if isinstance(picture, FoundFile) else picture
            if memory is not None and isinstance(picture, bytes):
                return memory.read(picture, reduced_to=side)[0]
            if memory is None or not isinstance(picture, (str, Path)):
                return open_picture(picture, reduced_to=side)
            return memory.read(read_file(picture), reduced_to=side)[0]
        except OSError as error:
            raise UnreadablePicture(f"{picture}: {error.strerror}") from None

    label, threads = "looking at the pictures", os.cpu_count() or 1
    features, rejected = _features(model.encoders["image"], opened, len(pictures), batch_size, label, threads)
    count = len(pictures) - len(rejected)
    if count < LEAST_PICTURES:
        raise DataError(
            f"a training-free model is fitted to the pictures and needs at least {LEAST_PICTURES} readable ones; "
            f"{count} of {len(pictures)} could be read"
        )
    readable = torch.ones(len(pictures), dtype=torch.bool)
    readable[rejected] = False
    return features[readable]


def _text_features(encoder: Encoder, phrases: Sequence[str], batch_size: int = 64) -> Tensor:
    """Return features [n, D]. Raises UsageError for a phrase that is empty or cannot be read."""
    refuse = encoder.preprocess()
    for phrase in phrases:
        refuse(phrase)
    return _features(encoder, phrases.__getitem__, len(phrases), batch_size, "reading the phrases")[0]


def _features(
    encoder: Encoder, source: Callable[[int], Any], count: int, batch_size: int, label: str, threads: int = 1
) -> tuple[Tensor, list[int]]:
    """Return features [n, D], and the rows that could not be read."""
    cache = FeatureCache(encoder, source, np.arange(count), "", folder=None, batch_size=batch_size, threads=threads)
    return cache.features(label), [row for row, _ in cache.rejected]
