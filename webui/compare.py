"""Two models, two code lengths, or codes with and without re-ranking, on the same query, side by side."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from html import escape

import numpy as np

from deephash.codes.binary import bytes_per_code
from deephash.collection import Collection, Item
from deephash.encoding.product import can_rerank
from deephash.errors import UsageError
from deephash.search import Hit, Options, Query

from .doors import door
from .results import counted, message_html
from .workspace import RERANKED, Workspace

SHORTEST_PREFIX = 8


@dataclass(frozen=True)
class Variant:
    """A collection, the first ``bits`` of its codes, or its codes with the nearest re-ranked by stored vectors."""

    name: str
    bits: int | None = None
    reranked: bool = False

    def __str__(self) -> str:
        if self.reranked:
            return f"{self.name}, re-ranked by vectors"
        return self.name if self.bits is None else f"{self.name}, first {self.bits} bits"


@dataclass(frozen=True)
class Side:
    """One half of a comparison: hits as (item, hit), and what they cost.

    Attributes:
        variant: what was asked.
        num_bits: bits compared.
        vector_bytes: what an item takes besides its code, 0 without re-ranking.
        hits: the answers.
        encode_ms: time for the query's code; near 0 where it was known.
        search_ms: time for the search.
    """

    variant: Variant
    num_bits: int
    vector_bytes: int
    hits: tuple[tuple[Item, Hit], ...]
    encode_ms: float
    search_ms: float

    @property
    def keys(self) -> list[str]:
        """What identifies the hits in both collections: the content of the files, else their paths."""
        return [item.content_hash or item.uri for item, _ in self.hits]


@dataclass(frozen=True)
class Comparison:
    """Both halves and how far they agree.

    Attributes:
        query: what both were asked.
        left: one variant.
        right: the other.
        overlap: share of the k answers that both have.
        tau: Kendall's tau-b over the common answers; None for fewer than two.
        moves: for each left hit its rank on the right minus its rank on the left, None where it is missing there.
    """

    query: Query
    left: Side
    right: Side
    overlap: float
    tau: float | None
    moves: tuple[int | None, ...]


def variants(workspace: Workspace) -> list[Variant]:
    """Return every collection, re-ranked where it keeps vectors or product codes, and its shorter codes by halves."""
    found = []
    for name in workspace.names:
        searcher = workspace.place(name).searcher
        bits = searcher.num_bits
        found.append(Variant(name))
        if can_rerank(searcher.collection):
            found.append(Variant(name, reranked=True))
        while (bits := bits // 2) >= SHORTEST_PREFIX:
            found.append(Variant(name, bits))
    return found


def compare(workspace: Workspace, query: Query | None, left: Variant, right: Variant, k: int) -> Comparison:
    """Ask both. Raises UsageError where there is no query yet."""
    if query is None:
        raise UsageError("search something first; the comparison asks both sides the same query")
    one, two = (_ask(workspace, query, variant, k) for variant in (left, right))
    places = {key: place for place, key in enumerate(two.keys)}
    moves = tuple(places[key] - place if key in places else None for place, key in enumerate(one.keys))
    common = [(place, place + move) for place, move in enumerate(moves) if move is not None]
    longest = max(len(one.hits), len(two.hits), 1)
    return Comparison(query, one, two, len(common) / longest, kendall_tau(common), moves)


def kendall_tau(pairs: list[tuple[int, int]]) -> float | None:
    """Return Kendall's tau of (rank, rank) pairs without ties: concordant minus discordant over all pairs."""
    if len(pairs) < 2:
        return None
    first, second = np.array(pairs).T
    signs = np.sign(np.subtract.outer(first, first)) * np.sign(np.subtract.outer(second, second))
    return float(signs.sum() / (len(pairs) * (len(pairs) - 1)))


def _ask(workspace: Workspace, query: Query, variant: Variant, k: int) -> Side:
    options = Options(k, rerank=RERANKED if variant.reranked else 0, bits=variant.bits)
    answer = workspace.answer(variant.name, query, options)
    if variant.reranked and not answer.reranked:
        raise UsageError("re-ranking compares vectors of one picture, phrase or item; leave the other parts out")
    collection = answer.snapshot.collection
    items = collection.items([hit.id for hit in answer.hits])
    hits = tuple(zip(items, answer.hits))
    kept = 2 * (collection.vector_dim or 0) if variant.reranked else 0  # float16
    return Side(variant, answer.num_bits, kept, hits, answer.encode_ms, answer.search_ms)


def comparison_html(found: Comparison, in_common: str = "") -> str:
    """Return both lists side by side under one line of figures, and what they have ``in_common``."""
    tau = "" if found.tau is None else f" · Kendall's τ of the common ones <b>{found.tau:.2f}</b>"
    moved = [abs(move) for move in found.moves if move is not None]
    mean = f" · mean move <b>{np.mean(moved):.1f}</b> ranks" if moved else ""
    k = max(len(found.left.hits), len(found.right.hits))
    back = {key: -move for key, move in zip(found.left.keys, found.moves) if move is not None}
    right_moves = [back.get(key) for key in found.right.keys]
    return (
        f'{_asked(found.query)}<p class="dh-status" role="status">overlap@{k} <b>{100 * found.overlap:.0f} %</b>'
        f"{tau}{mean}</p>"
        f"{in_common}"
        f'<div class="dh-sides">{_side(found.left, list(found.moves))}{_side(found.right, right_moves)}</div>'
    )


def before_html(workspace: Workspace, left: Variant, right: Variant) -> str:
    """Say what this tab is for, before there is a query that it could ask."""
    return message_html(
        "Two sides, one query",
        "Search something first; the comparison then asks both sides the same query and shows their answers side by "
        "side: how many they share, and how far each picture moves. A side is a collection, the first bits of its "
        "codes, or its nearest codes in the order of their vectors.",
    ) + in_common_html(workspace, left, right)


def in_common_html(workspace: Workspace, left: Variant, right: Variant) -> str:
    """Say how many pictures two collections share, where they are not the same ones; nothing for one collection."""
    if left.name == right.name:
        return ""
    one, two = (_contents(workspace, variant.name) for variant in (left, right))
    both = len(one & two)
    if both == len(one) == len(two):
        said = f"Both collections hold the same {counted(both, 'picture')}."
    else:
        only = ", ".join(f"{len(own) - both:,} only in {variant.name}" for own, variant in ((one, left), (two, right)))
        said = (
            f"They hold different pictures: {both:,} {'is' if both == 1 else 'are'} in both, {only}. An answer that "
            "the other side does not hold counts as missing there."
        )
    return f'<p class="dh-legend dh-in-common">{escape(said)}</p>'


def _contents(workspace: Workspace, name: str) -> frozenset[str]:
    """Return what identifies the pictures of a collection, as :attr:`Side.keys` does; read once a version."""
    collection = workspace.place(name).searcher.collection
    return _read_contents(str(collection.path), collection.version, collection)


@lru_cache(maxsize=8)
def _read_contents(path: str, version: int, collection: Collection) -> frozenset[str]:
    table = collection.table(["uri", "content_hash"])
    pairs = zip(table.column("content_hash").to_pylist(), table.column("uri").to_pylist(), strict=True)
    return frozenset(content or uri for content, uri in pairs)


def _asked(query: Query) -> str:
    """Return one line that says what both sides were asked."""
    picture = f'<img src="{escape(query.thumbnail, quote=True)}" alt="">' if query.thumbnail else ""
    return f'<p class="dh-asked">{picture}<span>{escape(query.label)}</span></p>'


def _side(side: Side, moves: list[int | None]) -> str:
    rows = enumerate(zip(side.hits, moves), start=1)
    cards = "".join(_card(side.variant.name, rank, item, hit, move) for rank, ((item, hit), move) in rows)
    return (
        f"<section><h3>{escape(str(side.variant))} <small>{_bytes(side)} an item · "
        f"search {side.search_ms:.2f} ms · encode {side.encode_ms:.0f} ms</small></h3>"
        f'<div class="dh-grid dh-small" role="list">{cards}</div></section>'
    )


def _card(name: str, rank: int, item: Item, hit: Hit, move: int | None) -> str:
    facts = f'<span class="dh-facts"><b>{hit.distance}</b><small>/{hit.num_bits}</small>{_move(move)}</span>'
    apart = f"{hit.distance} of {hit.num_bits} bits differ"
    return door(name, item.id, item.uri, label=f"Result {rank}: {item.uri}, {apart}", under=facts, said=apart)


def _bytes(side: Side) -> str:
    beside = f" + {side.vector_bytes:,} of its vector" if side.vector_bytes else ""
    return f"{bytes_per_code(side.num_bits)} bytes{beside}"


def _move(move: int | None) -> str:
    if move is None:
        return '<span class="dh-move only" title="not among the answers of the other side">only here</span>'
    if move == 0:
        return '<span class="dh-move" title="same rank on the other side">=</span>'
    arrow, word = ("↓", "lower") if move > 0 else ("↑", "higher")
    return f'<span class="dh-move" title="{abs(move)} ranks {word} on the other side">{arrow}{abs(move)}</span>'
