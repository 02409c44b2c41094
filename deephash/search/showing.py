"""What a search found, as a list that a notebook shows with pictures and that becomes a table."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pyarrow as pa

from deephash.collection import Collection
from deephash.collection.showing import thumbnail
from deephash.errors import DeephashError
from deephash.faces import as_frame, html_table
from deephash.search.hits import Hit

_SHOWN = 20
_WORDS = ("label", "title", "caption")  # attributes that say what a picture is


class Hits(list[Hit]):
    """Hits, best first, and where their pictures are.

    Args:
        hits: best first.
        collection: whose items they are; None where nobody knows.
    """

    def __init__(self, hits: Iterable[Hit] = (), collection: Collection | None = None) -> None:
        super().__init__(hits)
        self._collection = collection

    def to_arrow(self) -> pa.Table:
        """Return a table of one row a hit: rank, distance, similarity, path, id, ..., and a column an attribute."""
        rows = []
        for hit in self:
            record = hit.to_record()
            rows.append({**record.pop("attributes"), **record})
        names = dict.fromkeys(name for row in rows for name in row)
        return pa.table({name: [row.get(name) for row in rows] for name in names})

    def to_pandas(self) -> Any:
        """Return :meth:`to_arrow` as a data frame."""
        return as_frame(self.to_arrow())

    def _repr_html_(self) -> str:
        shown = self[:_SHOWN]
        if not shown:
            return "<p>no hits</p>"
        words = [name for name in _WORDS if any(name in hit.attributes for hit in shown)]
        rows = [
            (hit.rank, picture, hit.distance, hit.similarity, hit.uri, *(hit.attributes.get(name) for name in words))
            for hit, picture in zip(shown, self._pictures(shown))
        ]
        rest = f"<p>and {len(self) - len(shown):,} more</p>" if len(self) > len(shown) else ""
        return html_table(rows, ("#", "", "bits", "similarity", "path", *words)) + rest

    def _pictures(self, hits: list[Hit]) -> list[str]:
        if self._collection is None:
            return [""] * len(hits)
        try:
            items = self._collection.items([hit.id for hit in hits])
        except DeephashError:  # the version that answered is gone
            return [""] * len(hits)
        return [thumbnail(self._collection, item) for item in items]
