"""Codes and labels from an ``.npz`` that any program may have written.

The file holds ``codes`` and, for evaluation, ``labels``; everything else is optional:

=================  ====================================================================================================
``codes``          packed uint8 [N, ceil(K/8)] in ``numpy.packbits`` order, or 0/1, True/False or -1/+1 of shape [N, K]
``num_bits``       K; needed where packed and unpacked cannot be told apart, and where K is no multiple of 8
``num_levels``     L, for recurrent codes; default 1
``labels``         class numbers [N] (-1: unlabelled), class names [N], or multi-hot [N, C] (all zero: unlabelled)
``names``          one name an item (also read from ``uris``, ``ids`` or ``index``): finds queries in the database
``features``       float [N, D]: what the codes were made from; baselines are computed from it
``class_names``    [C] words for reports
``pairs``          number or name [N] of the pair an item belongs to (a picture and its captions; -1 or empty: none)
``sessions``       session [N] of a lifelong series an item came with, from 1
``targets``        labels that an attack aimed at, like ``labels``
``relevant``       queries: rows of the right database items [N, P], filled up with -1; used in place of labels
``ignored``        queries: rows that are taken out of the query's ranking (junk), like ``relevant``
``protocol``       name of the split, e.g. ``cifar10-i/v1``
``split``          checksum of the split
=================  ====================================================================================================
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deephash.codes import BinaryCodes
from deephash.errors import DataError, UsageError
from deephash.evaluation.arrays import as_integers, as_labels, as_words, read_codes
from deephash.evaluation.listed import ListedPairs
from deephash.foreign import Absent, read_npz

_COLUMNS = ("labels", "names", "features", "pairs", "sessions", "targets", "relevant", "ignored")
_NAME_COLUMNS = ("names", "uris", "ids", "index")
MOST_CLASSES = 1 << 20


@dataclass(frozen=True, eq=False)
class CodeFile:
    """N codes with what is known about the items.

    Attributes:
        codes: the codes.
        labels: class numbers int64 [N], multi-hot uint8 [N, C], class names str [N], or None.
        names: str [N] or None.
        features: float [N, D] or None.
        class_names: words for the classes, may be empty.
        pairs: int64 [N] (-1: none) or str [N] (empty: none), or None.
        sessions: int64 [N], from 1, or None.
        targets: labels an attack aimed at, as ``labels``, or None.
        relevant: int64 [N, P], rows of the right database items of a query (-1: none), or None.
        ignored: int64 [N, J], rows taken out of a query's ranking (-1: none), or None.
        protocol: name of the split protocol, or None.
        split: checksum of the split, or None.
        source: where it was read from, for messages.
    """

    codes: BinaryCodes
    labels: NDArray[Any] | None = None
    names: NDArray[np.str_] | None = None
    features: NDArray[np.floating] | None = None
    class_names: tuple[str, ...] = ()
    protocol: str | None = None
    split: str | None = None
    source: str = "codes"
    pairs: NDArray[Any] | None = None
    sessions: NDArray[np.int64] | None = None
    targets: NDArray[Any] | None = None
    relevant: NDArray[np.int64] | None = None
    ignored: NDArray[np.int64] | None = None

    def __post_init__(self) -> None:
        for column in _COLUMNS:
            values = getattr(self, column)
            if values is not None and len(values) != len(self.codes):
                raise UsageError(
                    f"{self.source}: {len(self.codes):,} codes but {len(values):,} {column}; there must be one an item"
                )

    def __len__(self) -> int:
        return len(self.codes)

    def label_words(self) -> list[str] | None:
        """Return the labels of each item as words, several joined by ``|``, "" for none; None without labels."""
        return None if self.labels is None else label_words(self.labels, self.class_names)

    def take(self, rows: NDArray[np.integer]) -> CodeFile:
        """Return the items of ``rows``, in that order."""
        columns = {name: getattr(self, name) for name in _COLUMNS}
        kept: dict[str, Any] = {name: None if values is None else values[rows] for name, values in columns.items()}
        return replace(self, codes=self.codes[rows], **kept)


def label_words(labels: NDArray[Any], class_names: Sequence[str]) -> list[str]:
    """Return labels as words, several joined by ``|``, "" for none; a class without a name is its number."""
    names = dict(enumerate(class_names))
    if labels.ndim == 2:
        return ["|".join(names.get(n, str(n)) for n in np.flatnonzero(row).tolist()) for row in labels]
    if labels.dtype.kind == "U":
        return [str(word) for word in labels.tolist()]
    return ["" if number < 0 else names.get(number, str(number)) for number in labels.tolist()]


def write_code_file(path: str | Path, side: CodeFile, **more: NDArray[Any]) -> None:
    """Write the codes of a side with labels, names, sessions, targets and class names, where it has them, and ``more``.

    :func:`read_code_file` reads it.
    """
    columns = {"labels": side.labels, "names": side.names, "sessions": side.sessions, "targets": side.targets}
    known = {name: column for name, column in columns.items() if column is not None}
    words = {"class_names": np.array(side.class_names)} if side.class_names else {}
    side.codes.save(path, **known, **words, **more)


def read_code_file(path: str | Path) -> CodeFile:
    """Read an ``.npz`` of codes; nothing in the file can run code.

    Raises:
        DataError: no such file, not an npz, damaged, or without ``codes``.
        UsageError: what the arrays mean cannot be told, or they do not fit each other.
    """
    columns = read_columns(path)
    if "codes" not in columns:
        raise DataError(f"{path} has no array 'codes'; it holds: {', '.join(sorted(columns)) or 'nothing'}")
    source = str(path)
    bits, levels = _number(columns, "num_bits", source), _number(columns, "num_levels", source) or 1
    return CodeFile(
        codes=read_codes(columns["codes"], num_bits=bits, num_levels=levels, source=source),
        labels=as_labels(columns["labels"], source=source) if "labels" in columns else None,
        names=next((as_words(columns[name], f"{name} of {source}") for name in _NAME_COLUMNS if name in columns), None),
        features=_features(columns["features"], source) if "features" in columns else None,
        class_names=tuple(
            as_words(np.atleast_1d(columns.get("class_names", np.array([], "U"))), f"class_names of {source}").tolist()
        ),
        protocol=_text(columns, "protocol"),
        split=_text(columns, "split"),
        source=source,
        pairs=_pairs(columns["pairs"], source) if "pairs" in columns else None,
        sessions=_sessions(columns["sessions"], source) if "sessions" in columns else None,
        targets=as_labels(columns["targets"], source=f"targets of {source}") if "targets" in columns else None,
        relevant=_item_rows(columns, "relevant", source),
        ignored=_item_rows(columns, "ignored", source),
    )


def read_columns(path: str | Path) -> dict[str, NDArray[Any]]:
    """Return the arrays of an ``.npz``; raises DataError where there is none or it is damaged."""
    try:
        return read_npz(path)
    except Absent:
        raise DataError(f"{path}: no such file") from None


def common_labels(query: CodeFile, database: CodeFile) -> tuple[NDArray[Any], NDArray[Any], tuple[str, ...]]:
    """Return query labels, database labels and class names in one numbering.

    Class names are numbered over both sides together; an empty name is an unlabelled item.

    Raises:
        UsageError: labels are missing on a side, or the sides are of different kinds or widths.
    """
    columns = [require_labels(side) for side in (query, database)]
    (first, second), words = number_labels([(query.source, columns[0]), (database.source, columns[1])])
    return first, second, words or query.class_names or database.class_names


def require_labels(side: CodeFile) -> NDArray[Any]:
    """Return the labels of a file. Raises UsageError where there are none."""
    if side.labels is None:
        raise UsageError(
            f"{side.source} has no labels, and without them nothing can be scored; add an array 'labels': "
            "class numbers [N] or multi-hot [N, C] (or 'pairs' on both sides: hits of the own pair)"
        )
    return side.labels


def number_labels(columns: Sequence[tuple[str, NDArray[Any]]]) -> tuple[list[NDArray[Any]], tuple[str, ...]]:
    """Return the labels of several files in one numbering, and the words for it where the labels are words.

    Args:
        columns: (source, labels) of each file; an empty word is an unlabelled item. Class numbers stay what they are,
            or become words where they are so large that they must be names of something (database ids).

    Raises:
        UsageError: labels of different kinds or widths.
    """
    (name, first), *others = columns
    for source, labels in others:
        if (first.ndim, first.dtype.kind == "U") != (labels.ndim, labels.dtype.kind == "U"):
            raise UsageError(f"labels of different kinds: {_kind(first)} in {name}, {_kind(labels)} in {source}")
        if first.ndim == 2 and first.shape[1] != labels.shape[1]:
            raise UsageError(
                f"multi-hot labels of different width: {first.shape[1]} and {labels.shape[1]} classes in {name} and "
                f"{source}"
            )
    if first.ndim == 2 or (first.dtype.kind != "U" and max(each.max(initial=0) for _, each in columns) <= MOST_CLASSES):
        return [labels for _, labels in columns], ()
    nothing = "" if first.dtype.kind == "U" else -1
    known = sorted({word for _, labels in columns for word in labels.tolist()} - {nothing})
    number = {word: index for index, word in enumerate(known)} | {nothing: -1}
    numbered = [np.array([number[word] for word in labels.tolist()], dtype=np.int64) for _, labels in columns]
    return numbered, tuple(map(str, known))


def common_pairs(query: CodeFile, database: CodeFile) -> tuple[NDArray[np.int64], NDArray[np.int64]] | None:
    """Return the pair numbers of both sides in one numbering (-1: none); None where a side has none.

    Raises:
        UsageError: names on one side and numbers on the other, or no pair with an item on both sides.
    """
    if query.pairs is None or database.pairs is None:
        return None
    sides = [(query.source, query.pairs), (database.source, database.pairs)]
    if (query.pairs.dtype.kind == "U") != (database.pairs.dtype.kind == "U"):
        raise UsageError(f"pairs are numbers in one and names in the other of {sides[0][0]} and {sides[1][0]}")
    (asking, answering), _ = number_labels(sides)
    if not np.isin(asking[asking >= 0], answering).any():
        raise UsageError(f"no pair has an item both in {query.source} and in {database.source}; check 'pairs'")
    return asking, answering


def own_rows(query: CodeFile, database: CodeFile) -> NDArray[np.int64]:
    """Return the database row that each query is, [Q]: by name where both sides have names, else by order.

    Raises:
        UsageError: a query is not in the database, names that are not unique, or without names codes that differ.
    """
    if query.names is None or database.names is None:
        if not np.array_equal(query.codes.packed, database.codes.packed):
            raise UsageError(
                f"{query.source} and {database.source} do not hold the same codes in the same order; for leave-one-out "
                "give one file on both sides, or an array 'names' in both"
            )
        return np.arange(len(query))
    row = {name: number for number, name in enumerate(database.names.tolist())}
    if len(row) != len(database):
        raise UsageError(f"{database.source} names an item twice, so which one is the query cannot be told")
    missing = [name for name in query.names.tolist() if name not in row]
    if missing:
        raise UsageError(
            f"{len(missing):,} of {len(query):,} queries are not in {database.source}, the first {missing[0]!r}; "
            "leave-one-out is for queries that search each other"
        )
    return np.array([row[name] for name in query.names.tolist()], dtype=np.int64)


def listed_items(query: CodeFile, database: CodeFile) -> ListedPairs | None:
    """Return the right and ignored items that the query file lists; None where it lists none.

    Raises:
        UsageError: ``ignored`` without ``relevant``, rows outside the database, a row listed twice for one query.
    """
    if query.relevant is None:
        if query.ignored is not None:
            raise UsageError(f"{query.source} has 'ignored' but no 'relevant' items; list both, or neither")
        return None
    lists = [None if side is None else [row[row >= 0] for row in side] for side in (query.relevant, query.ignored)]
    return ListedPairs.from_lists(lists[0] or [], len(database), ignored=lists[1])


# Reading -----------------------------------------------------------------------------------------------


def _number(columns: Mapping[str, NDArray[Any]], name: str, source: str) -> int | None:
    if name not in columns:
        return None
    value = columns[name]
    if value.size != 1 or value.dtype.kind not in "iu" or value.reshape(-1)[0] < 1:
        raise UsageError(f"{source}: {name} is one whole number above 0, not {value.tolist()}")
    return int(value.reshape(-1)[0])  # a length; whatever is too long is refused where codes are made


def _text(columns: Mapping[str, NDArray[Any]], name: str) -> str | None:
    if name not in columns or columns[name].size != 1:
        return None
    return str(as_words(columns[name].reshape(-1), name)[0])


def _features(array: NDArray[Any], source: str) -> NDArray[np.floating]:
    if array.ndim != 2 or array.dtype.kind not in "fiu" or not np.isfinite(array).all():
        raise UsageError(f"{source}: features are finite numbers [N, D], not {array.dtype} of shape {array.shape}")
    return array.astype(np.float32)


def _pairs(array: NDArray[Any], source: str) -> NDArray[Any]:
    if array.ndim != 1 or array.dtype.kind not in "iuUS":
        raise UsageError(f"{source}: pairs are numbers or names [N], not {array.dtype} of shape {list(array.shape)}")
    convert = as_words if array.dtype.kind in "US" else as_integers
    return convert(array, f"pairs of {source}")


def _sessions(array: NDArray[Any], source: str) -> NDArray[np.int64]:
    if array.ndim != 1 or array.dtype.kind not in "iu" or (array < 1).any():
        raise UsageError(f"{source}: sessions are whole numbers [N] from 1, not {array.dtype} of shape {array.shape}")
    return as_integers(array, f"sessions of {source}")


def _item_rows(columns: Mapping[str, NDArray[Any]], name: str, source: str) -> NDArray[np.int64] | None:
    if name not in columns:
        return None
    array = columns[name]
    if array.ndim != 2 or array.dtype.kind not in "iu" or (array < -1).any():
        raise UsageError(
            f"{source}: {name} are rows of the database [N, P], filled up with -1, not {array.dtype} of shape "
            f"{list(array.shape)}"
        )
    return as_integers(array, f"{name} of {source}")


def _kind(labels: NDArray[Any]) -> str:
    return "multi-hot" if labels.ndim == 2 else "class names" if labels.dtype.kind == "U" else "class numbers"
