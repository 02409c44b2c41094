"""Routes for whoever runs the server: is it alive, is it ready, and its metrics where they are asked for."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from fastapi import FastAPI
from starlette.responses import JSONResponse, Response

from .readiness import Readiness
from .refusals import refusal

if TYPE_CHECKING:
    from .metrics import Metrics

NOT_KEPT = {"Cache-Control": "no-store"}
SOON = {**NOT_KEPT, "Retry-After": "1"}


def add_health_routes(app: FastAPI, readiness: Readiness, metrics: Metrics | None = None) -> None:
    """Add ``/healthz`` and ``/readyz`` to ``app``, and ``/metrics`` where there are any.

    None of them takes a thread of the pool that searches wait in, so a busy server is still seen to be alive.
    """

    @app.api_route("/healthz", methods=["GET", "HEAD"], include_in_schema=False)
    async def healthz() -> Response:
        return JSONResponse({"status": "alive"}, headers=NOT_KEPT)

    @app.api_route("/readyz", methods=["GET", "HEAD"], include_in_schema=False)
    async def readyz() -> Response:
        if readiness.ready:
            return JSONResponse({"status": "ready"}, headers=NOT_KEPT)
        return refusal(503, readiness.waits_for, SOON)

    if metrics is None:
        return

    @app.get("/metrics", include_in_schema=False)
    async def read_metrics() -> Response:
        text = await asyncio.to_thread(metrics.text)
        return Response(text, headers={**NOT_KEPT, "Content-Type": metrics.content_type})
