"""A user's own list of names and labels, from which a split is drawn: .csv, .tsv, or lines in HashNet's format."""

from __future__ import annotations

import csv
from collections.abc import Iterable
from pathlib import Path

from deephash.data.manifests import SplitManifest, read_hashnet_lists
from deephash.errors import DataError, DatasetNotFound, UsageError

NAME_COLUMNS = ("name", "names", "path", "file", "id")
LABEL_COLUMNS = ("labels", "label", "class")
SEPARATORS = {".csv": ",", ".tsv": "\t"}


def read_label_list(path: str | Path) -> SplitManifest:
    """Read names and labels of all items of a data set; nobody is query, train or database yet.

    ``.csv`` and ``.tsv`` have a head line that names a column of names (``name``, ``path``, ``file`` or ``id``) and one
    of labels (``labels``, ``label`` or ``class``): class names or numbers, several joined by ``|``, nothing where there
    is no label. Any other file has HashNet's lines, ``path 0 0 1``.

    Raises:
        DatasetNotFound: no such file.
        DataError: not a text table, or lines that do not fit the head.
        UsageError: no such columns.
    """
    separator = SEPARATORS.get(Path(path).suffix.lower())
    if separator is None:
        return read_hashnet_lists({"database": path})
    names, words = _columns(Path(path), separator)
    sets = [[word.strip() for word in text.split("|") if word.strip()] for text in words]
    known = {word for labels in sets for word in labels}
    are_numbers = all(word.isascii() and word.isdecimal() for word in known)
    class_names = () if are_numbers else tuple(sorted(known))
    number = {word: int(word) for word in known} if are_numbers else {word: i for i, word in enumerate(class_names)}
    labels = tuple(tuple(sorted({number[word] for word in item})) for item in sets)
    return SplitManifest("custom", names, labels, {}, class_names)


def _columns(path: Path, separator: str) -> tuple[tuple[str, ...], list[str]]:
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            head, *lines = [line for line in csv.reader(file, delimiter=separator) if line] or [[]]
    except FileNotFoundError:
        raise DatasetNotFound(f"{path}: no such file") from None
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{path} cannot be read as a table of text: {error}") from None
    places = [_place(path, head, wanted) for wanted in (NAME_COLUMNS, LABEL_COLUMNS)]
    short = next((row for row, line in enumerate(lines, start=2) if len(line) != len(head)), None)
    if short is not None:
        raise DataError(f"{path}: line {short} has another number of columns than the head, {len(head)}")
    return tuple(line[places[0]] for line in lines), [line[places[1]] for line in lines]


def _place(path: Path, head: list[str], wanted: Iterable[str]) -> int:
    found = [head.index(name) for name in wanted if name in head]
    if not found:
        raise UsageError(f"{path} has no column {' or '.join(wanted)}; its head line is: {', '.join(head) or 'empty'}")
    return found[0]
