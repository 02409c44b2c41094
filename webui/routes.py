"""Plain REST routes beside the page: the same searches for programs. Errors are ``{"error": sentence}``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from fastapi import FastAPI, File, Form, Query, Request, UploadFile
from fastapi import Path as InPath
from fastapi.responses import HTMLResponse, JSONResponse, Response
from pydantic import Field
from starlette.exceptions import HTTPException

from deephash.errors import CollectionError, DataError, DeephashError, UsageError
from deephash.search import Options, Sliders
from deephash.search import Query as Asked
from deephash.search.query import words_query

from .actions import picture_query
from .actions import sentence as sentence_of
from .description import THUMBNAIL
from .listroute import add_list_route
from .live import MOST_AT_ONCE, add_pictures
from .numbers import MOST_BITS, TOO_LARGE
from .plainnames import plain_name
from .records import AddedRecord, AnswerRecord, CodeRecord, ItemRecord, StatsRecord
from .refusals import refusal
from .thumbnails import MAX_SIDE, SIDE, original_size, placeholder
from .turns import ServerBusy
from .workspace import MAX_ANSWERS, RERANKED, Workspace

WHICH = "collection; the first one where left out"
Name = Annotated[str | None, Query(description=WHICH)]
Item = Annotated[int, InPath(ge=0, lt=TOO_LARGE, description="id of an item")]
Radius = Annotated[int, Field(ge=0, le=MOST_BITS)]
FARTHEST = "at most so many bits away; auto: what is likely, or nearer than chance"
DOCUMENTATION = Path(__file__).with_name("api.html")


def add_routes(app: FastAPI, workspace: Workspace) -> None:
    """Add every route below ``/api`` to ``app``."""
    app.add_exception_handler(DeephashError, _explain)  # type: ignore[arg-type]
    app.add_exception_handler(HTTPException, _relay)  # type: ignore[arg-type]
    _add_searching(app, workspace)
    _add_adding(app, workspace)
    _add_looking(app, workspace)
    _add_telling(app, workspace)
    add_list_route(app, workspace)


def _add_searching(app: FastAPI, workspace: Workspace) -> None:
    @app.post("/api/search", summary="Search by a picture, words, both, or an item", response_model=AnswerRecord)
    def search(
        picture: Annotated[UploadFile | None, File(description="a picture file")] = None,
        text: Annotated[str | None, Form(description="words, for cross-modal models")] = None,
        minus: Annotated[str, Form(description="words that are not wanted")] = "",
        id: Annotated[int | None, Form(ge=0, lt=TOO_LARGE, description="an item of the collection")] = None,
        collection: Annotated[str | None, Form(description=WHICH)] = None,
        k: Annotated[int, Form(ge=1, le=MAX_ANSWERS, description="at most so many answers")] = 10,
        max_distance: Annotated[Radius | Literal["auto"] | None, Form(description=FARTHEST)] = None,
        where: Annotated[str, Form(max_length=1000, description='such as: label = "cat"')] = "",
        beta: Annotated[float, Form(ge=0, le=1, description="picture and words: 0 picture, 1 words")] = 0.5,
        alpha_text: Annotated[float, Form(ge=-2, le=4, description="picture and words: reach of the words")] = 1.0,
        alpha_image: Annotated[float, Form(ge=-2, le=4, description="picture and words: pull on the picture")] = 1.0,
        rerank: Annotated[bool, Form(description="order the nearest codes by their stored vectors")] = False,
    ) -> dict[str, Any]:
        with workspace.turns:
            asked = _asked(workspace, collection, picture, text, minus, id, Sliders(alpha_text, alpha_image, beta))
            name = workspace.place(collection).name
            options = Options(k, max_distance, where, rerank=RERANKED if rerank else 0)
            return workspace.answer(name, asked, options).to_record()

    @app.post("/api/encode", summary="Return the code of a picture or of words", response_model=CodeRecord)
    def encode(
        picture: Annotated[UploadFile | None, File(description="a picture file")] = None,
        text: Annotated[str | None, Form(description="words, for cross-modal models")] = None,
        collection: Annotated[str | None, Form(description=WHICH)] = None,
    ) -> dict[str, Any]:
        with workspace.turns:
            asked = _asked(workspace, collection, picture, text, "", None, Sliders())
            code = workspace.encode(workspace.place(collection).name, asked)
        return {"num_bits": code.num_bits, "hex": code.hex()[0]}


def _add_adding(app: FastAPI, workspace: Workspace) -> None:
    @app.post(
        "/api/add", summary="Add pictures to a collection; they are searchable at once", response_model=AddedRecord
    )
    def add(
        pictures: Annotated[list[UploadFile], File(min_length=1, max_length=MOST_AT_ONCE, description="picture files")],
        collection: Annotated[str | None, Form(description=WHICH)] = None,
    ) -> dict[str, Any]:
        files = [(picture.filename or "picture", picture.file.read()) for picture in pictures]
        with workspace.turns:
            change = add_pictures(workspace, workspace.place(collection).name, files)
        return {"ids": change.ids, "version": change.after, "skipped": [list(pair) for pair in change.skipped]}


def _add_looking(app: FastAPI, workspace: Workspace) -> None:
    @app.get("/api/items/{item}", summary="Return an item and its attributes", response_model=ItemRecord)
    def read_item(item: Item, collection: Name = None) -> dict[str, Any]:
        snapshot = workspace.place(collection).searcher.snapshot
        code = snapshot.codes_of([item])
        found = snapshot.collection.items([item])[0]
        try:
            size = original_size(snapshot.collection, found)
        except DataError:  # gone, damaged, or elsewhere
            size = {"width": None, "height": None, "bytes": None}
        return {
            "id": item,
            "path": found.uri,
            **size,
            "attributes": dict(found.attributes),
            "titles": {name: plain_name(name) for name in found.attributes},
            "num_bits": code.num_bits,
            "hex": code.hex()[0],
        }

    @app.get(
        "/api/items/{item}/thumbnail",
        summary="Return a small re-encoded copy of a picture",
        response_class=Response,
        responses=THUMBNAIL,
    )
    def thumbnail(
        item: Item,
        collection: Name = None,
        side: Annotated[int, Query(ge=16, le=MAX_SIDE, description="pixels of the longer side")] = SIDE,
    ) -> Response:
        place = workspace.place(collection)
        opened = place.searcher.collection
        found = opened.items([item])[0]
        try:
            data, media_type = workspace.thumbnails.get(opened, found, side)
        except DataError:
            data, media_type = placeholder(side)
            return Response(data, 404, {"Cache-Control": "no-store"}, media_type)
        return Response(data, headers={"Cache-Control": "private, max-age=600"}, media_type=media_type)


def _add_telling(app: FastAPI, workspace: Workspace) -> None:
    @app.get("/api/stats", summary="Return what is served", response_model=StatsRecord)
    def stats() -> dict[str, Any]:
        return {"read_only": workspace.read_only, "collections": [_stats(workspace, name) for name in workspace.names]}

    @app.get("/docs", include_in_schema=False)
    def documentation() -> HTMLResponse:
        return HTMLResponse(DOCUMENTATION.read_text(encoding="utf8"))


def _asked(
    workspace: Workspace,
    collection: str | None,
    picture: UploadFile | None,
    text: str | None,
    minus: str,
    item: int | None,
    sliders: Sliders,
) -> Asked:
    if picture is not None and item is not None:
        raise UsageError("give a picture or an id, not both; text may go with either")
    if picture is None and item is None and not text:
        raise UsageError("give a picture, an id, or text; text may go with either of the others")
    shown = None
    if item is not None:
        shown = workspace.item_query(workspace.place(collection).name, item)
    elif picture is not None:
        shown = picture_query(picture.file.read(), picture.filename or "picture")
    if shown is not None and not text and not minus:
        return shown
    return words_query(text or "", minus, shown, sliders)


def _stats(workspace: Workspace, name: str) -> dict[str, Any]:
    searcher = workspace.place(name).searcher
    snapshot = searcher.snapshot
    return {
        "name": name,
        "items": len(snapshot),
        "num_bits": snapshot.current.index.num_bits,
        "version": snapshot.collection.version,
        "model": searcher.encoder.description,
        "modalities": list(searcher.encoder.modalities),
        "fingerprint": snapshot.collection.fingerprint,
        "index": snapshot.current.index.explain(),
    }


async def _explain(_: Request, error: DeephashError) -> JSONResponse:
    if isinstance(error, ServerBusy):
        return JSONResponse({"error": str(error)}, 503, {"Retry-After": "2"})
    status = 400 if isinstance(error, UsageError) else 415 if isinstance(error, DataError) else 503
    return JSONResponse({"error": sentence_of(error)}, status if not isinstance(error, CollectionError) else 503)


async def _relay(_: Request, error: HTTPException) -> JSONResponse:
    """Give what the framework refuses, such as a damaged form, the shape of all errors."""
    return refusal(error.status_code, error.detail, error.headers)
