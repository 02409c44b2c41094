"""The search tab: components, and which action each of them calls. What the actions do is in actions.py."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import gradio as gr

from .actions import View, again, ask, drawing_query, guarded, picture_query, start, steered_query, words_query
from .filters import SLOTS, combined, offered, shown
from .session import Session
from .workspace import Options, Query, Workspace

HERE = Path(__file__).parent
SHEET = """
<div class="dh-sheet"><canvas width="336" height="336" tabindex="0" role="img"
 aria-label="Drawing sheet: draw with mouse, pen or finger; results follow every stroke"></canvas>
<div class="dh-tools"><label>Pen <input class="dh-pen" type="range" min="4" max="48" value="26"></label>
<button class="dh-undo">Undo</button><button class="dh-clear">Clear</button></div></div>
"""
QUIET: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private"}
Outputs = tuple[Any, ...]


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
        name: the component that says which collection is searched.
    """

    def __init__(self, workspace: Workspace, name: gr.Dropdown) -> None:
        self.workspace, self.name = workspace, name
        self.session = gr.State(Session(), time_to_live=3600)
        self.cutoff = gr.State(None)
        self.slots = gr.State([])
        with gr.Row(elem_id="dh-search"):
            with gr.Column(scale=0, min_width=336, elem_id="dh-query"):
                self._inputs()
                self._options()
                self.insight = gr.HTML("", elem_id="dh-insight", js_on_load=script("histogram"))
            with gr.Column(scale=1, min_width=320, elem_id="dh-answers"):
                self.trail = gr.HTML("", elem_id="dh-trail", js_on_load=script("trail"))
                self.status = gr.HTML("", elem_id="dh-status")
                self.results = gr.HTML("", elem_id="dh-results", js_on_load=script("results"))
        self.offers = [self.slots, *self.chosen, self.span, self.worded]
        self.outputs = [self.session, self.trail, self.status, self.results, self.insight]
        self.common = [self.name, self.session, self.k, self.cutoff, self.group, self.where, self.slots, *self.chosen]
        self.common += [self.span, self.low, self.high]
        self._connect()

    def _inputs(self) -> None:
        with gr.Tabs(elem_id="dh-how"):
            with gr.Tab("Picture"):
                self.picture = gr.Image(
                    sources=["upload", "clipboard", "webcam"],
                    type="filepath",
                    show_label=False,
                    label="Query picture",
                    height=236,
                    buttons=[],
                    elem_id="dh-picture",
                    webcam_options=gr.WebcamOptions(mirror=False),
                )
                self.picture.preprocess = uploaded_path  # type: ignore[method-assign]
            with gr.Tab("Draw"):
                self.sheet = gr.HTML(SHEET, elem_id="dh-draw", js_on_load=script("draw"))
        with gr.Group(visible=False) as self.worded:
            self.words = gr.Textbox(
                label="Words", placeholder="two dogs on a beach", elem_id="dh-words", max_length=400, lines=1
            )
            self.minus = gr.Textbox(label="But not", placeholder="snow", elem_id="dh-minus", max_length=400, lines=1)
            self.share = gr.Slider(0, 1, 0.5, step=0.05, label="Picture ↔ words", elem_id="dh-share")
            self.search = gr.Button("Search", variant="primary", elem_id="dh-go")

    def _options(self) -> None:
        with gr.Accordion("Options and filters", open=False, elem_id="dh-options"):
            self.k = gr.Slider(4, 200, 24, step=4, label="At most so many results", elem_id="dh-k")
            self.group = gr.Checkbox(False, label="Fold near-duplicates together", elem_id="dh-group")
            self.chosen = [
                gr.Dropdown([], multiselect=True, visible=False, elem_id=f"dh-chosen-{slot}") for slot in range(SLOTS)
            ]
            with gr.Row(elem_id="dh-range"):
                self.span = gr.Dropdown([""], value="", label="Between", elem_id="dh-span", min_width=90)
                self.low = gr.Textbox(label="from", elem_id="dh-low", min_width=70, max_length=40)
                self.high = gr.Textbox(label="to", elem_id="dh-high", min_width=70, max_length=40)
            self.where = gr.Textbox(
                label="Filter in words",
                placeholder="label = cat and year >= 2019",
                elem_id="dh-where",
                lines=1,
                max_length=400,
            )

    def _connect(self) -> None:
        words = [self.words, self.minus, self.share]
        # always_last: pasting first tells of an empty box, and the picture must not be lost behind that
        self.picture.input(
            self.on_picture, [self.picture, *self.common], self.outputs, trigger_mode="always_last", **QUIET
        )
        self.sheet.drawn(self.on_drawn, self.common, self.outputs, trigger_mode="always_last", **QUIET)
        for event in (self.words.submit, self.minus.submit, self.search.click):
            event(self.on_words, [self.picture, *words, *self.common], self.outputs, **QUIET)
        self.results.requery(self.on_requery, self.common, self.outputs, **QUIET)
        self.results.steer(self.on_steer, self.common, self.outputs, **QUIET)
        self.trail.goto(self.on_goto, self.common, self.outputs, **QUIET)
        for source in (self.results, self.insight):
            source.cutoff(self.on_cutoff, self.common, [*self.outputs, self.cutoff], **QUIET)
        changes = [self.k.release, self.group.input, self.where.submit, self.low.submit, self.high.submit]
        for event in (*changes, *(slot.input for slot in self.chosen)):
            event(self.on_again, self.common, self.outputs, **QUIET)
        self.span.input(self.on_span, [self.name, self.span], [self.low, self.high], **QUIET)
        self.name.input(self.offer, [self.name], self.offers, **QUIET).then(
            self.on_again, self.common, self.outputs, **QUIET
        )

    # Events ----------------------------------------------------------------------------------------

    def on_load(self, request: gr.Request, name: str) -> Outputs:
        """Show examples, or the query that the address names (``?id=12`` or ``?q=words``, ``&collection=``)."""
        asked = dict(request.query_params)
        name = asked["collection"] if asked.get("collection") in self.workspace.names else name

        def action() -> View:
            if asked.get("id", "").isdigit():
                return ask(
                    self.workspace, name, Session(), self.workspace.item_query(name, int(asked["id"])), Options()
                )
            if asked.get("q"):
                return ask(self.workspace, name, Session(), words_query(asked["q"]), Options())
            return start(self.workspace, name)

        return (name, *shown_view(guarded(Session(), action)), *self.offer(name))

    def on_picture(self, path: str | None, name: str, session: Session, *options: Any) -> Outputs:
        """Answer an uploaded, pasted or photographed picture; go back to the examples where it was taken away."""
        if path is None:
            return shown_view(guarded(session, lambda: start(self.workspace, name, session)))
        return self._answer(name, session, options, lambda: picture_query(path))

    def on_drawn(self, event: gr.EventData, name: str, session: Session, *options: Any) -> Outputs:
        """Answer a drawing; a further stroke takes the place of the drawing before."""
        if session.current is not None and session.current.kind == "drawing":
            session = Session(session.trail[: session.position], session.position - 1)
        return self._answer(name, session, options, lambda: drawing_query(self.workspace, name, str(event.picture)))

    def on_words(
        self, path: str | None, plus: str, minus: str, share: float, name: str, session: Session, *options: Any
    ) -> Outputs:
        """Answer words, or a picture and words."""
        return self._answer(
            name, session, options, lambda: words_query(plus, minus, picture_query(path) if path else None, share)
        )

    def on_requery(self, event: gr.EventData, name: str, session: Session, *options: Any) -> Outputs:
        """Search with the result that was clicked."""
        return self._answer(name, session, options, lambda: self.workspace.item_query(name, int(event.id)))

    def on_steer(self, event: gr.EventData, name: str, session: Session, *options: Any) -> Outputs:
        """Move the query towards a result or away from it."""
        current = session.current

        def make() -> Query:
            if current is None:
                return self.workspace.item_query(name, int(event.id))
            return steered_query(self.workspace, name, current, int(event.id), int(event.sign))

        return self._answer(name, session, options, make)

    def on_goto(self, event: gr.EventData, name: str, session: Session, *options: Any) -> Outputs:
        """Return to a query of the trail."""
        return self.on_again(name, session.goto(int(event.step)), *options)

    def on_cutoff(self, event: gr.EventData, name: str, session: Session, *options: Any) -> Outputs:
        """Search again with another cut-off."""
        bits = int(event.bits)
        return (*self.on_again(name, session, options[0], bits, *options[2:]), bits)

    def on_again(self, name: str, session: Session, *options: Any) -> Outputs:
        """Answer the current query again, because an option or the collection changed."""
        return shown_view(guarded(session, lambda: again(self.workspace, name, session, read_options(*options))))

    def on_span(self, name: str, attribute: str) -> tuple[str, str]:
        """Write the smallest and largest value of an attribute into the boxes."""
        _, spans = offered(self.workspace.place(name).searcher.collection)
        for span in spans:
            if span.attribute == attribute:
                return shown(span.smallest), shown(span.largest)
        return "", ""

    def offer(self, name: str) -> Outputs:
        """Offer the attributes of a collection, and words where its model reads them."""
        searcher = self.workspace.place(name).searcher
        choices, spans = offered(searcher.collection)
        slots = [
            gr.Dropdown(list(choice.values), value=[], label=choice.attribute.capitalize(), visible=True)
            for choice in choices
        ]
        slots += [gr.Dropdown([], value=[], visible=False)] * (SLOTS - len(slots))
        names = ["", *(span.attribute for span in spans)]
        worded = gr.Group(visible="text" in searcher.encoder.modalities)
        return [choice.attribute for choice in choices], *slots, gr.Dropdown(names, value=""), worded

    def _answer(self, name: str, session: Session, options: Sequence[Any], make: Callable[[], Query]) -> Outputs:
        return shown_view(guarded(session, lambda: ask(self.workspace, name, session, make(), read_options(*options))))


def read_options(k: float, cutoff: int | None, group: bool, where: str, slots: list[str], *rest: Any) -> Options:
    """Return the options of a query from the values of the components."""
    *chosen, span, low, high = rest
    where_filter = combined(list(zip(slots, chosen)), span or "", low or "", high or "", where or "")
    return Options(int(k), cutoff, where_filter, bool(group))


def shown_view(view: View) -> Outputs:
    """Return the values of the search tab's outputs."""
    return view.session, view.trail, view.status, view.results, view.insight
