"""Rows of a collection encoded again from their pictures, where these are still what was indexed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from deephash.codes import BinaryCodes
from deephash.collection import Collection
from deephash.collection.folder import FoundFile, Skipped
from deephash.collection.reader import Item
from deephash.collection.sources.again import picture_of
from deephash.encoding import CodeEncoder
from deephash.errors import UnreadablePicture, UsageError
from deephash.ingest.encoder import Batch, StreamEncoder
from deephash.progress import track_batches

BATCH = 32
CHANGED = "its picture changed since it was indexed; deephash index takes the new one"


@dataclass(frozen=True, eq=False)
class Made:
    """New codes of some rows.

    Attributes:
        places: of the rows that could be encoded, among those asked for, ascending [n].
        codes: n rows.
        hashes: of the files, n.
        vectors: [n, D], where they are kept.
        skipped: the others, with reasons.
    """

    places: NDArray[np.int64]
    codes: BinaryCodes
    hashes: list[str]
    vectors: NDArray[np.float32] | None
    skipped: list[Skipped]

    def __len__(self) -> int:
        return len(self.places) + len(self.skipped)


def pictures_of(collection: Collection) -> list[Path]:
    """Return where the pictures of all rows lie, those that are gone left out."""
    found, _ = _files_of(collection, collection.items(collection.ids()))
    return [file.path for file in found]


def encoded(
    collection: Collection, ids: NDArray[np.int64], encoder: CodeEncoder, label: str, *, with_vectors: bool = False
) -> Made:
    """Return the codes of rows whose pictures are there, unchanged and readable; a bar counts them."""
    batches = encode_rows(collection, ids, encoder, with_vectors=with_vectors)
    parts = list(track_batches(batches, label, total=len(ids), unit=" pictures"))
    vectors = [part.vectors for part in parts if part.vectors is not None]
    return Made(
        np.concatenate([np.empty(0, np.int64), *(part.places for part in parts)]),
        BinaryCodes.concatenate([part.codes for part in parts]) if parts else _no_codes(encoder),
        [hash_ for part in parts for hash_ in part.hashes],
        np.concatenate(vectors) if vectors else None,
        [each for part in parts for each in part.skipped],
    )


def encode_rows(
    collection: Collection,
    ids: NDArray[np.int64],
    encoder: CodeEncoder,
    *,
    with_vectors: bool = False,
    workers: int | None = None,
) -> Iterator[Made]:
    """Yield the codes of rows, batch by batch in their order."""
    items = collection.items(ids)
    found, lost = _files_of(collection, items)
    if lost:
        yield Made(np.empty(0, np.int64), _no_codes(encoder), [], None, lost)
    stream = StreamEncoder.of(collection, encoder, with_vectors=with_vectors)
    place_of = {item.uri: place for place, item in enumerate(items)}
    for batch in stream.stream([(file, None) for file in found], batch_size=BATCH, workers=workers):
        yield _kept(batch, items, place_of, encoder)


def _kept(batch: Batch, items: Sequence[Item], place_of: dict[str, int], encoder: CodeEncoder) -> Made:
    places = np.array([place_of[one.file.uri] for one in batch.opened], np.int64)
    same = np.array([one.content_hash == items[at].content_hash for one, at in zip(batch.opened, places)], bool)
    skipped = [*batch.skipped, *(Skipped(items[at].uri, CHANGED) for at in places[~same])]
    hashes = [one.content_hash for one, is_same in zip(batch.opened, same) if is_same]
    if batch.codes is None or not len(places):
        return Made(np.empty(0, np.int64), _no_codes(encoder), [], None, skipped)
    vectors = None if batch.vectors is None else batch.vectors[same]
    return Made(places[same], batch.codes[np.flatnonzero(same)], hashes, vectors, skipped)


def _files_of(collection: Collection, items: Sequence[Item]) -> tuple[list[FoundFile], list[Skipped]]:
    found, lost = [], []
    for item in items:
        try:
            found.append(picture_of(collection, item))
        except OSError as error:
            lost.append(Skipped(item.uri, f"its picture is gone: {error.strerror or error}"))
        except (UsageError, UnreadablePicture) as error:
            lost.append(Skipped(item.uri, str(error)))
    return found, lost


def _no_codes(encoder: CodeEncoder) -> BinaryCodes:
    return BinaryCodes(np.empty((0, encoder.layout.width), np.uint8), encoder.num_bits, encoder.num_levels)
