"""What can be wrong with a list of items beside its split: pictures that are not there, captions that say nothing."""

from __future__ import annotations

from collections.abc import Iterator

from deephash.data.check import Problem
from deephash.data.items.item_list import ItemList


def check_items(items: ItemList) -> Iterator[Problem]:
    """Yield what is wrong: ``missing-file``, ``empty-caption``, ``no-split``.

    Where not one picture is found, the list lies elsewhere than they do, and ``--root`` would say where.
    """
    missing = items.missing_files()
    if 0 < len(missing) < sum(at is not None for at in items.pictures or ()):
        message = f"{len(missing):,} of {len(items):,} pictures are not where the list says"
        yield Problem("missing-file", message, tuple(missing))
    empty = [name for name, text in zip(items.names, items.texts or (), strict=False) if not text.strip()]
    if empty:
        yield Problem("empty-caption", f"{len(empty):,} of {len(items):,} items have no text", tuple(empty))
    nowhere = [name for name, words in zip(items.names, items.split or (), strict=False) if not words.strip(" ,")]
    if nowhere:
        yield Problem("no-split", f"{len(nowhere):,} of {len(items):,} items are in no split", tuple(nowhere))
