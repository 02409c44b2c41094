"""Pictures that people hand over, as on the page: the files are kept inside the collection's own folder."""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from deephash.codes import BinaryCodes
from deephash.collection import Collection
from deephash.collection.folder import FoundFile, Skipped, file_attributes
from deephash.collection.hubs import complete_hub_biases
from deephash.collection.reader import INSIDE, UPLOADS
from deephash.encoding.opening import Source
from deephash.errors import DeephashError, UnreadablePicture
from deephash.ingest.encoder import Batch, StreamEncoder, further_codes
from deephash.pictures import content_hash
from deephash.pictures.decoding import open_lazily

_SUFFIXES = {"JPEG": ".jpg", "PNG": ".png", "WEBP": ".webp", "GIF": ".gif", "BMP": ".bmp", "TIFF": ".tif"}


@dataclass(frozen=True)
class Upload(FoundFile):
    """A file that is not on disk yet; ``uri`` is the name under which it came."""

    data: bytes

    def read(self) -> bytes:
        """Return its content."""
        return self.data


def add_uploads(
    collection: Collection,
    source: Source,
    files: Sequence[tuple[str, bytes]],
    *,
    most_bytes: int,
    progress: Callable[[int, int], None] | None = None,
) -> tuple[tuple[int, ...], list[Skipped]]:
    """Encode pictures, one at a time, keep their files in ``X.dh/uploads`` and append them all in one commit.

    Args:
        collection: its precision is kept, and vectors where it has them.
        source: the encoder that made its codes, or what :func:`~deephash.encoding.open_encoder` opens.
        files: (name, content) of each.
        most_bytes: of one file.
        progress: called with (done, total) after each picture.

    Returns:
        The new ids, and (name, reason) of each file that was not taken.

    Raises:
        UnreadablePicture: no file could be taken; nothing is written then.
    """
    stream = StreamEncoder.of(collection, source)
    known = set(collection.table(["content_hash"]).column("content_hash").to_pylist())
    taken: list[tuple[Upload, Batch]] = []
    skipped: list[Skipped] = []
    for number, (name, data) in enumerate(files, start=1):
        upload = Upload(Path(name), Path(name).name, len(data), datetime.now(UTC).replace(tzinfo=None), data)
        try:
            taken.append((upload, _encoded(stream, upload, known, most_bytes)))
        except DeephashError as error:
            skipped.append(Skipped(upload.uri, str(error)))
        if progress is not None:
            progress(number, len(files))
    if not taken:
        raise UnreadablePicture("nothing was added. " + " ".join(f"{name}: {why}." for name, why in skipped))
    ids = _append(collection, taken, stream.encoder.fingerprint())
    complete_hub_biases(collection)
    return ids, skipped


def _encoded(stream: StreamEncoder, upload: Upload, known: set[str], most_bytes: int) -> Batch:
    """Return the batch of one picture. Raises DeephashError with the reason why it cannot be taken."""
    if upload.size > most_bytes:
        raise UnreadablePicture(f"larger than {most_bytes >> 20} MiB")
    digest = content_hash(upload.data)
    if digest in known:
        raise UnreadablePicture("already in the collection")
    batch = stream.batch([(upload, None)])
    for _, reason in batch.skipped:
        raise UnreadablePicture(reason)
    known.add(digest)
    return batch


def _append(collection: Collection, taken: Sequence[tuple[Upload, Batch]], made_by: str) -> tuple[int, ...]:
    folder = collection.path / UPLOADS
    folder.mkdir(exist_ok=True)
    opened = [one for _, batch in taken for one in batch.opened]
    names = [_store(folder, one.content_hash, upload.data) for one, (upload, _) in zip(opened, taken)]
    vectors = [batch.vectors for _, batch in taken if batch.vectors is not None]
    ids = collection.append(
        uris=[f"{INSIDE}{UPLOADS}/{name}" for name in names],
        content_hashes=[one.content_hash for one in opened],
        codes=BinaryCodes.concatenate([batch.codes for _, batch in taken if batch.codes is not None]),
        attributes=[file_attributes(one.file, one.facts) | {"folder": UPLOADS, "label": None} for one in opened],
        vectors=np.concatenate(vectors) if vectors else None,
        further=further_codes([batch for _, batch in taken]),
        made_by=made_by,
    )
    return tuple(int(item) for item in ids)


def _store(folder: Path, digest: str, data: bytes) -> str:
    """Write a file under a name made of its content; never a name from outside. Returns the name."""
    with open_lazily(data) as picture:
        name = digest + _SUFFIXES.get(picture.format or "", ".img")
    scratch = folder / f".{secrets.token_hex(8)}"
    scratch.write_bytes(data)
    os.replace(scratch, folder / name)
    return name
