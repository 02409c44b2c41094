"""What every request must pass before it reaches the page or a route: who may call, how much, and what may leave."""

from __future__ import annotations

import base64
import binascii
import hmac
from collections.abc import Iterable
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

LOOPBACK = frozenset({"127.0.0.1", "localhost", "[::1]", "::1"})
# Gradio's own scripts need inline code and eval; nothing may be loaded from, or sent to, another host.
POLICY = (
    "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval' blob:; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data: blob:; media-src 'self' data: blob:; font-src 'self' data:; connect-src 'self' data: blob:; "
    "worker-src 'self' blob:; object-src 'none'; base-uri 'self'; form-action 'self'; frame-ancestors 'self'"
)
HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Permissions-Policy": "geolocation=(), microphone=()",
}


class Guard:
    """ASGI middleware around the whole app.

    Args:
        app: what is guarded.
        host: the address the server listens on. On a loopback address the Host header must name one too, which stops
            other web sites from reaching the server through a name that resolves here.
        max_bytes: larger request bodies are refused.
        user: with ``password``, HTTP Basic credentials that every request must carry.
        password: see ``user``.
    """

    def __init__(
        self, app: ASGIApp, *, host: str, max_bytes: int, user: str | None = None, password: str | None = None
    ) -> None:
        self.app, self.max_bytes = app, max_bytes
        self.local_only = host in LOOPBACK
        self.credentials = f"{user}:{password}".encode() if user is not None else None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, or refuse it."""
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
            return
        if scope["type"] != "http":  # the page uses no web sockets, so nobody else may
            await send({"type": "websocket.close", "code": 1008})
            return
        refusal = self.refusal(Headers(scope=scope), scope["method"])
        if refusal is not None:
            await refusal(scope, receive, send)
            return
        await self.app(scope, self._limited(receive), _with_headers(send))

    def refusal(self, headers: Headers, method: str) -> Response | None:
        """Return the answer to a request that may not pass, or None."""
        if self.local_only and _hostname(headers.get("host", "")) not in LOOPBACK:
            return PlainTextResponse("This server answers only to its own address.", 421)
        if self.credentials is not None and not self._knows(headers.get("authorization", "")):
            asked = {"WWW-Authenticate": 'Basic realm="deephash", charset="UTF-8"'}
            return PlainTextResponse("User and password are needed.", 401, asked)
        if method not in ("GET", "HEAD", "OPTIONS") and not _same_origin(headers):
            return PlainTextResponse("Requests from other web sites are refused.", 403)
        length = headers.get("content-length", "0")
        if not length.isdigit() or int(length) > self.max_bytes:
            return PlainTextResponse(f"At most {self.max_bytes >> 20} MiB are taken at once.", 413)
        return None

    def _knows(self, authorization: str) -> bool:
        scheme, _, encoded = authorization.partition(" ")
        try:
            given = base64.b64decode(encoded, validate=True)
        except (binascii.Error, ValueError):
            return False
        return scheme.lower() == "basic" and hmac.compare_digest(given, self.credentials or b"")

    def _limited(self, receive: Receive) -> Receive:
        """Count what arrives, so that a body without a length is bounded too."""
        seen = 0

        async def limited() -> Message:
            nonlocal seen
            message = await receive()
            seen += len(message.get("body", b""))
            if seen > self.max_bytes:
                return {"type": "http.disconnect"}
            return message

        return limited


def _hostname(host: str) -> str:
    return host.rsplit(":", 1)[0] if not host.endswith("]") else host


def _same_origin(headers: Headers) -> bool:
    origin = headers.get("origin")
    if origin is not None:
        return urlsplit(origin).netloc == headers.get("host")
    return headers.get("sec-fetch-site", "same-origin") in ("same-origin", "none")


def _with_headers(send: Send, extra: Iterable[tuple[str, str]] = tuple(HEADERS.items())) -> Send:
    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            for name, value in extra:
                headers[name] = value
        await send(message)

    return sending
