"""From picture files to codes, as a stream: decoding in threads, beside or under the forward pass."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, Self, TypeAlias

import numpy as np
from numpy.typing import NDArray

from deephash.codes import BinaryCodes
from deephash.collection.folder import FoundFile, KnownRow, Skipped
from deephash.collection.reader import CollectionReader
from deephash.collection.sources.found import UNKNOWN
from deephash.encoding import Encoded, open_encoder
from deephash.encoding.opening import Source, decode_of, precision_of
from deephash.encoding.port import Decode, Precision, Row
from deephash.encoding.product import COLUMN, quantizer_of
from deephash.errors import UnreadablePicture
from deephash.index.product_codes import ProductQuantizer
from deephash.pictures import PictureFacts, PictureMemory, content_hash, read_picture

Job: TypeAlias = tuple[FoundFile, KnownRow | None]  # the row where the collection knows the file


@dataclass(frozen=True)
class Opened:
    """What is kept of a picture that was decoded."""

    file: FoundFile
    content_hash: str
    facts: PictureFacts
    extras: Mapping[str, Any] = field(default_factory=dict)


@dataclass
class Batch:
    """What became of one batch of files.

    Attributes:
        opened: decoded pictures, in the order of ``codes``.
        rows: what the model is to see of them; empty once they are encoded, as 512 of them would fill 300 MB.
        codes: one a picture; None where no picture could be decoded.
        vectors: [n, D] where they are kept.
        product: product codes of the vectors, where the model makes them.
        touched: files with another time and the same content; not decoded.
        said: what their shards say of them.
        skipped: files that could not be read, with reasons.
        refused: those of them whose content is to blame, which would be refused again.
        notes: what could not be read beside pictures that were taken, with reasons.
        scaled: files whose 16-bit, integer or float values had to be scaled, and how.
    """

    opened: list[Opened] = field(default_factory=list)
    rows: list[Row] = field(default_factory=list)
    codes: BinaryCodes | None = None
    vectors: NDArray[np.float32] | None = None
    product: BinaryCodes | None = None
    touched: list[tuple[FoundFile, KnownRow]] = field(default_factory=list)
    said: list[Mapping[str, Any]] = field(default_factory=list)
    skipped: list[Skipped] = field(default_factory=list)
    refused: list[tuple[FoundFile, str]] = field(default_factory=list)
    notes: list[Skipped] = field(default_factory=list)
    scaled: list[Skipped] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.opened) + len(self.touched) + len(self.skipped)


def further_codes(batches: Sequence[Batch]) -> dict[str, BinaryCodes]:
    """Return the product codes of batches by the column that holds them; nothing of most models."""
    made = [batch.product for batch in batches if batch.product is not None]
    return {COLUMN: BinaryCodes.concatenate(made)} if made else {}


def chunks_of(jobs: Sequence[Job], batch_size: int, workers: int) -> list[Sequence[Job]]:
    """Cut jobs into batches, smaller ones where else some worker would have none."""
    size = max(1, min(batch_size, -(-len(jobs) // workers)))
    return [jobs[start : start + size] for start in range(0, len(jobs), size)]


class StreamEncoder:
    """An encoder as a function from files to codes, on the fastest safe path of its device.

    JPEGs are decoded no larger than the model needs. On a CPU each thread decodes and encodes its own batches with one
    compute thread, so that no core waits for another; on a GPU the threads decode while the device computes.

    Args:
        source: what :func:`~deephash.encoding.open_encoder` opens, such as a model in memory.
        precision: see :func:`~deephash.encoding.open_encoder`.
        device: ``auto``, ``cpu``, ``cuda`` ...; None leaves a model where it is, as an encoder always is.
        with_vectors: also return the vectors for re-ranking.
        decode: ``full`` decodes JPEGs at their whole size, which takes several times as long.
        memory: pictures that were decoded a moment ago.
    """

    def __init__(
        self,
        source: Source,
        *,
        precision: Precision = "fp32",
        device: str | None = "auto",
        with_vectors: bool = False,
        decode: Decode = "reduced",
        memory: PictureMemory | None = None,
    ) -> None:
        self.encoder = open_encoder(source, precision=precision, device=device)
        self.with_vectors, self.decode = with_vectors, decode
        self.memory = memory
        self.quantizer: ProductQuantizer | None = None  # of a model that makes product codes too
        self.transform = partial(self.encoder.prepare, "image")

    @classmethod
    def of(
        cls,
        collection: CollectionReader,
        source: Source,
        *,
        with_vectors: bool | None = None,
        memory: PictureMemory | None = None,
    ) -> Self:
        """Return what makes codes as those of a collection were made, and vectors where it has them.

        Args:
            collection: its precision and its decoding are kept.
            source: the encoder that made its codes, or what :func:`~deephash.encoding.open_encoder` opens.
            with_vectors: None takes whether the collection has them.
            memory: pictures that were decoded a moment ago.
        """
        vectors = collection.has_vectors if with_vectors is None else with_vectors
        kept = {"precision": precision_of(collection), "decode": decode_of(collection)}
        stream = cls(source, device=None, with_vectors=vectors, memory=memory, **kept)  # type: ignore[arg-type]
        if stream.encoder.fingerprint() == collection.fingerprint:  # else it is one to come
            stream.quantizer = quantizer_of(collection)
        return stream

    def stream(self, jobs: Sequence[Job], *, batch_size: int, workers: int | None = None) -> Iterator[Batch]:
        """Yield the batches of ``jobs`` in order; at most ``workers`` + 2 of them are in memory."""
        threads = workers or os.cpu_count() or 1
        chunks = chunks_of(jobs, batch_size, threads)
        work = self.batch if self.encoder.runs_on_cpu else self.open_all
        with self.encoder.in_threads() as begin, ThreadPoolExecutor(threads, initializer=begin) as pool:
            waiting: deque[Future[Batch]] = deque()
            try:
                for chunk in chunks:
                    waiting.append(pool.submit(work, chunk))
                    if len(waiting) > threads + 1:
                        yield self.finished(waiting.popleft().result())
                while waiting:
                    yield self.finished(waiting.popleft().result())
            finally:
                for future in waiting:
                    future.cancel()

    def batch(self, jobs: Sequence[Job]) -> Batch:
        """Open and encode a few files at once, in this thread."""
        return self.finished(self.open_all(jobs))

    def rows(self, jobs: Sequence[Job]) -> list[Row]:
        """Return what the model sees of those of these files that can be decoded."""
        return self.open_all(jobs).rows

    def flip_rate(self, jobs: Sequence[Job]) -> float | None:
        """Return the share of bits that differ from those of fp32 on these files; None if none can be decoded."""
        rows = self.rows(jobs)
        if not rows:
            return None
        mine, exact = (each.encode("image", rows).codes for each in (self.encoder, self.encoder.at("fp32")))
        return float((mine.bits() != exact.bits()).mean())

    def encode(self, rows: Sequence[Row]) -> Encoded:
        """Return the codes of pictures that were prepared, and their vectors where they are kept or quantised."""
        return self.encoder.encode("image", rows, vectors=self.with_vectors or self.quantizer is not None)

    def finished(self, batch: Batch) -> Batch:
        """Encode what was decoded; nothing is left of the pixels then."""
        if batch.rows:
            found = self.encode(batch.rows)
            batch.codes, batch.vectors, batch.rows = found.codes, found.vectors if self.with_vectors else None, []
            if self.quantizer is not None and found.vectors is not None:
                batch.product = self.quantizer.encode(found.vectors)
        return batch

    def open_all(self, jobs: Sequence[Job]) -> Batch:
        """Read, hash and decode a few files, without encoding them."""
        batch = Batch()
        for file, row in jobs:
            self._open(file, row, batch)
        return batch

    def _open(self, file: FoundFile, row: KnownRow | None, batch: Batch) -> None:
        try:
            data = file.read()
            hashed = content_hash(data)
            if row is not None and row.content_hash == hashed:
                batch.touched.append((file, row))
                batch.said.append(file.extras().attributes)
                return
            side = self.encoder.picture_side if self.decode == "reduced" else None
            if self.memory is None:
                picture, facts = read_picture(data, reduced_to=side)
            else:
                picture, facts = self.memory.read(data, reduced_to=side, known_as=hashed)
            prepared = self.transform(picture)
            extras = file.extras()
            sized = replace(file, size=len(data)) if file.size == UNKNOWN else file
            batch.opened.append(Opened(sized, hashed, facts, extras.attributes))
            batch.notes += extras.skipped
            batch.rows.append(prepared)
            if facts.scaled:
                batch.scaled.append(Skipped(file.uri, facts.scaled))
        except UnreadablePicture as error:
            reason = str(error).removeprefix("these bytes: ")
            batch.skipped.append(Skipped(file.uri, reason))
            batch.refused.append((file, reason))
        except MemoryError:
            batch.skipped.append(Skipped(file.uri, "there is not enough memory for it"))
        except (OSError, ValueError, RuntimeError) as error:  # of this one file: its disk, or a shape nobody thought of
            named = error.strerror if isinstance(error, OSError) else None
            batch.skipped.append(Skipped(file.uri, named or " ".join(str(error).split()) or type(error).__name__))
