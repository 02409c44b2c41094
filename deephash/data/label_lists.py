"""A user's own list of names and labels, from which a split is drawn: .csv, .tsv, or lines in HashNet's format."""

from __future__ import annotations

from pathlib import Path

from deephash.collection.label_words import split_labels
from deephash.collection.tables import LABELS, NAME, PATH, read_table
from deephash.data.manifests import SplitManifest, read_hashnet_lists

NAME_COLUMNS = (*NAME, *PATH, "id")
ENDINGS = (".csv", ".tsv", ".parquet")


def read_label_list(path: str | Path) -> SplitManifest:
    """Read names and labels of all items of a data set; nobody is query, train or database yet.

    ``.csv``, ``.tsv`` and ``.parquet`` name a column of names (``name``, ``path``, ``file``, ..., or ``id``) and one of
    labels (``labels``, ``label``, ``class``, ...): class names or numbers, several joined by ``|``, nothing where there
    is no label. Numbers are classes where all are written as such, and -1 among them is no label; 01 beside 1, or a
    number that no class has, makes all of them names. Any other file has HashNet's lines, ``path 0 0 1``.

    Raises:
        DatasetNotFound: no such file.
        DataError: not a text table, or lines that do not fit the head.
        UsageError: no such columns.
    """
    if Path(path).suffix.lower() not in ENDINGS:
        return read_hashnet_lists({"database": path})
    table = read_table(path)
    names = tuple(table.columns[table.require(NAME_COLUMNS)])
    sets, are_numbers = split_labels(table.columns[table.require(LABELS)])
    known = {word for labels in sets for word in labels}
    class_names = () if are_numbers else tuple(sorted(known))
    number = {word: int(word) for word in known} if are_numbers else {word: i for i, word in enumerate(class_names)}
    labels = tuple(tuple(sorted({number[word] for word in item})) for item in sets)
    return SplitManifest("custom", names, labels, {}, class_names)
