"""What one visitor did: the trail of queries and where they stand on it."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from deephash.search import Query

LONGEST_TRAIL = 40


@dataclass(frozen=True)
class Session:
    """One visitor's queries; every change gives a new session.

    Attributes:
        trail: queries in the order asked.
        position: index of the one that is shown; -1 before the first.
    """

    trail: tuple[Query, ...] = field(default=())
    position: int = -1

    @property
    def current(self) -> Query | None:
        """The query that is shown, or None before the first."""
        return self.trail[self.position] if 0 <= self.position < len(self.trail) else None

    def ask(self, query: Query) -> Session:
        """Go on from the current query to a new one; what lay ahead is forgotten, as in a browser."""
        trail = (*self.trail[: self.position + 1], query)[-LONGEST_TRAIL:]
        return Session(trail, len(trail) - 1)

    def amend(self, query: Query) -> Session:
        """Put a query in the place of the current one, as when a slider moves or a drawing gets another stroke."""
        trail = (*self.trail[: self.position], query, *self.trail[self.position + 1 :])
        return replace(self, trail=trail) if self.current is not None else self.ask(query)

    def goto(self, step: int) -> Session:
        """Return to an earlier (or later) query of the trail; a step outside is moved to the nearest end."""
        return replace(self, position=max(0, min(step, len(self.trail) - 1))) if self.trail else self

    def at(self, key: str) -> Session | None:
        """Return to the query of the trail with this key; None where it is not there, as after a reload."""
        found = [place for place, query in enumerate(self.trail) if query.key == key]
        return self.goto(found[0]) if found else None
