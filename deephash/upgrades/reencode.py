"""Encoding old rows anew by the current model, a few at a time: now, or behind everything else."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from deephash.codes import BinaryCodes
from deephash.collection import Collection
from deephash.collection.folder import Skipped
from deephash.collection.hubs import complete_hub_biases
from deephash.collection.lock import write_lock
from deephash.collection.schema import MODEL_VERSION
from deephash.encoding import CodeEncoder, open_encoder
from deephash.errors import CollectionError, UsageError
from deephash.progress import track_batches
from deephash.upgrades.pictures import Made, encode_rows

LOG = "re-encode.log"
_LOCK = "re-encode.lock"
_CHUNK = 8192  # rows whose names are in memory at once
_PATIENCE = 60.0  # seconds in which one that works towards a model before this one meets its next commit, and ends
_COMMIT_ROWS, _COMMIT_SECONDS = 4096, 10.0  # each commit makes searchers read the codes again


@dataclass
class ReEncoded:
    """What came of it.

    Attributes:
        rows: that have codes of the current model now and had not before.
        skipped: rows that could not be, with reasons; they keep the code they have.
    """

    rows: int = 0
    skipped: list[Skipped] = field(default_factory=list)


def old_rows(collection: Collection) -> NDArray[np.int64]:
    """Return the ids of rows whose code is not the current model's: those of the oldest model first."""
    current = collection.current.number
    if current == 1:
        return np.empty(0, np.int64)
    table = collection.table([MODEL_VERSION])
    ids, versions = table.column("id").to_numpy(), table.column(MODEL_VERSION).to_numpy()
    old = np.flatnonzero(versions < current)
    ordered: NDArray[np.int64] = ids[old[np.argsort(versions[old], kind="stable")]]
    return ordered


def re_encode(path: Path, *, workers: int | None = None, device: str = "auto", gently: bool = False) -> ReEncoded:
    """Give every old row a code of the current model; killed or interrupted, the same call goes on where it stopped.

    Args:
        path: the collection.
        workers: threads; None takes one a core.
        device: see :func:`~deephash.encoding.open_encoder`.
        gently: in one thread, and only with time that nobody else wants.

    Raises:
        UsageError: another process does so already, or another model was published meanwhile.
        KeyboardInterrupt: after what was encoded has been committed.
    """
    if gently:
        _step_back()
    with _alone(path, _PATIENCE if gently else 0.0):
        collection = Collection.open(path)
        ids = old_rows(collection)
        if not len(ids):
            return ReEncoded()
        encoder = open_encoder(collection.model_path, device=device)
        work = _Work(collection, ids)
        work.run(encoder, 1 if gently else workers)
        complete_hub_biases(collection)
        return work.report


class _Work:
    """Encodes, commits every few batches, and keeps the report."""

    def __init__(self, collection: Collection, ids: NDArray[np.int64]) -> None:
        self.collection, self.ids, self.report = collection, ids, ReEncoded()
        self.version = collection.current
        self.waiting: list[tuple[NDArray[np.int64], Made]] = []

    def run(self, encoder: CodeEncoder, workers: int | None) -> None:
        """Do everything; on Ctrl-C commit what is encoded and let the interrupt through."""
        committed = time.monotonic()
        try:
            for made in track_batches(
                self._parts(encoder, workers), "encoding anew", total=len(self.ids), unit=" pictures"
            ):
                self.report.skipped += made.skipped
                if sum(len(each.places) for _, each in self.waiting) >= _COMMIT_ROWS or (
                    time.monotonic() - committed > _COMMIT_SECONDS
                ):
                    self._commit()
                    committed = time.monotonic()
        finally:
            self._commit()

    def _parts(self, encoder: CodeEncoder, workers: int | None) -> Iterator[Made]:
        vectors = self.collection.has_vectors
        for start in range(0, len(self.ids), _CHUNK):
            chunk = self.ids[start : start + _CHUNK]
            chunk = chunk[np.isin(chunk, self.collection.ids())]  # others may have removed some
            for made in encode_rows(self.collection, chunk, encoder, with_vectors=vectors, workers=workers):
                self.waiting.append((chunk[made.places], made))
                yield made

    def _commit(self) -> None:
        waiting, self.waiting = [each for each in self.waiting if len(each[0])], []
        if not waiting:
            return
        vectors = [made.vectors for _, made in waiting if made.vectors is not None]
        self.report.rows += self.collection.recode(
            np.concatenate([ids for ids, _ in waiting]),
            BinaryCodes.concatenate([made.codes for _, made in waiting]),
            content_hashes=[hash_ for _, made in waiting for hash_ in made.hashes],
            vectors=np.concatenate(vectors) if vectors else None,
            version=self.version,
        )


def start_behind(path: Path, device: str = "auto") -> int:
    """Start a process that encodes old rows anew with time that nobody else wants. Returns its number.

    It outlives this one; what it says stands in ``re-encode.log`` of the collection.
    """
    with (path / LOG).open("ab") as log:
        command = [
            sys.executable,
            "-m",
            "deephash.cli.main",
            "upgrade",
            str(path.resolve()),
            "--re-encode",
            "now",
            "--gently",
            "--device",
            device,
        ]
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT, start_new_session=True
        )
    return process.pid


def _step_back() -> None:
    """Let everybody else go first, for good."""
    os.environ["OMP_NUM_THREADS"] = "1"
    try:
        os.nice(19)
        os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
    except (AttributeError, OSError):  # of Linux; elsewhere the lowest priority has to do
        pass


@contextmanager
def _alone(path: Path, patience: float) -> Iterator[None]:
    """Hold the lock of re-encoding. Raises UsageError where another process has it for longer than ``patience``."""
    lock = write_lock(path / _LOCK, patience=patience)
    try:
        lock.__enter__()
    except CollectionError:
        raise UsageError(
            f"{path} is being encoded anew by another process already; {path / LOG} tells how far it is, and so does: "
            f"deephash collection info {path}"
        ) from None
    try:
        yield
    finally:
        lock.__exit__(None, None, None)
