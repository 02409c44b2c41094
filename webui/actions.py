"""What the page's buttons do, as plain functions: session and inputs in, a view out. No Gradio in here."""

from __future__ import annotations

import base64
import logging
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from html import escape
from pathlib import Path
from urllib.parse import quote_plus

from PIL import Image

from deephash.errors import DeephashError, UnreadablePicture, UsageError
from deephash.pictures import open_picture
from deephash.search import Answer, Options, Part, Query, Sliders

from .codeview import code_html, histogram_html
from .results import chips_html, message_html, results_html, status_html, trail_html, welcome_html
from .session import Session
from .sketch import fit_to_paper, read_drawing
from .thumbnails import encode_thumbnail
from .workspace import Workspace

MAX_UPLOAD_BYTES = 24 << 20
MOST_PARTS = 12  # pictures of one query
EXAMPLES = 12
PREVIEW = 96
FOLDERS = re.compile(r"(?<![\w:/.])/(?:[^\s/'\"]+/)+")  # of an absolute path, not of an address
logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class View:
    """Everything the search page shows, as HTML, and the session it belongs to; ``asked`` is the query it answers.

    ``k`` is the number of answers it was asked for, None where nothing was.
    """

    session: Session
    trail: str
    status: str
    results: str
    insight: str
    asked: Query | None = None
    k: int | None = None

    @property
    def chips(self) -> str:
        """The parts of the query that is shown."""
        return "" if self.asked is None else chips_html(self.asked)


def ask(workspace: Workspace, name: str, session: Session, query: Query, options: Options) -> View:
    """Answer a new query and put it on the trail."""
    answer = workspace.answer(name, query, options)
    return view_of(workspace, session.ask(query), answer)


def again(workspace: Workspace, name: str, session: Session, options: Options) -> View:
    """Answer the current query once more, as when an option or the collection changed."""
    if session.current is None:
        return start(workspace, name, session)
    return view_of(workspace, session, workspace.answer(name, session.current, options))


def mix(workspace: Workspace, name: str, session: Session, sliders: Sliders, options: Options) -> View:
    """Answer the current query at another position of the sliders; nothing is encoded, the trail keeps its length."""
    if session.current is None:
        return start(workspace, name, session)
    return again(workspace, name, session.amend(session.current.mixed(sliders)), options)


def leave_out(workspace: Workspace, name: str, session: Session, part: int, options: Options) -> View:
    """Ask the current query without one of its parts; the examples return where nothing is left to look for."""
    left = None if session.current is None else session.current.without(part)
    return start(workspace, name, session) if left is None else ask(workspace, name, session, left, options)


def start(workspace: Workspace, name: str, session: Session | None = None) -> View:
    """Return what is shown before the first query: examples spread over the collection."""
    place = workspace.place(name)
    snapshot = place.searcher.snapshot
    total = len(snapshot)
    if not total:
        empty = message_html("The collection is empty", "Add pictures on the Collection page, or run deephash index.")
        return View(session or Session(), "", "", empty, "")
    ids = snapshot.ids[:: max(1, total // EXAMPLES)][:EXAMPLES]
    examples = [(item.id, item.uri) for item in snapshot.collection.items(ids)]
    modalities = place.searcher.encoder.modalities
    link = "" if place.name == workspace.names[0] else f"?collection={quote_plus(place.name)}"
    page = welcome_html(place.name, examples, total, snapshot.current.index.num_bits, modalities, escape(link, True))
    return View(session or Session(), "", "", page, "")


def view_of(workspace: Workspace, session: Session, answer: Answer) -> View:
    """Turn an answer into HTML."""
    return View(
        session,
        trail_html(session.trail, session.position),
        status_html(answer),
        results_html(answer, removable=not workspace.read_only),
        histogram_html(answer) + code_html(answer),
        answer.query,
        answer.options.k,
    )


def guarded(workspace: Workspace, session: Session, action: Callable[[], View]) -> View:
    """Run an action when its turn comes; an error becomes a sentence in place of the results, never a traceback."""
    try:
        with workspace.turns:
            return action()
    except DeephashError as error:
        panel = message_html("That did not work", sentence(error), kind="error")
    except Exception:
        logger.exception("an action of the page failed")
        panel = message_html(
            "Something went wrong inside", "The server's log says what. Your last query is still there.", kind="error"
        )
    return View(session, trail_html(session.trail, session.position), "", panel, "", session.current)


def sentence(error: DeephashError) -> str:
    """Leave out folders of the server and its commands: a visitor has no business with them."""
    return " ".join(FOLDERS.sub("", error.message).split())


# Making queries ------------------------------------------------------------------------------------


def picture_query(source: str | Path | bytes, label: str = "") -> Query:
    """Make a query of an uploaded file. Raises UnreadablePicture with the reason."""
    size = len(source) if isinstance(source, bytes) else Path(source).stat().st_size
    if size > MAX_UPLOAD_BYTES:
        raise UnreadablePicture(f"the file has {size / 1e6:.0f} MB; at most {MAX_UPLOAD_BYTES >> 20} MiB are taken")
    name = label or (Path(source).name if not isinstance(source, bytes) else "uploaded picture")
    data = source if isinstance(source, bytes) else Path(source).read_bytes()
    try:
        small = open_picture(data, reduced_to=PREVIEW)
    except UnreadablePicture as error:
        raise UnreadablePicture(str(error).replace("these bytes", name)) from None
    return Query("picture", (Part("image", data, 1.0, name, data_url(small)),))


def pictures_query(files: Sequence[tuple[str, str]]) -> Query:
    """Make a query of several uploads, each a part that can be left out again.

    Args:
        files: (name, path) of each.

    Raises:
        UsageError: none, or too many.
        UnreadablePicture: one of them is none, with its name.
    """
    if not 1 <= len(files) <= MOST_PARTS:
        raise UsageError(f"between 1 and {MOST_PARTS} pictures are taken as one query, not {len(files)}")
    return Query.of(*(part for name, path in files for part in picture_query(path, name).parts))


def drawing_query(workspace: Workspace, name: str, drawn: str) -> Query:
    """Make a query of a drawing, made to look like the collection's pictures."""
    drawing = read_drawing(drawn)
    fitted = fit_to_paper(drawing, workspace.place(name).paper())
    return Query("drawing", (Part("image", fitted, 1.0, "drawing", data_url(drawing)),))


def steered_query(workspace: Workspace, name: str, current: Query, item: int, sign: int) -> Query:
    """Move the current query towards an item (sign +1) or away from it (-1)."""
    return current.plus(replace(workspace.item_query(name, item).parts[0], weight=float(sign)))


def data_url(picture: Image.Image, side: int = PREVIEW) -> str:
    """Return a small re-encoded copy of a picture as a ``data:`` URL."""
    data, media_type = encode_thumbnail(picture, side)
    return f"data:{media_type};base64,{base64.b64encode(data).decode()}"
