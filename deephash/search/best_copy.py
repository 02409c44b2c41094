"""Which of several copies of a picture is worth keeping: the largest that is not blurred, and why, in words."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from deephash.collection import Collection, Item
from deephash.collection.sources.again import source_of
from deephash.errors import UnreadablePicture, UsageError
from deephash.pictures import read_picture
from deephash.pictures.sharpness import SIDE, sharpness
from deephash.progress import track

SHARP = 0.85  # of the sharpest, from which a copy counts as sharp: recompressing costs less, enlarging more


@dataclass(frozen=True)
class Look:
    """What the file of a copy is like.

    Attributes:
        width: pixels at full size.
        height: likewise.
        size: bytes of the file.
        sharpness: see :func:`~deephash.pictures.sharpness.sharpness`.
    """

    width: int
    height: int
    size: int
    sharpness: float

    @property
    def pixels(self) -> int:
        """How many there are."""
        return self.width * self.height

    def __str__(self) -> str:
        return f"{self.width} x {self.height}"


def look_at(collection: Collection, ids: Sequence[int]) -> dict[int, Look]:
    """Return what the files of items are like; those that cannot be read are left out."""

    def look(item: Item) -> tuple[int, Look | None]:
        try:
            source = source_of(collection, item)
            picture, facts = read_picture(source, reduced_to=SIDE)
            size = len(source) if isinstance(source, bytes) else source.stat().st_size
            return item.id, Look(facts.width, facts.height, size, sharpness(picture))
        except (UnreadablePicture, UsageError, OSError):
            return item.id, None

    items = collection.items(list(ids), with_hashes=False)
    with ThreadPoolExecutor() as pool:
        found = track(pool.map(look, items), f"measuring {len(items):,} copies", total=len(items))
        return {item: seen for item, seen in found if seen is not None}


def best_copy(looks: Sequence[Look | None]) -> tuple[int, str]:
    """Return the place of the copy to keep, and the reason; ``None`` is a copy that nobody can look at.

    Of the copies that are nearly as sharp as the sharpest, the one with most pixels; of those the sharpest, then the
    largest file, then the first.
    """
    seen = [(look, -place) for place, look in enumerate(looks) if look is not None]
    if not seen:
        return 0, "the first that was indexed; the files cannot be compared"
    sharpest = max(look.sharpness for look, _ in seen)
    sharp = [one for one in seen if one[0].sharpness >= SHARP * sharpest]
    best, place = max(sharp, key=lambda one: (one[0].pixels, one[0].sharpness, one[0].size, one[1]))
    return -place, _reason(best, [look for look, _ in seen], sharpest)


def _reason(best: Look, looks: Sequence[Look], sharpest: float) -> str:
    """Return such as ``largest: 1200 x 900, sharpest``."""
    largest = max(looks, key=lambda look: look.pixels)
    sharp = "sharpest" if best.sharpness == sharpest else "nearly as sharp as the sharpest"
    if len({(look.pixels, look.sharpness, look.size) for look in looks}) == 1:
        return f"all alike: {best}; the first that was indexed"
    if best.pixels < largest.pixels:
        return f"{sharp}: {best}; the largest, {largest}, is blurred"
    as_large = sum(look.pixels == best.pixels for look in looks)
    if as_large == len(looks):
        return f"{sharp}; all are {best}"
    return f"{'largest' if as_large == 1 else 'as large as any'}: {best}, {sharp}"
