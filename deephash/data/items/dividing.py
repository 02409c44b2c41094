"""Who of a list's items is query, train and database: as it says, or else drawn, in training and in checking alike."""

from __future__ import annotations

from typing import Any

from numpy.typing import NDArray

from deephash.data.items.item_list import ItemList
from deephash.data.protocols import Splits, build_split, instance_split
from deephash.data.split_words import named_splits, with_validation
from deephash.errors import UsageError


def divide(items: ItemList, labels: NDArray[Any] | None, *, has_texts: bool, seed: int) -> Splits:
    """Return the rows of each split.

    Args:
        items: the list.
        labels: class numbers [N] or multi-hot [N, C]; None without labels.
        has_texts: whether there are texts or vectors of them beside the pictures.
        seed: of what is drawn.

    Raises:
        UsageError: a word that names no split, or nothing to draw by.
    """
    if items.split is not None:
        return with_validation(named_splits(items.split, items.source), labels, seed)
    if labels is not None:
        return build_split("fifth", labels, seed=seed)
    if items.pictures is None or not has_texts:
        raise UsageError(f"{items.source} has neither split nor labels, so nothing says who is query and who database")
    return instance_split(len(items), seed)
