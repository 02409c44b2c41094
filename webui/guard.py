"""What every request must pass before it reaches the page or a route: who may call, what, how much, and what leaves."""

from __future__ import annotations

import base64
import binascii
import hmac
from collections.abc import Collection, Mapping, Sequence

from starlette.datastructures import Headers, MutableHeaders
from starlette.middleware.gzip import GZipMiddleware
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from .allowed import GRADIO, JOIN, Allowed, methods_of
from .bodies import Counted, whole
from .callers import LOOPBACK, hostname, is_address, own_names, same_origin
from .predictions import checked
from .refusals import Refused, refusal
from .uploads import Uploads

# Gradio's own scripts need inline code and eval; nothing may be loaded from, or sent to, another host.
POLICY = (
    "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval' blob:; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data: blob:; media-src 'self' data: blob:; font-src 'self' data:; connect-src 'self' data: blob:; "
    "worker-src 'self' blob:; object-src 'none'; base-uri 'self'; form-action 'self'; frame-ancestors 'self'"
)
HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Permissions-Policy": "geolocation=(), microphone=()",
    "Cross-Origin-Resource-Policy": "same-origin",  # no other site embeds a picture
    "Cross-Origin-Opener-Policy": "same-origin",
}


class Guard:
    """ASGI middleware around the whole app.

    Args:
        app: what is guarded.
        host: the address the server listens on. The Host header must name this server, which stops other web sites
            from reaching it through a name of theirs that resolves here: a loopback name on a loopback address;
            otherwise an address, or a name of this machine.
        max_bytes: larger request bodies are refused.
        user: with ``password``, HTTP Basic credentials that every request must carry.
        password: see ``user``.
        names: further names that the Host header may give.
        routes: what passes beside the routes of Gradio that the page needs.
        events: the page's events by their numbers, with the count of values that each takes.
        uploads: the only files that an event may name.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        host: str,
        max_bytes: int,
        user: str | None = None,
        password: str | None = None,
        names: Collection[str] = (),
        routes: Sequence[Allowed] = (),
        events: Mapping[int, int] | None = None,
        uploads: Uploads | None = None,
    ) -> None:
        self.app, self.max_bytes = app, max_bytes
        self.page = GZipMiddleware(app)  # scripts and styles come compressed from Gradio, the page itself does not
        self.local_only = host in LOOPBACK
        self.names = {name.lower() for name in (*names, *LOOPBACK, *(() if self.local_only else own_names(host)))}
        self.credentials = f"{user}:{password}".encode() if user is not None else None
        self.routes = (*GRADIO, *routes)
        self.events, self.uploads = dict(events or {}), uploads

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, or refuse it."""
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
            return
        if scope["type"] != "http":  # the page uses no web sockets, so nobody else may
            await send({"type": "websocket.close", "code": 1008})
            return
        send = _with_headers(send)
        refused = self.refusal(Headers(scope=scope), scope["method"], scope["path"])
        refused = refused or self.missing(scope["method"], scope["path"])
        if refused is not None:
            await refused(scope, receive, send)
        elif scope["path"] == "/":  # what its address asks for comes with an event; Gradio would take pages and links
            await self.page({**scope, "query_string": b""}, receive, send)
        elif scope["path"] == JOIN:
            await self._join(scope, receive, send)
        else:
            await Counted(self.app, self.max_bytes)(scope, receive, send)

    def refusal(self, headers: Headers, method: str, path: str = "/") -> Response | None:
        """Return the answer to a request that may not pass, whatever it asks for; or None."""
        if not self._called(hostname(headers.get("host", ""))):
            return refusal(421, "This server answers only to its own addresses and names (deephash serve --hostname).")
        if self.credentials is not None and not self._knows(headers.get("authorization", "")):
            asked = {"WWW-Authenticate": 'Basic realm="deephash", charset="UTF-8"'}
            return refusal(401, "User and password are needed.", asked)
        if not same_origin(headers, method, path):
            return refusal(403, "Requests from other web sites are refused.")
        length = headers.get("content-length", "0")
        if not (length.isascii() and length.isdigit() and len(length) < 20 and int(length) <= self.max_bytes):
            return refusal(413, f"At most {self.max_bytes >> 20} MiB are taken at once.")
        return None

    def missing(self, method: str, path: str) -> Response | None:
        """Return the answer where the path is none of the page's, or does not take the method; or None."""
        methods = methods_of(path, self.routes)
        if not methods:
            return refusal(404, "There is nothing at this address.")
        if method not in methods:
            known = ", ".join(methods)
            return refusal(405, f"This address takes {known}.", {"Allow": known})
        return None

    async def _join(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Read the whole body of an event, check it, and pass on what was checked."""
        try:
            if Headers(scope=scope).get("content-type", "").partition(";")[0].strip().lower() != "application/json":
                raise Refused(415, "The body of an event is JSON.")
            if self.uploads is None:
                raise Refused(404, "There is no page here.")
            body = checked(await whole(receive), self.events, self.uploads)
        except Refused as error:
            await error.answer(scope, receive, send)
            return
        headers = MutableHeaders(scope=scope)
        headers["content-length"] = str(len(body))
        del headers["transfer-encoding"]
        given = [{"type": "http.request", "body": body, "more_body": False}]

        async def again() -> Message:
            return given.pop() if given else await receive()

        await self.app(scope, again, send)

    def _called(self, name: str) -> bool:
        return name in self.names or (not self.local_only and is_address(name))

    def _knows(self, authorization: str) -> bool:
        scheme, _, encoded = authorization.partition(" ")
        try:
            given = base64.b64decode(encoded, validate=True)
        except (binascii.Error, ValueError):
            return False
        return scheme.lower() == "basic" and hmac.compare_digest(given, self.credentials or b"")


def _with_headers(send: Send) -> Send:
    """Set our headers on every answer, and take away those by which Gradio lets other origins read it."""

    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            for name in [name for name in headers if name.startswith("access-control-")]:
                del headers[name]
            headers.setdefault("Content-Security-Policy", POLICY)  # uploads have a stricter one
            for name, value in HEADERS.items():
                headers[name] = value
        await send(message)

    return sending
