"""What somebody asks: one picture, phrase or item, or several of them joined; and how such a query is changed."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from deephash.errors import UsageError
from deephash.search import Sliders

LONGEST_PHRASE = 400
UNWANTED = -0.5  # weight of words that are not wanted beside words that are

QueryKind = Literal["picture", "drawing", "words", "item", "mixture"]


@dataclass(frozen=True)
class Part:
    """One part of a query.

    Attributes:
        kind: what ``value`` is.
        value: a picture (bytes or PIL), a phrase, or an item as (collection name, id).
        weight: its share; negative where it is not wanted.
        label: how people call it.
        thumbnail: a ``data:`` URL or an address of this server, or empty.
    """

    kind: Literal["image", "text", "item"]
    value: Any
    weight: float = 1.0
    label: str = ""
    thumbnail: str = ""


@dataclass(frozen=True)
class Query:
    """What somebody asked, kept so that it can be asked again with other options or of another collection.

    Attributes:
        kind: how it was asked.
        parts: what it is made of; one for most queries.
        sliders: how a picture and words are mixed.
        key: identifies the parts; the same query with other sliders keeps it.
    """

    kind: QueryKind
    parts: tuple[Part, ...]
    sliders: Sliders = field(default_factory=Sliders)
    key: str = field(default_factory=lambda: uuid.uuid4().hex)

    @property
    def label(self) -> str:
        """One line for people."""
        words = ""
        for part in self.parts:
            sign = "−" if part.weight < 0 else "+" if words else ""
            words += f" {sign} {part.label}"
        return words.strip()

    @property
    def thumbnail(self) -> str:
        """The picture of the first part that has one, or an empty string."""
        return next((part.thumbnail for part in self.parts if part.thumbnail), "")

    @property
    def item(self) -> tuple[str, int] | None:
        """The collection's name and the id, where the query is one item."""
        return self.parts[0].value if len(self.parts) == 1 and self.parts[0].kind == "item" else None

    @property
    def worded(self) -> bool:
        """Whether this is a picture (or an item) together with wanted words, which the sliders mix."""
        first = self.parts[0]
        return first.kind != "text" and first.weight > 0 and any(_wanted(part) for part in self.parts)

    @property
    def wanted(self) -> str:
        """All wanted words as one phrase, in the order given."""
        return ", ".join(part.value for part in self.parts if _wanted(part))

    def plus(self, part: Part) -> Query:
        """Return this query with one more part."""
        return Query("mixture", (*self.parts, part), self.sliders)

    def without(self, number: int) -> Query | None:
        """Return this query without its part ``number``; None where nothing wanted is left."""
        if not 0 <= number < len(self.parts):
            raise UsageError(f"this query has {len(self.parts)} parts; there is no part {number}")
        left = self.parts[:number] + self.parts[number + 1 :]
        if not any(part.weight > 0 for part in left):
            return None
        if len(left) > 1:
            return Query("mixture", left, self.sliders)
        kinds: dict[str, QueryKind] = {"image": "picture", "text": "words", "item": "item"}
        return Query(kinds[left[0].kind], left, self.sliders)

    def mixed(self, sliders: Sliders) -> Query:
        """Return the same query at another position of the sliders."""
        return replace(self, sliders=sliders)


def phrase(words: str, sign: int = 1) -> Part:
    """Return words that are wanted (sign +1) or not (-1). Raises UsageError for none, or too many."""
    words = words.strip()
    if not words:
        raise UsageError("give some words")
    if len(words) > LONGEST_PHRASE:
        raise UsageError(f"a phrase of at most {LONGEST_PHRASE} characters is taken, not {len(words)}")
    return Part("text", words, 1.0 if sign > 0 else UNWANTED, f"“{words}”")


def words_query(plus: str, minus: str = "", picture: Query | None = None, sliders: Sliders | None = None) -> Query:
    """Make a query of words, of words that are not wanted, and of a picture that the words change."""
    parts = [*(picture.parts if picture else ())]
    parts += [phrase(plus)] if plus.strip() else []
    if not parts:
        raise UsageError("give some words, or a picture")
    parts += [phrase(minus, -1)] if minus.strip() else []
    kind: QueryKind = "words" if len(parts) == 1 else "mixture"
    return Query(kind, tuple(parts), sliders or Sliders())


def _wanted(part: Part) -> bool:
    return part.kind == "text" and part.weight > 0
