"""Uploads on their way back to the browser that sent them: as pictures, or not to be looked at."""

from __future__ import annotations

from fastapi import FastAPI, Request
from starlette.responses import FileResponse, Response

from .refusals import refusal
from .uploads import FILE_ROUTE, Uploads

PICTURES = {
    ".jpg": "image/jpeg",
    ".jpeg": "image/jpeg",
    ".png": "image/png",
    ".webp": "image/webp",
    ".gif": "image/gif",
    ".bmp": "image/bmp",
    ".avif": "image/avif",
}
# Nothing in an upload runs in the page's origin, whatever the browser takes it for.
INERT = {"Content-Security-Policy": "default-src 'none'; sandbox", "Cache-Control": "private, no-store"}


def add_upload_route(app: FastAPI, uploads: Uploads) -> None:
    """Add Gradio's route of files to ``app``, in front of Gradio's own, which also fetches foreign addresses."""

    @app.api_route(FILE_ROUTE + "{path:path}", methods=["GET", "HEAD"], include_in_schema=False)
    def upload(path: str, request: Request) -> Response:
        found = uploads.accepted(path)
        if found is None:
            return refusal(404, "There is nothing at this address.", INERT)
        kind = PICTURES.get(found.suffix.lower())
        if kind is not None:
            return FileResponse(found, media_type=kind, headers=INERT)
        return FileResponse(found, media_type="application/octet-stream", headers=INERT, filename=found.name)
