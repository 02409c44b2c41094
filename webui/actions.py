"""What the page's buttons do, as plain functions: session and inputs in, a view out. No Gradio in here."""

from __future__ import annotations

import base64
import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from PIL import Image

from deephash.collection.pictures import open_picture
from deephash.errors import DeephashError, UnreadablePicture, UsageError

from .codeview import code_html, histogram_html
from .results import message_html, results_html, status_html, trail_html, welcome_html
from .session import Session
from .sketch import fit_to_paper, read_drawing
from .thumbnails import MAX_PIXELS, encode_thumbnail
from .workspace import Answer, Options, Part, Query, Workspace

MAX_UPLOAD_BYTES = 24 << 20
LONGEST_PHRASE = 400
EXAMPLES = 12
PREVIEW = 96
logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class View:
    """Everything the search page shows, as HTML, and the session it belongs to."""

    session: Session
    trail: str
    status: str
    results: str
    insight: str
    answer: Answer | None = None


def ask(workspace: Workspace, name: str, session: Session, query: Query, options: Options) -> View:
    """Answer a new query and put it on the trail."""
    answer = workspace.answer(name, query, options)
    return view_of(workspace, session.ask(query), answer)


def again(workspace: Workspace, name: str, session: Session, options: Options) -> View:
    """Answer the current query once more, as when an option or the collection changed."""
    if session.current is None:
        return start(workspace, name, session)
    return view_of(workspace, session, workspace.answer(name, session.current, options))


def start(workspace: Workspace, name: str, session: Session | None = None) -> View:
    """Return what is shown before the first query: examples spread over the collection."""
    snapshot = workspace.place(name).searcher.snapshot
    total = len(snapshot.ids)
    if not total:
        empty = message_html("The collection is empty", "Add pictures on the Collection page, or run deephash index.")
        return View(session or Session(), "", "", empty, "")
    ids = snapshot.ids[:: max(1, total // EXAMPLES)][:EXAMPLES]
    examples = [(item.id, item.uri) for item in snapshot.collection.items(ids)]
    page = welcome_html(workspace.place(name).name, examples, total, snapshot.codes.num_bits)
    return View(session or Session(), "", "", page, "")


def view_of(workspace: Workspace, session: Session, answer: Answer) -> View:
    """Turn an answer into HTML."""
    return View(
        session,
        trail_html(session.trail, session.position),
        status_html(answer),
        results_html(answer, removable=not workspace.read_only),
        histogram_html(answer) + code_html(answer),
        answer,
    )


def guarded(session: Session, action: Callable[[], View]) -> View:
    """Run an action; an error becomes a sentence in place of the results, never a traceback."""
    try:
        return action()
    except DeephashError as error:
        panel = message_html("That did not work", sentence(error), kind="error")
    except Exception:
        logger.exception("an action of the page failed")
        panel = message_html(
            "Something went wrong inside", "The server's log says what. Your last query is still there.", kind="error"
        )
    return View(session, trail_html(session.trail, session.position), "", panel, "")


def sentence(error: DeephashError) -> str:
    """Leave out folders of the server: a visitor has no business with them."""
    return " ".join(word.rsplit("/", 1)[-1] if word.startswith("/") else word for word in str(error).split())


# Making queries ------------------------------------------------------------------------------------


def picture_query(source: str | Path | bytes, label: str = "") -> Query:
    """Make a query of an uploaded file. Raises UnreadablePicture with the reason."""
    size = len(source) if isinstance(source, bytes) else Path(source).stat().st_size
    if size > MAX_UPLOAD_BYTES:
        raise UnreadablePicture(f"the file has {size / 1e6:.0f} MB; at most {MAX_UPLOAD_BYTES >> 20} MiB are taken")
    name = label or (Path(source).name if not isinstance(source, bytes) else "uploaded picture")
    data = source if isinstance(source, bytes) else Path(source).read_bytes()
    try:
        small = open_picture(data, max_pixels=MAX_PIXELS, reduced_to=PREVIEW)
    except UnreadablePicture as error:
        raise UnreadablePicture(str(error).replace("these bytes", name)) from None
    return Query("picture", name, (Part("image", data),), data_url(small))


def drawing_query(workspace: Workspace, name: str, drawn: str) -> Query:
    """Make a query of a drawing, made to look like the collection's pictures."""
    drawing = read_drawing(drawn)
    fitted = fit_to_paper(drawing, workspace.place(name).paper())
    return Query("drawing", "drawing", (Part("image", fitted),), data_url(drawing))


def words_query(plus: str, minus: str = "", picture: Query | None = None, share: float = 0.5) -> Query:
    """Make a query of words, of words that are not wanted, and of a picture with ``share`` 0..1 given to the words."""
    plus, minus = plus.strip(), minus.strip()
    if max(len(plus), len(minus)) > LONGEST_PHRASE:
        raise UsageError(f"a phrase of at most {LONGEST_PHRASE} characters is taken, not {max(len(plus), len(minus))}")
    if not plus and picture is None:
        raise UsageError("give some words, or a picture")
    parts = [replace(part, weight=part.weight * (1 - share)) for part in (picture.parts if picture else ())]
    weight = share if picture else 1.0
    parts += [Part("text", plus, weight)] if plus else []
    parts += [Part("text", minus, -0.5 * weight)] if minus else []
    label = " + ".join(filter(None, [picture.label if picture else "", f"“{plus}”" if plus else ""]))
    label += f" − “{minus}”" if minus else ""
    thumbnail = picture.thumbnail if picture else ""
    return Query("mixture" if picture else "words", label, tuple(part for part in parts if part.weight), thumbnail)


def steered_query(workspace: Workspace, name: str, current: Query, item: int, sign: int) -> Query:
    """Move the current query towards an item (sign +1) or away from it (-1)."""
    steer = workspace.item_query(name, item)
    part = replace(steer.parts[0], weight=float(sign))
    label = f"{current.label} {'+' if sign > 0 else '−'} {steer.label}"
    return Query("mixture", label, (*current.parts, part), current.thumbnail)


def data_url(picture: Image.Image, side: int = PREVIEW) -> str:
    """Return a small re-encoded copy of a picture as a ``data:`` URL."""
    data, media_type = encode_thumbnail(picture, side)
    return f"data:{media_type};base64,{base64.b64encode(data).decode()}"
