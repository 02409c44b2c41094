"""Bring a collection up to date with a folder of pictures: encode what is new, keep what is known, lose nothing."""

from __future__ import annotations

import time
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np

from deephash.codes import BinaryCodes
from deephash.collection import Collection
from deephash.collection.attributes import apply_attributes, check_attributes
from deephash.collection.folder import (
    FolderPlan,
    FoundFile,
    Skipped,
    file_attributes,
    plan_update,
)
from deephash.collection.hubs import complete_hub_biases
from deephash.collection.stored import here
from deephash.encoding.opening import Source, int8_flip_rate, precision_of
from deephash.encoding.port import Decode, Engine, Precision
from deephash.errors import DataError, UsageError
from deephash.ingest.creating import Wishes, create, go_on, is_model_of, require_fit
from deephash.ingest.encoder import Batch, Job, StreamEncoder, further_codes
from deephash.ingest.extras import fit_extras
from deephash.ingest.ray_workers import RAY, Recipe, ray_batches, require_ray
from deephash.ingest.refusals import Refusal, read_refusals, refusal, without_refused, write_skipped
from deephash.ingest.where import look_through
from deephash.numbers import whole
from deephash.pictures import PictureMemory
from deephash.progress import track_batches

_COMMIT_ROWS, _COMMIT_SECONDS, _MANY_FILES = 512, 10.0, 64
_SAMPLE = 64  # pictures encoded in both precisions to show how many bits flip


@dataclass
class IngestReport:
    """What happened, in numbers of pictures.

    Attributes:
        added: new rows.
        changed: rows whose picture has new content.
        renamed: rows whose file has another name now; their codes were kept.
        removed: rows whose file is gone.
        unchanged: rows left as they are.
        skipped: (path, reason) of each file left out; also in ``skipped.csv`` inside the collection.
        scaled: (path, how) of each 16-bit, integer or float picture whose file leaves open what is black and white.
        seconds: wall time of encoding and writing.
        precision: in which the network computed.
        flip_rate: share of bits that bf16 or int8 decides otherwise than fp32, on a sample; None for fp32.
        unmatched_attributes: paths in the table of attributes that no row has.
    """

    added: int = 0
    changed: int = 0
    renamed: int = 0
    removed: int = 0
    unchanged: int = 0
    skipped: list[Skipped] = field(default_factory=list)
    scaled: list[Skipped] = field(default_factory=list)
    seconds: float = 0.0
    precision: Precision = "fp32"
    flip_rate: float | None = None
    unmatched_attributes: list[str] = field(default_factory=list)

    @property
    def encoded(self) -> int:
        """Pictures that went through the model."""
        return self.added + self.changed


def index_folder(
    folder: str | Path,
    out: str | Path,
    model: Source | None = None,
    *,
    batch_size: int = 32,
    workers: int | Literal["ray"] | None = None,
    exclude: Sequence[str] = (),
    follow_symlinks: bool = False,
    dry_run: bool = False,
    keep_vectors: bool = False,
    precision: Precision | None = None,
    attributes: Mapping[str, Mapping[str, Any]] | None = None,
    moved: bool = False,
    allow_empty: bool = False,
    device: str = "auto",
    engine: Engine = "auto",
    decode: Decode | None = None,
    memory: PictureMemory | None = None,
) -> IngestReport:
    """Create the collection ``out`` from a folder of pictures, or bring it up to date.

    Work is committed every few batches: interrupted by Ctrl-C or killed, the same call goes on where it stopped.

    Args:
        folder: the root of a new collection; of an existing one the root, or a folder below it. Tar and Parquet shards
            in it are read in place; it may be one shard, or an address in an object store (``s3://bucket/prefix``).
        out: the collection, a folder or ``s3://BUCKET/NAME.dh``.
        model: what encodes: a model in memory, a run, a model folder or an encoder (see
            :func:`~deephash.encoding.open_encoder`); None takes the collection's own.
        batch_size: pictures in one forward pass.
        workers: threads; None takes one a core. ``ray`` encodes on the workers of a Ray cluster, or of one that is
            started here, see :mod:`~deephash.ingest.ray_workers`.
        exclude: globs of files and folders to pass over; rows that exist for them stay.
        follow_symlinks: read linked files and enter linked folders.
        dry_run: only say what would be done.
        keep_vectors: keep float16 feature vectors for re-ranking; decided when the collection is made.
        precision: ``bf16`` is faster or slower than fp32 by processor and network, and flips a few bits near zero;
            ``int8`` is about twice as fast on a CPU and flips more. None takes what the collection has, and fp32 for a
            new one; one collection has one.
        attributes: {path relative to the root: {attribute: value}}, laid over what the files give.
        moved: the pictures of an existing collection lie below ``folder`` now.
        allow_empty: remove every row where the folder holds no picture any more.
        device: ``auto`` computes on a GPU where there is one.
        engine: see :func:`~deephash.encoding.open_encoder`; a collection goes on with the one it was made by.
        decode: ``full`` decodes JPEGs at their whole size before they are made small, as others do, instead of at a
            size near the network's, which is several times faster and flips some bits. None takes what the collection
            has, and the reduced size for a new one.
        memory: pictures that were decoded a moment ago, as :func:`~deephash.fitting.fit_training_free` leaves them.

    Raises:
        DataError: the folder is missing, or empty while the collection is not; nothing is changed then.
        IncompatibleModel: the collection holds codes of another model.
        KeyboardInterrupt: after what was encoded has been committed.
    """
    if workers == RAY:
        require_ray()
    for name, number in (("batch_size", batch_size), ("workers", 1 if workers in (None, RAY) else workers)):
        whole(number, name, least=1)
    target = here(out)
    collection = None if is_free(target) else Collection.open(target)
    root, below, listing, source = look_through(
        folder, target, collection, moved=moved, exclude=exclude, follow_symlinks=follow_symlinks
    )
    plan = FolderPlan(new=listing.files)
    if collection is not None:
        plan = plan_update(collection, listing, below, exclude)
        _refuse_to_empty(plan, listing.files, source, allow_empty)
    if attributes:
        check_attributes(collection, attributes)  # before an hour of encoding
    known = {} if collection is None else read_refusals(collection.path)
    plan, again = without_refused(plan, known)
    skipped = [*listing.skipped, *(Skipped(uri, was.reason) for uri, was in again.items())]
    if dry_run:
        return _foretold(plan, skipped)
    chosen = _own_model(collection, target) if model is None else model
    wishes = Wishes(device, engine, precision, decode, keep_vectors)
    if collection is None:
        collection, encoder = create(target, chosen, root, plan.new, wishes)
        stream: StreamEncoder | None = StreamEncoder.of(collection, encoder, memory=memory)
    else:
        stream = _stream(collection, chosen, plan, wishes)
    if moved:
        collection.move_root(root)
    report = IngestReport(unchanged=plan.unchanged, skipped=skipped, precision=precision_of(collection))
    elsewhere = {uri: was for uri, was in known.items() if not uri.startswith(below)}
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module=r"PIL\.")  # of what it finds odd in a file that it then reads
        _Update(collection, stream, plan, report, elsewhere | again).run(batch_size, workers)
    complete_hub_biases(collection)
    if attributes:
        report.unmatched_attributes = apply_attributes(collection, attributes).unmatched
    if collection.num_files > _MANY_FILES:
        collection.compact()
    return report


class _Update:
    """One run: encodes, commits every few batches, and keeps the report."""

    def __init__(
        self,
        collection: Collection,
        encoder: StreamEncoder | None,
        plan: FolderPlan,
        report: IngestReport,
        refusals: dict[str, Refusal],
    ) -> None:
        self.collection, self.encoder, self.plan, self.report = collection, encoder, plan, report
        self.refusals = refusals
        self.waiting: list[Batch] = []
        self.changing = {file.uri for file, _ in plan.suspects}

    def run(self, batch_size: int, workers: int | Literal["ray"] | None) -> None:
        """Do everything; on Ctrl-C commit what is encoded and let the interrupt through."""
        started = committed = time.monotonic()
        self._rename()
        try:
            for batch in self._batches(batch_size, workers):
                self.waiting.append(batch)
                if sum(map(len, self.waiting)) >= _COMMIT_ROWS or time.monotonic() - committed > _COMMIT_SECONDS:
                    self._commit()
                    committed = time.monotonic()
        finally:
            self._commit()
            write_skipped(self.collection.path, self.report.skipped, self.refusals)
            self.report.seconds = time.monotonic() - started
        self.report.removed = self.collection.remove([row.id for row in self.plan.removed]) if self.plan.removed else 0

    def _batches(self, batch_size: int, workers: int | Literal["ray"] | None) -> Iterator[Batch]:
        """Yield what became of the files; without an encoder there are none to encode."""
        jobs: list[Job] = [*self.plan.suspects, *((file, None) for file in self.plan.new)]
        if self.encoder is None:
            return
        self.report.flip_rate = self._flip_rate(self.encoder, jobs[:_SAMPLE])
        if workers == "ray":
            batches = self._by_ray(self.encoder, jobs, batch_size)
        else:
            batches = self.encoder.stream(jobs, batch_size=batch_size, workers=workers)
        yield from track_batches(batches, "indexing", total=len(jobs), unit=" pictures")

    def _by_ray(self, stream: StreamEncoder, jobs: Sequence[Job], batch_size: int) -> Iterator[Batch]:
        folder = self.collection.model_path
        if folder is None or not jobs:
            return iter(())
        recipe = Recipe.of(stream, folder)
        return ray_batches(jobs, recipe, batch_size=batch_size, staged=not stream.encoder.runs_on_cpu)

    def _flip_rate(self, encoder: StreamEncoder, jobs: Sequence[Job]) -> float | None:
        """Return the share of bits that differ from those of fp32; of int8 it was measured when that was made."""
        if encoder.encoder.precision == "int8" and self.collection.model_path is not None:
            return int8_flip_rate(self.collection.model_path)
        return encoder.flip_rate(jobs) if encoder.encoder.precision == "bf16" else None

    def _rename(self) -> None:
        moved = self.plan.renamed
        if moved:
            ids, uris = [row.id for _, row in moved], [file.uri for file, _ in moved]
            self.collection.update(ids, [file_attributes(file) for file, _ in moved], uris=uris)
            self.report.renamed = len(moved)

    def _commit(self) -> None:
        batches, self.waiting = self.waiting, []
        for batch in batches:
            self.report.skipped += [*batch.skipped, *batch.notes]
            self.report.scaled += batch.scaled
            self.refusals |= {file.uri: refusal(file, reason) for file, reason in batch.refused}
        touched = [pair for batch in batches for pair in batch.touched]
        if touched:
            said = fit_extras(self.collection, [each for batch in batches for each in batch.said])
            changes = [file.stamp() | each for (file, _), each in zip(touched, said)]
            self.collection.update([row.id for _, row in touched], changes)
            self.report.unchanged += len(touched)
        opened = [one for batch in batches for one in batch.opened]
        if not opened or self.encoder is None:
            return
        vectors = [batch.vectors for batch in batches if batch.vectors is not None]
        extras = fit_extras(self.collection, [one.extras for one in opened])
        self.collection.put(
            uris=[one.file.uri for one in opened],
            codes=BinaryCodes.concatenate([batch.codes for batch in batches if batch.codes is not None]),
            content_hashes=[one.content_hash for one in opened],
            attributes=[file_attributes(one.file, one.facts) | more for one, more in zip(opened, extras)],
            vectors=np.concatenate(vectors) if vectors else None,
            further=further_codes(batches),
            made_by=self.encoder.encoder.fingerprint(),
        )
        changed = sum(one.file.uri in self.changing for one in opened)
        self.report.changed += changed
        self.report.added += len(opened) - changed


def _foretold(plan: FolderPlan, skipped: Sequence[Skipped]) -> IngestReport:
    return IngestReport(
        added=len(plan.new),
        changed=len(plan.suspects),
        renamed=len(plan.renamed),
        removed=len(plan.removed),
        unchanged=plan.unchanged,
        skipped=list(skipped),
    )


def _own_model(collection: Collection | None, target: Path) -> Path:
    if collection is None:
        raise UsageError(f"{target} is new and needs a model: --model RUN/model (deephash train makes one)")
    folder = collection.model_path
    if folder is None:
        raise UsageError(f"{target} holds codes from elsewhere; no model here can add to it")
    return folder


def is_free(target: Path) -> bool:
    """Whether a new collection may be made there: nothing is, or an empty folder."""
    return not target.exists() or (target.is_dir() and not any(target.iterdir()))


def _stream(collection: Collection, chosen: Source, plan: FolderPlan, wishes: Wishes) -> StreamEncoder | None:
    """Return what encodes; None where nothing is to be, as opening the model would take most of the time."""
    if plan.new or plan.suspects or not is_model_of(collection, chosen):
        return StreamEncoder.of(collection, go_on(collection, chosen, plan.new, wishes))
    require_fit(collection, wishes)
    return None


def _refuse_to_empty(plan: FolderPlan, files: Sequence[FoundFile], folder: str, allow_empty: bool) -> None:
    if plan.removed and not files and not allow_empty:
        raise DataError(
            f"{folder} holds no pictures, but the collection knows {len(plan.removed):,} in it. Nothing was removed. "
            "If its disk is not connected, connect it; if they are really gone, add --allow-empty"
        )
