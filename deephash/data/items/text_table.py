"""A table of text, one line an item: ours, or OML's with its columns is_query, is_gallery, split, path and label."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

from deephash.collection import tables
from deephash.collection.tables import Table, read_table
from deephash.data.items.item_list import ItemList
from deephash.data.split_words import known_word
from deephash.errors import DataError, UsageError, did_you_mean

ROLES = {"path": tables.PATH, "split": tables.SPLIT, "labels": tables.LABELS, "text": tables.TEXT}
ASKS, SEARCHED = "is_query", "is_gallery"
_YES = ("1", "1.0", "true", "yes", "y")
_NO = ("", "0", "0.0", "false", "no", "n", "nan", "none", "null", "na")


def read_text_table(path: Path, root: Path) -> ItemList:
    """Read a ``.csv``, ``.tsv`` or ``.parquet`` of columns of text; ``root`` is what paths are relative to.

    Raises DatasetNotFound, DataError or UsageError.
    """
    table = read_table(path)
    found = {role: table.heading(names) for role, names in ROLES.items()}
    _require_items(path, table, found)
    columns = {role: table.columns[heading] for role, heading in found.items() if heading is not None}
    flags = {name: table.heading((name,)) for name in (ASKS, SEARCHED)}
    split = _split(table, columns.get("split"), flags)
    paths, texts = columns.get("path"), columns.get("text")
    unused = table.unused([*found.values(), *flags.values()])
    return ItemList(
        source=str(path),
        names=paths if paths is not None else columns["text"],
        checksum=hashlib.sha256(path.read_bytes() + str(root.absolute()).encode()).hexdigest(),
        pictures=None if paths is None else [root / name if name else None for name in paths],
        texts=texts,
        labels=columns.get("labels"),
        split=split,
        columns=table.columns,
        notes=tuple(_unused_note(path, unused, "labels" in columns)),
    )


def _require_items(path: Path, table: Table, found: dict[str, str | None]) -> None:
    if found["path"] is None and found["text"] is None:
        hint = did_you_mean(next(iter(table.columns)), list(ROLES))
        raise UsageError(f"{path} has neither 'path' nor 'text' among its columns {', '.join(table.columns)}{hint}")
    if not len(table):
        raise DataError(f"{path} lists no items")
    label, labels = table.heading(("label",)), table.heading(("labels",))
    if label and labels and table.columns[label] != table.columns[labels]:
        raise UsageError(
            f"{path} has both {label!r} and {labels!r}, and they say different things; rename the one that is not meant"
        )


def _split(table: Table, words: Sequence[str] | None, flags: dict[str, str | None]) -> Sequence[str] | None:
    """Return the splits of each item; is_query and is_gallery say more than ``validation``, where they are there."""
    if not any(flags.values()):
        return words
    marks = {name: _marks(table, heading) for name, heading in flags.items()}
    given = words if words is not None else [""] * len(table)
    return [_of_one(*each) for each in zip(given, marks[ASKS], marks[SEARCHED], strict=True)]


def _of_one(word: str, asks: bool, searched: bool) -> str:
    parts = ["query"] * asks + ["database"] * searched
    own = [part for part in word.split(",") if known_word(part.strip()) not in ("validation_query", None)]
    return ",".join(dict.fromkeys([*own, *parts])) or ("" if word else "train")


def _marks(table: Table, heading: str | None) -> list[bool]:
    if heading is None:
        return [False] * len(table)
    cells = [cell.strip().lower() for cell in table.columns[heading]]
    strange = next((row for row, cell in enumerate(cells) if cell not in (*_YES, *_NO)), None)
    if strange is not None:
        raise DataError(f"{table.line(strange)}: {heading} is true or false, not {table.columns[heading][strange]!r}")
    return [cell in _YES for cell in cells]


def _unused_note(path: Path, unused: list[str], has_labels: bool) -> list[str]:
    """Name the columns that were not read, so that a heading nobody knows is not lost in silence."""
    if not unused:
        return []
    hint = "" if has_labels else f"; none gives labels, which are read from {' or '.join(tables.LABELS)}"
    return [f"{path} has columns that are not used: {', '.join(unused)}{hint}"]
