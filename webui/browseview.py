"""HTML of a collection without a query: shelves, and what stands on one."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from .catalogue import COVERS, Catalogue, Shelf, shelf_label
from .doors import door, page_within, pages_html, path_html
from .results import message_html, thumbnail_url

SHELVES, PICTURES = 48, 60  # a page
SHELF_WORDS = {"folder": "folder", "date": "month", "class": "class", "cluster": "cluster"}


def shelves_html(name: str, shelves: Sequence[Shelf], way: str, page: int, note: str = "") -> str:
    """Return one page of shelves, each as a button with a few of its pictures."""
    if not shelves:
        return message_html("The collection is empty", "Add pictures on the Collection page.")
    page = page_within(page, len(shelves), SHELVES)
    shown = list(enumerate(shelves))[page * SHELVES : (page + 1) * SHELVES]
    tiles = "".join(_shelf(name, number, shelf) for number, shelf in shown)
    pages = pages_html(page, len(shelves), SHELVES, SHELF_WORDS[way])
    legend = f'<p class="dh-legend">{escape(note)}</p>' if note else ""
    return f'{pages}{legend}<div class="dh-shelves">{tiles}</div>'


def _shelf(name: str, number: int, shelf: Shelf) -> str:
    covers = "".join(
        f'<img src="{thumbnail_url(name, item, 160)}" alt="" loading="lazy" decoding="async">'
        for item in shelf.ids[:COVERS].tolist()
    )
    label, few = escape(shelf_label(shelf), quote=True), min(COVERS, len(shelf))
    return (
        f'<button class="dh-shelf" data-step="{number}" data-shelf="{number}" aria-label="{label}">'
        f'<span class="dh-covers dh-covers-{few}">{covers}</span>'
        f"<b>{escape(shelf.title)}</b><small>{len(shelf):,}</small></button>"
    )


def shelf_html(name: str, catalogue: Catalogue, shelf: Shelf, page: int) -> str:
    """Return one page of the pictures on a shelf; each leads to a search."""
    page = page_within(page, len(shelf), PICTURES)
    ids = shelf.ids[page * PICTURES : (page + 1) * PICTURES].tolist()
    cards = "".join(
        door(name, item, uri, under=path_html(uri)) for item, uri in zip(ids, map(catalogue.uri_of, ids), strict=True)
    )
    pages = pages_html(page, len(shelf), PICTURES, "picture")
    again = pages if len(shelf) > PICTURES else ""
    return (
        f'<div class="dh-shelf-head"><button class="dh-up">← All</button><h3>{escape(shelf.title)}</h3></div>{pages}'
        f'<div class="dh-grid dh-small" role="list">{cards}</div>{again}'
    )
