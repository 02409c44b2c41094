"""How the guard says no: ``{"error": sentence}``, as the routes do; events also say it where the page looks for it."""

from __future__ import annotations

from collections.abc import Mapping

from starlette.responses import JSONResponse


class Refused(Exception):
    """A request that does not pass, with the answer it gets."""

    def __init__(self, status: int, sentence: str) -> None:
        super().__init__(sentence)
        self.answer = JSONResponse({"error": sentence, "detail": sentence}, status)


def refusal(status: int, sentence: str, headers: Mapping[str, str] | None = None) -> JSONResponse:
    """Return an answer that says why not."""
    return JSONResponse({"error": sentence}, status, headers)
