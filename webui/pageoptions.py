"""Options of a search as the page has them: also what the cards of its answers show."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from deephash.search import Options

MOST_CARDS = 8  # lines
PATH = "path"  # the one thing to show that is no attribute
_NAME = re.compile(r"[A-Za-z_]\w{0,63}", re.ASCII)


@dataclass(frozen=True)
class PageOptions(Options):
    """Options, and what cards show.

    Attributes:
        cards: names of attributes, or ``path``, in their order; None for what is usual.
    """

    cards: tuple[str, ...] | None = None


def read_cards(names: str | Sequence[object]) -> tuple[str, ...] | None:
    """Return what cards are to show, of ``title,colour`` or a list; None where nothing is named. Never raises."""
    given = names.split(",") if isinstance(names, str) else names
    found = [name.strip() for name in given if isinstance(name, str) and _NAME.fullmatch(name.strip())]
    return tuple(dict.fromkeys(found))[:MOST_CARDS] or None
