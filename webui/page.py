"""The search tab: components, and which action each of them calls. What the actions do is in actions.py."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any
from urllib.parse import parse_qsl

import gradio as gr

from deephash.search import Query, Sliders
from deephash.search.query import phrase, words_query

from .actions import (
    View,
    again,
    ask,
    drawing_query,
    guarded,
    leave_out,
    mix,
    picture_query,
    pictures_query,
    start,
    steered_query,
)
from .address import ANSWERS, Restored, query_at, restored
from .events import given_files, markup, number, script, sent
from .inputs import QueryInputs
from .optionspanel import OptionsPanel, options_elsewhere, read_options
from .pageoptions import read_cards
from .picks import read_picks
from .session import Session
from .workspace import MOST_SHOWN, Workspace

MOST_ADDRESS = 4000
QUIET: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private"}
LATEST: dict[str, Any] = {"trigger_mode": "always_last", **QUIET}  # a slow answer never overtakes a later one
# The same for events that carry data, which Gradio drops from one that had to wait: all are answered, in their order.
IN_ORDER: dict[str, Any] = {"trigger_mode": "multiple", "concurrency_limit": 1, **QUIET}
# What this browser remembers of earlier visits goes along with the first event.
REMEMBER = "(name) => { try { return [name, localStorage.getItem('deephash.cards')]; } catch { return [name, null]; } }"
RESULTS = 3  # their place among the values that an action gives
Outputs = tuple[Any, ...]


class SearchPage:
    """The search tab.

    Args:
        workspace: what is searched.
        name: the component that says which collection is searched.
    """

    options_elsewhere = staticmethod(options_elsewhere)

    def __init__(self, workspace: Workspace, name: gr.Dropdown) -> None:
        self.workspace, self.name = workspace, name
        self.session = gr.State(Session(), time_to_live=3600)
        self.remembered = gr.Textbox(visible=False)
        with gr.Row(elem_id="dh-search"):
            with gr.Column(scale=0, min_width=336, elem_id="dh-query"):
                self.inputs = QueryInputs()
                self.options = OptionsPanel(workspace)
                self.insight = gr.HTML("", elem_id="dh-insight", js_on_load=script("histogram"))
                gr.HTML(markup("help"), elem_id="dh-help", js_on_load=script("help"))
            with gr.Column(scale=1, min_width=320, elem_id="dh-answers"):
                self.trail = gr.HTML("", elem_id="dh-trail", js_on_load=script("trail"))
                self.status = gr.HTML("", elem_id="dh-status")
                self.toast = gr.HTML("", elem_id="dh-toast", js_on_load=script("toast"))
                self.results = gr.HTML("", elem_id="dh-results", js_on_load=script("results", "address"))
        self.selection = gr.HTML(markup("selection"), elem_id="dh-selection", js_on_load=script("selection"))
        inputs, options = self.inputs, self.options
        self.offers = [*options.offers, inputs.worded]
        self.answered = [self.session, self.trail, self.status, self.results, self.insight, inputs.chips]
        self.outputs = [*self.answered, inputs.mixing, *inputs.sliders, options.k, inputs.picture]
        self.visited = [self.name, *self.outputs, *options.restored, inputs.worded]
        self.common = [self.name, self.session, *options.inputs]
        self._connect()
        self._connect_results()
        self._connect_options()

    def _connect(self) -> None:
        inputs = self.inputs
        # always_last: pasting first tells of an empty box, and the picture must not be lost behind that
        inputs.picture.input(self.on_picture, [inputs.picture, *self.common], self.outputs, **LATEST)
        inputs.anywhere.given(self.on_given, self.common, self.outputs, **QUIET)
        inputs.sheet.drawn(self.on_drawn, self.common, self.outputs, **IN_ORDER)
        worded = [inputs.words, *self.common]
        for event in (inputs.words.submit, inputs.search.click):
            event(self.on_words, [inputs.picture, *inputs.sliders, *worded], self.outputs, **QUIET)
        for button, action in ((inputs.more, self.on_more), (inputs.less, self.on_less)):
            button.click(action, worded, [*self.outputs, inputs.words], **QUIET)
        moved = [slider.input for slider in inputs.sliders]  # one event for all three
        gr.on(moved, self.on_mix, [*inputs.sliders, *self.common], self.answered, **LATEST)
        inputs.chips.leave(self.on_leave, self.common, self.outputs, **QUIET)

    def _connect_results(self) -> None:
        results, cards = self.results, self.options.cards
        results.requery(self.on_requery, self.common, self.outputs, **QUIET)
        results.visit(self.on_visit, [self.name, self.session, cards], self.visited, **IN_ORDER)
        results.steer(self.on_steer, self.common, self.outputs, **QUIET)
        results.further(self.on_further, self.common, self.outputs, **QUIET)
        self.trail.goto(self.on_goto, self.common, self.outputs, **QUIET)
        for source in (results, self.insight):
            source.cutoff(self.on_cutoff, self.common, [*self.outputs, self.options.cutoff], **IN_ORDER)

    def _connect_options(self) -> None:
        options = self.options
        options.near.input(self.on_again, self.common, self.outputs, **LATEST)
        for event in (options.rerank.input, options.hubs.input, options.where.submit):
            event(self.on_again, self.common, self.outputs, **QUIET)
        options.group.input(self.on_group, self.common, [*self.outputs, options.near], **QUIET)
        options.filters.pick(self.on_pick, self.common, [*self.outputs, options.picks], **IN_ORDER)
        options.shows.cards(self.on_cards, self.common, [*self.outputs, options.cards], **IN_ORDER)
        self.name.input(self.offer, [self.name, options.cards], self.offers, **QUIET).then(
            self.on_again, self.common, self.outputs, **QUIET
        )

    # Events ----------------------------------------------------------------------------------------

    def on_load(self, request: gr.Request, name: str, remembered: str | None) -> Outputs:
        """Show examples, or the query that the address names; cards as they were chosen here before."""
        return self._visited(name, Session(), dict(request.query_params), cards=read_cards(str(remembered or "")))

    def on_visit(self, event: gr.EventData, name: str, session: Session, cards: tuple[str, ...] | None) -> Outputs:
        """Go where Back or Forward lead: to a query of the trail, or after a reload to what the address names."""
        address = str(sent(event, "address") or "").removeprefix("?")[:MOST_ADDRESS]
        asked = {"collection": self.workspace.names[0], **dict(parse_qsl(address, max_num_fields=20))}
        key, turn = str(sent(event, "key")), sent(event, "turn")
        home, *shown = self._visited(name, session.at(key) or session, asked, key, cards)
        # So that the browser knows which of its steps is answered; anybody can send anything.
        shown[RESULTS] += f'<i hidden data-turn="{turn if type(turn) is int else 0}"></i>'
        return home, *shown

    def _visited(
        self,
        name: str,
        session: Session,
        asked: dict[str, str],
        key: str = "",
        cards: tuple[str, ...] | None = None,
    ) -> Outputs:
        """Return the values of everything that an address decides; ``key`` tells that its query is on the trail."""
        name = asked["collection"] if asked.get("collection") in self.workspace.names else name
        kept = Restored(cards=cards)

        def action() -> View:
            nonlocal kept
            found = restored(asked)
            kept = found if found.cards else replace(found, cards=cards)
            if session.current is not None and session.current.key == key:
                return again(self.workspace, name, session, kept.options)
            query = query_at(self.workspace, name, asked)
            if query is None:
                return start(self.workspace, name, session)
            return ask(self.workspace, name, session, query, kept.options)

        shown = self._shown(session, action)
        return name, *shown, *self.options.restore(name, kept), self._worded(name)

    def on_picture(self, path: str | None, name: str, session: Session, *options: Any) -> Outputs:
        """Answer an uploaded, pasted or photographed picture; go back to the examples where it was taken away."""
        if path is None:
            *shown, _ = self._shown(session, lambda: start(self.workspace, name, session))
            return *shown, gr.skip()  # pasting tells of an empty box first; emptying it would lose the picture
        *answered, _ = self._answer(name, session, options, lambda: picture_query(path))
        return *answered, gr.skip() if answered[0] is not session else None  # a bad upload is taken out of the box

    def on_given(self, event: gr.EventData, name: str, session: Session, *options: Any) -> Outputs:
        """Answer pictures that were pasted or dropped beside the box; several are parts of one query."""
        return self._answer(name, session, options, lambda: pictures_query(given_files(event)))

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
            return again(self.workspace, name, there, read_options(ANSWERS, *options[1:]))

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

    def on_group(self, name: str, session: Session, *options: Any) -> Outputs:
        """Fold near-duplicates or unfold them; how near they are can be said where they are folded."""
        return *self.on_again(name, session, *options), gr.update(visible=bool(options[2]))

    def on_pick(self, event: gr.EventData, name: str, session: Session, *options: Any) -> Outputs:
        """Search again among what passes the filters that were picked."""
        picks = options[7]

        def action() -> View:
            nonlocal picks
            picks = read_picks(event._data, self.workspace.place(name).offers())
            return again(self.workspace, name, session, read_options(*(*options[:7], picks, *options[8:])))

        return *self._shown(session, action), picks

    def on_cards(self, event: gr.EventData, name: str, session: Session, *options: Any) -> Outputs:
        """Show other attributes under the pictures."""
        show = sent(event, "show")
        cards = read_cards(show if isinstance(show, list) else "")
        return *self.on_again(name, session, *options[:8], cards), cards

    def on_further(self, event: gr.EventData, name: str, session: Session, *options: Any) -> Outputs:
        """Show more results of the same query."""

        def action() -> View:
            k = number(event, "k", 1, MOST_SHOWN)
            return again(self.workspace, name, session, read_options(k, *options[1:]))

        return self._shown(session, action)

    def offer(self, name: str, cards: tuple[str, ...] | None = None) -> Outputs:
        """Offer what a collection has, and words where its model reads them; no filter and no cut-off yet."""
        return *self.options.offer(name, cards), self._worded(name)

    def _worded(self, name: str) -> dict[str, Any]:
        return gr.update(visible="text" in self.workspace.place(name).searcher.encoder.modalities)

    def _answer(self, name: str, session: Session, options: Sequence[Any], make: Callable[[], Query]) -> Outputs:
        """Ask a new query, whose list begins as short as any."""
        asked = (ANSWERS, *options[1:])
        return self._shown(session, lambda: ask(self.workspace, name, session, make(), read_options(*asked)))

    def _shown(self, session: Session, action: Callable[[], View]) -> Outputs:
        """Return the values of the search tab's outputs."""
        view = guarded(self.workspace, session, action)
        worded = view.asked is not None and view.asked.worded
        sliders = (view.asked.sliders or Sliders()) if view.asked is not None and worded else None
        places = (sliders.beta, sliders.alpha_text, sliders.alpha_image) if sliders else (gr.skip(),) * 3
        html = view.trail, view.status, view.results, view.insight, view.chips
        box = gr.skip() if _share_a_picture(session.current, view.asked) else None
        k = gr.skip() if view.k is None else view.k
        return view.session, *html, gr.update(visible=sliders is not None), *places, k, box


def _share_a_picture(before: Query | None, now: Query | None) -> bool:
    """Say whether the picture in the box is still part of what is asked; else the box would show another query."""
    held = [
        {part.value for part in query.parts if part.kind == "image" and isinstance(part.value, bytes)}
        for query in (before, now)
        if query is not None
    ]
    return len(held) == 2 and not held[0].isdisjoint(held[1])
