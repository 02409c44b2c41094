"""Encoding with many workers: batches of files go through Ray Data, and come back as they do from threads.

A worker opens the model once, by its folder. On a CPU it reads, decodes and encodes its own batches, as a thread of the
plain path does; for a GPU decoding and the forward pass are two stages, since one GPU keeps many decoders busy. Ray
holds back the first stage while later ones, or whoever commits, are slow. Nothing is written here: a batch counts once
it is committed, and a run that ended early is taken up again by the same command.
"""

from __future__ import annotations

import logging
import os
import pickle
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from deephash.collection.folder import Skipped
from deephash.encoding.opening import open_encoder
from deephash.encoding.port import Decode, Engine, Precision
from deephash.encoding.product import quantizer_in
from deephash.errors import DeephashError, IncompatibleModel, UsageError
from deephash.ingest.encoder import Batch, Job, StreamEncoder, chunks_of

RAY = "ray"
ROUND = 2048  # batches that Ray is given at once, so that what it keeps of them is bounded
_STORE_BYTES = 256 << 20  # of a Ray that is started here: codes and facts are small
_TRIES = 2  # further ones of a batch whose worker ended
_ENDED = "whoever read it ended without a word (killed, or its decoder crashed); it is tried again at the next update"


@dataclass(frozen=True)
class Recipe:
    """What a worker needs to encode as the collection's other pictures were.

    Attributes:
        folder: of the model, at the same path on every machine.
        fingerprint: of the model; a worker that finds another one refuses.
        engine, precision, decode: see :func:`~deephash.encoding.open_encoder`.
        with_vectors: also return vectors.
        with_product: also return product codes.
    """

    folder: str
    fingerprint: str
    engine: Engine
    precision: Precision
    decode: Decode
    with_vectors: bool
    with_product: bool

    @classmethod
    def of(cls, stream: StreamEncoder, folder: Path) -> Recipe:
        """Return the recipe of what encodes here, whose model lies in ``folder``."""
        encoder = stream.encoder
        engine: Engine = "onnx" if encoder.engine == "onnx" else "torch"
        return cls(
            str(folder.resolve()),
            encoder.fingerprint(),
            engine,
            encoder.precision,
            stream.decode,
            stream.with_vectors,
            stream.quantizer is not None,
        )

    def open(self, device: str) -> StreamEncoder:
        """Open the model. Raises IncompatibleModel where the folder has another one by now."""
        encoder = open_encoder(self.folder, device=device, precision=self.precision, engine=self.engine)
        if encoder.fingerprint() != self.fingerprint:
            raise IncompatibleModel(f"{self.folder} has another model on this machine than where the run was started")
        stream = StreamEncoder(
            encoder, precision=self.precision, device=None, with_vectors=self.with_vectors, decode=self.decode
        )
        stream.quantizer = quantizer_in(Path(self.folder)) if self.with_product else None
        return stream


@dataclass(frozen=True)
class Failed:
    """An error of a worker that is everybody's, as its model cannot be opened; the run ends with it."""

    error: Exception

    @classmethod
    def by(cls, error: Exception) -> Failed:
        """Return it as it can travel."""
        return cls(error if isinstance(error, DeephashError) else RuntimeError(f"{type(error).__name__}: {error}"))


class _Worker:
    """One actor: opens the model once. Ray calls it with one row, a batch of files or what became of them."""

    device = "cpu"

    def __init__(self, recipe: Recipe) -> None:
        self.failed: Failed | None = None
        try:
            self.stream = recipe.open(self.device)
            self._alone = self.stream.encoder.in_threads()
            self._alone.__enter__()()  # for as long as the process lives
        except Exception as error:  # told with the first batch: Ray would start such a worker again and again
            self.failed = Failed.by(error)

    def __call__(self, rows: dict[str, Any]) -> dict[str, list[bytes]]:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", module=r"PIL\.")
            return {"work": [pickle.dumps(self._done(pickle.loads(each))) for each in rows["work"]]}

    def _done(self, work: Any) -> Batch | Failed:
        try:
            return self.failed or (work if isinstance(work, Failed) else self.do(work))
        except Exception as error:  # of the model, since one picture's are its own matter
            return Failed.by(error)

    def do(self, work: Any) -> Batch:
        """Read, decode and encode."""
        return self.stream.batch(work)


class _Opener(_Worker):
    def do(self, work: Any) -> Batch:
        """Read and decode."""
        return self.stream.open_all(work)


class _Forward(_Worker):
    device = "auto"

    def do(self, work: Any) -> Batch:
        """Encode what was decoded."""
        return self.stream.finished(work)


def require_ray() -> None:
    """Raise UsageError where Ray is not installed."""
    if find_spec("ray") is None or find_spec("pandas") is None:
        raise UsageError('--workers ray needs Ray, which is not installed: pip install "deephash[ray]"')


def ray_batches(
    jobs: Sequence[Job], recipe: Recipe, *, batch_size: int, staged: bool, workers: int | None = None
) -> Iterator[Batch]:
    """Yield the batches of ``jobs`` in order, as :meth:`StreamEncoder.stream` does.

    A file at which its worker ends each time is tried alone, and then left out with a reason.

    Args:
        jobs: files, and rows where the collection knows them.
        recipe: how to encode.
        batch_size: pictures in one forward pass.
        staged: decoding and the forward pass are two stages, as for a GPU.
        workers: actors of each stage; None takes one a core of the cluster.
    """
    require_ray()
    with _running() as ray:
        actors = workers or max(1, int(ray.cluster_resources().get("CPU", 1)))
        chunks = chunks_of(jobs, batch_size, actors)
        for start in range(0, len(chunks), ROUND):
            some = chunks[start : start + ROUND]
            seen: set[str] = set()
            for batch in _through(ray, some, recipe, staged, actors):
                seen |= _names(batch)
                yield batch
            left = [[job] for chunk in some for job in chunk if job[0].uri not in seen]
            if left:
                yield from _one_by_one(ray, left, recipe, staged, actors)


def _one_by_one(ray: Any, left: list[list[Job]], recipe: Recipe, staged: bool, actors: int) -> Iterator[Batch]:
    seen: set[str] = set()
    for batch in _through(ray, left, recipe, staged, actors):
        seen |= _names(batch)
        yield batch
    lost = [job[0].uri for chunk in left for job in chunk if job[0].uri not in seen]
    yield Batch(skipped=[Skipped(uri, _ENDED) for uri in lost])


def _through(ray: Any, chunks: Sequence[Sequence[Job]], recipe: Recipe, staged: bool, actors: int) -> Iterator[Batch]:
    """Yield what became of those chunks whose workers lived."""
    rows = [{"work": pickle.dumps(list(chunk))} for chunk in chunks]
    data = ray.data.from_items(rows, override_num_blocks=len(rows))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # how restarts are said has changed, and will again in Ray 2.64
        for stage in (_Opener, _Forward) if staged else (_Worker,):
            on_gpu = stage is _Forward and ray.cluster_resources().get("GPU", 0) > 0
            data = data.map_batches(
                stage,
                fn_constructor_args=(recipe,),
                batch_size=1,
                compute=ray.data.ActorPoolStrategy(size=int(ray.cluster_resources()["GPU"]) if on_gpu else actors),
                num_cpus=0.5 if staged else 1,
                num_gpus=1 if on_gpu else 0,
                max_restarts=-1,
                max_task_retries=_TRIES,
            )
    for row in data.iter_rows():
        done = pickle.loads(row["work"])
        if isinstance(done, Failed):
            raise done.error
        yield done


def _names(batch: Batch) -> set[str]:
    names = {one.file.uri for one in batch.opened} | {file.uri for file, _ in batch.touched}
    return names | {path for path, _ in batch.skipped}


@contextmanager
def _running() -> Iterator[Any]:
    """Yield Ray: the one that runs already, the cluster of ``RAY_ADDRESS``, or one that is started here and ended."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # it would report to its makers
    os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")  # lines of its C++ core on the terminal
    os.environ.setdefault("RAY_worker_niceness", "0")  # threads of the plain path step back for nobody either
    os.environ.setdefault("RAY_DATA_DISABLE_PROGRESS_BARS", "1")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import ray
        import ray.data

        started = not ray.is_initialized()
        if started:
            with _quietly():
                _start(ray)
        context = ray.data.DataContext.get_current()
        before = (context.enable_progress_bars, context.max_errored_blocks, context.execution_options.preserve_order)
        context.enable_progress_bars, context.max_errored_blocks = False, -1  # what is lost is counted here
        context.execution_options.preserve_order = True  # ids as the plain path gives them
        logging.getLogger("ray.data").setLevel(logging.CRITICAL)
        try:
            yield ray
        finally:
            context.enable_progress_bars, context.max_errored_blocks = before[:2]
            context.execution_options.preserve_order = before[2]
            if started:
                ray.shutdown()


@contextmanager
def _quietly() -> Iterator[None]:
    """Lead the standard error of this process nowhere meanwhile: Ray's core writes there that it will be quiet."""
    kept, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)


def _start(ray: Any) -> None:
    quiet = {"log_to_driver": False, "logging_level": logging.ERROR}
    if "RAY_ADDRESS" in os.environ:
        ray.init(**quiet)
        return
    ray.init(
        num_cpus=os.cpu_count() or 1,
        include_dashboard=False,
        object_store_memory=_STORE_BYTES,
        _node_ip_address="127.0.0.1",
        **quiet,
    )
