"""The options panel: its components, what they offer for a collection, and their values as options of a search."""

from __future__ import annotations

from typing import Any

import gradio as gr

from deephash.collection.hubs import kinds_with_bank
from deephash.encoding.product import can_rerank

from .address import ANSWERS, Restored
from .events import script
from .filtersview import cards_html, filters_html
from .pageoptions import PageOptions
from .picks import Picks, joined, taken_apart
from .workspace import RERANKED, Workspace

MOST_NEAR = 16  # bits
HUBS = "Some pictures are near to everything, whatever is asked. This puts them where they belong."
RERANK = "Slower and finer: the nearest 200 are put in order by what the model saw, not by its bits alone."
NEAR = "0: only pictures of the very same code; more bits fold what is less alike."


class OptionsPanel:
    """Filters, folding, order, and what stands under each picture.

    Args:
        workspace: whose collections are filtered.

    Attributes:
        inputs: the components whose values :func:`read_options` takes.
        offers: the components that :meth:`offer` sets.
        counted: those that :meth:`recount` sets.
    """

    def __init__(self, workspace: Workspace) -> None:
        self.workspace = workspace
        self.k, self.cutoff = gr.State(ANSWERS), gr.State(None)
        self.picks, self.cards = gr.State(Picks()), gr.State(None)
        with gr.Accordion("Options and filters", open=False, elem_id="dh-options"):
            self.filters = gr.HTML("", elem_id="dh-filters", js_on_load=script("filters"))
            self.where = gr.Textbox(
                label="Filter in words",
                placeholder="label = cat and year >= 2019",
                elem_id="dh-where",
                lines=1,
                max_length=400,
            )
            self.group = gr.Checkbox(False, label="Fold near-duplicates together", elem_id="dh-group")
            self.near = gr.Slider(
                0, MOST_NEAR, 2, step=1, label="Folded within (bits)", info=NEAR, visible=False, elem_id="dh-near"
            )
            self.rerank = gr.Checkbox(
                False, label="Look closer at the nearest", info=RERANK, visible=False, elem_id="dh-rerank"
            )
            self.hubs = gr.Checkbox(
                False, label="Fewer pictures that turn up for everything", info=HUBS, visible=False, elem_id="dh-hubs"
            )
            self.shows = gr.HTML("", elem_id="dh-cards", js_on_load=script("cards"))
        self.offers = [self.filters, self.where, self.near, self.rerank, self.hubs, self.shows, self.picks, self.cutoff]
        self.counted = [self.filters, self.shows]
        self.restored = [*self.offers, self.k, self.group, self.cards]
        self.inputs = [self.k, self.cutoff, self.group, self.near, self.rerank, self.hubs, self.where, self.picks]
        self.inputs += [self.cards]

    def offer(self, name: str, cards: tuple[str, ...] | None, kept: Restored | None = None) -> tuple[Any, ...]:
        """Return the values of ``offers`` for a collection: no filter and no cut-off yet, or those of an address."""
        place, kept = self.workspace.place(name), kept or Restored()
        offers, collection = place.offers(), place.searcher.collection
        picks, words = taken_apart(kept.where, offers)
        near = default_near(place.searcher.num_bits) if kept.near is None else kept.near
        return (
            filters_html(offers, picks),
            words,
            gr.update(value=min(near, MOST_NEAR), visible=kept.group),
            gr.update(value=kept.rerank, visible=can_rerank(collection)),
            gr.update(value=kept.hubs, visible=bool(kinds_with_bank(collection))),
            cards_html(offers, cards),
            picks,
            kept.cutoff,
        )

    def recount(self, name: str, options: tuple[Any, ...]) -> tuple[str, str]:
        """Return the values of ``counted`` after the collection changed; what was picked stays."""
        offers = self.workspace.place(name).offers()
        return filters_html(offers, options[7]), cards_html(offers, options[8])

    def restore(self, name: str, kept: Restored) -> tuple[Any, ...]:
        """Return the values of ``restored``, as an address has them."""
        return *self.offer(name, kept.cards, kept), kept.k, kept.group, kept.cards


def default_near(num_bits: int) -> int:
    """Return within how many bits codes count as nearly the same, unless somebody says otherwise."""
    return num_bits // 32


def read_options(
    k: float,
    cutoff: int | None,
    group: bool,
    near: float,
    rerank: bool,
    hubs: bool,
    where: str,
    picks: Picks,
    cards: tuple[str, ...] | None,
) -> PageOptions:
    """Return the options of a query from the values of the components. Raises UsageError for a filter that is none."""
    return PageOptions(
        int(k),
        cutoff,
        joined(picks, where or ""),
        bool(group),
        RERANKED if rerank else 0,
        correct_hubs=bool(hubs),
        near=max(0, min(int(near), MOST_NEAR)) if group else None,
        cards=cards,
    )


def options_elsewhere(options: tuple[Any, ...]) -> list[Any]:
    """Return the values of ``inputs`` for another collection: cut-off and filters belong to the one that is left."""
    _, _, group, near, _, _, _, _, cards = options
    return [ANSWERS, None, group, near, False, False, "", Picks(), cards]
