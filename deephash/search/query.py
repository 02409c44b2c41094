"""What somebody asks: a picture, words, an item or a code, or several of them joined; and how it is to be answered.

The one vocabulary of the command line, the page, the REST routes and Python; :meth:`deephash.search.Searcher.ask` takes
it.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final, Literal

from deephash.collection.filters import Filter
from deephash.errors import UsageError
from deephash.numbers import real

AUTO: Final = "auto"  # the radius that the line of an answer gives
LONGEST_PHRASE = 400
UNWANTED = -0.5  # weight of words that are not wanted beside words that are

Kind = Literal["image", "text", "item", "code"]
Where = Filter | str | Mapping[str, Any] | None
QueryKind = Literal["picture", "drawing", "words", "item", "code", "mixture"]
_KINDS: Mapping[Kind, QueryKind] = {"image": "picture", "text": "words", "item": "item", "code": "code"}


@dataclass(frozen=True)
class Part:
    """One part of a query.

    Attributes:
        kind: what ``value`` is: a picture (path, bytes, PIL, array), a phrase, the number of an item, or BinaryCodes.
            The first code is the item; codes of its neighbours may follow, and tell in a mixture which of its bits are
            firm.
        value: the part itself.
        weight: its share; negative where it is not wanted.
        label: how people call it.
        thumbnail: a ``data:`` URL or an address of a server, or empty.
    """

    kind: Kind
    value: Any
    weight: float = 1.0
    label: str = ""
    thumbnail: str = ""

    @property
    def is_wanted_text(self) -> bool:
        """Whether these are words that are wanted."""
        return self.kind == "text" and self.weight > 0


@dataclass(frozen=True)
class Sliders:
    """How a picture and words are mixed; see :meth:`deephash.index.composition.ComposedQuery.at`.

    Attributes:
        alpha_text: how far the side of the words moves along them.
        alpha_image: how far the side of the picture moves along them; negative removes what they say.
        beta: 0 is the picture's side, 1 the words' side.
    """

    alpha_text: float = 1.0
    alpha_image: float = 1.0
    beta: float = 0.5


@dataclass(frozen=True)
class Query:
    """What somebody asked, kept so that it can be asked again with other options or of another collection.

    Attributes:
        kind: how it was asked.
        parts: what it is made of; one for most queries.
        sliders: how a picture and words are mixed; None follows the weights of the parts.
        key: identifies the parts; the same query with other sliders keeps it.
    """

    kind: QueryKind
    parts: tuple[Part, ...]
    sliders: Sliders | None = None
    key: str = field(default_factory=lambda: uuid.uuid4().hex)

    @classmethod
    def of(cls, *parts: Part, sliders: Sliders | None = None) -> Query:
        """Make a query of its parts. Raises UsageError for none."""
        if not parts:
            raise UsageError("a query needs at least one part")
        return cls(_KINDS[parts[0].kind] if len(parts) == 1 else "mixture", parts, sliders)

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
    def only(self) -> Part | None:
        """The part of a query that is nothing but one wanted thing; None for a mixture."""
        return self.parts[0] if len(self.parts) == 1 and self.parts[0].weight > 0 else None

    @property
    def item(self) -> Any:
        """The item, where the query is one; else None."""
        return self.parts[0].value if len(self.parts) == 1 and self.parts[0].kind == "item" else None

    @property
    def worded(self) -> bool:
        """Whether this is a picture (or an item) together with wanted words, which the sliders mix."""
        first = self.parts[0]
        return first.kind != "text" and first.weight > 0 and any(part.is_wanted_text for part in self.parts)

    @property
    def wanted(self) -> str:
        """All wanted words as one phrase, in the order given."""
        return ", ".join(part.value for part in self.parts if part.is_wanted_text)

    def plus(self, part: Part) -> Query:
        """Return this query with one more part."""
        return Query("mixture", (*self.parts, part), self.sliders)

    def without(self, number: int) -> Query | None:
        """Return this query without its part ``number``; None where nothing wanted is left."""
        if not 0 <= number < len(self.parts):
            raise UsageError(f"this query has {len(self.parts)} parts; there is no part {number}")
        left = self.parts[:number] + self.parts[number + 1 :]
        return Query.of(*left, sliders=self.sliders) if any(part.weight > 0 for part in left) else None

    def mixed(self, sliders: Sliders) -> Query:
        """Return the same query at another position of the sliders."""
        return replace(self, sliders=sliders)


@dataclass(frozen=True)
class Options:
    """How a query is answered.

    Attributes:
        k: at most so many answers.
        max_distance: cut-off in bits; None gives the nearest however far they are, ``auto`` those above the line:
            likely, or nearer than chance.
        where: only items that pass, as ``Filter``, mapping or words (``label=cat and year>=2019``); None or empty for
            all.
        group: put near-duplicates under the best of their group.
        rerank: length of the shortlist that is put in order by stored vectors, or by product codes; 0 keeps the order
            of the codes.
        correct_hubs: add to each distance what the stored banks found the item too near to every query by.
        bits: compare only the first bits of the codes; None for all.
        near: codes at most so many bits apart are near-duplicates; None for a thirty-second of their length.
        rerank_expected: length of the shortlist that is put in order by the expected distance, bits that are sure
            counting for more; 0 keeps the order of the codes.
        min_certainty: refuse a query whose code is less certain, 0..1; None answers all.
    """

    k: int = 10
    max_distance: int | Literal["auto"] | None = None
    where: Where = None
    group: bool = False
    rerank: int = 0
    correct_hubs: bool = False
    bits: int | None = None
    near: int | None = None
    rerank_expected: int = 0
    min_certainty: float | None = None


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
    return Query.of(*parts, sliders=sliders or Sliders())


def picture_and_words(picture: Part, text: str, beta: float) -> Query:
    """Make a query of a picture and words whose share is ``beta``: 0 is the picture alone, 1 the words alone."""
    beta = real(beta, "beta, the share of the words,", least=0, most=1)
    parts = [replace(picture, weight=1 - beta), Part("text", text, beta, text)]
    return Query.of(*(part for part in parts if part.weight))
