"""The list of near-duplicates for programs and for the link on the page."""

from __future__ import annotations

import threading
from typing import Annotated, Any, Literal

from fastapi import FastAPI, Query
from fastapi.responses import Response

from .background import Background
from .duplicates import as_csv, as_jsonl
from .keptduplicates import duplicates_job
from .numbers import MOST_BITS
from .turns import ServerBusy
from .workspace import Workspace

PATIENCE = 5.0  # seconds that a call waits for the first list
WAITING = 4  # calls that may wait; threads are few
TYPES = {"csv": "text/csv; charset=utf-8", "jsonl": "application/jsonl; charset=utf-8"}
LIST: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "group, path, verdict (keep or copy), distance, reason, id: a line a picture",
        "content": {kind.partition(";")[0]: {"schema": {"type": "string"}} for kind in TYPES.values()},
    }
}


def add_duplicate_route(app: FastAPI, workspace: Workspace, background: Background) -> None:
    """Add ``/api/duplicates`` to ``app``."""
    seats = threading.Semaphore(WAITING)

    @app.get(
        "/api/duplicates",
        summary="List groups of near-duplicates; the first call starts the search for them",
        response_class=Response,
        responses=LIST,
    )
    def duplicates(
        collection: Annotated[str | None, Query(description="collection; the first one where left out")] = None,
        radius: Annotated[int | None, Query(ge=0, le=MOST_BITS, description="at most so many bits apart")] = None,
        format: Annotated[Literal["csv", "jsonl"], Query(description="how it is written")] = "csv",
    ) -> Response:
        job = duplicates_job(background, workspace, workspace.place(collection))
        if not job.ended and seats.acquire(blocking=False):
            try:
                job.wait(PATIENCE)
            finally:
                seats.release()
        if not job.ended:
            raise ServerBusy(f"the duplicates are still being looked for ({job.label}); ask again in a moment")
        found = job.outcome()
        within = found.reach if radius is None else radius
        text = (as_csv if format == "csv" else as_jsonl)(found, within)
        headers = {"Content-Disposition": f'attachment; filename="duplicates.{format}"'}
        return Response(text, headers=headers, media_type=TYPES[format])
