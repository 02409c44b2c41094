"""One JSON object a line for every request: when, what, how it ended, how long it took.

Never what was asked: no query string, no body, no header, and no address of a visitor. Names of uploads and of
sessions, which stand in some of the page's paths, are left out.
"""

from __future__ import annotations

import json
import re
import sys
import time
from datetime import UTC, datetime
from typing import TextIO

from starlette.types import ASGIApp, Message, Receive, Scope, Send

LONGEST_PATH = 200
LONGEST_METHOD = 20
PRIVATE = re.compile(r"^(/gradio_api/(?:file=|heartbeat/)).+", re.DOTALL)


class RequestLog:
    """ASGI middleware that writes a line when an answer has gone out, or was given up.

    Args:
        app: what answers.
        stream: where lines go; standard output by default.
    """

    def __init__(self, app: ASGIApp, stream: TextIO | None = None) -> None:
        self.app, self._stream = app, stream

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, then write the line."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        started, status = time.perf_counter(), 500  # what the visitor gets where the app fails before it answers

        async def sending(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self.app(scope, receive, sending)
        finally:
            self._write(scope, status, time.perf_counter() - started)

    def _write(self, scope: Scope, status: int, seconds: float) -> None:
        record = {
            "time": datetime.now(UTC).isoformat(timespec="milliseconds"),
            "method": scope["method"][:LONGEST_METHOD],
            "path": shown(scope["path"]),
            "status": status,
            "ms": round(1000 * seconds, 1),
        }
        stream = self._stream or sys.stdout
        try:
            print(json.dumps(record), file=stream, flush=True)
        except OSError:  # a log that cannot be written, as on a full disk, stops no answer
            return


def shown(path: str) -> str:
    """Return a path as a log may keep it."""
    return PRIVATE.sub(r"\1*", path)[:LONGEST_PATH]
