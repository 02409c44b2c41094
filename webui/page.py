"""The search tab: components, and which action each of them calls. What the actions do is in actions.py."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any
from urllib.parse import parse_qsl

import gradio as gr

from deephash.search import Options, Query, Sliders
from deephash.search.query import LONGEST_PHRASE, phrase, words_query

from .actions import (
    View,
    again,
    ask,
    drawing_query,
    guarded,
    leave_out,
    mix,
    picture_query,
    start,
    steered_query,
)
from .address import ANSWERS, Restored, query_at, restored
from .events import number, script, sent, uploaded_path
from .filters import RANGES, SLOTS, Range, Span, combined, first_spans, offered, shown
from .session import Session
from .workspace import RERANKED, Workspace

MOST_ADDRESS = 4000
SHEET = """
<div class="dh-sheet"><canvas width="336" height="336" tabindex="0" role="img"
 aria-label="Drawing sheet: draw with mouse, pen or finger; results follow every stroke"></canvas>
<div class="dh-tools"><label>Pen <input class="dh-pen" type="range" min="4" max="48" value="26"></label>
<button class="dh-undo">Undo</button><button class="dh-clear">Clear</button></div></div>
"""
QUIET: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private"}
Outputs = tuple[Any, ...]


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
                self._mixing()
                self._options()
                self.insight = gr.HTML("", elem_id="dh-insight", js_on_load=script("histogram"))
            with gr.Column(scale=1, min_width=320, elem_id="dh-answers"):
                self.trail = gr.HTML("", elem_id="dh-trail", js_on_load=script("trail"))
                self.status = gr.HTML("", elem_id="dh-status")
                self.toast = gr.HTML("", elem_id="dh-toast", js_on_load=script("toast"))
                self.results = gr.HTML("", elem_id="dh-results", js_on_load=script("results", "address"))
        spans = [part for parts in self.ranges for part in parts]
        self.offers = [self.slots, *self.chosen, *spans, self.worded, self.rerank, self.where, self.cutoff]
        self.answered = [self.session, self.trail, self.status, self.results, self.insight, self.chips]
        self.outputs = [*self.answered, self.mixing, *self.sliders, self.picture]
        self.visited = [self.name, *self.outputs, *self.offers, self.k, self.group]
        self.common = [self.name, self.session, self.k, self.cutoff, self.group, self.rerank, self.where, self.slots]
        self.common += [*self.chosen, *spans]
        self._connect()

    def _inputs(self) -> None:
        self.chips = gr.HTML("", elem_id="dh-chips", js_on_load=script("chips"))
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
        with gr.Group(visible=False, elem_id="dh-worded") as self.worded:
            self.words = gr.Textbox(
                label="Words", placeholder="two dogs on a beach", elem_id="dh-words", max_length=LONGEST_PHRASE, lines=1
            )
            with gr.Row(elem_id="dh-words-do"):
                self.search = gr.Button("Search", variant="primary", elem_id="dh-go", min_width=80)
                self.more = gr.Button("+ Add", elem_id="dh-add-words", min_width=60)
                self.less = gr.Button("− Not this", elem_id="dh-less-words", min_width=60)

    def _mixing(self) -> None:
        """Three sliders for a picture with words; they show up with such a query."""
        with gr.Group(visible=False, elem_id="dh-mixing") as self.mixing:
            self.sliders = [
                gr.Slider(0, 1, 0.5, step=0.05, label="Picture ↔ words (β)", elem_id="dh-beta"),
                gr.Slider(-0.5, 2, 1, step=0.1, label="Reach of words (α text)", elem_id="dh-alpha-text"),
                gr.Slider(-0.5, 2, 1, step=0.1, label="Pull on it (α image)", elem_id="dh-alpha-image"),
            ]

    def _options(self) -> None:
        with gr.Accordion("Options and filters", open=False, elem_id="dh-options"):
            self.k = gr.Slider(4, 200, ANSWERS, step=4, label="At most so many results", elem_id="dh-k")
            self.group = gr.Checkbox(False, label="Fold near-duplicates together", elem_id="dh-group")
            self.rerank = gr.Checkbox(False, label="Re-rank by stored vectors", visible=False, elem_id="dh-rerank")
            self.chosen = [
                gr.Dropdown([], multiselect=True, visible=False, elem_id=f"dh-chosen-{slot}") for slot in range(SLOTS)
            ]
            self.ranges = [self._range(number) for number in range(RANGES)]
            self.where = gr.Textbox(
                label="Filter in words",
                placeholder="label = cat and year >= 2019",
                elem_id="dh-where",
                lines=1,
                max_length=400,
            )

    @staticmethod
    def _range(number: int) -> tuple[gr.Dropdown, gr.Textbox, gr.Textbox]:
        with gr.Row(elem_classes="dh-range"):
            span = gr.Dropdown([""], value="", label="Between", elem_id=f"dh-span-{number}", min_width=90)
            low = gr.Textbox(label="from", elem_id=f"dh-low-{number}", min_width=70, max_length=40)
            high = gr.Textbox(label="to", elem_id=f"dh-high-{number}", min_width=70, max_length=40)
        return span, low, high

    def _connect(self) -> None:
        # always_last: pasting first tells of an empty box, and the picture must not be lost behind that
        self.picture.input(
            self.on_picture, [self.picture, *self.common], self.outputs, trigger_mode="always_last", **QUIET
        )
        self.sheet.drawn(self.on_drawn, self.common, self.outputs, trigger_mode="always_last", **QUIET)
        worded = [self.words, *self.common]
        for event in (self.words.submit, self.search.click):
            event(self.on_words, [self.picture, *self.sliders, *worded], self.outputs, **QUIET)
        for button, action in ((self.more, self.on_more), (self.less, self.on_less)):
            button.click(action, worded, [*self.outputs, self.words], **QUIET)
        gr.on(  # one event for all three, so that a slow answer never overtakes a later one
            [slider.input for slider in self.sliders],
            self.on_mix,
            [*self.sliders, *self.common],
            self.answered,
            trigger_mode="always_last",
            **QUIET,
        )
        self.chips.leave(self.on_leave, self.common, self.outputs, **QUIET)
        self.results.requery(self.on_requery, self.common, self.outputs, **QUIET)
        self.results.visit(self.on_visit, [self.name, self.session], self.visited, trigger_mode="always_last", **QUIET)
        self.results.steer(self.on_steer, self.common, self.outputs, **QUIET)
        self.trail.goto(self.on_goto, self.common, self.outputs, **QUIET)
        for source in (self.results, self.insight):
            source.cutoff(
                self.on_cutoff, self.common, [*self.outputs, self.cutoff], trigger_mode="always_last", **QUIET
            )
        self._connect_options()

    def _connect_options(self) -> None:
        changes = [self.k.release, self.group.input, self.rerank.input, self.where.submit]
        changes += [bound.submit for _, low, high in self.ranges for bound in (low, high)]
        for event in (*changes, *(slot.input for slot in self.chosen)):
            event(self.on_again, self.common, self.outputs, **QUIET)
        for span, low, high in self.ranges:
            span.input(self.on_span, [self.name, span], [low, high], **QUIET).then(
                self.on_again, self.common, self.outputs, **QUIET
            )
        self.name.input(self.offer, [self.name], self.offers, **QUIET).then(
            self.on_again, self.common, self.outputs, **QUIET
        )

    # Events ----------------------------------------------------------------------------------------

    def on_load(self, request: gr.Request, name: str) -> Outputs:
        """Show examples, or the query that the address names."""
        return self._visited(name, Session(), dict(request.query_params))

    def on_visit(self, event: gr.EventData, name: str, session: Session) -> Outputs:
        """Go where Back or Forward lead: to a query of the trail, or after a reload to what the address names."""
        address = str(sent(event, "address") or "").removeprefix("?")[:MOST_ADDRESS]
        asked = {"collection": self.workspace.names[0], **dict(parse_qsl(address, max_num_fields=20))}
        return self._visited(name, session.at(str(sent(event, "key"))) or session, asked, str(sent(event, "key")))

    def _visited(self, name: str, session: Session, asked: dict[str, str], key: str = "") -> Outputs:
        """Return the values of everything that an address decides; ``key`` tells that its query is on the trail."""
        name = asked["collection"] if asked.get("collection") in self.workspace.names else name
        kept = Restored()

        def action() -> View:
            nonlocal kept
            kept = restored(asked)
            if session.current is not None and session.current.key == key:
                return again(self.workspace, name, session, kept.options)
            query = query_at(self.workspace, name, asked)
            if query is None:
                return start(self.workspace, name, session)
            return ask(self.workspace, name, session, query, kept.options)

        shown = self._shown(session, action)
        offers = self.offer(name)
        rerank = gr.Checkbox(kept.rerank, visible=self.workspace.place(name).searcher.collection.has_vectors)
        return name, *shown, *offers[:-3], rerank, kept.where, kept.cutoff, kept.k, kept.group

    def on_picture(self, path: str | None, name: str, session: Session, *options: Any) -> Outputs:
        """Answer an uploaded, pasted or photographed picture; go back to the examples where it was taken away."""
        if path is None:
            *shown, _ = self._shown(session, lambda: start(self.workspace, name, session))
            return *shown, gr.skip()  # pasting tells of an empty box first; emptying it would lose the picture
        *answered, _ = self._answer(name, session, options, lambda: picture_query(path))
        return *answered, gr.skip() if answered[0] is not session else None  # a bad upload is taken out of the box

    def on_drawn(self, event: gr.EventData, name: str, session: Session, *options: Any) -> Outputs:
        """Answer a drawing; a further stroke takes the place of the drawing before."""

        def action() -> View:
            drawing = drawing_query(self.workspace, name, str(sent(event, "picture")))
            if session.current is not None and session.current.kind == "drawing":
                return again(self.workspace, name, session.amend(drawing), read_options(*options))
            return ask(self.workspace, name, session, drawing, read_options(*options))

        return self._shown(session, action)

    def on_words(
        self,
        path: str | None,
        beta: float,
        alpha_text: float,
        alpha_image: float,
        words: str,
        name: str,
        session: Session,
        *options: Any,
    ) -> Outputs:
        """Answer words, or a picture and words."""
        sliders = Sliders(alpha_text, alpha_image, beta)
        return self._answer(
            name, session, options, lambda: words_query(words, "", picture_query(path) if path else None, sliders)
        )

    def on_more(self, words: str, name: str, session: Session, *options: Any) -> Outputs:
        """Add words to the query, as a chip."""
        return self._change(words, 1, name, session, options)

    def on_less(self, words: str, name: str, session: Session, *options: Any) -> Outputs:
        """Move the query away from words, as a chip."""
        return self._change(words, -1, name, session, options)

    def _change(self, words: str, sign: int, name: str, session: Session, options: Sequence[Any]) -> Outputs:
        def make() -> Query:
            part = phrase(words, sign)
            current: Query | None = session.current
            if current is not None:
                return current.plus(part)
            return words_query(words if sign > 0 else "", words if sign < 0 else "")

        answered = self._answer(name, session, options, make)
        return (*answered, "" if answered[0] is not session else words)

    def on_mix(
        self, beta: float, alpha_text: float, alpha_image: float, name: str, session: Session, *options: Any
    ) -> Outputs:
        """Search again at another position of the sliders, without encoding anything."""
        sliders = Sliders(alpha_text, alpha_image, beta)

        def action() -> View:
            return mix(self.workspace, name, session, sliders, read_options(*options))

        return self._shown(session, action)[: len(self.answered)]

    def on_leave(self, event: gr.EventData, name: str, session: Session, *options: Any) -> Outputs:
        """Leave one part out of the query."""

        def action() -> View:
            part = number(event, "part")
            return leave_out(self.workspace, name, session, part, read_options(*options))

        return self._shown(session, action)

    def on_requery(self, event: gr.EventData, name: str, session: Session, *options: Any) -> Outputs:
        """Search with the picture that was clicked; it may belong to another collection than the one that is asked."""
        home = str(sent(event, "collection") or name)
        return self._answer(name, session, options, lambda: self.workspace.item_query(home, number(event, "id")))

    def on_steer(self, event: gr.EventData, name: str, session: Session, *options: Any) -> Outputs:
        """Move the query towards a result or away from it."""
        current = session.current

        def make() -> Query:
            item, sign = number(event, "id"), number(event, "sign", -1, 1)
            if current is None:
                return self.workspace.item_query(name, item)
            return steered_query(self.workspace, name, current, item, sign)

        return self._answer(name, session, options, make)

    def on_goto(self, event: gr.EventData, name: str, session: Session, *options: Any) -> Outputs:
        """Return to a query of the trail."""

        def action() -> View:
            there = session.goto(number(event, "step"))
            return again(self.workspace, name, there, read_options(*options))

        return self._shown(session, action)

    def on_cutoff(self, event: gr.EventData, name: str, session: Session, *options: Any) -> Outputs:
        """Search again with another cut-off."""
        cutoff = options[1]

        def action() -> View:
            nonlocal cutoff
            bits = number(event, "bits", -1)
            view = again(self.workspace, name, session, read_options(options[0], bits, *options[2:]))
            cutoff = bits
            return view

        return (*self._shown(session, action), cutoff)

    def on_again(self, name: str, session: Session, *options: Any) -> Outputs:
        """Answer the current query again, because an option or the collection changed."""
        return self._shown(session, lambda: again(self.workspace, name, session, read_options(*options)))

    def on_span(self, name: str, attribute: str) -> Outputs:
        """Empty the boxes of a range and show in grey how far its attribute reaches."""
        return _bounds(attribute, offered(self.workspace.place(name).searcher.collection)[1])

    @staticmethod
    def options_elsewhere(options: Sequence[Any]) -> list[Any]:
        """Return options for another collection: the cut-off and the filters belong to the one that is left."""
        k, _, group, *_ = options
        return [k, None, group, False, "", []]

    def offer(self, name: str) -> Outputs:
        """Offer the attributes of a collection, and words where its model reads them; no filter and no cut-off yet."""
        searcher = self.workspace.place(name).searcher
        choices, spans = offered(searcher.collection)
        slots = [
            gr.Dropdown(list(choice.values), value=[], label=choice.attribute.capitalize(), visible=True)
            for choice in choices
        ]
        slots += [gr.Dropdown([], value=[], visible=False)] * (SLOTS - len(slots))
        names = ["", *(span.attribute for span in spans)]
        ranges = [(gr.Dropdown(names, value=first), *_bounds(first, spans)) for first in first_spans(spans)]
        worded = gr.Group(visible="text" in searcher.encoder.modalities)
        rerank = gr.Checkbox(False, visible=searcher.collection.has_vectors)
        bounds = [part for parts in ranges for part in parts]
        return [choice.attribute for choice in choices], *slots, *bounds, worded, rerank, "", None

    def _answer(self, name: str, session: Session, options: Sequence[Any], make: Callable[[], Query]) -> Outputs:
        return self._shown(session, lambda: ask(self.workspace, name, session, make(), read_options(*options)))

    def _shown(self, session: Session, action: Callable[[], View]) -> Outputs:
        """Return the values of the search tab's outputs."""
        view = guarded(self.workspace, session, action)
        worded = view.asked is not None and view.asked.worded
        sliders = (view.asked.sliders or Sliders()) if view.asked is not None and worded else None
        places = (sliders.beta, sliders.alpha_text, sliders.alpha_image) if sliders else (gr.skip(),) * 3
        html = view.trail, view.status, view.results, view.insight, view.chips
        box = gr.skip() if _share_a_picture(session.current, view.asked) else None
        return view.session, *html, gr.Group(visible=sliders is not None), *places, box


def _share_a_picture(before: Query | None, now: Query | None) -> bool:
    """Say whether the picture in the box is still part of what is asked; else the box would show another query."""
    held = [
        {part.value for part in query.parts if part.kind == "image" and isinstance(part.value, bytes)}
        for query in (before, now)
        if query is not None
    ]
    return len(held) == 2 and not held[0].isdisjoint(held[1])


def read_options(
    k: float, cutoff: int | None, group: bool, rerank: bool, where: str, slots: list[str], *rest: Any
) -> Options:
    """Return the options of a query from the values of the components."""
    chosen, bounds = rest[:SLOTS], [part or "" for part in rest[SLOTS:]]
    ranges = [Range(*bounds[first : first + 3]) for first in range(0, len(bounds), 3)]
    where_filter = combined(list(zip(slots, chosen)), ranges, where or "")
    return Options(int(k), cutoff, where_filter, bool(group), RERANKED if rerank else 0)


def _bounds(attribute: str, spans: Sequence[Span]) -> tuple[gr.Textbox, gr.Textbox]:
    """Return both boxes of a range, empty, with its smallest and largest value in grey."""
    found = [(shown(span.smallest), shown(span.largest)) for span in spans if span.attribute == attribute]
    low, high = found[0] if found else ("", "")
    return gr.Textbox("", placeholder=low), gr.Textbox("", placeholder=high)
