"""Collections in an object store: Lance reads and writes the rows there, the small files come and go as a copy here."""

from __future__ import annotations

from pathlib import Path

from deephash.collection.stored.copying import pull
from deephash.collection.stored.places import copy_of, is_stored_name

__all__ = ["here", "is_stored_name"]


def here(path: str | Path) -> Path:
    """Return the folder of a collection on this disk; of an address the copy of its small files, brought up to date.

    Raises:
        UsageError: an address that cannot be a collection's.
        CollectionError: the store does not answer, or refuses.
    """
    folder = copy_of(str(path)) if is_stored_name(path) else Path(path)
    pull(folder)
    return folder
