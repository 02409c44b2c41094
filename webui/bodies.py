"""How much a request may send: counted as it comes, so that a body without a length is bounded too."""

from __future__ import annotations

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from .predictions import MAX_BYTES
from .refusals import Refused, refusal


class Counted:
    """ASGI middleware that answers 413 as soon as more than ``max_bytes`` have come."""

    def __init__(self, app: ASGIApp, max_bytes: int) -> None:
        self.app, self.max_bytes = app, max_bytes
        self.seen, self.started, self.refused = 0, False, False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, or answer for the app."""

        async def counting() -> Message:
            message = await receive()
            self.seen += len(message.get("body", b""))
            if self.seen <= self.max_bytes:
                return message
            if not self.started and not self.refused:
                self.refused = True
                await refusal(413, f"At most {self.max_bytes >> 20} MiB are taken at once.")(scope, receive, send)
            return {"type": "http.disconnect"}

        async def sending(message: Message) -> None:
            if not self.refused:  # the visitor has the answer already
                self.started = True
                await send(message)

        try:
            await self.app(scope, counting, sending)
        except Exception:
            if not self.refused:
                raise


async def whole(receive: Receive) -> bytes:
    """Return a small body. Raises Refused for a large one, or one that breaks off."""
    body, more = bytearray(), True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise Refused(400, "The request ended before its body.")
        body += message.get("body", b"")
        more = message.get("more_body", False)
        if len(body) > MAX_BYTES:
            raise Refused(413, f"At most {MAX_BYTES >> 20} MiB are taken with an event.")
    return bytes(body)
