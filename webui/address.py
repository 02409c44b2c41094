"""The address of a query: everything that gives the same answer again, as the page's own links write it.

``?collection=birds&id=12&q=red&not=bird&beta=0.7&where=...``: an item, words, words that are not wanted, the sliders,
the filters, what cards show. What cannot be said so (an uploaded picture, a drawing, several items) is its code:
``code=HEX``. A picture itself never travels in an address.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from html import escape
from urllib.parse import urlencode

from deephash.codes import BinaryCodes
from deephash.errors import UsageError
from deephash.numbers import real
from deephash.search import Answer, Part, Query, Sliders
from deephash.search.query import words_query

from .filterwords import in_words
from .numbers import MOST_BITS, as_written
from .pageoptions import PageOptions, read_cards
from .workspace import MOST_SHOWN, RERANKED, Workspace

ANSWERS = 24  # at first
HEX = re.compile(r"[0-9a-fA-F]{1,100000}", re.ASCII)
SLIDERS = {"beta": "beta", "words": "alpha_text", "pull": "alpha_image"}
Asked = Mapping[str, str]


@dataclass(frozen=True)
class Restored:
    """Options of an address, as the components of the page hold them."""

    k: int = ANSWERS
    cutoff: int | None = None
    group: bool = False
    rerank: bool = False
    where: str = ""
    near: int | None = None
    hubs: bool = False
    cards: tuple[str, ...] | None = None

    @property
    def options(self) -> PageOptions:
        """As a searcher takes them."""
        return PageOptions(
            self.k,
            self.cutoff,
            self.where,
            self.group,
            RERANKED if self.rerank else 0,
            correct_hubs=self.hubs,
            near=self.near if self.group else None,
            cards=self.cards,
        )


def address_of(answer: Answer) -> str:
    """Return the address under which this answer is given again, relative to the page."""
    return "?" + urlencode({"collection": answer.name, **_query(answer), **_options(answer)})


def _query(answer: Answer) -> dict[str, object]:
    query = answer.query
    items = [part for part in query.parts if part.kind == "item"]
    wanted = [part for part in query.parts if part.is_wanted_text]
    unwanted = [part for part in query.parts if part.kind == "text" and not part.is_wanted_text]
    plain = len(items) + len(wanted) + len(unwanted) == len(query.parts)
    home = all(part.value[0] == answer.name and part.weight == 1 for part in items) and query.parts[0] not in unwanted
    if not plain or not home or len(items) > 1 or len(unwanted) > 1:
        return {"code": answer.code.hex()[0]}
    found: dict[str, object] = {"id": items[0].value[1]} if items else {}
    found |= {"q": query.wanted} if wanted else {}
    found |= {"not": unwanted[0].value} if unwanted else {}
    return found | (_sliders(query.sliders or Sliders()) if query.worded else {})


def _sliders(sliders: Sliders) -> dict[str, object]:
    values = {name: getattr(sliders, field) for name, field in SLIDERS.items()}
    return {name: f"{value:g}" for name, value in values.items() if value != getattr(Sliders(), SLIDERS[name])}


def _options(answer: Answer) -> dict[str, object]:
    options = answer.options
    usual = answer.num_bits // 32
    cards = options.cards if isinstance(options, PageOptions) else None
    said = {
        "k": "" if options.k == ANSWERS else options.k,
        "within": "" if options.max_distance is None else options.max_distance,
        "where": in_words(options.where) if options.where else "",
        "fold": "1" if options.group else "",
        "near": "" if options.near is None or options.near == usual else options.near,
        "rerank": "1" if options.rerank else "",
        "hubs": "1" if options.correct_hubs else "",
        "show": ",".join(cards or ()),
    }
    return {name: value for name, value in said.items() if value != ""}


def query_at(workspace: Workspace, name: str, asked: Asked) -> Query | None:
    """Return the query that an address names, or None. Raises UsageError for an item or a code that is none."""
    if asked.get("code"):
        return _code_query(workspace, name, asked["code"])
    item = workspace.item_query(name, as_written(asked["id"], "id")) if asked.get("id") else None
    words, unwanted = asked.get("q", ""), asked.get("not", "")
    if item is not None and not words.strip() and not unwanted.strip():
        return item
    if item is None and not words.strip():
        return None
    values = {
        field: real(_float(asked[name]), name, least=-2, most=4) for name, field in SLIDERS.items() if name in asked
    }
    return words_query(words, unwanted, item, Sliders(**values))


def _float(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise UsageError(f"{text[:20]!r} in the address is no number") from None


def _code_query(workspace: Workspace, name: str, text: str) -> Query:
    snapshot = workspace.place(name).searcher.snapshot
    like = snapshot.current.index.codes_of(snapshot.current.index.ids[:1]) if len(snapshot) else None
    if like is None or not HEX.fullmatch(text) or len(text) != len(like.hex()[0]):
        wanted = f" of {len(like.hex()[0])} hexadecimal digits" if like is not None else ""
        raise UsageError(f"the address names no code{wanted} of {name}; it may belong to another collection or model")
    packed = BinaryCodes.from_hex([text]).packed
    code = BinaryCodes(packed, like.num_bits, like.num_levels)
    return Query.of(Part("code", code, 1.0, f"code {text[:8]}{'…' * (len(text) > 8)}"))


def restored(asked: Asked) -> Restored:
    """Return the options of an address. Raises UsageError for what is none."""
    return Restored(
        k=as_written(asked.get("k", ANSWERS), "k", 1, MOST_SHOWN),
        cutoff=as_written(asked["within"], "within", 0, MOST_BITS) if asked.get("within") else None,
        group=asked.get("fold") == "1",
        rerank=asked.get("rerank") == "1",
        where=asked.get("where", "")[:1000],
        near=as_written(asked["near"], "near", 0, MOST_BITS) if asked.get("near") else None,
        hubs=asked.get("hubs") == "1",
        cards=read_cards(asked.get("show", "")),
    )


def link_attributes(answer: Answer) -> str:
    """Return the attributes that tell the browser this query's address, and which query it is."""
    kind, link = answer.query.kind, escape(address_of(answer), quote=True)
    return f' data-link="{link}" data-key="{answer.query.key}" data-kind="{kind}"'
