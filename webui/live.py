"""Adding and removing pictures while the page is being used, and taking the last change back."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from deephash.collection import Collection
from deephash.errors import UsageError
from deephash.ingest.uploads import add_uploads

from .actions import MAX_UPLOAD_BYTES
from .changes import Change, changeable
from .tagging import untag
from .workspace import Workspace

MOST_AT_ONCE = 200


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
    place = changeable(workspace, name)
    if not 1 <= len(files) <= MOST_AT_ONCE:
        raise UsageError(f"between 1 and {MOST_AT_ONCE} pictures are taken at once, not {len(files)}")
    with place.changing:
        collection = Collection.open(place.searcher.path)
        before, encoder = collection.version, place.searcher.encoder.model
        ids, skipped = add_uploads(collection, encoder, files, most_bytes=MAX_UPLOAD_BYTES, progress=progress)
        return Change(name, "add", ids, before, collection.version, tuple(skipped))


def remove_items(workspace: Workspace, name: str, ids: Sequence[int]) -> Change:
    """Remove items from the collection; their files stay where they are."""
    place = changeable(workspace, name)
    with place.changing:
        collection = Collection.open(place.searcher.path)
        before = collection.version
        if not collection.remove(list(ids)):
            raise UsageError("that picture is no longer in the collection; somebody else may have removed it")
        return Change(name, "remove", tuple(ids), before, collection.version)


def undo(workspace: Workspace, change: Change) -> str:
    """Take a change back and say so. Raises UsageError where others have changed the collection since."""
    place = changeable(workspace, change.name)
    with place.changing:
        collection = Collection.open(place.searcher.path)
        if change.kind == "add":
            present = set(collection.ids().tolist())
            for item in collection.items([item for item in change.ids if item in present]):
                collection.remove_picture(item)
            collection.remove(list(change.ids))
            return f"{len(change.ids)} added picture{'s' * (len(change.ids) != 1)} taken out again."
        if change.kind == "tag":
            untag(collection, change.ids, change.tag)
            return f"The tag “{change.tag}” is taken off again."
        if collection.version != change.after:
            raise UsageError(
                f"the collection has changed since (version {collection.version}, not {change.after}), so putting the "
                f"pictures back would undo that too. From the shell: deephash collection restore X.dh {change.before}"
            )
        collection.restore(change.before)
        return f"{len(change.ids)} removed picture{'s' * (len(change.ids) != 1)} put back."
