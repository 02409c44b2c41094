"""Tags that visitors give: words in the attribute ``tags`` of chosen items, written and taken back at once."""

from __future__ import annotations

from collections.abc import Sequence

from deephash.collection import Collection
from deephash.errors import UsageError

from .changes import Change, changeable
from .filters import TAGS, words_of
from .workspace import MOST_SHOWN, Workspace

LONGEST = 60  # characters of a tag
BETWEEN = ", "


def tag_items(workspace: Workspace, name: str, ids: Sequence[int], tag: str) -> Change:
    """Add a tag to items that do not have it yet, in one commit.

    Raises:
        UsageError: read-only, no tag, a comma in it, too many items, an item that is gone, or ``tags`` is no text here.
    """
    tag = " ".join(tag.split())
    if not tag or len(tag) > LONGEST or "," in tag or not tag.isprintable():
        raise UsageError(f"a tag is a word or a few, at most {LONGEST} characters, without commas")
    if not 1 <= len(ids) <= MOST_SHOWN:
        raise UsageError(f"between 1 and {MOST_SHOWN:,} pictures are tagged at once, not {len(ids):,}")
    place = changeable(workspace, name)
    with place.changing:
        collection = Collection.open(place.searcher.path)
        if collection.attribute_kinds.get(TAGS, "text") != "text":
            raise UsageError(f"the attribute {TAGS!r} of this collection holds no text, so it takes no tags")
        before = collection.version
        new = {item: held for item, held in _tags(collection, list(dict.fromkeys(ids))).items() if tag not in held}
        if not new:
            raise UsageError(f"all of them are tagged {tag!r} already")
        collection.update(list(new), [{TAGS: BETWEEN.join([*held, tag])} for held in new.values()])
        return Change(name, "tag", tuple(new), before, collection.version, tag=tag)


def untag(collection: Collection, ids: Sequence[int], tag: str) -> None:
    """Take a tag from items; whatever else happened to them stays."""
    present = set(collection.ids().tolist())
    held = _tags(collection, [item for item in ids if item in present])
    left = {item: [one for one in tags if one != tag] for item, tags in held.items() if tag in tags}
    if left:
        collection.update(list(left), [{TAGS: BETWEEN.join(tags) or None} for tags in left.values()])


def _tags(collection: Collection, ids: Sequence[int]) -> dict[int, list[str]]:
    items = collection.items(list(ids), with_hashes=False)
    return {item.id: words_of(str(item.attributes.get(TAGS) or "")) for item in items}
