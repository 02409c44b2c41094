"""From picture files to codes, as a stream: decoding in threads, beside or under the forward pass."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from deephash.codes import BinaryCodes
from deephash.collection.folder import FoundFile, KnownRow, Skipped, content_hash
from deephash.errors import UnreadablePicture, UsageError
from deephash.pictures import PictureFacts, read_file, read_picture

if TYPE_CHECKING:
    import torch

    from deephash.models.base import HashModel

Precision: TypeAlias = Literal["fp32", "bf16"]
Job: TypeAlias = tuple[FoundFile, KnownRow | None]  # the row where the collection knows the file


@dataclass(frozen=True)
class Opened:
    """What is kept of a picture that was decoded."""

    file: FoundFile
    content_hash: str
    facts: PictureFacts


@dataclass
class Encoded:
    """What became of one batch of files.

    Attributes:
        opened: decoded pictures, in the order of ``codes``.
        tensors: what the model is to see of them; empty once they are encoded, as 512 of them would fill 300 MB.
        codes: one a picture; None where no picture could be decoded.
        vectors: [n, D] where they are kept.
        touched: files with another time and the same content; not decoded.
        skipped: files that could not be read, with reasons.
        scaled: files whose 16-bit, integer or float values had to be scaled, and how.
    """

    opened: list[Opened] = field(default_factory=list)
    tensors: list[torch.Tensor] = field(default_factory=list)
    codes: BinaryCodes | None = None
    vectors: NDArray[np.float32] | None = None
    touched: list[tuple[FoundFile, KnownRow]] = field(default_factory=list)
    skipped: list[Skipped] = field(default_factory=list)
    scaled: list[Skipped] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.opened) + len(self.touched) + len(self.skipped)


class StreamEncoder:
    """A hash model as a function from files to codes, on the fastest safe path of its device.

    JPEGs are decoded no larger than the model needs. On a CPU each thread decodes and encodes its own batches with one
    compute thread, so that no core waits for another; on a GPU the threads decode while the device computes.

    Args:
        model: put into evaluation mode, on the device, in channels-last layout.
        precision: ``bf16`` computes the network in bfloat16.
        device: ``auto``, ``cpu``, ``cuda`` ...
        with_vectors: also return the vectors for re-ranking.
    """

    def __init__(
        self, model: HashModel, *, precision: Precision = "fp32", device: str = "auto", with_vectors: bool = False
    ) -> None:
        import torch

        self.model = model.eval().to(find_device(device)).to(memory_format=torch.channels_last)
        self.precision, self.with_vectors = precision, with_vectors
        self.transform = model.preprocess("image")
        self.side = model.picture_side()

    def stream(self, jobs: Sequence[Job], *, batch_size: int, workers: int | None = None) -> Iterator[Encoded]:
        """Yield the batches of ``jobs`` in order; at most ``workers`` + 2 of them are in memory."""
        threads = workers or os.cpu_count() or 1
        size = max(1, min(batch_size, -(-len(jobs) // threads)))
        chunks = [jobs[start : start + size] for start in range(0, len(jobs), size)]
        on_cpu = self.model.device.type == "cpu"
        work = self._open_and_encode if on_cpu else self._open_all
        with _one_compute_thread(on_cpu), ThreadPoolExecutor(threads, initializer=_limit if on_cpu else None) as pool:
            waiting: deque[Future[Encoded]] = deque()
            try:
                for chunk in chunks:
                    waiting.append(pool.submit(work, chunk))
                    if len(waiting) > threads + 1:
                        yield self._finished(waiting.popleft().result())
                while waiting:
                    yield self._finished(waiting.popleft().result())
            finally:
                for future in waiting:
                    future.cancel()

    def flip_rate(self, jobs: Sequence[Job]) -> float | None:
        """Return the share of bits that differ from those of fp32 on these files; None if none can be decoded."""
        tensors = self._open_all(jobs).tensors
        if not tensors:
            return None
        mine, _ = self.encode(tensors)
        wanted, self.precision = self.precision, "fp32"
        try:
            exact, _ = self.encode(tensors)
        finally:
            self.precision = wanted
        return float((mine.bits() != exact.bits()).mean())

    def encode(self, tensors: Sequence[torch.Tensor]) -> tuple[BinaryCodes, NDArray[np.float32] | None]:
        """Return the codes of preprocessed pictures, and their vectors where they are kept."""
        import torch

        batch = torch.stack(list(tensors)).contiguous(memory_format=torch.channels_last)
        inputs = {"image": batch.to(self.model.device)}
        with torch.inference_mode(), self._autocast():
            if not self.with_vectors:
                return self.model.encode(inputs), None
            features = {"image_features": self.model.features(inputs)}
            return self.model.encode(features), rerank_vectors(self.model, features)

    def _open_and_encode(self, jobs: Sequence[Job]) -> Encoded:
        return self._finished(self._open_all(jobs))

    def _finished(self, batch: Encoded) -> Encoded:
        if batch.tensors:
            batch.codes, batch.vectors = self.encode(batch.tensors)
            batch.tensors = []
        return batch

    def _open_all(self, jobs: Sequence[Job]) -> Encoded:
        batch = Encoded()
        for file, row in jobs:
            self._open(file, row, batch)
        return batch

    def _open(self, file: FoundFile, row: KnownRow | None, batch: Encoded) -> None:
        try:
            data = read_file(file.path)
            hashed = content_hash(data)
            if row is not None and row.content_hash == hashed:
                batch.touched.append((file, row))
                return
            picture, facts = read_picture(data, reduced_to=self.side)
            tensor = self.transform(picture)
            batch.opened.append(Opened(file, hashed, facts))
            batch.tensors.append(tensor)
            if facts.scaled:
                batch.scaled.append(Skipped(file.uri, facts.scaled))
        except UnreadablePicture as error:
            batch.skipped.append(Skipped(file.uri, str(error).removeprefix("these bytes: ")))
        except MemoryError:
            batch.skipped.append(Skipped(file.uri, "there is not enough memory for it"))
        except (OSError, ValueError, RuntimeError) as error:  # of this one file: its disk, or a shape nobody thought of
            reason = error.strerror if isinstance(error, OSError) else None
            batch.skipped.append(Skipped(file.uri, reason or " ".join(str(error).split()) or type(error).__name__))

    @contextmanager
    def _autocast(self) -> Iterator[None]:
        import torch

        with torch.autocast(self.model.device.type, torch.bfloat16, enabled=self.precision == "bf16"):
            yield


def find_device(name: str) -> torch.device:
    """Return the device called ``name``; ``auto`` is a GPU where there is one. Raises UsageError if it is unusable."""
    import torch

    try:
        device = torch.device(("cuda" if torch.cuda.is_available() else "cpu") if name == "auto" else name)
        torch.zeros(1, device=device)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        reason = str(error).split("\n")[0][:120]
        raise UsageError(f"device {name!r} cannot be used here: {reason}; use auto, cpu or cuda") from None
    return device


def rerank_vectors(model: HashModel, inputs: Mapping[str, torch.Tensor]) -> NDArray[np.float32]:
    """Return the vectors [B, D] that re-ranking compares: the model's own, or the features of its backbone."""
    own = getattr(model, "vectors", None)
    found = own(inputs) if own is not None else model.features(inputs)
    return np.asarray(found.float().cpu(), dtype=np.float32)


def _limit() -> None:
    import torch

    torch.set_num_threads(1)


@contextmanager
def _one_compute_thread(wanted: bool) -> Iterator[None]:
    """Let each thread of ours compute alone meanwhile; several that each use all cores would wait for one another."""
    import torch

    before = torch.get_num_threads()
    if wanted:
        torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
