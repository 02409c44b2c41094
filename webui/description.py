"""The OpenAPI description: every answer a route can give, the guard's among them, and what a body must hold."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from .records import ErrorRecord

PICTURE = {"schema": {"type": "string", "format": "binary"}}
REASON = {"application/json": {"schema": {"$ref": "#/components/schemas/ErrorRecord"}}}
THUMBNAIL: dict[int | str, dict[str, Any]] = {
    200: {"description": "A JPEG; a PNG for tiny pictures", "content": {"image/jpeg": PICTURE, "image/png": PICTURE}},
    404: {"description": "The file is gone or damaged: a grey picture", "content": {"image/png": PICTURE}},
}
GUARDED = {
    "400": "The question makes no sense, as for an unknown item or collection",
    "401": "User and password are needed (deephash serve --user --password)",
    "403": "Asked by another web site",
    "404": "There is nothing at this address",
    "413": "Too much at once",
    "421": "Not a name of this server (deephash serve --hostname)",
    "503": "The collection cannot be used, or too many searches wait: come back after Retry-After seconds",
}
PICTURES = {"415": "No readable picture"}
BUSY = {"Retry-After": {"description": "seconds", "schema": {"type": "string"}}}
ONE_OF = {  # FastAPI cannot say that one of several fields is needed
    "/api/search": ("picture", "text", "id"),
    "/api/encode": ("picture", "text"),
}


def describe(app: FastAPI, *, secured: bool) -> None:
    """Let ``app`` describe itself completely; ``secured`` where the guard wants a password."""

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            app.openapi_schema = complete(get_openapi(title=app.title, version=app.version, routes=app.routes))
            if secured:
                app.openapi_schema["components"]["securitySchemes"] = {"password": {"type": "http", "scheme": "basic"}}
                app.openapi_schema["security"] = [{"password": []}]
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]


def complete(description: dict[str, Any]) -> dict[str, Any]:
    """Add what FastAPI does not know of."""
    schemas = description["components"]["schemas"]
    schemas["ErrorRecord"] = ErrorRecord.model_json_schema()
    for path, route in description["paths"].items():
        for operation in route.values():
            _add_answers(operation)
            if "requestBody" in operation:
                _complete_body(operation["requestBody"], schemas, ONE_OF.get(path, ()))
    _exact(description)
    return description


def _add_answers(operation: dict[str, Any]) -> None:
    answers = operation["responses"]
    for status, words in {**GUARDED, **(PICTURES if "requestBody" in operation else {})}.items():
        answer = answers.setdefault(status, {"description": words})
        answer["content"] = {**answer.get("content", {}), **REASON}
    answers["503"]["headers"] = BUSY


def _complete_body(body: dict[str, Any], schemas: dict[str, Any], one_of: tuple[str, ...]) -> None:
    """Say that the body is needed, which fields it needs, and that a field left out is none, not null."""
    body["required"] = True
    (media,) = body["content"].values()
    fields = schemas[media["schema"]["$ref"].rsplit("/", 1)[-1]]
    if one_of:
        fields["anyOf"] = [{"required": [name]} for name in one_of]
    for field in fields["properties"].values():
        kinds = [kind for kind in field.pop("anyOf", []) if kind != {"type": "null"}]
        if kinds:
            field |= kinds[0]
        for part in (field, field.get("items", {})):
            if "contentMediaType" in part:
                part["format"] = "binary"  # how most readers know a file


def _exact(part: Any) -> None:
    """Write the bounds of whole numbers as such: as a float, 2**63 reads 9.223372036854776e+18, which is another."""
    if isinstance(part, dict):
        if part.get("type") == "integer":
            part |= {name: int(value) for name, value in part.items() if isinstance(value, float)}
        for value in part.values():
            _exact(value)
    elif isinstance(part, list):
        for value in part:
            _exact(value)
