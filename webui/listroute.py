"""A list of chosen items as a file: CSV for a spreadsheet, JSON lines for a program."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Sequence
from datetime import date
from typing import Annotated, Any, Literal

from fastapi import FastAPI, Query
from fastapi.responses import Response

from deephash.collection import Item
from deephash.errors import UsageError

from .results import for_spreadsheet
from .workspace import MOST_SHOWN, Workspace

TYPES = {"csv": "text/csv; charset=utf-8", "jsonl": "application/x-ndjson"}
LISTED: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "The list",
        "content": {name.split(";")[0]: {"schema": {"type": "string"}} for name in TYPES.values()},
    }
}
Form = Literal["csv", "jsonl"]


def add_list_route(app: FastAPI, workspace: Workspace) -> None:
    """Add the route to ``app``."""

    @app.get(
        "/api/list", summary="Return items and their attributes as a list", response_class=Response, responses=LISTED
    )
    def read_list(
        ids: Annotated[str, Query(pattern=r"^\d{1,18}(,\d{1,18})*$", max_length=20_000, description="of items: 1,2,3")],
        form: Annotated[Form, Query(description="csv, or jsonl: one object a line")] = "csv",
        collection: Annotated[str | None, Query(description="collection; the first one where left out")] = None,
    ) -> Response:
        wanted = list(dict.fromkeys(int(one) for one in ids.split(",")))
        if len(wanted) > MOST_SHOWN:
            raise UsageError(f"at most {MOST_SHOWN:,} items are listed at once, not {len(wanted):,}")
        items = workspace.place(collection).searcher.collection.items(wanted, with_hashes=False)
        text = as_csv(items) if form == "csv" else as_lines(items)
        named = {"Content-Disposition": f'attachment; filename="selected.{form}"', "Cache-Control": "private, no-store"}
        return Response(text, headers=named, media_type=TYPES[form])


def as_csv(items: Sequence[Item]) -> str:
    """Return items as CSV: path, id, and a column for each attribute that one of them has."""
    names = list(dict.fromkeys(name for item in items for name in item.attributes))
    buffer = io.StringIO()
    writer = csv.writer(buffer)
    writer.writerow(["path", "id", *names])
    for item in items:
        cells = [_plain(item.attributes.get(name)) for name in names]
        writer.writerow([for_spreadsheet(item.uri), item.id, *(for_spreadsheet(cell) for cell in cells)])
    return buffer.getvalue()


def as_lines(items: Sequence[Item]) -> str:
    """Return items as JSON, one object a line: path, id, attributes."""
    records = (
        {
            "path": item.uri,
            "id": item.id,
            "attributes": {name: _plain(value) for name, value in item.attributes.items()},
        }
        for item in items
    )
    return "".join(json.dumps(record, ensure_ascii=False) + "\n" for record in records)


def _plain(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):  # JSON has no word for it
        return None
    return value.isoformat() if isinstance(value, date) else value
