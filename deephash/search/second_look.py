"""A second look: whether pictures whose codes are nearly equal are copies, by their pixels.

Equal codes say "of one class" where a model learned classes, and little of the two pictures themselves.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from deephash.collection import Collection, Item
from deephash.collection.sources.again import source_of
from deephash.encoding.record import read_model_record
from deephash.errors import UnreadablePicture, UsageError
from deephash.pictures import open_picture
from deephash.pictures.lookalike import SIDE, Miniatures, likeness, miniatures

LIKENESS = 0.9
MOST_LOOKS = 24  # pairs an answer, the first ones: a picture is decoded in some milliseconds


def copies_among(collection: Collection, pairs: Iterable[tuple[int, int]]) -> set[tuple[int, int]]:
    """Return which pairs of item ids agree by their pixels; only the first 24 are looked at.

    A picture that cannot be read agrees with none.
    """
    asked = list(pairs)[:MOST_LOOKS]
    if not asked or collection.root is None:
        return set()
    ids = sorted({item for pair in asked for item in pair})
    seen = {item.id: _miniatures(collection, item) for item in collection.items(ids, with_hashes=False)}
    able = [pair for pair in asked if all(seen[item] is not None for item in pair)]
    if not able:
        return set()
    sides = (np.stack([seen[pair[side]] for pair in able]) for side in (0, 1))  # type: ignore[misc]
    return {pair for pair, alike in zip(able, likeness(*sides) >= LIKENESS) if alike}


def has_class_codes(collection: Collection, column: str) -> bool:
    """Say whether the codes of a column were learned from classes, as far as their model's record tells."""
    folder = collection.model_path_of(column)
    return folder is not None and bool(read_model_record(folder).get("supervised"))


def _miniatures(collection: Collection, item: Item) -> Miniatures | None:
    try:
        return miniatures(open_picture(source_of(collection, item), reduced_to=4 * SIDE))
    except (UnreadablePicture, UsageError):
        return None
