"""Adding and removing pictures while the page is being used, and taking the last change back."""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from deephash.codes import BinaryCodes
from deephash.collection import Collection
from deephash.collection.folder import content_hash
from deephash.collection.reader import INSIDE
from deephash.errors import DeephashError, UnreadablePicture, UsageError
from deephash.pictures import PictureFacts, read_picture
from deephash.pictures.decoding import open_lazily

from .actions import MAX_UPLOAD_BYTES
from .workspace import Place, Workspace

UPLOADS = "uploads"
MOST_AT_ONCE = 200
_SUFFIXES = {"JPEG": ".jpg", "PNG": ".png", "WEBP": ".webp", "GIF": ".gif", "BMP": ".bmp", "TIFF": ".tif"}


@dataclass(frozen=True)
class Change:
    """One change that can be taken back.

    Attributes:
        name: the collection.
        kind: what was done.
        ids: of the rows added or removed.
        before: version before the change.
        after: version after it.
        skipped: (file name, reason) of uploads that were not taken.
    """

    name: str
    kind: str
    ids: tuple[int, ...]
    before: int
    after: int
    skipped: tuple[tuple[str, str], ...] = ()

    def __str__(self) -> str:
        count = f"{len(self.ids)} picture{'s' * (len(self.ids) != 1)}"
        left_out = "".join(f" Left out: {name} ({reason})." for name, reason in self.skipped)
        return f"{'Added' if self.kind == 'add' else 'Removed'} {count}.{left_out}"


def add_pictures(
    workspace: Workspace,
    name: str,
    files: Sequence[tuple[str, bytes]],
    *,
    progress: Callable[[int, int], None] | None = None,
) -> Change:
    """Encode pictures and append them; they are searchable when this returns.

    The files are kept inside the collection's own folder (``X.dh/uploads``), not among somebody's pictures.

    Args:
        workspace: must not be read-only.
        name: the collection.
        files: (file name, content) of each upload.
        progress: called with (done, total) after each picture.

    Raises:
        UsageError: read-only, nothing or too much given, or no upload could be used.
    """
    place = _changeable(workspace, name)
    if not 1 <= len(files) <= MOST_AT_ONCE:
        raise UsageError(f"between 1 and {MOST_AT_ONCE} pictures are taken at once, not {len(files)}")
    with place.changing:
        collection = Collection.open(place.searcher.path)
        before = collection.version
        known = set(collection.table(["content_hash"]).column("content_hash").to_pylist())
        rows, skipped = [], []
        for number, (file_name, data) in enumerate(files, start=1):
            try:
                rows.append(_read(place, data, known, with_vector=collection.has_vectors))
                known.add(rows[-1]["hash"])
            except DeephashError as error:
                skipped.append((Path(file_name).name, str(error).replace("these bytes: ", "")))
            if progress is not None:
                progress(number, len(files))
        if not rows:
            raise UnreadablePicture("nothing was added. " + " ".join(f"{file}: {why}." for file, why in skipped))
        ids = _append(collection, rows)
        return Change(name, "add", ids, before, collection.version, tuple(skipped))


def remove_items(workspace: Workspace, name: str, ids: Sequence[int]) -> Change:
    """Remove items from the collection; their files stay where they are."""
    place = _changeable(workspace, name)
    with place.changing:
        collection = Collection.open(place.searcher.path)
        before = collection.version
        if not collection.remove(list(ids)):
            raise UsageError("that picture is no longer in the collection; somebody else may have removed it")
        return Change(name, "remove", tuple(ids), before, collection.version)


def undo(workspace: Workspace, change: Change) -> str:
    """Take a change back and say so. Raises UsageError where others have changed the collection since."""
    place = _changeable(workspace, change.name)
    with place.changing:
        collection = Collection.open(place.searcher.path)
        if change.kind == "add":
            present = set(collection.ids().tolist())
            for item in collection.items([item for item in change.ids if item in present]):
                (collection.path / item.uri.removeprefix(INSIDE)).unlink(missing_ok=True)
            collection.remove(list(change.ids))
            return f"{len(change.ids)} added picture{'s' * (len(change.ids) != 1)} taken out again."
        if collection.version != change.after:
            raise UsageError(
                f"the collection has changed since (version {collection.version}, not {change.after}), so putting the "
                f"pictures back would undo that too. From the shell: deephash collection restore X.dh {change.before}"
            )
        collection.restore(change.before)
        return f"{len(change.ids)} removed picture{'s' * (len(change.ids) != 1)} put back."


def _changeable(workspace: Workspace, name: str) -> Place:
    if workspace.read_only:
        raise UsageError("this server is read-only; nothing can be added or removed")
    return workspace.place(name)


def _read(place: Place, data: bytes, known: set[str], *, with_vector: bool) -> dict[str, Any]:
    if len(data) > MAX_UPLOAD_BYTES:
        raise UnreadablePicture(f"larger than {MAX_UPLOAD_BYTES >> 20} MiB")
    digest = content_hash(data)
    if digest in known:
        raise UsageError("already in the collection")
    side = place.searcher.encoder.model.picture_side
    picture, facts = read_picture(data, reduced_to=side)
    encoded = place.searcher.encoder.encode("image", picture, with_vector=with_vector)
    return {"hash": digest, "data": data, "facts": facts, "code": encoded.code, "vector": encoded.vector}


def _append(collection: Collection, rows: Sequence[dict[str, Any]]) -> tuple[int, ...]:
    import numpy as np

    folder = collection.path / UPLOADS
    folder.mkdir(exist_ok=True)
    uris = [f"{INSIDE}{UPLOADS}/{_store(folder, row['hash'], row['data'])}" for row in rows]
    ids = collection.append(
        uris=uris,
        content_hashes=[row["hash"] for row in rows],
        codes=BinaryCodes.concatenate([row["code"] for row in rows]),
        attributes=[_attributes(row["facts"], len(row["data"])) for row in rows],
        vectors=np.concatenate([row["vector"] for row in rows]) if collection.has_vectors else None,
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


def _attributes(facts: PictureFacts, size: int) -> dict[str, Any]:
    found: dict[str, Any] = {"size": size, "width": facts.width, "height": facts.height, "folder": UPLOADS}
    found["mtime"] = datetime.now(UTC).replace(tzinfo=None)
    found |= {"taken": facts.taken, "year": facts.taken.year} if facts.taken else {}
    return found
