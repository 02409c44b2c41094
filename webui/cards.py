"""What stands under a picture: the attributes that a visitor chose, or else its class and where it lies."""

from __future__ import annotations

from html import escape

from deephash.search import Hit

from .pageoptions import PATH
from .plainnames import plain_name, plain_value


def facts_html(hit: Hit, cards: tuple[str, ...] | None) -> str:
    """Return the lines of a card; where an item has none of what was chosen, its path says which it is."""
    lines = [_fact(hit, name) for name in (usual(hit) if cards is None else cards)]
    return "".join(lines) or _path(hit)


def usual(hit: Hit) -> tuple[str, ...]:
    """Return what is shown unless somebody chooses: the class, where no folder says it already, and the path."""
    label = str(hit.attributes.get("label") or "")
    return ("label", PATH) if label and label not in hit.uri.split("/")[:-1] else (PATH,)


def _fact(hit: Hit, name: str) -> str:
    if name == PATH:
        return _path(hit)
    value = hit.attributes.get(name)
    if value is None or value == "":
        return ""
    said = escape(plain_value(name, value), quote=True)
    return (
        f'<span class="dh-fact" data-name="{escape(name, quote=True)}" title="{escape(plain_name(name))}">{said}</span>'
    )


def _path(hit: Hit) -> str:
    return f'<span class="dh-path" title="{escape(hit.uri, quote=True)}"><bdi>{escape(hit.uri)}</bdi></span>'
