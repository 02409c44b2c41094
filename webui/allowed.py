"""The routes that pass the guard, and the methods of each. Whatever else Gradio mounts is not there for anybody."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from fastapi import FastAPI

JOIN = "/gradio_api/queue/join"
PAGES = frozenset({"/", "/docs"})  # what a link on another site may open


@dataclass(frozen=True)
class Allowed:
    """One kind of path with the methods it takes."""

    methods: tuple[str, ...]
    pattern: re.Pattern[str]


_SEGMENTS = r"(?:/[\w@+-][\w.@+-]*)+"  # no segment starts with a dot
GRADIO = tuple(
    Allowed(methods, re.compile(pattern, re.ASCII))
    for methods, pattern in (
        (("GET", "HEAD"), r"/"),
        (("GET",), rf"/assets{_SEGMENTS}"),
        (("GET",), rf"/static{_SEGMENTS}"),
        (("GET",), r"/theme\.css"),
        (("GET",), r"/favicon\.ico"),
        (("GET",), r"/gradio_api/app_id"),  # asked after a lost connection
        (("GET",), r"/gradio_api/heartbeat/[\w-]{1,100}"),
        (("GET",), r"/gradio_api/queue/data"),
        (("POST",), JOIN),
        (("POST",), r"/gradio_api/upload"),
        (("GET",), r"/gradio_api/upload_progress"),
    )
)


def own_routes(app: FastAPI) -> tuple[Allowed, ...]:
    """Return the routes that ``app`` has itself; call it before anything is mounted."""
    found = []
    for route in app.routes:
        pattern, methods = getattr(route, "path_regex", None), getattr(route, "methods", None)
        if pattern is None or not methods:
            raise TypeError(f"{route} has no methods; only plain routes can be allowed")
        found.append(Allowed(tuple(sorted(methods)), pattern))
    return tuple(found)


def methods_of(path: str, allowed: Sequence[Allowed]) -> tuple[str, ...]:
    """Return the methods that a path takes; none for a path that is not there."""
    return tuple(sorted({method for one in allowed if one.pattern.fullmatch(path) for method in one.methods}))
