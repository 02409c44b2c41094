"""HTML of the groups of near-duplicates, side by side."""

from __future__ import annotations

from html import escape
from urllib.parse import urlencode

from deephash.collection import Item
from deephash.search.best_copy import Look

from .collectionview import size_words
from .doors import door, page_within, pages_html, path_html
from .duplicates import Duplicates, Group
from .results import counted, message_html

GROUPS = 20  # a page
MOST_SHOWN = 24  # pictures of one group


def duplicates_html(name: str, found: Duplicates, radius: int, page: int) -> str:
    """Return one page of groups, what was compared, and the addresses of the list."""
    groups = found.groups(radius)
    if not groups:
        return _told(found, radius, 0, 0) + message_html(
            "No near-duplicates", f"No two pictures within {counted(radius, 'bit')} are copies of each other."
        )
    page = page_within(page, len(groups), GROUPS)
    first = page * GROUPS
    shown = groups[first : first + GROUPS]
    wanted = [item for group in shown for item in group.ids[:MOST_SHOWN]]
    items = {item.id: item for item in found.collection.items(wanted, with_hashes=False)}
    sections = "".join(_group(name, found, group, number, items) for number, group in enumerate(shown, first + 1))
    extra = sum(len(group.copies) for group in groups)
    pages = pages_html(page, len(groups), GROUPS, "group")
    again = pages if len(groups) > GROUPS else ""
    return f"{_told(found, radius, len(groups), extra)}{_lists(name, radius)}{pages}{sections}{again}"


def _told(found: Duplicates, radius: int, groups: int, extra: int) -> str:
    pairs = found.found
    looked = (
        "; the pictures are not at hand, so their codes alone decide"
        if pairs.confirmed is None
        else f"; {counted(pairs.confirmed, 'pair')} of {pairs.candidates:,} agree by their pixels as well"
    )
    blind = f". {counted(len(pairs.unreadable), 'picture')} could not be read" if pairs.unreadable else ""
    how = f"Compared {counted(found.compared, 'picture')} by {found.by}{looked}{blind}."
    many = f"{counted(groups, 'group')}, {extra:,} pictures more than one of each" if groups else "no group"
    return (
        f'<p class="dh-status" role="status"><b>Within {counted(radius, "bit")}: {many}.</b></p>'
        f'<p class="dh-legend">{escape(how)} Nothing is deleted here: download the list and decide.</p>'
    )


def _lists(name: str, radius: int) -> str:
    asked = escape(urlencode({"collection": name, "radius": radius}), quote=True)
    links = [
        f'<a class="dh-download" download="duplicates.{kind}" href="api/duplicates?{asked}&amp;format={kind}">'
        f"{kind.upper()}</a>"
        for kind in ("csv", "jsonl")
    ]
    return f'<p class="dh-legend">Download the list: {" · ".join(links)} (group, path, keep or copy, distance)</p>'


def _group(name: str, found: Duplicates, group: Group, number: int, items: dict[int, Item]) -> str:
    rows = [(group.best, None), *group.copies][:MOST_SHOWN]
    cards = "".join(_card(name, items[item], found.looks.get(item), distance) for item, distance in rows)
    left = 1 + len(group.copies) - len(rows)
    more = f'<p class="dh-legend">{left:,} more are in the list.</p>' if left else ""
    return (
        f'<section class="dh-copies"><h3>Group {number:,} <small>{len(group.ids):,} copies</small></h3>'
        f'<p class="dh-legend">Suggested to keep: <b>{escape(items[group.best].uri)}</b> ({escape(group.reason)})</p>'
        f'<div class="dh-grid dh-small" role="list">{cards}</div>{more}</section>'
    )


def _card(name: str, item: Item, look: Look | None, distance: int | None) -> str:
    mark = "keep" if distance is None else counted(distance, "bit")
    file = "" if look is None else f"{look} · {size_words(look.size)}"
    said = "suggested to keep" if distance is None else f"{mark} from the copy to keep"
    under = (
        f'<span class="dh-facts"><b class="{"dh-keep" if distance is None else "dh-bits-off"}">{mark}</b></span>'
        f'<span class="dh-note">{escape(file)}</span>{path_html(item.uri)}'
    )
    label = ", ".join(part for part in (item.uri, said, file) if part)
    return door(name, item.id, item.uri, label=label, under=under, said=said)
