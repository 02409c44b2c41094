"""A whole collection as one side of an evaluation, beside codes from elsewhere."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from deephash.collection.label_words import SEVERAL, parse_labels, without_unlabelled
from deephash.errors import UsageError, did_you_mean
from deephash.evaluation.codefile import CodeFile

if TYPE_CHECKING:
    from deephash.collection import Collection


def collection_file(collection: Collection, label: str) -> CodeFile:
    """Return the codes, classes and names of every item.

    Args:
        collection: codes of one model.
        label: attribute that holds the class, such as ``label``.

    Raises:
        UsageError: no such attribute, or codes of models that cannot be compared.
    """
    kinds = collection.attribute_kinds
    if label not in kinds:
        raise UsageError(
            f"{collection.path} has no attribute {label!r} to take the classes from{did_you_mean(label, sorted(kinds))}"
        )
    ids, codes = collection.codes(collection.the_one_space("evaluate it"))
    table = collection.table(["uri", label])
    rows = np.searchsorted(table.column("id").to_numpy(), ids)
    words = np.array(["" if value is None else str(value) for value in table.column(label).to_pylist()])[rows].tolist()
    several = any(SEVERAL in word for word in words)
    labels, names = parse_labels(words) if several else (np.array(without_unlabelled(words), dtype=str), [])
    uris = np.array(table.column("uri").to_pylist(), dtype=str)[rows]
    return CodeFile(codes, labels=labels, names=uris, class_names=tuple(names), source=str(collection.path))
