"""Pieces that the tabs beside the search share: a picture that leads to a search, pages, and how far a job is."""

from __future__ import annotations

from html import escape

from .background import Job
from .results import item_address, thumbnail_url


def door(name: str, item: int, uri: str, *, label: str = "", under: str = "", side: int = 160, said: str = "") -> str:
    """Return a card that holds :func:`link`."""
    opened = link(name, item, uri, label=label, under=under, side=side, said=said)
    return f'<div class="dh-card" role="listitem">{opened}</div>'


def link(name: str, item: int, uri: str, *, label: str = "", under: str = "", side: int = 160, said: str = "") -> str:
    """Return a picture that is a link to the search with it; a click shows it large first.

    Args:
        name: the collection.
        item: its id.
        uri: its path, which is shown nowhere but in the alternative text unless ``under`` has it.
        label: for screen readers; the path where left out.
        under: HTML below the picture.
        side: pixels of the thumbnail.
        said: what the large view says of it.
    """
    path, collection = escape(uri, quote=True), escape(name, quote=True)
    spoken = escape(label or uri, quote=True)
    return (
        f'<a class="dh-hit" href="{item_address(name, item)}" data-id="{item}" '
        f'data-collection="{collection}" data-said="{escape(said, quote=True)}" aria-label="{spoken}. Show it large">'
        f'<img src="{thumbnail_url(name, item, side)}" alt="{path}" loading="lazy" decoding="async">{under}</a>'
    )


def path_html(uri: str) -> str:
    """Return a path of which the end stays visible."""
    return f'<span class="dh-path" title="{escape(uri, quote=True)}"><bdi>{escape(uri)}</bdi></span>'


def pages_html(page: int, total: int, each: int, what: str) -> str:
    """Return where one is among ``total`` things, ``each`` a page, with buttons to the pages before and behind."""
    pages = max(1, -(-total // each))
    first, last = page * each + 1, min(total, (page + 1) * each)
    if pages == 1:
        return f'<p class="dh-status" role="status">{total:,} {what if total == 1 else plural(what)}</p>'
    ends = (("Previous", page - 1, page == 0), ("Next", page + 1, page + 1 >= pages))
    back, on = (
        f'<button class="dh-to-page" data-step="{word}" data-page="{to}" {"disabled" * stop}>{word}</button>'
        for word, to, stop in ends
    )
    several = plural(what).capitalize()
    return (
        f'<nav class="dh-pages" aria-label="Pages">{back}<span class="dh-status" role="status">{several} '
        f"{first:,} to {last:,} of {total:,}</span>{on}</nav>"
    )


def page_within(page: int, total: int, each: int) -> int:
    """Return a page that exists: the nearest to the one that was asked for."""
    return max(0, min(page, (total - 1) // each)) if total else 0


def progress_html(job: Job, what: str) -> str:
    """Return how far a job has come; screen readers find the figure, and are not told of every step."""
    share = job.share
    value = "" if share is None else f' value="{share:.3f}"'
    percent = "" if share is None else f", {100 * share:.0f} %"
    told = f"{job.label.capitalize()}{percent}. You can go on searching meanwhile; this is done once a version."
    return (
        f'<div class="dh-message dh-working"><h3>{escape(what)}</h3><p>{escape(told)}</p>'
        f'<progress max="1"{value} aria-label="{escape(what, quote=True)}"></progress></div>'
    )


def unseen_html() -> str:
    """Return what a panel holds of a collection that was chosen elsewhere: it asks for more once it is seen."""
    return '<div class="dh-message dh-working"><p>A moment …</p></div>'


def plural(what: str) -> str:
    """Return the name of several such things: groups, classes."""
    return f"{what}es" if what.endswith("s") else f"{what}s"
