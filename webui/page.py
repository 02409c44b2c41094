"""The Gradio page: components and which action each of them calls. What the actions do is in actions.py."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gradio as gr

from .actions import (
    View,
    again,
    ask,
    drawing_query,
    guarded,
    picture_query,
    start,
    steered_query,
    words_query,
)
from .session import Session
from .workspace import Options, Query, Workspace

HERE = Path(__file__).parent
SHEET = """
<div class="dh-sheet"><canvas width="336" height="336" tabindex="0" role="img"
 aria-label="Drawing sheet: draw with mouse, pen or finger; results follow every stroke"></canvas>
<div class="dh-tools"><label>Pen <input class="dh-pen" type="range" min="4" max="48" value="26"></label>
<button class="dh-undo">Undo stroke</button><button class="dh-clear">Clear</button></div></div>
"""
QUIET: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private"}


def uploaded_path(payload: Any) -> str | None:
    """Return the path of an uploaded file as it came: decoding it, within limits, is our own business.

    Takes the place of ``gr.Image.preprocess``, which decodes. (A subclass would have to ship its own script.)
    """
    return None if payload is None else payload.path


def script(name: str) -> str:
    """Return one of the page's scripts."""
    return (HERE / f"{name}.js").read_text(encoding="utf8")


class SearchPage:
    """The search tab.

    Args:
        workspace: what is searched.
    """

    def __init__(self, workspace: Workspace) -> None:
        self.workspace = workspace
        self.reads_words = any("text" in place.searcher.encoder.modalities for place in workspace.places.values())

    def build(self, name: gr.Dropdown) -> None:
        """Lay the tab out and connect it; ``name`` says which collection is searched."""
        self.name = name
        self.session = gr.State(Session())
        self.cutoff = gr.State(None)
        with gr.Row(elem_id="dh-search"):
            with gr.Column(scale=0, min_width=336, elem_id="dh-query"):
                self._inputs()
                self._options()
                self.insight = gr.HTML("", elem_id="dh-insight", js_on_load=script("histogram"))
            with gr.Column(scale=1, min_width=320, elem_id="dh-answers"):
                self.trail = gr.HTML("", elem_id="dh-trail", js_on_load=script("trail"))
                self.status = gr.HTML("", elem_id="dh-status")
                self.results = gr.HTML("", elem_id="dh-results", js_on_load=script("results"))
        self._connect()

    def _inputs(self) -> None:
        with gr.Tabs(elem_id="dh-how"):
            with gr.Tab("Picture"):
                self.picture = gr.Image(
                    sources=["upload", "clipboard", "webcam"],
                    type="filepath",
                    show_label=False,
                    height=236,
                    buttons=[],
                    elem_id="dh-picture",
                    webcam_options=gr.WebcamOptions(mirror=False),
                )
                self.picture.preprocess = uploaded_path
            with gr.Tab("Draw"):
                self.sheet = gr.HTML(SHEET, elem_id="dh-draw", js_on_load=script("draw"))
        with gr.Group(visible=self.reads_words):
            self.words = gr.Textbox(
                label="Words", placeholder="two dogs on a beach", elem_id="dh-words", max_length=400, lines=1
            )
            self.minus = gr.Textbox(label="But not", placeholder="snow", elem_id="dh-minus", max_length=400, lines=1)
            self.share = gr.Slider(0, 1, 0.5, step=0.05, label="Picture ↔ words", elem_id="dh-share")
            self.search = gr.Button("Search", variant="primary", elem_id="dh-go")

    def _options(self) -> None:
        with gr.Accordion("Options", open=False, elem_id="dh-options"):
            self.k = gr.Slider(4, 200, 24, step=4, label="At most so many results", elem_id="dh-k")
            self.group = gr.Checkbox(False, label="Fold near-duplicates together", elem_id="dh-group")
            self.where = gr.Textbox(
                label="Filter",
                placeholder='label = "cat" and year >= 2019',
                elem_id="dh-where",
                lines=1,
                max_length=400,
            )

    def _connect(self) -> None:
        options = [self.k, self.cutoff, self.where, self.group]
        self.outputs = [self.session, self.trail, self.status, self.results, self.insight]
        common = [self.name, self.session, *options]
        words = [self.words, self.minus, self.share]
        self.picture.input(self.on_picture, [self.picture, *common, *words], self.outputs, **QUIET)
        self.sheet.drawn(self.on_drawn, common, self.outputs, trigger_mode="always_last", **QUIET)
        for event in (self.words.submit, self.minus.submit, self.search.click):
            event(self.on_words, [self.picture, *common, *words], self.outputs, **QUIET)
        self.results.requery(self.on_requery, common, self.outputs, **QUIET)
        self.results.steer(self.on_steer, common, self.outputs, **QUIET)
        self.trail.goto(self.on_goto, common, self.outputs, **QUIET)
        for source in (self.results, self.insight):
            source.cutoff(self.on_cutoff, common, [*self.outputs, self.cutoff], **QUIET)
        for event in (self.k.release, self.group.input, self.where.submit):
            event(self.on_again, common, self.outputs, **QUIET)
        self.name.input(self.on_again, common, self.outputs, **QUIET)

    # Events ----------------------------------------------------------------------------------------

    def on_load(self, request: gr.Request, name: str) -> tuple[Any, ...]:
        """Show examples, or the query that the address names (``?id=12`` or ``?q=words``)."""
        asked = dict(request.query_params)
        session = Session()

        def action() -> View:
            if asked.get("id", "").isdigit():
                return ask(self.workspace, name, session, self.workspace.item_query(name, int(asked["id"])), Options())
            if asked.get("q"):
                return ask(self.workspace, name, session, words_query(asked["q"]), Options())
            return start(self.workspace, name)

        return _shown(guarded(session, action))

    def on_picture(self, path: str | None, name: str, session: Session, *rest: Any) -> tuple[Any, ...]:
        """Answer an uploaded, pasted or photographed picture; or go back to the examples where it was removed."""
        if path is None:
            return _shown(guarded(session, lambda: start(self.workspace, name, session)))
        return self._answer(name, session, rest[:4], lambda: picture_query(path))

    def on_drawn(self, event: gr.EventData, name: str, session: Session, *rest: Any) -> tuple[Any, ...]:
        """Answer a drawing; a further stroke takes the place of the drawing before."""
        if session.current is not None and session.current.kind == "drawing":
            session = Session(session.trail[: session.position], session.position - 1)
        return self._answer(name, session, rest, lambda: drawing_query(self.workspace, name, str(event.picture)))

    def on_words(self, path: str | None, name: str, session: Session, *rest: Any) -> tuple[Any, ...]:
        """Answer words, or a picture and words."""
        *options, plus, minus, share = rest
        return self._answer(
            name, session, options, lambda: words_query(plus, minus, picture_query(path) if path else None, share)
        )

    def on_requery(self, event: gr.EventData, name: str, session: Session, *rest: Any) -> tuple[Any, ...]:
        """Search with the result that was clicked."""
        return self._answer(name, session, rest, lambda: self.workspace.item_query(name, int(event.id)))

    def on_steer(self, event: gr.EventData, name: str, session: Session, *rest: Any) -> tuple[Any, ...]:
        """Move the query towards a result or away from it."""
        current = session.current

        def make() -> Query:
            if current is None:
                return self.workspace.item_query(name, int(event.id))
            return steered_query(self.workspace, name, current, int(event.id), int(event.sign))

        return self._answer(name, session, rest, make)

    def on_goto(self, event: gr.EventData, name: str, session: Session, *rest: Any) -> tuple[Any, ...]:
        """Return to a query of the trail."""
        return self.on_again(name, session.goto(int(event.step)), *rest)

    def on_cutoff(self, event: gr.EventData, name: str, session: Session, *rest: Any) -> tuple[Any, ...]:
        """Search again with another cut-off."""
        k, _, where, group = rest
        bits = int(event.bits)
        return (*self.on_again(name, session, k, bits, where, group), bits)

    def on_again(self, name: str, session: Session, *rest: Any) -> tuple[Any, ...]:
        """Answer the current query again, because an option changed."""
        return _shown(guarded(session, lambda: again(self.workspace, name, session, _options(*rest))))

    def _answer(self, name: str, session: Session, rest: Any, make: Any) -> tuple[Any, ...]:
        return _shown(guarded(session, lambda: ask(self.workspace, name, session, make(), _options(*rest))))


def _options(k: float, cutoff: int | None, where: str, group: bool) -> Options:
    return Options(int(k), cutoff, where or "", bool(group))


def _shown(view: View) -> tuple[Any, ...]:
    return view.session, view.trail, view.status, view.results, view.insight
