"""Who calls: the name a request gives this server, and the web site it comes from."""

from __future__ import annotations

import ipaddress
import socket
from urllib.parse import urlsplit

from starlette.datastructures import Headers

from .allowed import PAGES

LOOPBACK = frozenset({"127.0.0.1", "localhost", "[::1]", "::1"})


def hostname(host: str) -> str:
    """Return the name in a Host header, without the port."""
    return (host.rsplit(":", 1)[0] if not host.endswith("]") else host).lower()


def is_address(name: str) -> bool:
    """Say whether this is an IP address: no other web site can be called so."""
    try:
        ipaddress.ip_address(name.removeprefix("[").removesuffix("]"))
    except ValueError:
        return False
    return True


def own_names(host: str) -> set[str]:
    """Return the names of this machine, beside the address it listens on."""
    own = socket.gethostname()
    return {host, own, f"{own}.local"} - {"", ".local"}


def same_origin(headers: Headers, method: str, path: str) -> bool:
    """Say whether a request comes from this page, from a program, or from a link to the page.

    A browser sends Origin with everything but plain GETs, and Sec-Fetch-Site (on https and loopback) with those too; a
    program sends neither, and acts for nobody but itself.
    """
    own = headers.get("host", "")
    if any(not own or _netloc(origin) != own.lower() for origin in headers.getlist("origin")):
        return False
    if all(site in ("same-origin", "none") for site in headers.getlist("sec-fetch-site")):
        return True
    opened = (headers.get("sec-fetch-mode"), headers.get("sec-fetch-dest")) == ("navigate", "document")
    return opened and method in ("GET", "HEAD") and path in PAGES


def _netloc(origin: str) -> str:
    """Host and port of an origin; an empty string for what is none."""
    try:
        return urlsplit(origin).netloc.lower()
    except ValueError:
        return ""
